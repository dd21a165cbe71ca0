//! The task that owns a machine.
//!
//! It takes what is waiting, hands it to the machine, makes all the changes durable in one commit,
//! and only then performs the effects: nothing is ever said that would not survive a crash. Many
//! inputs share a commit, so the disk's latency bounds no throughput. When a commit fails, the
//! machine is ahead of its disk, so the driver ends and the process with it.

use std::error::Error as StdError;
use std::time::{Duration, Instant};

use canopy_core::command::Outcome;
use canopy_core::link::Message;
use canopy_core::{Effect, Input, Machine, Step};
use canopy_link::LinkEvent;
use canopy_model::{Boot, Uid};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::debug;

use crate::clock;
use crate::handle::{Handle, Question, Request};
use crate::ledger::Ledger;
use crate::sessions::Sessions;

/// How many requests of shells may wait; more make their senders wait.
const REQUESTS_WAITING_MAX: usize = 1024;
/// How many events of connections may wait; more make their connections wait. With the largest frames
/// that a session takes (`FRAME_BYTES_MAX`) these are 64 MiB.
const LINK_EVENTS_WAITING_MAX: usize = 64;
/// How many inputs share a commit: enough to make the disk's latency cheap, few enough to keep a
/// commit small and the machine's answers prompt.
const BATCH_MAX: usize = 512;
/// The longest sleep. Timers stand still while the computer sleeps and uptime does not, so a due
/// wake is late by at most this after a resume.
const SLEEP_MAX: Duration = Duration::from_secs(5);

/// Performs what concerns neither connections nor answers to commands.
pub trait Shell: Send {
    /// Begins the effect; its result comes back as an input. Must not block.
    fn perform(&mut self, effect: Effect);
}

/// Owns a machine and runs it.
pub struct Driver<M, S> {
    machine: M,
    ledger: Box<dyn Ledger>,
    shell: S,
    sessions: Sessions,
    requests: mpsc::Receiver<Request<M>>,
    links: mpsc::Receiver<LinkEvent>,
    changes: watch::Sender<u64>,
}

/// A commit failed: the process must end, and start again from what is on its disk.
#[derive(Debug, thiserror::Error)]
#[error("the store did not take a commit; check its disk and start again")]
pub struct Error(#[source] Box<dyn StdError + Send + Sync>);

/// What shares one commit.
struct Batch<M> {
    inputs: Vec<Input>,
    asked: Vec<(Uid, oneshot::Sender<Outcome>)>,
    reads: Vec<Question<M>>,
    connections_changed: bool,
}

impl<M: Machine, S: Shell> Driver<M, S> {
    /// A driver and the handle to it. The shell is made with the handle, to say what came of the
    /// effects.
    pub fn new(
        machine: M,
        ledger: impl Ledger + 'static,
        shell: impl FnOnce(&Handle<M>) -> S,
    ) -> (Self, Handle<M>) {
        let (requests, waiting_requests) = mpsc::channel(REQUESTS_WAITING_MAX);
        let (links, waiting_links) = mpsc::channel(LINK_EVENTS_WAITING_MAX);
        let (changes, seen_changes) = watch::channel(0);
        let handle = Handle { requests, links, changes: seen_changes };
        let driver = Self {
            machine,
            ledger: Box::new(ledger),
            shell: shell(&handle),
            sessions: Sessions::default(),
            requests: waiting_requests,
            links: waiting_links,
            changes,
        };
        (driver, handle)
    }

    /// Runs the machine until `stop` is cancelled. `boot` is drawn at random for this opening of
    /// the store. Needs a runtime with several threads.
    ///
    /// # Errors
    /// When a commit fails; none of its effects were performed then.
    pub async fn run(mut self, boot: Boot, stop: CancellationToken) -> Result<(), Error> {
        self.turn(Batch { inputs: vec![Input::Started { boot }], ..Batch::default() })?;
        loop {
            let mut batch = Batch::default();
            let wake = sleep(self.until_wake());
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                Some(event) = self.links.recv() => self.link(event, &mut batch),
                Some(request) = self.requests.recv() => batch.add(request),
                () = wake => {}
            }
            self.gather(&mut batch);
            self.turn(batch)?;
        }
    }

    fn until_wake(&self) -> Duration {
        let due = self.machine.wake_at().map(|at| at.since(clock::now().uptime));
        due.map_or(SLEEP_MAX, |due| due.min(SLEEP_MAX))
    }

    /// Takes what else is waiting, up to the bound; connections and shells take turns.
    fn gather(&mut self, batch: &mut Batch<M>) {
        metrics::gauge!("canopy_requests_waiting").set(self.requests.len() as f64);
        metrics::gauge!("canopy_link_events_waiting").set(self.links.len() as f64);
        for _ in 0..BATCH_MAX / 2 {
            let (event, request) = (self.links.try_recv().ok(), self.requests.try_recv().ok());
            if event.is_none() && request.is_none() {
                return;
            }
            if let Some(event) = event {
                self.link(event, batch);
            }
            if let Some(request) = request {
                batch.add(request);
            }
        }
    }

    fn link(&mut self, event: LinkEvent, batch: &mut Batch<M>) {
        batch.inputs.push(match event {
            LinkEvent::Connected { edge, session, frames } => {
                batch.connections_changed = true;
                self.sessions.open(edge.clone(), session, frames);
                Input::Connected { edge, session }
            }
            LinkEvent::Received { edge, session, frame } => {
                if let Message::Rows { rows, .. } = &frame.message {
                    metrics::counter!("canopy_rows_received_total").increment(rows.len() as u64);
                }
                Input::Received { edge, session, frame }
            }
            LinkEvent::Disconnected { edge, session } => {
                batch.connections_changed = true;
                self.sessions.close(edge.clone(), session);
                Input::Disconnected { edge, session }
            }
        });
    }

    /// Handles a batch: commits, then performs the effects, then answers questions.
    fn turn(&mut self, batch: Batch<M>) -> Result<(), Error> {
        let now = clock::now();
        let mut step = Step::default();
        if self.machine.wake_at().is_some_and(|at| at <= now.uptime) {
            step.append(self.machine.handle(now, Input::Wake));
        }
        for input in batch.inputs {
            step.append(self.machine.handle(now, input));
        }
        let mut asked = batch.asked;
        let (effects, committed) = self.commit(step)?;
        for effect in effects {
            self.perform(effect, &mut asked);
        }
        if committed || batch.connections_changed {
            self.changes.send_modify(|count| *count += 1);
        }
        for read in batch.reads {
            read(&self.machine);
        }
        Ok(())
    }

    fn commit(&mut self, step: Step) -> Result<(Vec<Effect>, bool), Error> {
        let mut committed = false;
        let ledger = &mut self.ledger;
        let effects = step.commit(|changes| {
            committed = true;
            let began = Instant::now();
            tokio::task::block_in_place(|| ledger.commit(changes)).map_err(Error)?;
            metrics::counter!("canopy_commits_total").increment(1);
            metrics::histogram!("canopy_commit_seconds").record(began.elapsed());
            Ok(())
        })?;
        Ok((effects, committed))
    }

    fn perform(&mut self, effect: Effect, asked: &mut Vec<(Uid, oneshot::Sender<Outcome>)>) {
        match effect {
            Effect::Send { edge, session, frame } => {
                if let Message::Rows { rows, .. } = &frame.message {
                    metrics::counter!("canopy_rows_sent_total").increment(rows.len() as u64);
                }
                self.sessions.send(edge, session, frame);
            }
            Effect::Disconnect { edge, session, reason } => {
                debug!(%edge, session = session.0, reason, "ending a connection");
                self.sessions.close(edge, session);
            }
            Effect::Reply { id, outcome } => {
                if let Some(at) = asked.iter().position(|(waiting, _)| *waiting == id) {
                    // Whoever asked may have gone away; the answer is remembered.
                    let _ = asked.remove(at).1.send(outcome);
                }
            }
            other => self.shell.perform(other),
        }
    }
}

impl<M> Batch<M> {
    fn add(&mut self, request: Request<M>) {
        match request {
            Request::Input(input) => self.inputs.push(input),
            Request::Command(command, reply) => {
                self.asked.push((command.id, reply));
                self.inputs.push(Input::Command(command));
            }
            Request::Read(read) => self.reads.push(read),
        }
    }
}

impl<M> Default for Batch<M> {
    fn default() -> Self {
        Self { inputs: Vec::new(), asked: Vec::new(), reads: Vec::new(), connections_changed: false }
    }
}

#[cfg(test)]
mod tests;
