//! What neighbours told: what their rows touch, and what a first report says about the past.

use canopy_model::Role;

use super::settle::Touched;
use super::state::Hub;
use crate::durable::{Assigned, Share};
use crate::link::EdgeId;
use crate::row::{Body, Key, RowKind};
use crate::seam::Step;

impl Hub {
    /// The first complete report in this incarnation: what the neighbour holds becomes what was
    /// decided.
    pub(super) fn first_report(&mut self, id: &EdgeId, touched: &mut Touched, step: &mut Step) {
        if self.grace_until.is_some() && self.children_heard() {
            self.grace_until = None;
            touched.everything = true;
        }
        let EdgeId::Child(name) = id else {
            touched.everything = true;
            return;
        };
        let Some(child) = self.children.get(name) else { return };
        touched.children.insert(name.clone());
        if self.hubs.contains(name) {
            touched.folds.extend(self.index.workloads());
        }
        let rows: Vec<(Key, Body)> =
            child.edge.inbox.rows().map(|(key, row)| (*key, row.payload.body.clone())).collect();
        for (key, body) in rows {
            let pair = (key.uid, name.clone());
            if let Some(work) = body.work().filter(|_| !self.assigned.contains_key(&pair)) {
                for placement in &work.placements {
                    self.set_share(*placement, name, Share { grant: 1, ceiling: 1 }, step);
                }
                if self.is_known(key.uid) {
                    let assigned = Assigned { run: true, placements: work.placements.clone(), form: None };
                    self.set_assigned(key.uid, name, Some(assigned), step);
                    self.touch_child_row(name, Key::new(RowKind::Assignment, key.uid), true, step);
                    touched.pair(key.uid, name);
                }
            }
            if let Some(offer) = body.offer().filter(|_| !self.shares.contains_key(&pair)) {
                let share = Share { grant: offer.grant, ceiling: offer.grant.max(offer.held) };
                self.set_share(key.uid, name, share, step);
            }
        }
    }

    /// Rows changed: names what they touch.
    pub(super) fn learned(&mut self, id: &EdgeId, keys: &[Key], touched: &mut Touched, step: &mut Step) {
        for key in keys {
            match (id, key.kind) {
                (EdgeId::Parent, RowKind::Object) => {
                    touched.object(key.uid);
                    self.drop_stale_row(Key::new(RowKind::Grant, key.uid), touched, step);
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
                    let told = self.told.contains_key(&Key::new(RowKind::Orphan, key.uid));
                    if told || !self.assigned.contains_key(&(key.uid, name.clone())) {
                        touched.orphans.insert(key.uid);
                    }
                }
                (EdgeId::Child(_), RowKind::Summary) => {
                    touched.folds.insert(key.uid);
                }
                (EdgeId::Child(_), RowKind::Offer | RowKind::Selected) => {
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

    /// Only objects wait for a verdict when their parent lost its memory. What else a snapshot lacks
    /// is no longer so.
    pub(super) fn drop_stale(&mut self, id: &EdgeId, touched: &mut Touched, step: &mut Step) {
        if *id != EdgeId::Parent {
            return;
        }
        let rows = self.parent.iter().flat_map(|edge| edge.inbox.rows());
        let orphaned = rows.filter(|(_, row)| row.orphaned).map(|(key, _)| *key);
        for key in orphaned.collect::<Vec<_>>() {
            self.drop_stale_row(key, touched, step);
        }
    }

    /// A grant stays for as long as its object is in doubt.
    fn drop_stale_row(&mut self, key: Key, touched: &mut Touched, step: &mut Step) {
        let orphaned = |key: Key| {
            self.parent.as_ref().and_then(|edge| edge.inbox.row(&key)).is_some_and(|row| row.orphaned)
        };
        let of_its_object = matches!(key.kind, RowKind::Verdict | RowKind::Doubt | RowKind::Grant);
        let waits = key.kind == RowKind::Grant && orphaned(Key::new(RowKind::Object, key.uid));
        if !of_its_object || waits || !orphaned(key) {
            return;
        }
        if let Some(edge) = &mut self.parent {
            edge.inbox.remove(&EdgeId::Parent, &key, step);
        }
        touched.object(key.uid);
        touched.placements.insert(key.uid);
    }

    /// A row from the parent that every hub below is to see as well.
    fn touch_inherited(&mut self, key: Key, step: &mut Step) {
        let live = self.parent.as_ref().is_some_and(|edge| edge.inbox.get(&key).is_some());
        for name in self.names(Role::Hub) {
            self.touch_child_row(&name, key, live, step);
        }
    }
}
