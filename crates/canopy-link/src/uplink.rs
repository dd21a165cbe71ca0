//! The child's side: a task that keeps a session with the parent, for ever.

use std::time::Duration;

use canopy_core::link::EdgeId;
use canopy_proto::link::v1::link_client::LinkClient;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep, timeout};
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status};
use tracing::{debug, info, warn};

use crate::converse::{ASKS_MAX, Responder, respond};
use crate::dial::{self, Dialer, with_sources};
use crate::limits::{CONNECT_MAX, MESSAGE_BYTES_MAX};
use crate::session::{End, Events, Session};
use crate::terms::Terms;

/// The longest wait before the second attempt; it doubles with each failure.
pub const RETRY_FIRST_MAX: Duration = Duration::from_millis(500);

/// The longest wait between attempts: a parent that was away has its children back within this.
pub const RETRY_MAX: Duration = Duration::from_secs(60);

/// A session that lasted this long was no failure: the next attempt comes quickly.
pub const STEADY_AFTER: Duration = Duration::from_secs(60);

/// The failures in a row that concern nobody, such as a parent that is being updated.
const QUIET_FAILURES: u32 = 3;

/// Why there is no session with the parent, for those who show it. Clones speak of the same parent.
#[derive(Debug, Clone, Default)]
pub struct Contact(pub(crate) watch::Sender<Option<String>>);

impl Contact {
    /// What keeps this node from its parent; none while there is a session, and before the first
    /// attempt has failed.
    pub fn trouble(&self) -> Option<String> {
        self.0.borrow().clone()
    }
}

/// Why there is no session.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error("the parent was not reached")]
    Dial(#[source] dial::Error),
    #[error("the parent did not open a session")]
    Open(#[source] Status),
    #[error("the parent refuses this node: {0}")]
    Refused(String),
    #[error("the parent did not open a session within {} s", CONNECT_MAX.as_secs())]
    Slow,
    #[error("the session ended")]
    Ended(#[source] End),
}

/// Keeps a session with the parent until the receiver of `events` is dropped. Sessions are reported
/// to `events` under [`EdgeId::Parent`], and their absence to `contact`; `responder` answers what the
/// parent asks.
pub async fn uplink(dialer: Dialer, contact: Contact, events: Events, responder: impl Responder) {
    let mut failures: u32 = 0;
    loop {
        let began = Instant::now();
        let failure = tokio::select! {
            failure = keep(&dialer, &contact, &events, &responder) => failure,
            () = events.closed() => return,
        };
        failures = if began.elapsed() >= STEADY_AFTER { 1 } else { failures.saturating_add(1) };
        let reason = with_sources(&failure).escape_debug().to_string();
        contact.0.send_replace(Some(reason.clone()));
        let refused = failure.is_refusal();
        let wait = if refused { refused_wait(fastrand::f64()) } else { wait(failures, fastrand::f64()) };
        let wait_ms = wait.as_millis();
        if refused {
            warn!(reason, wait_ms, "no session with the parent until someone acts; asking now and then");
        } else if failures <= QUIET_FAILURES {
            debug!(reason, failures, wait_ms, "no session with the parent; trying again");
        } else {
            info!(reason, failures, wait_ms, "no session with the parent; trying again");
        }
        tokio::select! {
            () = sleep(wait) => {}
            () = events.closed() => return,
        }
    }
}

/// Full jitter: a random part, from 0 to 1, of a bound that doubles with each failure, so that the
/// children of a parent that comes back do not all come at once.
fn wait(failures: u32, part: f64) -> Duration {
    let doubled = RETRY_FIRST_MAX.saturating_mul(1 << failures.saturating_sub(1).min(16));
    doubled.min(RETRY_MAX).mul_f64(part)
}

/// What a hub has refused, people must change: asking is rare, and never so regular that many do it
/// together.
fn refused_wait(part: f64) -> Duration {
    RETRY_MAX.mul_f64((1.0 + part) / 2.0)
}

impl Failure {
    fn unopened(status: Status) -> Self {
        refusal(&status).unwrap_or(Self::Open(status))
    }

    fn ended(end: End) -> Self {
        match end {
            End::Broken(status) => refusal(&status).unwrap_or(Self::Ended(End::Broken(status))),
            end => Self::Ended(end),
        }
    }

    /// Whether the parent was reached, and asking again changes nothing until people act.
    pub(crate) fn is_refusal(&self) -> bool {
        match self {
            Self::Dial(error) => error.is_refusal(),
            Self::Refused(_) | Self::Ended(End::Terms(_)) => true,
            Self::Open(_) | Self::Slow | Self::Ended(_) => false,
        }
    }
}

fn refusal(status: &Status) -> Option<Failure> {
    let refused = matches!(status.code(), Code::PermissionDenied | Code::FailedPrecondition);
    refused.then(|| Failure::Refused(status.message().to_owned()))
}

/// Opens one session and keeps it to its end.
pub(crate) async fn keep(
    dialer: &Dialer,
    contact: &Contact,
    events: &Events,
    responder: &impl Responder,
) -> Failure {
    let channel = match dialer.dial().await {
        Ok(channel) => channel,
        Err(error) => return Failure::Dial(error),
    };
    let mut client = LinkClient::new(channel)
        .max_decoding_message_size(MESSAGE_BYTES_MAX)
        .max_encoding_message_size(MESSAGE_BYTES_MAX);
    let (outgoing, frames) = mpsc::channel(1);
    let (answers, answered) = mpsc::channel(ASKS_MAX);
    let opening = async {
        let frames = ReceiverStream::new(frames).map_while(Result::ok);
        let incoming = client.exchange(frames).await?;
        let queries = client.converse(ReceiverStream::new(answered)).await?;
        Ok((incoming.into_inner(), queries.into_inner()))
    };
    let (incoming, queries) = match timeout(CONNECT_MAX, opening).await {
        Ok(Ok(streams)) => streams,
        Ok(Err(status)) => return Failure::unopened(status),
        Err(_) => return Failure::Slow,
    };
    let session = Session::new(EdgeId::Parent, Terms::child(), events);
    info!(session = session.id().0, "connected to the parent");
    contact.0.send_replace(None);
    let conversation = async {
        respond(queries, responder, answers).await;
        End::Conversation
    };
    Failure::ended(session.run(incoming, outgoing, conversation, async |end| end).await)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_a_bound_and_are_spread_over_all_of_it() {
        assert_eq!(wait(1, 1.0), RETRY_FIRST_MAX);
        assert_eq!(wait(2, 1.0), RETRY_FIRST_MAX * 2);
        assert_eq!(wait(5, 0.5), RETRY_FIRST_MAX * 8);
        assert_eq!(wait(5, 0.0), Duration::ZERO);
        assert_eq!(wait(u32::MAX, 1.0), RETRY_MAX);
        assert_eq!(refused_wait(1.0), RETRY_MAX);
        assert_eq!(refused_wait(0.0), RETRY_MAX / 2, "who is refused does not come back at once");
    }
}
