//! What a hub tells upward: counts, never clusters; and the end of deleted workloads.

use std::collections::BTreeSet;
use std::sync::Arc;

use canopy_model::event::Reason;
use canopy_model::{Counts, Fleet, Object, Role, Stamp, Summary, Uid};

use super::settle::Touched;
use super::state::Hub;
use crate::durable::{Change, ReceivedRow, Slot};
use crate::link::EdgeId;
use crate::row::{Body, Key, Offer, RowKind};
use crate::seam::Step;

/// The longest example message that a summary carries, in bytes: a cluster, an object, and what keeps it.
const EXAMPLE_BYTES_MAX: usize = 512;

/// Clusters that are looked at for one: most have not reported yet when something begins.
const EXAMPLES_MAX: usize = 64;

impl Hub {
    /// Brings what is told upward up to date, and ends deleted workloads that nobody holds.
    pub(super) fn fold(&mut self, touched: &Touched, step: &mut Step) {
        let pairs = touched.pairs.iter().map(|(uid, _)| uid);
        let workloads: BTreeSet<Uid> =
            touched.folds.iter().chain(&touched.objects).chain(pairs).copied().collect();
        for uid in workloads {
            self.fold_workload(uid, step);
        }
        let placements = touched.placements.iter().chain(&touched.objects).copied();
        for uid in placements.collect::<BTreeSet<Uid>>() {
            self.fold_placement(uid, step);
        }
        if touched.fleet && self.parent.is_some() {
            self.tell(Key::FLEET, Some(Body::Fleet(self.fleet())), step);
        }
    }

    /// Tells the parent the value of a row, if it changed.
    pub(super) fn tell(&mut self, key: Key, body: Option<Body>, step: &mut Step) {
        if self.parent.is_none() || self.told.get(&key) == body.as_ref() {
            return;
        }
        let live = body.is_some();
        match body {
            Some(body) => self.told.insert(key, body),
            None => self.told.remove(&key),
        };
        let version = self.version();
        if let Some(edge) = &mut self.parent {
            edge.outbox.touch(&EdgeId::Parent, key, live, version, step);
            self.pending.insert(EdgeId::Parent);
        }
    }

    /// After a start: what was told follows again from what is durable. What depends on
    /// connections is told anew.
    pub(super) fn retell(&mut self) {
        let everything: Vec<(Uid, Arc<Object>)> =
            self.all_objects().map(|object| (object.metadata.uid, object.clone())).collect();
        for (uid, object) in &everything {
            self.index.update(*uid, Some(object), self.is_frozen(*uid));
            self.count_selected(*uid);
        }
        let live: Vec<Key> = self.parent.iter().flat_map(|edge| edge.outbox.live()).copied().collect();
        for key in live {
            let body = match key.kind {
                RowKind::Summary => self.summary(key.uid).map(Body::Summary),
                RowKind::Orphan => self.orphan(key.uid).map(Body::Orphan),
                RowKind::Selected => self.selected_row(key.uid),
                RowKind::Offer | RowKind::Fleet => None,
                RowKind::Object | RowKind::Grant | RowKind::Record | RowKind::Verdict | RowKind::Doubt => {
                    None
                }
                RowKind::Assignment | RowKind::Report | RowKind::Claims | RowKind::Machine => None,
                RowKind::Inventory | RowKind::Other(_) => None,
            };
            self.told.insert(key, body.unwrap_or(Body::Opaque));
        }
    }

    fn fold_workload(&mut self, uid: Uid, step: &mut Step) {
        if self.objects.contains_key(&uid) {
            if self.is_gone_below(uid) {
                let about = self.object_subject(uid).expect("it is at home here");
                self.happens(Reason::Deleted, about, "no cluster has anything left of it");
                self.remove_object(uid, step);
            }
            return;
        }
        let summary = self.summary(uid).map(Body::Summary);
        self.tell(Key::new(RowKind::Summary, uid), summary, step);
    }

    /// The object is deleted for good: its name is free.
    pub(super) fn remove_object(&mut self, uid: Uid, step: &mut Step) {
        self.objects.remove(&uid);
        self.index.forget(uid);
        self.selects.remove(&uid);
        step.put(Change::Delete(Slot::Object(uid)));
        for name in self.names(Role::Hub) {
            self.touch_child_row(&name, Key::new(RowKind::Object, uid), false, step);
        }
        if Self::of(&self.assigned, uid).next().is_none() {
            self.counts.remove(&uid);
        }
    }

    /// Whether a workload is being deleted and nothing below holds it, as far as every child that
    /// could hold it has confirmed.
    fn is_gone_below(&self, uid: Uid) -> bool {
        let deleting = self.object(uid).is_some_and(|object| object.metadata.deleted.is_some());
        deleting
            && Self::of(&self.assigned, uid).next().is_none()
            && self.is_ready()
            && !self.history.recovering
            && self.hub_rows(uid).all(|summary| summary.is_some_and(|s| s.gone))
    }

    /// The summaries of a workload by the hubs below that were ever heard.
    fn hub_rows(&self, uid: Uid) -> impl Iterator<Item = Option<&Summary>> {
        let hubs = self.hubs.iter().map(|name| &self.children[name]);
        hubs.filter(|child| self.has_heard(child)).map(move |child| {
            match child.edge.inbox.get(&Key::new(RowKind::Summary, uid)).map(|row| &row.body) {
                Some(Body::Summary(summary)) => Some(summary),
                _ => None,
            }
        })
    }

    /// How a workload is doing below this hub.
    pub fn summary(&self, uid: Uid) -> Option<Summary> {
        let object = self.object(uid)?;
        object.workload()?;
        let generation = object.metadata.generation;
        let mut counts = self.counts.get(&uid).copied().unwrap_or_default();
        let mut example = self.example(uid, &counts);
        for summary in self.hub_rows(uid).flatten() {
            let mut theirs = summary.counts;
            if summary.generation != generation {
                theirs = Counts { updated: 0, healthy: 0, ..theirs };
            }
            counts.add(&theirs);
            if example.is_empty() {
                example.clone_from(&summary.example);
            }
        }
        Some(Summary { generation, counts, example, gone: self.is_gone_below(uid) })
    }

    /// What one cluster says where it does not go well; where it fails nowhere, of one that is not there yet.
    fn example(&self, uid: Uid, counts: &Counts) -> String {
        let fails = |counted: &Counts| counted.degraded + counted.refused > 0;
        let mut example = if fails(counts) {
            self.said(uid, fails).unwrap_or_default()
        } else if counts.healthy < counts.selected {
            self.said(uid, |counted| counted.healthy < counted.selected).unwrap_or_default()
        } else {
            String::new()
        };
        example.truncate(example.floor_char_boundary(EXAMPLE_BYTES_MAX));
        example
    }

    /// What the first cluster of this sort says that says anything.
    fn said(&self, uid: Uid, wanted: impl Fn(&Counts) -> bool) -> Option<String> {
        let concerned = Self::of(&self.assigned, uid).filter(|(_, (_, counted))| wanted(counted));
        concerned.take(EXAMPLES_MAX).find_map(|(name, _)| {
            let work = self.report(uid, name)?.work.as_ref()?;
            let says = !work.message.is_empty();
            says.then(|| format!("{}: {}", self.path.child(name), work.message))
        })
    }

    fn fold_placement(&mut self, uid: Uid, step: &mut Step) {
        if !self.objects.contains_key(&uid) {
            let offer = self.offer(uid).map(Body::Offer);
            self.tell(Key::new(RowKind::Offer, uid), offer, step);
            self.tell(Key::new(RowKind::Selected, uid), self.selected_row(uid), step);
        }
    }

    /// What this hub offers its parent of a placement with a number.
    fn offer(&self, uid: Uid) -> Option<Offer> {
        let object = self.object(uid)?;
        let most = object.placement()?.number_of_clusters?;
        let generation = object.metadata.generation;
        let row: Option<&ReceivedRow> =
            self.parent.as_ref().and_then(|edge| edge.inbox.row(&Key::new(RowKind::Grant, uid)));
        let stamp = row.map(|row| Stamp { incarnation: row.learned, version: row.version });
        let grant = self.quota(uid).unwrap_or(0);
        let unsure = self.history.recovering || !self.is_ready() || !self.holdings_known(uid);
        let held = if unsure { self.held(uid).max(grant) } else { self.held(uid) };
        Some(Offer { stamp, generation, grant, held, spare: self.spare(uid, most), unsure })
    }

    /// What stands below this hub.
    pub fn fleet(&self) -> Fleet {
        let mut fleet = Fleet { readiness: self.readiness(), ..Fleet::default() };
        for child in self.children.values() {
            match child.record.as_ref().map(|record| record.role) {
                Some(Role::Agent) => {
                    fleet.clusters += 1;
                    fleet.connected += u32::from(child.edge.is_connected());
                }
                Some(Role::Hub) => {
                    fleet.hubs += 1;
                    if let Some(Body::Fleet(below)) = child.edge.inbox.get(&Key::FLEET).map(|row| &row.body) {
                        fleet.add(below);
                    }
                }
                None => {}
            }
        }
        fleet
    }
}
