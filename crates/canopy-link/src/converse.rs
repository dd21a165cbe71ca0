//! Questions and commands from a parent to a child, on the second stream of their connection.
//!
//! The child opens the stream right after the session's and keeps it, so that a question costs one
//! round trip and no state; both streams end together. What the bodies say is no matter of the link.
//!
//! A question ends with its deadline. A command may have been carried out even if no answer came:
//! asking again under the same id is safe.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use canopy_model::{Name, Uid, Wall};
use canopy_proto::link::v1;
use futures::StreamExt;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;
use tokio_stream::Stream;
use tonic::Status;
use tracing::{debug, warn};

use crate::limits::MESSAGE_BYTES_MAX;
use crate::session::Outgoing;

/// Questions to one child that may await their answers. They are small, and this many of them can
/// lie unread without harm to the connection.
pub const ASKS_MAX: usize = 64;

/// The largest body of an answer, in bytes: a message, less what stands beside the body.
pub const ANSWER_BYTES_MAX: usize = MESSAGE_BYTES_MAX - 64 * 1024;

/// A question or a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query {
    /// Drawn by whoever asks; a repetition carries the same.
    pub id: Uid,
    /// Who asks.
    pub principal: String,
    /// How long to wait for the answer, in milliseconds.
    pub deadline_ms: u32,
    /// The largest body of the answer, in bytes; at most [`ANSWER_BYTES_MAX`].
    pub max_bytes: u32,
    /// What is asked.
    pub body: Vec<u8>,
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The query's id.
    pub id: Uid,
    /// When what it tells was so.
    pub as_of: Wall,
    /// Something is missing.
    pub partial: bool,
    /// Where the next page begins; empty on the last.
    pub next: String,
    /// What is answered.
    pub body: Vec<u8>,
}

/// Answers the parent.
pub trait Responder: Send + Sync + 'static {
    /// Answers one query. The future is dropped at the query's deadline.
    fn answer(&self, query: Query) -> impl Future<Output = Answer> + Send;
}

/// Why a child gave no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AskError {
    /// It has no connection to this hub. Nothing was asked.
    #[error("{0} is not connected")]
    NotConnected(Name),
    /// The connection ended before the answer. A command may have been carried out.
    #[error("the connection to {0} was lost before it answered")]
    Lost(Name),
    /// It did not answer in time. A command may have been carried out.
    #[error("{child} did not answer within {deadline_ms} ms")]
    Deadline {
        /// The child.
        child: Name,
        /// How long it had.
        deadline_ms: u32,
    },
    /// Too many questions await its answers. Nothing was asked.
    #[error("{0} has {ASKS_MAX} questions waiting already")]
    Busy(Name),
}

/// The children that can be asked. Clones speak of the same ones.
#[derive(Debug, Clone, Default)]
pub struct Children(Arc<Mutex<HashMap<Name, mpsc::Sender<Ask>>>>);

#[derive(Debug)]
struct Ask {
    query: Query,
    reply: Reply,
}

type Reply = oneshot::Sender<Result<Answer, AskError>>;

impl Children {
    /// Asks one child.
    ///
    /// # Errors
    /// When it is not connected, has too many questions already, does not answer in time or
    /// disconnects before it does.
    pub async fn ask(&self, child: &Name, query: Query) -> Result<Answer, AskError> {
        let not_connected = || AskError::NotConnected(child.clone());
        let asks = self.lock().get(child).cloned().ok_or_else(not_connected)?;
        let deadline_ms = query.deadline_ms;
        let (reply, answer) = oneshot::channel();
        let asking = async {
            asks.send(Ask { query, reply }).await.map_err(|_| not_connected())?;
            answer.await.unwrap_or_else(|_| Err(AskError::Lost(child.clone())))
        };
        let wait = Duration::from_millis(deadline_ms.into());
        let late = |_| AskError::Deadline { child: child.clone(), deadline_ms };
        timeout(wait, asking).await.map_err(late)?
    }

    /// Puts questions to `child` until its stream or its session ends.
    pub(crate) async fn converse(
        &self,
        child: &Name,
        incoming: impl Stream<Item = Result<v1::Answer, Status>> + Unpin,
        outgoing: Outgoing<v1::Query>,
    ) {
        let (asks, waiting) = mpsc::channel(1);
        self.lock().insert(child.clone(), asks.clone());
        put(child, waiting, incoming, outgoing).await;
        let mut children = self.lock();
        if children.get(child).is_some_and(|newest| newest.same_channel(&asks)) {
            children.remove(child);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Name, mpsc::Sender<Ask>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn put(
    child: &Name,
    mut asks: mpsc::Receiver<Ask>,
    mut incoming: impl Stream<Item = Result<v1::Answer, Status>> + Unpin,
    outgoing: Outgoing<v1::Query>,
) {
    let mut asked: BTreeMap<Uid, Vec<Reply>> = BTreeMap::new();
    loop {
        tokio::select! {
            Some(Ask { query, reply }) = asks.recv() => {
                asked.retain(|_, replies| replies.iter().any(|reply| !reply.is_closed()));
                if asked.len() >= ASKS_MAX {
                    // Whoever asked may have gone away.
                    let _ = reply.send(Err(AskError::Busy(child.clone())));
                    continue;
                }
                let id = query.id;
                if outgoing.try_send(Ok(query.into())).is_err() {
                    let _ = reply.send(Err(AskError::Busy(child.clone())));
                    continue;
                }
                asked.entry(id).or_default().push(reply);
            }
            next = incoming.next() => {
                let Some(Ok(answer)) = next else { return };
                let Some(answer) = read_answer(answer) else { return };
                for reply in asked.remove(&answer.id).unwrap_or_default() {
                    let _ = reply.send(Ok(answer.clone()));
                }
            }
            () = outgoing.closed() => return,
        }
    }
}

/// Answers the parent's questions, many at once, until the stream ends.
pub(crate) async fn respond(
    queries: impl Stream<Item = Result<v1::Query, Status>>,
    responder: &impl Responder,
    outgoing: mpsc::Sender<v1::Answer>,
) {
    let queries = tokio_stream::StreamExt::map_while(queries, |query| query.ok().and_then(read_query));
    let answers = queries.map(|query| respond_to(query, responder)).buffer_unordered(ASKS_MAX);
    let mut answers = std::pin::pin!(answers);
    while let Some(answer) = answers.next().await {
        if let Some(answer) = answer
            && outgoing.send(answer.into()).await.is_err()
        {
            return;
        }
    }
}

/// None when the deadline has passed.
async fn respond_to(query: Query, responder: &impl Responder) -> Option<Answer> {
    let (id, deadline_ms) = (query.id, query.deadline_ms);
    let max = ANSWER_BYTES_MAX.min(query.max_bytes as usize);
    let Ok(mut answer) = timeout(Duration::from_millis(deadline_ms.into()), responder.answer(query)).await
    else {
        debug!(query = %id, deadline_ms, "an answer came too late to be sent");
        return None;
    };
    if answer.body.len() > max {
        warn!(query = %id, bytes = answer.body.len(), max, "an answer is too large and goes without its body");
        answer = Answer { partial: true, body: Vec::new(), ..answer };
    }
    Some(Answer { id, ..answer })
}

impl From<Query> for v1::Query {
    fn from(query: Query) -> Self {
        Self {
            id: query.id.0.to_be_bytes().to_vec(),
            principal: query.principal,
            deadline_ms: query.deadline_ms,
            max_bytes: query.max_bytes,
            body: query.body,
        }
    }
}

fn read_query(query: v1::Query) -> Option<Query> {
    Some(Query {
        id: read_id(query.id)?,
        principal: query.principal,
        deadline_ms: query.deadline_ms,
        max_bytes: query.max_bytes,
        body: query.body,
    })
}

impl From<Answer> for v1::Answer {
    fn from(answer: Answer) -> Self {
        Self {
            id: answer.id.0.to_be_bytes().to_vec(),
            as_of_ms: answer.as_of.0,
            partial: answer.partial,
            next: answer.next,
            body: answer.body,
        }
    }
}

fn read_answer(answer: v1::Answer) -> Option<Answer> {
    Some(Answer {
        id: read_id(answer.id)?,
        as_of: Wall(answer.as_of_ms),
        partial: answer.partial,
        next: answer.next,
        body: answer.body,
    })
}

fn read_id(bytes: Vec<u8>) -> Option<Uid> {
    bytes.try_into().ok().map(u128::from_be_bytes).map(Uid)
}

#[cfg(test)]
mod tests {
    use tokio_stream::wrappers::ReceiverStream;

    use super::*;

    #[tokio::test]
    async fn the_end_of_an_old_connection_does_not_hide_the_new_one() {
        let children = Children::default();
        let name: Name = "press-3".parse().unwrap();
        let query =
            Query { id: Uid(1), principal: String::new(), deadline_ms: 5000, max_bytes: 0, body: Vec::new() };
        // A connection whose child answers everything, until it is aborted.
        let connect = || {
            let (answers, incoming) = mpsc::channel(1);
            let (outgoing, mut queries) = mpsc::channel::<Result<v1::Query, Status>>(ASKS_MAX);
            let (children, name) = (children.clone(), name.clone());
            let parent = tokio::spawn(async move {
                children.converse(&name, ReceiverStream::new(incoming), outgoing).await;
            });
            let child = tokio::spawn(async move {
                while let Some(Ok(v1::Query { id, .. })) = queries.recv().await {
                    answers.send(Ok(v1::Answer { id, ..v1::Answer::default() })).await.unwrap();
                }
            });
            (child, parent)
        };
        let connections = [connect(), connect()];
        tokio::task::yield_now().await;
        assert!(children.ask(&name, query.clone()).await.is_ok());
        let [(old_child, old_parent), (child, parent)] = connections;
        old_child.abort();
        old_parent.await.unwrap();
        assert!(children.ask(&name, query.clone()).await.is_ok());
        child.abort();
        parent.await.unwrap();
        assert_eq!(children.ask(&name, query).await, Err(AskError::NotConnected(name)));
    }
}
