//! Connections that delay, repeat, reorder, fall silent and break.

use std::collections::{BTreeMap, BTreeSet};

use canopy_core::Input;
use canopy_core::link::{EdgeId, Frame, SessionId};

use super::world::{Broken, Event, World};

/// After this silence a connection is ended by its keep-alive, in virtual milliseconds.
const KEEP_ALIVE_MS: u64 = 20_000;

/// The connections between nodes.
#[derive(Debug, Default)]
pub(crate) struct Network {
    sessions: BTreeMap<SessionId, Session>,
    next: u64,
    /// Children whose link upward is cut.
    cut: BTreeSet<usize>,
}

#[derive(Debug)]
struct Session {
    child: usize,
    parent: usize,
    /// Earliest next delivery upward and downward, to keep the order.
    clear_at: [u64; 2],
}

impl Network {
    pub(crate) fn heal(&mut self, child: usize) {
        self.cut.remove(&child);
    }

    pub(crate) fn is_cut(&self, child: usize) -> bool {
        self.cut.contains(&child)
    }
}

impl World {
    fn edge_towards(&self, node: usize, child: usize) -> EdgeId {
        if node == child {
            return EdgeId::Parent;
        }
        EdgeId::Child(self.nodes[child].path.name().expect("a child has a name"))
    }

    /// A child dials its parent, and again later when it fails.
    pub(crate) fn dial(&mut self, child: usize) -> Result<(), Broken> {
        let Some(parent) = self.nodes[child].parent else { return Ok(()) };
        let connected = self.network.sessions.values().any(|session| session.child == child);
        if connected || self.nodes[child].machine.is_none() {
            return Ok(());
        }
        if self.nodes[parent].machine.is_none() || self.network.is_cut(child) {
            let delay = self.rng.u64(500..5_000);
            self.schedule(delay, Event::Dial { child });
            return Ok(());
        }
        let uid = self.nodes[child].identity.uid;
        let released = self.hub(parent).is_some_and(|hub| hub.has_released(uid));
        if released || self.nodes[parent].revoked.contains(&uid) {
            self.occurrences.note("released node tried to return");
            self.crash(child);
            return Ok(());
        }
        self.network.next += 1;
        let session = SessionId(self.network.next);
        self.network.sessions.insert(session, Session { child, parent, clear_at: [0; 2] });
        for node in [child, parent] {
            let edge = self.edge_towards(node, child);
            self.feed(node, Input::Connected { edge, session })?;
        }
        Ok(())
    }

    pub(crate) fn transmit(&mut self, from: usize, edge: &EdgeId, id: SessionId, frame: Frame) {
        let delay = self.rng.u64(2..150);
        let odd = if self.calm { 9_999 } else { self.rng.u32(..1_500) };
        let now = self.now;
        let Some(session) = self.network.sessions.get_mut(&id) else { return };
        let up = usize::from(from == session.child);
        let (child, to) = (session.child, if up == 1 { session.parent } else { session.child });
        if self.network.cut.contains(&child) {
            return;
        }
        let at = match odd {
            0..=2 => now + 1,
            _ => (now + delay).max(session.clear_at[up]),
        };
        if odd <= 2 && at < session.clear_at[up] {
            self.occurrences.note("frame out of order");
        }
        session.clear_at[up] = session.clear_at[up].max(at + 1);
        let edge_there = match edge {
            EdgeId::Parent => self.edge_towards(to, child),
            EdgeId::Child(_) => EdgeId::Parent,
        };
        if odd == 3 {
            self.occurrences.note("frame repeated");
            let again =
                Event::Deliver { node: to, edge: edge_there.clone(), session: id, frame: frame.clone() };
            self.schedule(at - now + 5, again);
        }
        self.schedule(at - now, Event::Deliver { node: to, edge: edge_there, session: id, frame });
    }

    /// One end closes a connection; the other learns of it, or not if the link is cut.
    pub(crate) fn hang_up(&mut self, id: SessionId, by: usize) {
        let Some(session) = self.network.sessions.remove(&id) else { return };
        let silent = self.network.is_cut(session.child);
        for node in [session.child, session.parent] {
            let edge = self.edge_towards(node, session.child);
            let delay = match (node == by, silent) {
                (true, _) => 1,
                (false, false) => self.rng.u64(5..200),
                (false, true) => KEEP_ALIVE_MS,
            };
            self.schedule(delay, Event::Closed { node, edge, session: id });
        }
    }

    /// A process ended: the other ends see it at once, or only by their keep-alive.
    pub(crate) fn drop_sessions(&mut self, node: usize) {
        let theirs = |(_, session): &(&SessionId, &Session)| session.child == node || session.parent == node;
        let ids: Vec<SessionId> = self.network.sessions.iter().filter(theirs).map(|(id, _)| *id).collect();
        for id in ids {
            let Some(session) = self.network.sessions.remove(&id) else { continue };
            let other = if session.child == node { session.parent } else { session.child };
            let edge = self.edge_towards(other, session.child);
            let half_open = !self.calm && self.rng.u8(..4) == 0;
            if half_open {
                self.occurrences.note("half-open connection");
            }
            let delay = if half_open { KEEP_ALIVE_MS } else { self.rng.u64(5..200) };
            self.schedule(delay, Event::Closed { node: other, edge, session: id });
        }
    }

    /// The link of a child upward falls silent; keep-alives end its connection later.
    pub(crate) fn cut(&mut self, child: usize, for_ms: u64) {
        self.occurrences.note("partition");
        self.note(format!("link of {} falls silent", self.nodes[child].path));
        self.network.cut.insert(child);
        let ids: Vec<SessionId> = self
            .network
            .sessions
            .iter()
            .filter(|(_, session)| session.child == child)
            .map(|(id, _)| *id)
            .collect();
        for id in ids {
            let Some(session) = self.network.sessions.remove(&id) else { continue };
            for node in [session.child, session.parent] {
                let edge = self.edge_towards(node, session.child);
                self.schedule(KEEP_ALIVE_MS, Event::Closed { node, edge, session: id });
            }
        }
        self.schedule(for_ms, Event::Heal { child });
    }
}
