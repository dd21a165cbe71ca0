//! Decides about what was touched, and about nothing else.
//!
//! An input names what it touches; the decision itself looks only at the present state, so that
//! deciding twice changes nothing.

use std::collections::BTreeSet;

use canopy_model::{Name, Now, Role, Uid};

use super::state::Hub;
use crate::link::EdgeId;
use crate::seam::Step;

/// Decisions free clusters, and freed clusters allow decisions: how often this goes round at most
/// before the rest waits for the next input, a heartbeat at the latest.
const ROUNDS_MAX: usize = 16;

/// What an input touches.
#[derive(Debug, Default)]
pub(super) struct Touched {
    /// All there is: after a start, a first report, a new incarnation.
    pub everything: bool,
    /// Objects that changed, came or went.
    pub objects: BTreeSet<Uid>,
    /// Placements of which shares or offers changed.
    pub placements: BTreeSet<Uid>,
    /// Children of which the record changed.
    pub children: BTreeSet<Name>,
    /// Workloads and the own clusters on which they changed.
    pub pairs: BTreeSet<(Uid, Name)>,
    /// Workloads of which something is to be told upward.
    pub folds: BTreeSet<Uid>,
    /// Uids that may be orphans, or may be no longer.
    pub orphans: BTreeSet<Uid>,
    /// Children that connected, disconnected, or are recorded otherwise: what they can take changed.
    pub able: BTreeSet<Name>,
    /// How many stand below, or are connected, changed.
    pub fleet: bool,
}

impl Touched {
    pub(super) fn object(&mut self, uid: Uid) {
        self.objects.insert(uid);
        self.orphans.insert(uid);
    }

    pub(super) fn pair(&mut self, uid: Uid, name: &Name) {
        self.pairs.insert((uid, name.clone()));
    }

    pub(super) fn connection(&mut self, id: &EdgeId) {
        if let EdgeId::Child(name) = id {
            self.able.insert(name.clone());
            self.fleet = true;
        }
    }
}

impl Hub {
    pub(super) fn settle(&mut self, now: Now, mut touched: Touched, step: &mut Step) {
        self.follow_verdicts(&mut touched, step);
        for uid in &touched.objects {
            let object = self.object(*uid).cloned();
            self.index.update(*uid, object.as_deref(), self.is_frozen(*uid));
            self.count_selected(*uid);
        }
        let changed = touched.objects.clone();
        if touched.everything {
            touched.objects.extend(self.all_objects().map(|object| object.metadata.uid));
            touched.children.extend(self.children.keys().cloned());
            touched.pairs.extend(self.assigned.keys().cloned());
            touched.fleet = true;
            self.pending.extend(self.edge_ids());
        }
        let mut dropped = Touched::default();
        if self.is_ready() {
            self.decide(&mut touched, step);
            let pairs = touched.pairs.iter().map(|(_, name)| name);
            let concerned = touched.children.iter().chain(pairs).cloned().collect();
            self.drop_left(concerned, &mut dropped, step);
        } else {
            self.count_touched(&touched);
        }
        self.tell_orphans(&touched, step);
        self.fold(&touched, step);
        self.note_since(now, &touched, step);
        for uid in changed {
            if !self.is_known(uid) {
                self.index.forget(uid);
            }
        }
        if dropped.everything {
            self.settle(now, dropped, step);
        }
    }

    fn decide(&mut self, touched: &mut Touched, step: &mut Step) {
        self.expand(touched);
        self.count_what_runs(&touched.objects, step);
        touched.placements.append(&mut self.unsettled);
        let mut placements = touched.placements.clone();
        let mut pairs = touched.pairs.clone();
        for _ in 0..ROUNDS_MAX {
            for placement in std::mem::take(&mut placements) {
                for name in self.share_out(placement, step) {
                    let users = self.index.users(placement);
                    pairs.extend(users.into_iter().map(|workload| (workload, name.clone())));
                }
            }
            for (workload, name) in std::mem::take(&mut pairs) {
                let affected = self.assign(workload, &name, touched, step);
                placements.extend(affected.into_iter().filter(|uid| self.index.numbered().contains(uid)));
                touched.folds.insert(workload);
            }
            touched.placements.extend(&placements);
            if placements.is_empty() {
                return;
            }
        }
        self.unsettled = placements;
    }

    /// Objects and children lead to placements with a number, and to pairs of a workload and an own
    /// cluster.
    fn expand(&self, touched: &mut Touched) {
        if touched.everything {
            touched.placements.extend(self.index.numbered());
        }
        let able = touched.able.iter().chain(&touched.children);
        for name in able.collect::<BTreeSet<_>>() {
            let concerned = self.index.numbered().iter().filter(|uid| self.concerns(**uid, name));
            touched.placements.extend(concerned);
        }
        if !touched.objects.is_empty() {
            self.expand_objects(touched);
        }
        if !touched.children.is_empty() {
            self.expand_children(touched);
        }
    }

    /// Whether a placement with a number could select at this child, or has.
    fn concerns(&self, placement: Uid, name: &Name) -> bool {
        self.hubs.contains(name)
            || self.is_feasible(placement, name)
            || self.shares.contains_key(&(placement, name.clone()))
    }

    fn expand_objects(&self, touched: &mut Touched) {
        let agents = self.names(Role::Agent);
        for uid in &touched.objects {
            let workloads = match self.index.is_placement(*uid) {
                true => {
                    touched.placements.insert(*uid);
                    self.index.users(*uid)
                }
                false => vec![*uid],
            };
            for workload in workloads {
                touched.pairs.extend(agents.iter().map(|name| (workload, name.clone())));
            }
        }
    }

    fn expand_children(&self, touched: &mut Touched) {
        let workloads = self.index.workloads();
        for name in &touched.children {
            touched.pairs.extend(workloads.iter().map(|workload| (*workload, name.clone())));
            let reports = self.children.get(name).into_iter().flat_map(|child| child.edge.inbox.rows());
            touched.pairs.extend(reports.map(|(key, _)| (key.uid, name.clone())));
        }
    }
}
