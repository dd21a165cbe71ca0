//! Connections, greetings and received rows: what neighbours tell, and what that touches.

use std::time::Duration;

use canopy_model::{Boot, Now, Role};

use super::settle::Touched;
use super::state::Hub;
use crate::durable::{Assigned, Change, Share, Slot, Value};
use crate::effect::{Alert, Effect};
use crate::link::{Edge, EdgeId, Frame, HEARTBEAT_EVERY, Hello, History, Received, Resume, SessionId};
use crate::row::{Body, Key, RowKind};
use crate::seam::Step;

/// How long a hub in a new incarnation waits for the children that it knows, before it decides
/// without those that stay dark. It never waits less for its parent's wishes.
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
        let record = match (&id, edge.inbox.rows().find(|(key, _)| key.kind == RowKind::Record)) {
            (EdgeId::Parent, Some((_, row))) => row.payload.body.record().cloned(),
            _ => None,
        };
        edge.connect(now, session, &self.history, record, step);
        self.return_edge(edge);
        touched.connection(&id);
    }

    pub(super) fn disconnected(
        &mut self,
        id: EdgeId,
        session: SessionId,
        touched: &mut Touched,
        step: &mut Step,
    ) {
        let Some(mut edge) = self.take_edge(&id) else { return };
        if edge.ended(session, step) {
            touched.connection(&id);
        }
        self.return_edge(edge);
        if let EdgeId::Child(name) = &id {
            self.drop_stranger(name, step);
        }
    }

    /// A child without a record and without a connection is nothing to remember.
    fn drop_stranger(&mut self, name: &canopy_model::Name, step: &mut Step) {
        let stranger = |child: &super::state::Child| child.record.is_none() && !child.edge.is_connected();
        if self.children.get(name).is_some_and(stranger)
            && let Some(mut child) = self.children.remove(name)
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
        if was_connected && !edge.is_connected() {
            touched.connection(&id);
        }
        self.return_edge(edge);
        self.pending.insert(id.clone());
        match received {
            Received::Nothing | Received::Heartbeat(_) => {}
            Received::Hello(hello, resume) => self.greeted(now, &id, hello, resume, touched, step),
            Received::Rows(keys) => {
                self.learned(&id, &keys, touched, step);
                self.face_proof(now, &id, &keys, touched, step);
            }
            Received::Snapshot(keys) => {
                if !was_heard {
                    self.first_report(&id, touched, step);
                }
                self.learned(&id, &keys, touched, step);
                self.face_proof(now, &id, &keys, touched, step);
            }
        }
    }

    /// Work that was born here at a position that this hub never reached proves that its store is
    /// an old copy.
    fn face_proof(&mut self, now: Now, id: &EdgeId, keys: &[Key], touched: &mut Touched, step: &mut Step) {
        let edge = self.edge(id);
        let homes = keys.iter().filter_map(|key| {
            let body = &edge?.inbox.get(key)?.body;
            body.work().map(|work| &work.home).or_else(|| body.orphan().map(|orphan| &orphan.home))
        });
        let proven = homes.into_iter().any(|home| self.proves_restored(home));
        if proven && !self.history.is_renewed() {
            step.effect(Effect::Alert(Alert::Restored { peer: id.clone() }));
            self.renew(now, touched, step);
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
        if let (EdgeId::Child(name), Some(record)) = (id, hello.record)
            && self.children.get(name).is_some_and(|child| child.record.is_none())
            && !self.has_released(record.uid)
        {
            self.set_record(name, record, touched, step);
        }
        match resume {
            Resume::After(_) | Resume::Snapshot => {}
            Resume::Restored if self.history.is_renewed() => self.refuse(id, step),
            Resume::Restored => {
                step.effect(Effect::Alert(Alert::Restored { peer: id.clone() }));
                self.renew(now, touched, step);
            }
            // A copy from before this incarnation's end must not speak in its name: what the peer
            // learned in it later would be missing from the snapshot.
            Resume::LostHistory if !self.history.is_renewed() => {
                step.effect(Effect::Alert(Alert::LostHistory { peer: id.clone() }));
                self.renew(now, touched, step);
            }
            Resume::LostHistory if self.history.recovering => {}
            Resume::LostHistory => {
                step.effect(Effect::Alert(Alert::LostHistory { peer: id.clone() }));
                self.history.recovering = true;
                step.put(self.history_change());
                touched.everything = true;
            }
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

    /// The first complete report in this incarnation: what the neighbour holds becomes what was
    /// decided.
    fn first_report(&mut self, id: &EdgeId, touched: &mut Touched, step: &mut Step) {
        touched.everything = true;
        if self.children_heard() {
            self.grace_until = None;
        }
        let EdgeId::Child(name) = id else { return };
        let Some(child) = self.children.get(name) else { return };
        let rows: Vec<(Key, Body)> =
            child.edge.inbox.rows().map(|(key, row)| (*key, row.payload.body.clone())).collect();
        for (key, body) in rows {
            let pair = (key.uid, name.clone());
            if let Some(work) = body.work().filter(|_| !self.assigned.contains_key(&pair)) {
                for placement in &work.placements {
                    self.set_share(*placement, name, Share { grant: 1, ceiling: 1 }, step);
                }
                if self.is_known(key.uid) {
                    let assigned = Assigned { run: true, placements: work.placements.clone() };
                    self.set_assigned(key.uid, name, Some(assigned), step);
                    self.touch_child_row(name, Key::new(RowKind::Assignment, key.uid), true, step);
                }
            }
            if let Some(offer) = body.offer().filter(|_| !self.shares.contains_key(&pair)) {
                let share = Share { grant: offer.grant, ceiling: offer.grant.max(offer.held) };
                self.set_share(key.uid, name, share, step);
            }
        }
    }

    /// Rows changed: names what they touch.
    fn learned(&mut self, id: &EdgeId, keys: &[Key], touched: &mut Touched, step: &mut Step) {
        if keys.iter().any(|key| key.kind == RowKind::Object) {
            self.sweep_inherited(id, step);
        }
        for key in keys {
            match (id, key.kind) {
                (EdgeId::Parent, RowKind::Object) => {
                    touched.object(key.uid);
                    self.fetch_blob(key.uid, step);
                    self.touch_inherited(*key, step);
                }
                (EdgeId::Parent, RowKind::Other(_)) => self.touch_inherited(*key, step),
                (EdgeId::Parent, RowKind::Grant) => {
                    touched.placements.insert(key.uid);
                }
                (EdgeId::Parent, RowKind::Doubt) => touched.object(key.uid),
                (EdgeId::Parent, RowKind::Verdict) => {
                    touched.orphans.insert(key.uid);
                }
                (EdgeId::Child(name), RowKind::Report) => {
                    touched.pair(key.uid, name);
                }
                (EdgeId::Child(_), RowKind::Summary) => {
                    touched.folds.insert(key.uid);
                }
                (EdgeId::Child(_), RowKind::Offer) => {
                    touched.placements.insert(key.uid);
                }
                (EdgeId::Child(_), RowKind::Orphan) => {
                    touched.orphans.insert(key.uid);
                }
                (EdgeId::Child(_), RowKind::Fleet) => touched.fleet = true,
                _ => {}
            }
        }
    }

    /// Only objects wait for a verdict when their parent lost its memory. What depends on an object
    /// that is not in doubt follows the parent's new table.
    fn sweep_inherited(&mut self, id: &EdgeId, step: &mut Step) {
        let Some(mut edge) = self.take_edge(id) else { return };
        let in_doubt = |uid| {
            let object = edge.inbox.row(&Key::new(RowKind::Object, uid));
            object.is_some_and(|row| row.orphaned)
        };
        let orphaned = edge.inbox.rows().filter(|(_, row)| row.orphaned).map(|(key, _)| *key);
        let stale = orphaned.filter(|key| {
            matches!(key.kind, RowKind::Verdict | RowKind::Doubt)
                || key.kind == RowKind::Grant && !in_doubt(key.uid)
        });
        for key in stale.collect::<Vec<_>>() {
            edge.inbox.remove(id, &key, step);
        }
        self.return_edge(edge);
    }

    /// A row from the parent that every hub below is to see as well.
    fn touch_inherited(&mut self, key: Key, step: &mut Step) {
        let live = self.parent.as_ref().is_some_and(|edge| edge.inbox.get(&key).is_some());
        for name in self.names(Role::Hub) {
            self.touch_child_row(&name, key, live, step);
        }
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

    pub(super) fn touch_child_row(
        &mut self,
        name: &canopy_model::Name,
        key: Key,
        live: bool,
        step: &mut Step,
    ) {
        let version = self.version();
        let Some(child) = self.children.get_mut(name) else { return };
        child.edge.outbox.touch(&child.edge.id, key, live, version, step);
        self.pending.insert(child.edge.id.clone());
    }

    pub(super) fn set_record(
        &mut self,
        name: &canopy_model::Name,
        record: canopy_model::Record,
        touched: &mut Touched,
        step: &mut Step,
    ) {
        self.meet_child(name, step);
        let first = self.child_mut(name).record.is_none();
        step.put(Change::Put(Slot::Child(name.clone()), Value::Child(record.clone())));
        let uid = record.uid;
        let role = record.role;
        self.child_mut(name).record = Some(record);
        self.touch_child_row(name, Key::new(RowKind::Record, uid), true, step);
        if first && role == Role::Hub {
            self.open_view(name, step);
        }
        touched.children.insert(name.clone());
        touched.fleet = true;
        self.pending.insert(EdgeId::Child(name.clone()));
    }
}
