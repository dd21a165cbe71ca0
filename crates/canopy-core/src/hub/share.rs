//! How a number of clusters is split among the children, one placement at a time.
//!
//! *Held* is what was granted and is not yet reported gone. A share's ceiling is what the child may
//! hold, by every grant that it may still follow; no grant makes the sum of the ceilings exceed the
//! number. A decision stands while it is valid: feasible selected clusters stay, and only missing
//! slots are filled, in the order of paths. A hub does the same inside its own grant, so it
//! replaces an infeasible cluster by itself while its parent is away.

use std::collections::BTreeSet;

use canopy_model::{Fit, Name, Role, Stamp, Uid};

use super::state::Hub;
use crate::durable::{Assigned, Change, Share, Slot, Value};
use crate::row::{Body, Key, Offer, RowKind};
use crate::seam::Step;

impl Hub {
    /// How many clusters of a placement may be selected below this hub; none while its parent has
    /// not said so: then nothing is taken and nothing given back.
    pub(super) fn quota(&self, placement: Uid) -> Option<u32> {
        if let Some(object) = self.objects.get(&placement) {
            return object.placement().and_then(|spec| spec.number_of_clusters);
        }
        match self.parents_row(RowKind::Grant, placement) {
            Some(Body::Grant(count)) => Some(*count),
            _ => None,
        }
    }

    /// Decides about a placement with a number; returns the own clusters of which the selection
    /// changed.
    pub(super) fn share_out(&mut self, placement: Uid, step: &mut Step) -> BTreeSet<Name> {
        let mut changed = BTreeSet::new();
        if self.is_frozen(placement) {
            return changed;
        }
        let numbered = self
            .object(placement)
            .and_then(|object| object.placement())
            .is_some_and(|spec| spec.number_of_clusters.is_some());
        if !numbered {
            self.drop_shares(placement, &mut changed, step);
            return changed;
        }
        self.count_what_is_offered(placement, step);
        self.take_back(placement, &mut changed, step);
        if let Some(quota) = self.quota(placement) {
            self.shed_surplus(placement, quota, &mut changed, step);
            self.fill(placement, quota, &mut changed, step);
        }
        changed
    }

    /// Work that runs for placements that changed counts as selected, also when the number is new.
    pub(super) fn count_what_runs(&mut self, changed: &BTreeSet<Uid>, step: &mut Step) {
        let numbered: BTreeSet<Uid> = changed.intersection(self.index.numbered()).copied().collect();
        if numbered.is_empty() {
            return;
        }
        let concerned = |assigned: &Assigned| assigned.placements.iter().any(|uid| numbered.contains(uid));
        let pairs = self.assigned.iter().filter(|(_, (assigned, _))| concerned(assigned));
        for (workload, name) in pairs.map(|(pair, _)| pair.clone()).collect::<Vec<_>>() {
            self.count_work(workload, &name, step);
        }
    }

    /// What a cluster runs, or is removing, is counted for every placement with a number for which
    /// it does.
    pub(super) fn count_work(&mut self, workload: Uid, name: &Name, step: &mut Step) {
        let Some((assigned, _)) = self.assigned.get(&(workload, name.clone())) else { return };
        let share = Share { grant: u32::from(assigned.run), ceiling: 1 };
        let numbered = assigned.placements.iter().filter(|uid| self.index.numbered().contains(uid));
        let uncounted = numbered.filter(|uid| !self.shares.contains_key(&(**uid, name.clone())));
        for placement in uncounted.copied().collect::<Vec<_>>() {
            self.set_share(placement, name, share, step);
        }
    }

    /// A placement that is gone, or has no number, grants nothing.
    fn drop_shares(&mut self, placement: Uid, changed: &mut BTreeSet<Name>, step: &mut Step) {
        for name in self.sharers(placement) {
            if self.has_heard_of(&name) {
                self.set_share(placement, &name, Share::default(), step);
                changed.insert(name);
            }
        }
    }

    fn sharers(&self, placement: Uid) -> Vec<Name> {
        Self::of(&self.shares, placement).map(|(name, _)| name.clone()).collect()
    }

    /// Takes back what is of no use: infeasible own clusters, and grants that a hub cannot use.
    fn take_back(&mut self, placement: Uid, changed: &mut BTreeSet<Name>, step: &mut Step) {
        for name in self.sharers(placement) {
            let share = self.shares[&(placement, name.clone())];
            let next = match self.role(&name) {
                Some(Role::Agent) if self.may_decide(&name) => {
                    let selected = share.grant > 0 && self.keeps_slot(placement, &name);
                    let ceiling = u32::from(selected || self.works_for(placement, &name));
                    Share { grant: u32::from(selected), ceiling }
                }
                Some(Role::Hub) => match self.current_offer(placement, &name) {
                    Some(offer) if offer.spare == 0 && offer.held < share.grant && !offer.unsure => {
                        Share { grant: offer.held, ..share }
                    }
                    _ => share,
                },
                _ => share,
            };
            if next.grant != share.grant {
                changed.insert(name.clone());
            }
            self.set_share(placement, &name, next, step);
        }
    }

    /// A lowered number gives back the last paths first, unused grants before used ones.
    fn shed_surplus(&mut self, placement: Uid, quota: u32, changed: &mut BTreeSet<Name>, step: &mut Step) {
        let quota = u64::from(quota);
        let sharers = self.sharers(placement);
        let mut granted: u64 =
            sharers.iter().map(|name| u64::from(self.shares[&(placement, name.clone())].grant)).sum();
        for keep_used in [true, false] {
            for name in sharers.iter().rev() {
                let surplus = u32::try_from(granted.saturating_sub(quota)).unwrap_or(u32::MAX);
                let share = self.shares.get(&(placement, name.clone())).copied().unwrap_or_default();
                let heard = self.has_heard_of(name);
                let used = match self.current_offer(placement, name) {
                    Some(offer) if keep_used => offer.held.min(share.grant),
                    _ if keep_used => share.grant,
                    _ => 0,
                };
                let give = surplus.min(share.grant - used);
                if give > 0 && heard {
                    granted -= u64::from(give);
                    let mut next = Share { grant: share.grant - give, ..share };
                    if self.role(name) == Some(Role::Agent) {
                        next.ceiling = u32::from(self.works_for(placement, name));
                    }
                    self.set_share(placement, name, next, step);
                    changed.insert(name.clone());
                }
            }
        }
    }

    /// Fills missing slots in the order of paths, at own clusters that would rather not only when there
    /// is no other. A hub that lost its memory grows nothing: there
    /// may be clusters that it does not know.
    fn fill(&mut self, placement: Uid, quota: u32, changed: &mut BTreeSet<Name>, step: &mut Step) {
        if self.history.recovering || !self.holdings_known(placement) {
            return;
        }
        let mut free = quota.saturating_sub(self.held(placement));
        if free == 0 {
            return;
        }
        for name in self.in_turn(placement) {
            if free == 0 {
                break;
            }
            let share = self.shares.get(&(placement, name.clone())).copied().unwrap_or_default();
            let take = free.min(self.spare_of(placement, &name));
            if take == 0 {
                continue;
            }
            let grant = share.grant + take;
            let ceiling = share.ceiling.max(grant);
            free -= ceiling - share.ceiling;
            self.set_share(placement, &name, Share { grant, ceiling }, step);
            changed.insert(name);
        }
    }

    /// The children in the order in which they are asked for a slot.
    fn in_turn(&self, placement: Uid) -> Vec<Name> {
        let mut names: Vec<Name> = self.children.keys().cloned().collect();
        names.sort_by_key(|name| self.fit_of(placement, name) == Fit::IfNeeded);
        names
    }

    /// Whether it is known what every hub below holds. A placement that got its number after it was
    /// made may run anywhere until each has told.
    pub(super) fn holdings_known(&self, placement: Uid) -> bool {
        let since = self.numbered_since(placement);
        let told = |name: &Name| {
            let counted = self.shares.contains_key(&(placement, name.clone()));
            let offer = self.current_offer(placement, name);
            offer.map_or(counted, |offer| !offer.unsure && (counted || offer.generation >= since))
        };
        since <= 1 || self.hubs.iter().all(told)
    }

    /// What the children may hold of a placement.
    pub(super) fn held(&self, placement: Uid) -> u32 {
        Self::of(&self.shares, placement).fold(0, |sum, (_, share)| sum.saturating_add(share.ceiling))
    }

    /// How many more clusters of a placement could be selected at a child now.
    fn spare_of(&self, placement: Uid, name: &Name) -> u32 {
        let share = self.shares.get(&(placement, name.clone())).copied().unwrap_or_default();
        let connected = self.children.get(name).is_some_and(|child| child.edge.is_connected());
        match self.role(name) {
            Some(Role::Agent) if connected && self.may_decide(name) => {
                u32::from(share.grant == 0 && self.fit_of(placement, name) >= Fit::IfNeeded)
            }
            Some(Role::Hub) if connected => self
                .current_offer(placement, name)
                .filter(|offer| !offer.unsure)
                .map_or(0, |offer| offer.spare),
            _ => 0,
        }
    }

    /// The sum of what more could be selected below, at most `most`.
    pub(super) fn spare(&self, placement: Uid, most: u32) -> u32 {
        if self.history.recovering || !self.is_ready() {
            return 0;
        }
        let mut spare: u32 = 0;
        for name in self.children.keys() {
            spare = spare.saturating_add(self.spare_of(placement, name));
            if spare >= most {
                return most;
            }
        }
        spare
    }

    fn numbered_since(&self, placement: Uid) -> u64 {
        self.object(placement).and_then(|object| object.placement()).map_or(0, |spec| spec.numbered_since)
    }

    fn offer_of(&self, placement: Uid, name: &Name) -> Option<&Offer> {
        self.children.get(name)?.edge.inbox.get(&Key::new(RowKind::Offer, placement))?.body.offer()
    }

    /// A child hub's offer, if it has seen its present grant.
    fn current_offer(&self, placement: Uid, name: &Name) -> Option<&Offer> {
        let offer = self.offer_of(placement, name)?;
        let version = self.children.get(name)?.edge.outbox.version(&Key::new(RowKind::Grant, placement));
        let told = version.map(|version| Stamp { incarnation: self.history.incarnation, version });
        (offer.stamp == told).then_some(offer)
    }

    /// What a child hub holds becomes its ceiling once it has seen the present grant.
    fn count_what_is_offered(&mut self, placement: Uid, step: &mut Step) {
        let since = self.numbered_since(placement);
        for name in self.names(Role::Hub) {
            let Some(offer) = self.current_offer(placement, &name).cloned() else { continue };
            let next = match self.shares.get(&(placement, name.clone())) {
                None if offer.generation < since => continue,
                None => Share { grant: offer.held, ceiling: offer.held },
                Some(share) if offer.unsure => Share { ceiling: share.ceiling.max(offer.held), ..*share },
                Some(share) => Share { ceiling: share.grant.max(offer.held), ..*share },
            };
            self.set_share(placement, &name, next, step);
        }
    }

    /// Whether an own cluster runs work for a placement, or is still removing it.
    fn works_for(&self, placement: Uid, name: &Name) -> bool {
        self.assigned_to(name).any(|assigned| assigned.placements.contains(&placement))
    }

    /// Whether an own cluster may keep the slot that it has: one that is closed to new work keeps it for
    /// the work that it has.
    fn keeps_slot(&self, placement: Uid, name: &Name) -> bool {
        match self.fit_of(placement, name) {
            Fit::Never => false,
            Fit::IfThere => self.is_used(placement, name),
            Fit::IfNeeded | Fit::Good => true,
        }
    }

    /// Whether an own cluster has, or says that it has, work for a placement.
    fn is_used(&self, placement: Uid, name: &Name) -> bool {
        let reports = self.children.get(name).into_iter();
        let reports = reports.flat_map(|child| child.edge.inbox.rows_of(RowKind::Report));
        let mut works = reports.filter_map(|(_, body)| body.work());
        self.works_for(placement, name) || works.any(|work| work.placements.contains(&placement))
    }

    fn assigned_to<'a>(&'a self, name: &'a Name) -> impl Iterator<Item = &'a Assigned> {
        let child = self.children.get(name);
        let rows = child.into_iter().flat_map(|child| child.edge.outbox.live());
        let workloads = rows.filter(|key| key.kind == RowKind::Assignment).map(|key| key.uid);
        workloads.filter_map(|uid| self.assigned.get(&(uid, name.clone())).map(|(assigned, _)| assigned))
    }

    fn role(&self, name: &Name) -> Option<Role> {
        self.children.get(name)?.record.as_ref().map(|record| record.role)
    }

    pub(super) fn set_share(&mut self, placement: Uid, name: &Name, share: Share, step: &mut Step) {
        let pair = (placement, name.clone());
        if self.shares.get(&pair).copied().unwrap_or_default() == share {
            return;
        }
        let before = self.shares.get(&pair).copied().unwrap_or_default();
        let slot = Slot::Share(placement, name.clone());
        let kept = share != Share::default();
        if kept {
            step.put(Change::Put(slot, Value::Share(share)));
            self.shares.insert(pair, share);
        } else {
            step.put(Change::Delete(slot));
            self.shares.remove(&pair);
        }
        if self.role(name) == Some(Role::Hub) && (before.grant != share.grant || !kept) {
            self.touch_child_row(name, Key::new(RowKind::Grant, placement), kept, step);
        }
    }
}
