//! The driver with real machines, a ledger that writes a journal, and a shell that writes another.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, mpsc};

use canopy_core::command::{Command, Verb};
use canopy_core::durable::Change;
use canopy_core::link::{EdgeId, SessionId};
use canopy_core::{Agent, Hub};
use canopy_model::{Name, Path, Record, Role};
use tokio::task::JoinHandle;

use super::*;
use crate::handle;

/// What happened, in order.
type Journal = Arc<Mutex<Vec<&'static str>>>;

struct Disk {
    journal: Journal,
    /// Each commit waits for an answer; false makes it fail.
    allow: mpsc::Receiver<bool>,
}

impl Ledger for Disk {
    fn commit(&mut self, _changes: &[Change]) -> Result<(), Box<dyn StdError + Send + Sync>> {
        self.journal.lock().unwrap().push("commit");
        match self.allow.recv() {
            Ok(true) => Ok(()),
            _ => Err("the disk is full".into()),
        }
    }
}

struct Recorder(Journal);

impl Shell for Recorder {
    fn perform(&mut self, _effect: Effect) {
        self.0.lock().unwrap().push("effect");
    }
}

struct Bench<M> {
    journal: Journal,
    allow: mpsc::Sender<bool>,
    handle: Handle<M>,
    stop: CancellationToken,
    running: JoinHandle<Result<(), Error>>,
}

fn start<M: Machine + Send + 'static>(machine: M) -> Bench<M> {
    let journal = Journal::default();
    let (allow, allowed) = mpsc::channel();
    let disk = Disk { journal: journal.clone(), allow: allowed };
    let (driver, handle) = Driver::new(machine, disk, |_| Recorder(journal.clone()));
    let stop = CancellationToken::new();
    let running = tokio::spawn(driver.run(Boot(1), stop.clone()));
    Bench { journal, allow, handle, stop, running }
}

fn accept(number: u128) -> Command {
    let record = Record::new(Uid(number), Role::Agent, BTreeMap::new());
    let name: Name = format!("press-{number}").parse().unwrap();
    Command { id: Uid(number), principal: "test".to_owned(), verb: Verb::Accept { name, record } }
}

/// Lets other tasks run until the state is there.
async fn until(state: impl Fn() -> bool) {
    while !state() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn effects_come_after_their_commit() {
    let bench = start(Agent::load("press-3".parse().unwrap(), []));
    until(|| !bench.journal.lock().unwrap().is_empty()).await;
    assert_eq!(*bench.journal.lock().unwrap(), ["commit"], "nothing is said while the disk is busy");
    bench.allow.send(true).unwrap();
    bench.handle.read(|_| ()).await.unwrap();
    assert_eq!(*bench.journal.lock().unwrap(), ["commit", "effect"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_commit_ends_the_driver_without_a_word() {
    let bench = start(Agent::load("press-3".parse().unwrap(), []));
    bench.allow.send(false).unwrap();
    let error = bench.running.await.unwrap().unwrap_err();
    assert_eq!(error.source().unwrap().to_string(), "the disk is full");
    assert_eq!(*bench.journal.lock().unwrap(), ["commit"]);
    assert_eq!(bench.handle.read(|_| ()).await, Err(handle::Error::Stopping));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_shares_a_commit_and_reads_see_it() {
    let bench = start(Hub::load(Path::root(), []));
    until(|| !bench.journal.lock().unwrap().is_empty()).await;
    let before = *bench.handle.changes().borrow();
    let commands: Vec<_> = (1..=100)
        .map(|number| {
            let handle = bench.handle.clone();
            tokio::spawn(async move { handle.command(accept(number)).await })
        })
        .collect();
    until(|| bench.handle.requests.max_capacity() - bench.handle.requests.capacity() == 100).await;
    bench.allow.send(true).unwrap();
    bench.allow.send(true).unwrap();
    for command in commands {
        assert!(matches!(command.await.unwrap(), Ok(Outcome::Created(_))));
    }
    assert_eq!(*bench.journal.lock().unwrap(), ["commit", "commit"], "the start, and all hundred together");
    assert_eq!(bench.handle.read(|hub| hub.children().len()).await, Ok(100));
    assert_eq!(*bench.handle.changes().borrow(), before + 2);
    bench.stop.cancel();
    bench.running.await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_does_not_keep_up_is_ended() {
    let bench = start(Hub::load(Path::root(), []));
    // The start, and the connection.
    bench.allow.send(true).unwrap();
    bench.allow.send(true).unwrap();
    let edge = EdgeId::Child("press-3".parse().unwrap());
    let (full, mut frames) = tokio::sync::mpsc::channel(1);
    full.try_send(canopy_core::link::Frame { seq: 0, message: Message::Ack { seq: 0 } }).unwrap();
    let connected = LinkEvent::Connected { edge, session: SessionId(1), frames: full };
    bench.handle.links().send(connected).await.unwrap();
    bench.handle.read(|_| ()).await.unwrap();
    frames.recv().await.unwrap();
    assert_eq!(frames.recv().await, None, "the greeting did not fit, so the sender was dropped");
}
