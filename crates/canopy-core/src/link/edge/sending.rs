//! What one end of an edge tells: its table as a snapshot, then its changes, one batch at a time.

use super::{COMMIT_BYTES_MAX, Edge};
use crate::link::frame::{BATCH_BYTES_MAX, Message, Row};
use crate::link::history::History;
use crate::row::{Key, Payload};
use crate::seam::Step;

/// Where the sender stands.
#[derive(Debug, Clone, Copy)]
pub(super) enum Sending {
    AwaitHello,
    Snapshot { version: u64, after: Option<Key>, count: u64, begun: bool },
    Live { sent: u64, begun: Option<Begun> },
}

impl Sending {
    pub(super) const SNAPSHOT: Self = Self::Snapshot { version: 0, after: None, count: 0, begun: false };
}

/// How far a commit that takes several frames has been sent.
#[derive(Debug, Clone, Copy)]
pub(super) struct Begun {
    through: Key,
    bytes: usize,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct InFlight {
    pub seq: u64,
    pub through: Option<u64>,
}

impl Edge {
    pub(super) fn acknowledged(&mut self, seq: u64, step: &mut Step) {
        let session = self.session.as_mut().expect("checked by the caller");
        if let Some(in_flight) = session.in_flight.take_if(|in_flight| in_flight.seq == seq)
            && let Some(through) = in_flight.through
        {
            self.outbox.acknowledged(&self.id, through, step);
        }
    }

    /// Tells the peer that the line is alive.
    pub(crate) fn heartbeat(&mut self, history: &History, stalest_ms: u64, step: &mut Step) {
        let Some(session) = &self.session else { return };
        let sent = match session.sending {
            Sending::Live { sent, begun: None }
                if session.in_flight.is_none()
                    && sent >= self.outbox.floor()
                    && self.outbox.changed_after(sent).next().is_none() =>
            {
                Some(history.version)
            }
            Sending::Live { .. } | Sending::AwaitHello | Sending::Snapshot { .. } => None,
        };
        if session.peer.is_some() {
            self.send(Message::Heartbeat { sent, stalest_ms }, step);
        }
    }

    /// Sends what there is to send, if nothing is under way.
    pub(crate) fn pump(
        &mut self,
        history: &History,
        value: &dyn Fn(&Key) -> Option<Payload>,
        step: &mut Step,
    ) {
        let Some(session) = self.session.as_ref().filter(|session| session.in_flight.is_none()) else {
            return;
        };
        match session.sending {
            Sending::AwaitHello => {}
            Sending::Snapshot { mut version, after, count, begun } => {
                if !begun {
                    version = history.version;
                    self.send(Message::Begin { version }, step);
                }
                self.pump_snapshot(version, after, count, history, value, step);
            }
            // Removals that this session has not told yet are no longer known.
            Sending::Live { sent, .. } if sent < self.outbox.floor() => {
                self.pump_anew(history, value, step);
            }
            Sending::Live { sent, begun } => match self.next_changes(sent, begun, value) {
                Changes::None => {}
                Changes::Batch { rows, through, sending } => {
                    let seen = history.version;
                    self.send_batch(Message::Rows { rows, through, seen }, through, sending, step);
                }
                Changes::TooLarge => self.pump_anew(history, value, step),
            },
        }
    }

    /// Goes on with a snapshot where changes cannot.
    fn pump_anew(&mut self, history: &History, value: &dyn Fn(&Key) -> Option<Payload>, step: &mut Step) {
        self.session.as_mut().expect("checked by pump").sending = Sending::SNAPSHOT;
        self.pump(history, value, step);
    }

    fn pump_snapshot(
        &mut self,
        version: u64,
        after: Option<Key>,
        count: u64,
        history: &History,
        value: &dyn Fn(&Key) -> Option<Payload>,
        step: &mut Step,
    ) {
        let mut rows = Vec::new();
        let mut bytes = 0;
        let mut last = after;
        for (key, version) in self.outbox.live_after(after) {
            if bytes >= BATCH_BYTES_MAX {
                break;
            }
            last = Some(key);
            let payload = value(&key).expect("a live row has a value");
            let row = Row { key, version, payload: Some(payload) };
            bytes += row.size_hint();
            rows.push(row);
        }
        let (through, sending) = if rows.is_empty() {
            (Some(version), Sending::Live { sent: version, begun: None })
        } else {
            let count = count + rows.len() as u64;
            (None, Sending::Snapshot { version, after: last, count, begun: true })
        };
        let message = if rows.is_empty() {
            Message::End { count, seen: history.version }
        } else {
            Message::Rows { rows, through: None, seen: history.version }
        };
        self.send_batch(message, through, sending, step);
    }

    /// The next changes in the order of commits: whole commits only, unless one alone is too large
    /// for a frame.
    fn next_changes(
        &self,
        sent: u64,
        begun: Option<Begun>,
        value: &dyn Fn(&Key) -> Option<Payload>,
    ) -> Changes {
        let mut rows: Vec<Row> = Vec::new();
        let (mut bytes, mut whole) = (0, true);
        for (key, row) in self.outbox.changed_after(sent) {
            let same_commit = rows.last().is_some_and(|last| last.version == row.version);
            if rows.is_empty() && row.version == sent + 1 && begun.is_some_and(|begun| key <= begun.through) {
                continue;
            }
            if bytes >= BATCH_BYTES_MAX {
                whole = !same_commit;
                break;
            }
            let payload = row.live.then(|| value(&key).expect("a live row has a value"));
            let row = Row { key, version: row.version, payload };
            bytes += row.size_hint();
            rows.push(row);
        }
        let Some((version, through)) = rows.last().map(|row| (row.version, row.key)) else {
            return Changes::None;
        };
        if whole {
            let sending = Sending::Live { sent: version, begun: None };
            return Changes::Batch { rows, through: Some(version), sending };
        }
        let bytes = bytes + begun.map_or(0, |begun| begun.bytes);
        if bytes > COMMIT_BYTES_MAX {
            return Changes::TooLarge;
        }
        let sending = Sending::Live { sent: version - 1, begun: Some(Begun { through, bytes }) };
        Changes::Batch { rows, through: None, sending }
    }

    fn send_batch(&mut self, message: Message, through: Option<u64>, sending: Sending, step: &mut Step) {
        let seq = self.send(message, step);
        let session = self.session.as_mut().expect("checked by pump");
        session.in_flight = Some(InFlight { seq, through });
        session.sending = sending;
    }
}

/// What there is to send beyond what was sent.
enum Changes {
    None,
    Batch {
        rows: Vec<Row>,
        through: Option<u64>,
        sending: Sending,
    },
    /// One commit, larger than the receiver holds in memory.
    TooLarge,
}
