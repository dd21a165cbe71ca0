//! Connections with neighbours: how they begin, what they bring, and when the hub's own memory is
//! found to be old.

use std::time::Duration;

use canopy_model::event::Reason;
use canopy_model::{Boot, Name, Now};

use super::settle::Touched;
use super::state::{Child, Hub};
use crate::durable::{Change, Slot};
use crate::effect::{Alert, Effect};
use crate::link::{Edge, EdgeId, Frame, HEARTBEAT_EVERY, Hello, History, Received, Resume, SessionId};
use crate::row::{Key, RowKind};
use crate::seam::Step;

/// How long a hub in a new incarnation waits for the children that it knows, before it decides
/// without those that stay dark. It waits without bound for its parent's wishes.
pub(super) const GRACE: Duration = Duration::from_secs(60);

impl Hub {
    pub(super) fn started(&mut self, now: Now, boot: Boot, touched: &mut Touched, step: &mut Step) {
        if self.history.boot() == Boot(0) {
            self.history = History::begin(boot);
        } else {
            self.history.reopen(boot);
        }
        step.put(self.history_change());
        self.sealed_version = self.history.version;
        self.started = Some(now.uptime);
        self.heartbeat_at = Some(now.uptime + HEARTBEAT_EVERY);
        if self.history.recovering && !self.children_heard() {
            self.grace_until = Some(now.uptime + GRACE);
        }
        for answer in self.answers.values_mut() {
            answer.at = now.uptime;
        }
        self.recount();
        self.retell();
        self.orphaned = self.orphans().into_iter().map(|(uid, _)| uid).collect();
        self.happens(Reason::Started, self.own_subject(), "");
        self.fetch_blobs(step);
        self.revoke_released(step);
        touched.everything = true;
    }

    pub(super) fn connected(
        &mut self,
        now: Now,
        id: EdgeId,
        session: SessionId,
        touched: &mut Touched,
        step: &mut Step,
    ) {
        if let EdgeId::Child(name) = &id {
            self.meet_child(name, step);
        }
        let Some(mut edge) = self.take_edge(&id) else { return };
        let record = match &id {
            EdgeId::Parent => edge.inbox.rows().find_map(|(_, row)| row.payload.body.record()).cloned(),
            EdgeId::Child(_) => None,
        };
        edge.connect(now, session, &self.history, record, step);
        self.return_edge(edge);
        if self.away.remove(&id) {
            self.tell_connection(&id, Reason::Connected);
        }
        touched.connection(&id);
    }

    /// A neighbour came, or went.
    fn tell_connection(&mut self, id: &EdgeId, reason: Reason) {
        match id {
            EdgeId::Parent => self.happens(reason, self.own_subject(), "this hub's parent"),
            EdgeId::Child(name) => {
                if self.children.get(name).is_some_and(|child| child.record.is_some()) {
                    self.happens(reason, self.child_subject(name), "");
                }
            }
        }
    }

    /// A connection has ended.
    fn lost(&mut self, id: &EdgeId, touched: &mut Touched) {
        touched.connection(id);
        self.away.insert(id.clone());
        self.tell_connection(id, Reason::Disconnected);
    }

    pub(super) fn disconnected(
        &mut self,
        id: EdgeId,
        session: SessionId,
        touched: &mut Touched,
        step: &mut Step,
    ) {
        let Some(mut edge) = self.take_edge(&id) else { return };
        let ended = edge.ended(session, step);
        self.return_edge(edge);
        if ended {
            self.lost(&id, touched);
        }
        if let EdgeId::Child(name) = &id {
            self.drop_stranger(name, step);
        }
    }

    /// A child without a record and without a connection is nothing to remember.
    fn drop_stranger(&mut self, name: &Name, step: &mut Step) {
        let stranger = |child: &Child| child.record.is_none() && !child.edge.is_connected();
        if self.children.get(name).is_some_and(stranger)
            && let Some(mut child) = self.forget_child(name)
        {
            child.edge.inbox.clear(&child.edge.id, step);
            child.edge.outbox.clear(&child.edge.id, step);
        }
    }

    pub(super) fn received(
        &mut self,
        now: Now,
        id: EdgeId,
        session: SessionId,
        frame: Frame,
        touched: &mut Touched,
        step: &mut Step,
    ) {
        let Some(mut edge) = self.take_edge(&id) else { return };
        let was_connected = edge.is_connected();
        let was_heard = edge.inbox.is_heard(self.history.incarnation);
        let received = edge.receive(now, session, frame, &self.history, step);
        let ended = was_connected && !edge.is_connected();
        self.return_edge(edge);
        if ended {
            self.lost(&id, touched);
        }
        self.pending.insert(id.clone());
        match received {
            Received::Nothing | Received::Heartbeat { .. } => {}
            Received::Hello(hello, resume) => self.greeted(now, &id, hello, resume, touched, step),
            Received::Rows(keys) => self.learned(&id, &keys, touched, step),
            Received::Snapshot(keys) => {
                if !was_heard {
                    self.first_report(&id, touched, step);
                }
                self.drop_stale(&id, touched, step);
                self.learned(&id, &keys, touched, step);
            }
        }
    }

    fn greeted(
        &mut self,
        now: Now,
        id: &EdgeId,
        hello: Hello,
        resume: Resume,
        touched: &mut Touched,
        step: &mut Step,
    ) {
        let lost = hello.cursor.map(|cursor| cursor.incarnation);
        if let (EdgeId::Child(name), Some(record)) = (id, hello.record)
            && self.children.get(name).is_some_and(|child| child.record.is_none())
            && !self.has_released(record.uid)
        {
            self.set_record(name, record, touched, step);
            self.happens(Reason::Joined, self.child_subject(name), "it told what was recorded about it here");
        }
        match resume {
            Resume::After(_) | Resume::Snapshot => {}
            Resume::Restored if self.history.is_renewed() => self.refuse(id, step),
            Resume::Restored => {
                let alert = Alert::Restored { peer: id.clone() };
                self.happens(Reason::IncarnationRenewed, self.own_subject(), alert.to_string());
                step.effect(Effect::Alert(alert));
                self.renew(now, touched, step);
            }
            Resume::LostHistory => {
                // Others that were dark since then prove nothing new.
                lost.into_iter().for_each(|incarnation| self.history.note_former(incarnation));
                self.lost_history(now, id, touched, step);
                step.put(self.history_change());
            }
        }
    }

    /// A neighbour knows a history of this node that is not here.
    fn lost_history(&mut self, now: Now, id: &EdgeId, touched: &mut Touched, step: &mut Step) {
        let renewed = self.history.is_renewed();
        if renewed && self.history.recovering {
            return;
        }
        let alert = Alert::LostHistory { peer: id.clone() };
        self.happens(Reason::HistoryLost, self.own_subject(), alert.to_string());
        step.effect(Effect::Alert(alert));
        if renewed {
            self.history.recovering = true;
            touched.everything = true;
        } else {
            // A copy from before this incarnation's end must not speak in its name: what the peer
            // learned in it later would be missing from the snapshot.
            self.renew(now, touched, step);
        }
    }

    fn refuse(&mut self, id: &EdgeId, step: &mut Step) {
        let Some(mut edge) = self.take_edge(id) else { return };
        edge.disconnect("the peer claims a position that this node never reached", step);
        self.return_edge(edge);
    }

    /// Begins a new incarnation: what was decided is forgotten and learned again from the children;
    /// the objects, as this copy knows them, stay.
    fn renew(&mut self, now: Now, touched: &mut Touched, step: &mut Step) {
        self.version();
        self.history.renew();
        self.grace_until = Some(now.uptime + GRACE);
        for (uid, name) in std::mem::take(&mut self.assigned).into_keys() {
            step.put(Change::Delete(Slot::Assigned(name.clone(), uid)));
            self.touch_child_row(&name, Key::new(RowKind::Assignment, uid), false, step);
        }
        for (uid, name) in std::mem::take(&mut self.shares).into_keys() {
            step.put(Change::Delete(Slot::Share(uid, name.clone())));
            self.touch_child_row(&name, Key::new(RowKind::Grant, uid), false, step);
        }
        self.counts.clear();
        for id in self.edge_ids() {
            let Some(mut edge) = self.take_edge(&id) else { continue };
            edge.disconnect("this store was found to be an old copy", step);
            self.return_edge(edge);
        }
        touched.everything = true;
    }

    pub(super) fn edge_ids(&self) -> Vec<EdgeId> {
        let parent = self.parent.iter().map(|edge| edge.id.clone());
        parent.chain(self.children.keys().cloned().map(EdgeId::Child)).collect()
    }

    pub(super) fn woken(&mut self, now: Now, touched: &mut Touched, step: &mut Step) {
        if self.grace_until.is_some_and(|until| until <= now.uptime) {
            self.grace_until = None;
            touched.everything = true;
        }
        if self.heartbeat_at.is_some_and(|at| at <= now.uptime) {
            self.heartbeat_at = Some(now.uptime + HEARTBEAT_EVERY);
            let stalest = self.stalest_ms(now);
            for id in self.edge_ids() {
                let Some(mut edge) = self.take_edge(&id) else { continue };
                edge.heartbeat(&self.history, stalest, step);
                self.return_edge(edge);
            }
        }
        self.forget_answers(now, step);
    }

    /// The age of the stalest state below, in milliseconds. A child that was not heard since this
    /// hub started counts from then.
    pub fn stalest_ms(&self, now: Now) -> u64 {
        let age = |edge: &Edge| match edge.freshness() {
            Some((heard, below)) => now.uptime.since(heard).as_millis() as u64 + below,
            None => now.uptime.since(self.started.unwrap_or_default()).as_millis() as u64,
        };
        let recorded = self.children.values().filter(|child| child.record.is_some());
        recorded.map(|child| age(&child.edge)).max().unwrap_or(0)
    }
}
