//! One session: frames between the driver of this node and a peer, on either side of a connection.
//!
//! The stream is read all the time, whatever the driver does: h2 ends a whole connection when a few
//! thousand small messages lie unread. What the driver has not taken waits in a short backlog, and
//! a session that exceeds it, or waits too long, ends with a reason. The protocol has one batch
//! under way at a time, so a peer that keeps to it never fills the backlog.
//!
//! A session also ends when nothing is heard for three heartbeats, when the peer does not take what
//! is sent, when a frame is larger than the limit or cannot be read, and when the driver drops its
//! sender. Every end is told to the driver as [`LinkEvent::Disconnected`].

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use canopy_core::link::{EdgeId, Frame, SessionId};
use canopy_proto::link::v1;
use canopy_proto::wire;
use prost::Message;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_stream::{Stream, StreamExt};
use tonic::Status;

use crate::dial::with_sources;
use crate::membership::Refused;
use crate::terms::{self, Terms};

/// Frames from the driver that wait to be sent. The core sends one batch at a time, beside it
/// acknowledgements and heartbeats; more than this means that the peer does not read.
pub const OUTGOING_FRAMES_MAX: usize = 64;

/// Frames from the peer that wait for the driver. At most a batch, an acknowledgement and a few
/// heartbeats can be under way; of the largest frames, this is what a bad peer costs.
pub const BACKLOG_FRAMES_MAX: usize = 16;

/// How long a frame may wait for the driver, which is held up by a slow disk at worst. Longer, and
/// this node could not keep the session anyway.
pub const HANDOVER_MAX: Duration = Duration::from_secs(30);

/// How long a frame may wait for the peer: as long as a peer may be silent.
pub const SEND_MAX: Duration = Duration::from_secs(30);

/// How long the reason of an end may wait for the peer, behind the last frame.
const GOODBYE_MAX: Duration = Duration::from_secs(1);

/// Heartbeats that may fail to come before the peer counts as gone.
pub const HEARTBEATS_MISSED_MAX: u32 = 3;

/// Something that happened to a connection.
#[derive(Debug)]
#[allow(clippy::large_enum_variant, reason = "nearly all events are frames")]
pub enum LinkEvent {
    /// A session with a peer, whose identity is verified, is open.
    Connected {
        /// With whom.
        edge: EdgeId,
        /// Which session; never used again by this process.
        session: SessionId,
        /// Takes the frames to send. Dropping it ends the session.
        frames: mpsc::Sender<Frame>,
    },
    /// A frame arrived.
    Received {
        /// From whom.
        edge: EdgeId,
        /// In which session.
        session: SessionId,
        /// What it says.
        frame: Frame,
    },
    /// A session has ended. Nothing follows of it.
    Disconnected {
        /// With whom.
        edge: EdgeId,
        /// Which session.
        session: SessionId,
    },
}

/// Where sessions hand in what happens to them.
pub type Events = mpsc::Sender<LinkEvent>;

/// The side of a stream into which messages go; an error ends it.
pub(crate) type Outgoing<M> = mpsc::Sender<Result<M, Status>>;

/// Why a session ended.
#[derive(Debug, thiserror::Error)]
pub(crate) enum End {
    #[error("this node ended the session")]
    Released,
    #[error("this node is stopping")]
    Stopping,
    #[error("the peer ended the session")]
    Closed,
    #[error("the second stream of the session ended")]
    Conversation,
    #[error("the peer is no longer accepted here")]
    Dismissed(#[source] Refused),
    #[error("the connection broke")]
    Broken(#[source] Status),
    #[error("nothing was heard for {} ms", .0.as_millis())]
    Silent(Duration),
    #[error("the peer took nothing for {} s", SEND_MAX.as_secs())]
    Unread,
    #[error(
        "more than {BACKLOG_FRAMES_MAX} frames are waiting: the peer sends without awaiting answers, or this node is overloaded"
    )]
    Overrun,
    #[error("a frame waited {} s for this node: its disk may be hanging", HANDOVER_MAX.as_secs())]
    Stalled,
    #[error("a frame of {bytes} bytes is larger than the limit of {max}")]
    TooLarge { bytes: usize, max: usize },
    #[error("a frame cannot be read")]
    Frame(#[source] wire::Error),
    #[error("the peer's terms are unacceptable")]
    Terms(#[source] terms::Error),
}

/// A session of this node's process.
pub(crate) struct Session<'a> {
    edge: EdgeId,
    id: SessionId,
    terms: Terms,
    events: &'a Events,
}

impl<'a> Session<'a> {
    pub(crate) fn new(edge: EdgeId, terms: Terms, events: &'a Events) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let id = SessionId(NEXT.fetch_add(1, Ordering::Relaxed));
        Self { edge, id, terms, events }
    }

    pub(crate) fn id(&self) -> SessionId {
        self.id
    }

    /// Carries frames both ways until the session ends, at the latest as `until` says. `judge` may
    /// know more about an end. The peer is told why where the stream allows it.
    pub(crate) async fn run(
        &self,
        incoming: impl Stream<Item = Result<v1::Frame, Status>> + Unpin,
        outgoing: Outgoing<v1::Frame>,
        until: impl Future<Output = End>,
        judge: impl AsyncFnOnce(End) -> End,
    ) -> End {
        let (frames, waiting) = mpsc::channel(OUTGOING_FRAMES_MAX);
        let (edge, session) = (self.edge.clone(), self.id);
        if self.events.send(LinkEvent::Connected { edge, session, frames }).await.is_err() {
            return End::Stopping;
        }
        let end = tokio::select! {
            end = self.listen(incoming) => end,
            end = self.speak(waiting, &outgoing) => end,
            end = until => end,
        };
        let end = judge(end).await;
        let edge = self.edge.clone();
        let disconnected = self.events.send(LinkEvent::Disconnected { edge, session });
        // If the driver has gone, there is nobody left to tell.
        let (_, ()) = tokio::join!(disconnected, goodbye(outgoing, &end));
        end
    }

    async fn listen(&self, mut incoming: impl Stream<Item = Result<v1::Frame, Status>> + Unpin) -> End {
        let mut backlog = VecDeque::new();
        let (mut heard, mut taken) = (Instant::now(), Instant::now());
        loop {
            let silence = self.terms.heartbeat() * HEARTBEATS_MISSED_MAX;
            tokio::select! {
                biased;
                permit = self.events.reserve(), if !backlog.is_empty() => {
                    let Ok(permit) = permit else { return End::Stopping };
                    let frame = backlog.pop_front().expect("it is not empty");
                    permit.send(LinkEvent::Received { edge: self.edge.clone(), session: self.id, frame });
                    taken = Instant::now();
                }
                next = incoming.next() => {
                    heard = Instant::now();
                    if backlog.is_empty() {
                        taken = heard;
                    }
                    match self.accept(next) {
                        Ok(frame) if backlog.len() < BACKLOG_FRAMES_MAX => backlog.push_back(frame),
                        Ok(_) => return End::Overrun,
                        Err(end) => return end,
                    }
                }
                () = sleep_until(heard + silence) => return End::Silent(silence),
                () = sleep_until(taken + HANDOVER_MAX), if !backlog.is_empty() => return End::Stalled,
            }
        }
    }

    fn accept(&self, next: Option<Result<v1::Frame, Status>>) -> Result<Frame, End> {
        let frame = next.ok_or(End::Closed)?.map_err(End::Broken)?;
        self.check_size(&frame)?;
        if let Some(v1::frame::Message::Hello(hello)) = &frame.message {
            self.terms.accept(hello).map_err(End::Terms)?;
        }
        frame.try_into().map_err(End::Frame)
    }

    fn check_size(&self, frame: &v1::Frame) -> Result<(), End> {
        let (bytes, max) = (frame.encoded_len(), self.terms.message_bytes_max());
        if bytes > max { Err(End::TooLarge { bytes, max }) } else { Ok(()) }
    }

    async fn speak(&self, mut waiting: mpsc::Receiver<Frame>, outgoing: &Outgoing<v1::Frame>) -> End {
        while let Some(frame) = waiting.recv().await {
            let mut frame = v1::Frame::from(&frame);
            if let Some(v1::frame::Message::Hello(hello)) = &mut frame.message {
                self.terms.state(hello);
            }
            if let Err(end) = self.check_size(&frame) {
                return end;
            }
            match timeout(SEND_MAX, outgoing.send(Ok(frame))).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) => return End::Closed,
                Err(_) => return End::Unread,
            }
        }
        End::Released
    }
}

/// Ends a stream with the reason, as far as the peer still reads.
pub(crate) async fn goodbye<M>(outgoing: Outgoing<M>, end: &End) {
    let status = match end {
        End::Dismissed(refused) => Status::from(refused),
        End::Terms(_) => Status::failed_precondition(with_sources(end)),
        _ => Status::aborted(with_sources(end)),
    };
    // A peer that does not read is not waited for.
    let _ = timeout(GOODBYE_MAX, outgoing.send(Err(status))).await;
}

#[cfg(test)]
mod tests;
