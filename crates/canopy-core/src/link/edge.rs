//! Both tables of one neighbour, and the session that carries them.
//!
//! The life of a session: both ends send [`Hello`]; each then sends its table, one batch at a time,
//! the next after the acknowledgement of the last. The owner opens the gate when the table may be
//! sent at all, and supplies the values. Here is what an end takes in; `sending` is what it tells.

mod sending;

use std::fmt;

use canopy_model::{Boot, Cursor, Incarnation, Name, Now, Record, Uptime};

use super::frame::{BATCH_BYTES_MAX, Frame, Hello, Message, Row, SessionId};
use super::history::{History, Resume};
use super::inbox::{Inbox, Missing};
use super::outbox::Outbox;
use crate::effect::Effect;
use crate::row::Key;
use crate::seam::Step;
use sending::{InFlight, Sending};

/// A commit that is larger goes as a snapshot, which the receiver lays by on its disk; smaller ones
/// it holds in memory until they are complete. About so many bytes.
const COMMIT_BYTES_MAX: usize = 4 * BATCH_BYTES_MAX;
/// What a receiver holds in memory of one commit, in bytes: the sender's estimate may be rough.
const PARTIAL_BYTES_MAX: usize = 2 * COMMIT_BYTES_MAX;

/// Names a neighbour.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EdgeId {
    /// The hub above.
    Parent,
    /// The child of this name.
    Child(Name),
}

impl fmt::Display for EdgeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Parent => f.write_str("the parent"),
            Self::Child(name) => write!(f, "child {name}"),
        }
    }
}

/// What a received frame means to the owner of the edge.
#[derive(Debug)]
#[allow(clippy::large_enum_variant, reason = "it is taken apart at once")]
pub enum Received {
    /// Nothing, or nothing yet.
    Nothing,
    /// The peer has greeted; the table that is to be sent goes on so.
    Hello(Hello, Resume),
    /// These rows changed.
    Rows(Vec<Key>),
    /// A snapshot was completed; these rows changed.
    Snapshot(Vec<Key>),
    /// The line is alive.
    Heartbeat {
        /// All that the peer has to tell has arrived.
        whole: bool,
    },
}

/// Both tables of one neighbour.
#[derive(Debug)]
pub struct Edge {
    /// Which neighbour.
    pub id: EdgeId,
    /// What it tells.
    pub inbox: Inbox,
    /// What it is told.
    pub outbox: Outbox,
    session: Option<Session>,
    /// What the last connection that ended told of its freshness.
    last: Option<(Uptime, u64)>,
}

#[derive(Debug)]
struct Session {
    id: SessionId,
    next_out: u64,
    next_in: u64,
    peer: Option<(Boot, Incarnation)>,
    sending: Sending,
    in_flight: Option<InFlight>,
    partial: Partial,
    stalest_ms: u64,
    opened: Uptime,
    heard: Uptime,
    /// What the peer's wall clock was ahead when it greeted, in milliseconds.
    ahead_ms: Option<i64>,
}

/// The rows of a commit that is coming in over several frames.
#[derive(Debug, Default)]
struct Partial {
    rows: Vec<Row>,
    bytes: usize,
}

impl Session {
    fn freshness(&self) -> (Uptime, u64) {
        (self.heard, self.stalest_ms)
    }
}

impl Edge {
    pub(crate) fn new(id: EdgeId) -> Self {
        let missing = if id == EdgeId::Parent { Missing::Orphan } else { Missing::Drop };
        Self { id, inbox: Inbox::new(missing), outbox: Outbox::default(), session: None, last: None }
    }

    /// Whether a connection is open.
    pub fn is_connected(&self) -> bool {
        self.session.is_some()
    }

    /// Since when a connection has been open.
    pub fn connected_since(&self) -> Option<Uptime> {
        self.session.as_ref().map(|session| session.opened)
    }

    /// What the peer's wall clock was ahead of this node's when it greeted, in milliseconds.
    pub fn ahead_ms(&self) -> Option<i64> {
        self.session.as_ref()?.ahead_ms
    }

    /// When the peer was heard last, and the age that it told then of the stalest state below it, in
    /// milliseconds; none when it was not heard since this node's start.
    pub fn freshness(&self) -> Option<(Uptime, u64)> {
        self.session.as_ref().map(Session::freshness).or(self.last)
    }

    /// A connection is open: greets.
    pub(crate) fn connect(
        &mut self,
        now: Now,
        id: SessionId,
        history: &History,
        record: Option<Record>,
        step: &mut Step,
    ) {
        self.disconnect("replaced by a newer connection", step);
        self.inbox.abandon(&self.id, step);
        let hello = Hello {
            boot: history.boot(),
            incarnation: history.incarnation,
            cursor: self.inbox.cursor(history.incarnation),
            seen: self.inbox.seen(),
            wall: now.wall,
            record,
        };
        self.session = Some(Session {
            id,
            next_out: 0,
            next_in: 0,
            peer: None,
            sending: Sending::AwaitHello,
            in_flight: None,
            partial: Partial::default(),
            stalest_ms: 0,
            opened: now.uptime,
            heard: now.uptime,
            ahead_ms: None,
        });
        self.send(Message::Hello(hello), step);
    }

    /// The connection has ended by itself. False: it was not the present one.
    pub(crate) fn ended(&mut self, id: SessionId, step: &mut Step) -> bool {
        let present = self.session.as_ref().is_some_and(|session| session.id == id);
        if present {
            self.last = self.freshness();
            self.session = None;
            self.inbox.abandon(&self.id, step);
        }
        present
    }

    /// Ends the connection.
    pub(crate) fn disconnect(&mut self, reason: &'static str, step: &mut Step) {
        self.last = self.freshness();
        if let Some(session) = self.session.take() {
            step.effect(Effect::Disconnect { edge: self.id.clone(), session: session.id, reason });
            self.inbox.abandon(&self.id, step);
        }
    }

    fn send(&mut self, message: Message, step: &mut Step) -> u64 {
        let session = self.session.as_mut().expect("only called within a session");
        let seq = session.next_out;
        session.next_out += 1;
        let frame = Frame { seq, message };
        step.effect(Effect::Send { edge: self.id.clone(), session: session.id, frame });
        seq
    }

    /// Takes in one frame.
    pub(crate) fn receive(
        &mut self,
        now: Now,
        id: SessionId,
        frame: Frame,
        history: &History,
        step: &mut Step,
    ) -> Received {
        let Some(session) = self.session.as_mut().filter(|session| session.id == id) else {
            return Received::Nothing;
        };
        if frame.seq < session.next_in {
            return Received::Nothing;
        }
        if frame.seq > session.next_in {
            self.disconnect("a frame is missing", step);
            return Received::Nothing;
        }
        session.next_in += 1;
        session.heard = now.uptime;
        let peer = session.peer;
        match (frame.message, peer) {
            (Message::Hello(hello), None) => {
                session.ahead_ms = Some(hello.wall.0.cast_signed().wrapping_sub(now.wall.0.cast_signed()));
                self.greeted(hello, history)
            }
            (Message::Begin { version }, Some(_)) => {
                session.partial = Partial::default();
                self.inbox.begin(&self.id, version, step);
                Received::Nothing
            }
            (Message::Rows { rows, through, seen }, Some(peer)) => {
                let through = through.map(|through| (through, seen));
                self.rows(frame.seq, rows, through, peer, history, step)
            }
            (Message::End { count, seen }, Some((boot, incarnation))) => {
                let from = (incarnation, boot, seen);
                let Some(changed) = self.inbox.end(&self.id, from, history.incarnation, count, step) else {
                    self.disconnect("a snapshot is incomplete", step);
                    return Received::Nothing;
                };
                self.send(Message::Ack { seq: frame.seq }, step);
                Received::Snapshot(changed)
            }
            (Message::Ack { seq }, Some(_)) => {
                self.acknowledged(seq, step);
                Received::Nothing
            }
            (Message::Heartbeat { sent, stalest_ms }, Some((boot, incarnation))) => {
                let current =
                    self.inbox.cursor(history.incarnation).is_some_and(|c| c.incarnation == incarnation);
                let whole = sent.filter(|_| current);
                if let Some(sent) = whole {
                    self.inbox.note_sent(boot, sent);
                }
                if let Some(session) = &mut self.session {
                    session.stalest_ms = stalest_ms;
                }
                Received::Heartbeat { whole: whole.is_some() }
            }
            (Message::Hello(_), Some(_)) | (_, None) => {
                self.disconnect("the first frame of a session, and only that, is a hello", step);
                Received::Nothing
            }
        }
    }

    fn greeted(&mut self, hello: Hello, history: &History) -> Received {
        let seen = hello.cursor.map(|cursor| cursor.at_least(hello.seen));
        let resume = match history.resume(seen, 0) {
            Resume::Restored => Resume::Restored,
            Resume::After(_) | Resume::Snapshot | Resume::LostHistory => {
                history.resume(hello.cursor, self.outbox.floor())
            }
        };
        let session = self.session.as_mut().expect("checked by the caller");
        session.peer = Some((hello.boot, hello.incarnation));
        session.sending = match resume {
            Resume::After(version) => Sending::Live { sent: version, begun: None },
            Resume::Snapshot | Resume::LostHistory | Resume::Restored => Sending::SNAPSHOT,
        };
        Received::Hello(hello, resume)
    }

    fn rows(
        &mut self,
        seq: u64,
        rows: Vec<Row>,
        through: Option<(u64, u64)>,
        (boot, incarnation): (Boot, Incarnation),
        history: &History,
        step: &mut Step,
    ) -> Received {
        if self.inbox.is_staging() {
            self.inbox.stage(&self.id, incarnation, rows, step);
            self.send(Message::Ack { seq }, step);
            return Received::Nothing;
        }
        let position: Option<Cursor> = self.inbox.cursor(history.incarnation);
        let session = self.session.as_mut().expect("checked by the caller");
        if position.is_none_or(|cursor| cursor.incarnation != incarnation) {
            self.disconnect("changes arrived that do not follow from anything known here", step);
            return Received::Nothing;
        }
        session.partial.bytes += rows.iter().map(Row::size_hint).sum::<usize>();
        session.partial.rows.extend(rows);
        if through.is_none() && session.partial.bytes > PARTIAL_BYTES_MAX {
            self.disconnect("one commit is larger than a snapshot may be late", step);
            return Received::Nothing;
        }
        let changed = through.map(|through| {
            let rows = std::mem::take(&mut session.partial).rows;
            self.inbox.apply(&self.id, boot, rows, through, step)
        });
        self.send(Message::Ack { seq }, step);
        changed.map_or(Received::Nothing, Received::Rows)
    }
}
