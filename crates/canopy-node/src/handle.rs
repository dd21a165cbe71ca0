//! How the shells of a program talk to its driver.

use std::time::Duration;

use canopy_core::Input;
use canopy_core::command::{Command, Outcome};
use canopy_link::LinkEvent;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::timeout;

/// How long the driver may take to answer. It answers from memory after one commit, so by far the
/// most of this is a disk that hangs.
pub const ANSWER_WAIT: Duration = Duration::from_secs(30);

/// Talks to the driver of a machine. Clones talk to the same one.
#[derive(Debug)]
pub struct Handle<M> {
    pub(crate) requests: mpsc::Sender<Request<M>>,
    pub(crate) links: mpsc::Sender<LinkEvent>,
    pub(crate) changes: watch::Receiver<u64>,
}

/// What a shell asks of the driver.
pub(crate) enum Request<M> {
    Input(Input),
    Command(Command, oneshot::Sender<Outcome>),
    Read(Question<M>),
}

/// A question to the machine, which sends its answer itself.
pub(crate) type Question<M> = Box<dyn FnOnce(&M) + Send>;

/// Why the driver gives no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The program ends.
    #[error("the node is stopping")]
    Stopping,
    /// It took longer than [`ANSWER_WAIT`]. A command may have been carried out.
    #[error("the node did not answer within {} s; its disk may be hanging", ANSWER_WAIT.as_secs())]
    Late,
}

impl<M> Handle<M> {
    /// Hands in something that happened; waits while the driver is busy.
    pub async fn input(&self, input: Input) -> Result<(), Error> {
        self.requests.send(Request::Input(input)).await.map_err(|_| Error::Stopping)
    }

    /// Asks for a write and waits until it is durable, or refused.
    pub async fn command(&self, command: Command) -> Result<Outcome, Error> {
        self.ask(|reply| Request::Command(command, reply)).await
    }

    /// Reads the machine between two commits, so that only what is durable is seen. The question
    /// runs in the driver: it should be short.
    pub async fn read<R: Send + 'static>(
        &self,
        question: impl FnOnce(&M) -> R + Send + 'static,
    ) -> Result<R, Error> {
        self.ask(|reply| {
            Request::Read(Box::new(move |machine| {
                // Whoever asked may have gone away.
                let _ = reply.send(question(machine));
            }))
        })
        .await
    }

    /// Changes after each commit, and when a connection came or went.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.clone()
    }

    /// Where connections hand in what happens to them.
    pub fn links(&self) -> mpsc::Sender<LinkEvent> {
        self.links.clone()
    }

    async fn ask<R>(&self, request: impl FnOnce(oneshot::Sender<R>) -> Request<M>) -> Result<R, Error> {
        let (reply, answer) = oneshot::channel();
        let asking = async {
            self.requests.send(request(reply)).await.map_err(|_| Error::Stopping)?;
            answer.await.map_err(|_| Error::Stopping)
        };
        timeout(ANSWER_WAIT, asking).await.unwrap_or(Err(Error::Late))
    }
}

impl<M> Clone for Handle<M> {
    fn clone(&self) -> Self {
        Self { requests: self.requests.clone(), links: self.links.clone(), changes: self.changes.clone() }
    }
}
