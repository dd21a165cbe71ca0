//! Which of its own clusters run a workload: decided by the cluster's own hub, one pair at a time.

use std::collections::BTreeSet;

use canopy_model::event::Reason;
use canopy_model::{Counts, Fit, Health, Name, Report, Role, Stamp, Sync, Uid};

use super::settle::Touched;
use super::state::Hub;
use crate::durable::{Assigned, Change, Form, Slot, Value};
use crate::row::{Key, RowKind};
use crate::seam::Step;

impl Hub {
    /// Decides about one workload on one own cluster; returns the placements for which it ran or
    /// runs there, if that changed.
    ///
    /// A cluster without a record, or one that has not reported in this incarnation, keeps what it
    /// has.
    pub(super) fn assign(
        &mut self,
        uid: Uid,
        name: &Name,
        touched: &mut Touched,
        step: &mut Step,
    ) -> Vec<Uid> {
        if !self.may_decide(name) || self.is_frozen(uid) {
            self.leave_form_open(uid, name, step);
            self.count(uid, name);
            return Vec::new();
        }
        let wanted = self.selecting(uid, name);
        let before = self.assigned.get(&(uid, name.clone())).map(|(assigned, _)| assigned.clone());
        let next = match (&before, wanted.is_empty()) {
            (_, false) => Some(Assigned { run: true, placements: wanted, form: self.form(uid) }),
            (Some(old), true) if old.run => Some(Assigned { run: false, ..old.clone() }),
            (Some(_), true) if self.is_gone(uid, name) => None,
            (Some(old), true) => Some(old.clone()),
            (None, true) => self.unassigned_work(uid, name, touched),
        };
        let selection = |assigned: &Option<Assigned>| {
            assigned.as_ref().map(|assigned| (assigned.run, assigned.placements.clone()))
        };
        let mut affected = Vec::new();
        if selection(&before) != selection(&next) {
            let both = before.iter().chain(&next).flat_map(|assigned| &assigned.placements);
            affected.extend(both.copied());
        }
        if before != next {
            let live = next.is_some();
            self.tell_assignment(uid, name, before.as_ref(), next.as_ref());
            self.set_assigned(uid, name, next, step);
            self.count_work(uid, name, step);
            if live || before.is_some() {
                self.touch_child_row(name, Key::new(RowKind::Assignment, uid), live, step);
            }
        }
        self.count(uid, name);
        affected
    }

    /// What a decision about a workload on an own cluster means to people.
    fn tell_assignment(&mut self, uid: Uid, name: &Name, before: Option<&Assigned>, next: Option<&Assigned>) {
        let runs = |assigned: Option<&Assigned>| assigned.map(|assigned| assigned.run);
        match (runs(before), runs(next)) {
            (None | Some(false), Some(true)) => {
                let placements = next.into_iter().flat_map(|assigned| &assigned.placements);
                let names =
                    placements.filter_map(|uid| Some(self.object(*uid)?.metadata.name.name.to_string()));
                let message = format!("for placement {}", names.collect::<Vec<_>>().join(", "));
                self.happens_on(uid, name, Reason::Selected, message);
            }
            (None | Some(true), Some(false)) => {
                let leaving = self.children.get(name).and_then(|child| child.record.as_ref());
                let why = match self.object(uid) {
                    _ if leaving.is_some_and(|record| record.leaving) => "the cluster is leaving",
                    Some(object) if object.metadata.deleted.is_none() => "no placement selects it here",
                    Some(_) => "the workload is being deleted",
                    None => "the workload was deleted",
                };
                self.happens_on(uid, name, Reason::Removing, why);
            }
            (Some(_), None) => self.happens_on(uid, name, Reason::Gone, "the cluster has nothing left of it"),
            (Some(true), Some(true)) | (Some(false), Some(false)) | (None, None) => {}
        }
    }

    /// An agent may have been told to keep what it runs, of a workload that cannot be read here now:
    /// once it can, it is told again.
    fn leave_form_open(&mut self, uid: Uid, name: &Name, step: &mut Step) {
        let Some((assigned, _)) = self.assigned.get(&(uid, name.clone())) else { return };
        if assigned.form.is_some() && self.is_known(uid) && self.object(uid).is_none() {
            let open = Assigned { form: None, ..assigned.clone() };
            self.set_assigned(uid, name, Some(open), step);
        }
    }

    /// The form of a workload as it is now.
    fn form(&self, uid: Uid) -> Option<Form> {
        let object = self.object(uid)?;
        let revision = object.workload()?.revision.digest;
        Some(Form { home: object.metadata.home.clone(), revision })
    }

    /// Whether an object is here in a form that cannot be read, or in doubt: what it selected stays,
    /// and nothing is added.
    pub(super) fn is_frozen(&self, uid: Uid) -> bool {
        self.is_in_doubt(uid) || self.is_known(uid) && self.object(uid).is_none()
    }

    /// Whether an inherited object is kept although somebody above no longer knows it.
    pub(super) fn is_in_doubt(&self, uid: Uid) -> bool {
        let row = self.parent.as_ref().and_then(|edge| edge.inbox.row(&Key::new(RowKind::Object, uid)));
        let orphaned = row.is_some_and(|row| row.orphaned);
        let doubted_above = self.parents_row(RowKind::Doubt, uid).is_some();
        (orphaned || doubted_above) && !self.objects.contains_key(&uid)
    }

    pub(super) fn may_decide(&self, name: &Name) -> bool {
        self.children.get(name).is_some_and(|child| {
            child.record.as_ref().is_some_and(|record| record.role == Role::Agent) && self.has_heard(child)
        })
    }

    /// The placements of a workload that select a cluster.
    fn selecting(&self, uid: Uid, name: &Name) -> Vec<Uid> {
        let alive = self.object(uid).is_some_and(|object| object.metadata.deleted.is_none());
        if !alive {
            return Vec::new();
        }
        let placements = self.index.placements_of(uid).into_iter();
        placements.filter(|placement| self.selects(uid, *placement, name)).collect()
    }

    fn selects(&self, workload: Uid, placement: Uid, name: &Name) -> bool {
        if self.is_frozen(placement) {
            let assigned = self.assigned.get(&(workload, name.clone()));
            return assigned
                .is_some_and(|(assigned, _)| assigned.run && assigned.placements.contains(&placement));
        }
        let fit = self.fit_of(placement, name);
        let open = fit != Fit::IfThere || self.is_there(workload, name);
        match self.object(placement).and_then(|object| object.placement()) {
            Some(spec) if spec.number_of_clusters.is_none() => fit > Fit::Never && open,
            Some(_) => {
                let share = self.shares.get(&(placement, name.clone()));
                share.is_some_and(|share| share.grant > 0) && open
            }
            None => false,
        }
    }

    /// Whether what a placement selected at this own cluster may stay.
    pub(super) fn is_feasible(&self, placement: Uid, name: &Name) -> bool {
        self.fit_of(placement, name) > Fit::Never
    }

    /// Whether this own cluster is a place for a placement.
    pub(super) fn fit_of(&self, placement: Uid, name: &Name) -> Fit {
        self.fit(placement, self.children.get(name).and_then(|child| child.record.as_ref()))
    }

    /// Whether a cluster runs a workload: as it was told, or, of what nobody here told it, as it says.
    fn is_there(&self, workload: Uid, name: &Name) -> bool {
        match self.assigned.get(&(workload, name.clone())) {
            Some((assigned, _)) => assigned.run,
            None => self.report(workload, name).is_some_and(|report| report.work.is_some()),
        }
    }

    /// Work that a cluster reports although nothing here assigned it.
    fn unassigned_work(&self, uid: Uid, name: &Name, touched: &mut Touched) -> Option<Assigned> {
        let work = self.report(uid, name)?.work.as_ref()?;
        if self.is_known(uid) || self.is_verdict_deleted(uid, &work.home) {
            return Some(Assigned { run: false, placements: work.placements.clone(), form: None });
        }
        touched.orphans.insert(uid);
        None
    }

    /// What an own cluster last reported on a workload.
    pub(super) fn report(&self, uid: Uid, name: &Name) -> Option<&Report> {
        self.children.get(name)?.edge.inbox.get(&Key::new(RowKind::Report, uid))?.body.report()
    }

    /// Whether the cluster has obeyed the present assignment and holds nothing of the workload.
    fn is_gone(&self, uid: Uid, name: &Name) -> bool {
        let Some(child) = self.children.get(name) else { return true };
        let version = child.edge.outbox.version(&Key::new(RowKind::Assignment, uid));
        let told = version.map(|version| Stamp { incarnation: self.history.incarnation, version });
        self.report(uid, name).is_some_and(|report| report.work.is_none() && report.stamp == told)
    }

    pub(super) fn set_assigned(&mut self, uid: Uid, name: &Name, next: Option<Assigned>, step: &mut Step) {
        let slot = Slot::Assigned(name.clone(), uid);
        let pair = (uid, name.clone());
        match next {
            Some(assigned) => {
                step.put(Change::Put(slot, Value::Assigned(assigned.clone())));
                let counted = self.assigned.get(&pair).map(|(_, counted)| *counted).unwrap_or_default();
                self.assigned.insert(pair, (assigned, counted));
            }
            None => {
                step.put(Change::Delete(slot));
                if let Some((_, counted)) = self.assigned.remove(&pair) {
                    self.counts.entry(uid).or_default().subtract(&counted);
                }
            }
        }
    }

    /// Brings the counts of a workload up to date with one cluster.
    pub(super) fn count(&mut self, uid: Uid, name: &Name) {
        let now = self.standing(uid, name);
        let Some((_, counted)) = self.assigned.get_mut(&(uid, name.clone())) else { return };
        let before = std::mem::replace(counted, now);
        let counts = self.counts.entry(uid).or_default();
        counts.subtract(&before);
        counts.add(&now);
        self.tell_standing(uid, name, &before, &now);
    }

    /// A workload begins or ceases to do badly on an own cluster.
    fn tell_standing(&mut self, uid: Uid, name: &Name, before: &Counts, now: &Counts) {
        let bad = |counts: &Counts| (counts.refused > 0, counts.degraded > 0);
        let reason = match (bad(before), bad(now)) {
            (before, now) if before == now => return,
            (_, (true, _)) => Reason::Refused,
            (_, (false, true)) => Reason::Degraded,
            (_, (false, false)) if now.selected > 0 => Reason::Recovered,
            _ => return,
        };
        let work = self.report(uid, name).and_then(|report| report.work.as_ref());
        let message = work.map_or_else(String::new, |work| work.message.clone());
        self.happens_on(uid, name, reason, message);
    }

    /// Counts what was touched while nothing may be decided about it: what is told upward always
    /// follows from what is durable.
    pub(super) fn count_touched(&mut self, touched: &Touched) {
        let assigned = |uid: &Uid| {
            let uid = *uid;
            Self::of(&self.assigned, uid).map(move |(name, _)| (uid, name.clone()))
        };
        let pairs = touched.objects.iter().flat_map(assigned).chain(touched.pairs.iter().cloned());
        for (uid, name) in pairs.collect::<BTreeSet<_>>() {
            self.count(uid, &name);
        }
    }

    /// After a start: what was counted before is told already.
    pub(super) fn recount(&mut self) {
        let pairs: Vec<(Uid, Name)> = self.assigned.keys().cloned().collect();
        for (uid, name) in pairs {
            self.count(uid, &name);
        }
        self.events.forget_present();
    }

    /// One cluster's part of a workload's counts.
    fn standing(&self, uid: Uid, name: &Name) -> Counts {
        let mut counts = Counts::default();
        let Some((assigned, _)) = self.assigned.get(&(uid, name.clone())) else { return counts };
        if !assigned.run {
            counts.removing = 1;
            return counts;
        }
        counts.selected = 1;
        let wanted =
            self.object(uid).and_then(|object| object.workload()).map(|workload| workload.revision.digest);
        let Some(work) = self.report(uid, name).and_then(|report| report.work.as_ref()) else {
            return counts;
        };
        let updated = work.revision.is_some() && work.revision == wanted && work.sync == Sync::Synced;
        counts.updated = u32::from(updated);
        counts.healthy = u32::from(updated && work.health == Health::Healthy);
        counts.degraded = u32::from(matches!(work.health, Health::Degraded | Health::Missing));
        counts.refused = u32::from(work.refused);
        counts
    }
}

#[cfg(test)]
mod tests {
    use canopy_model::{Incarnation, Taint, Wall, taint};

    use super::*;
    use crate::hub::fixture::{NOW, PLACEMENT, Store, WORKLOAD, home, placement, press, workload};
    use crate::link::EdgeId;
    use crate::row::Body;

    #[test]
    fn a_cluster_runs_what_selects_it() {
        let mut store = Store::new();
        assert_eq!(store.decision(), Some(true));
        store.record(|record| drop(record.labels.remove("line")));
        assert_eq!(store.decision(), None, "its labels do not fit");
    }

    #[test]
    fn what_changed_while_its_hub_could_not_decide_is_told_later() {
        let mut store = Store::new();
        store.assigned(true);
        store.told_assignment(7);
        let (hub, _) = store.start();
        let told = |hub: &Hub| {
            let key = Key::new(RowKind::Assignment, WORKLOAD);
            hub.children[&press()].edge.outbox.version(&key).unwrap()
        };
        assert!(told(&hub) > 7, "it is not known in which form it was told");
        assert_eq!(hub.assigned[&(WORKLOAD, press())].0.form, hub.form(WORKLOAD));
    }

    #[test]
    fn what_selects_it_no_longer_is_removed() {
        for change in [
            (|store: &mut Store| store.record(|record| drop(record.labels.remove("line")))) as fn(&mut Store),
            |store| store.record(|record| record.leaving = true),
            |store| {
                let mut deleted = workload();
                deleted.metadata.deleted = Some(Wall(1));
                store.inherited(deleted, false);
            },
        ] {
            let mut store = Store::new();
            store.assigned(true);
            assert_eq!(store.decision(), Some(true));
            change(&mut store);
            assert_eq!(store.decision(), Some(false));
        }
    }

    #[test]
    fn a_taint_keeps_away_what_is_new_or_all() {
        let taint = |effect| Taint { key: "k".into(), value: String::new(), effect, added: Wall(0) };
        for (effect, fresh, running) in [
            (taint::Effect::PreferNoSelect, Some(true), Some(true)),
            (taint::Effect::NoSelectIfNew, None, Some(true)),
            (taint::Effect::NoSelect, None, Some(false)),
        ] {
            let mut store = Store::new();
            store.record(|record| record.taints.push(taint(effect)));
            assert_eq!(store.decision(), fresh, "{effect:?}");
            store.assigned(true);
            assert_eq!(store.decision(), running, "{effect:?}");
            let mut tolerant = placement();
            if let canopy_model::Spec::Placement(spec) = &mut tolerant.spec {
                spec.tolerations.push(Default::default());
            }
            store.inherited(tolerant, false);
            assert_eq!(store.decision(), Some(true), "it is tolerated");
        }
    }

    #[test]
    fn what_runs_on_a_closed_cluster_stays_also_when_its_hub_lost_its_memory() {
        let mut store = Store::new();
        store.record(|record| {
            let effect = taint::Effect::NoSelectIfNew;
            record.taints.push(Taint { key: "k".into(), value: String::new(), effect, added: Wall(0) });
        });
        store.reports(true, None, home("/", 1, 1));
        assert_eq!(store.decision(), Some(true));
        store.assigned(false);
        assert_eq!(store.decision(), Some(false), "what was to go does not come back");
    }

    #[test]
    fn a_cluster_keeps_what_it_has_while_its_hub_may_not_decide() {
        for change in [Store::without_record as fn(&mut Store), |store| {
            store.heard(EdgeId::Child(press()), Incarnation(9))
        }] {
            let mut store = Store::new();
            change(&mut store);
            assert_eq!(store.decision(), None, "nothing is started");
            store.assigned(true);
            store.unknown(WORKLOAD);
            assert_eq!(store.decision(), Some(true), "nothing is removed");
        }
    }

    #[test]
    fn what_is_in_doubt_neither_grows_nor_goes() {
        let doubted = |store: &mut Store, uid| {
            store.row(EdgeId::Parent, RowKind::Doubt, uid, Body::Doubt, false);
        };
        for doubt in [
            (|store: &mut Store, _: &dyn Fn(&mut Store, Uid)| store.inherited(workload(), true))
                as fn(&mut Store, &dyn Fn(&mut Store, Uid)),
            |store, doubted| doubted(store, WORKLOAD),
            |store, _| store.inherited(placement(), true),
            |store, doubted| doubted(store, PLACEMENT),
        ] {
            let mut store = Store::new();
            doubt(&mut store, &doubted);
            assert_eq!(store.decision(), None, "it does not grow");
            store.assigned(true);
            store.record(|record| drop(record.labels.remove("line")));
            assert_eq!(store.decision(), Some(true), "it does not go");
        }
    }

    #[test]
    fn gone_is_believed_only_for_the_assignment_that_it_answers() {
        let mut store = Store::new();
        store.unknown(WORKLOAD);
        store.assigned(false);
        let told = 7;
        store.told_assignment(told);
        let stamp = |incarnation, version| Some(Stamp { incarnation, version });
        for other in [None, stamp(NOW, told - 1), stamp(Incarnation(9), told)] {
            store.reports(false, other, home("/", 1, 1));
            assert_eq!(store.decision(), Some(false), "{other:?}");
        }
        store.reports(true, stamp(NOW, told), home("/", 1, 1));
        assert_eq!(store.decision(), Some(false), "it is still there");
        store.reports(false, stamp(NOW, told), home("/", 1, 1));
        assert_eq!(store.decision(), None);
    }

    #[test]
    fn work_that_nobody_assigned_is_removed_only_if_its_fate_is_known() {
        let mut store = Store::new();
        store.record(|record| drop(record.labels.remove("line")));
        store.reports(true, None, home("/", 1, 1));
        assert_eq!(store.decision(), Some(false), "the workload is known, and does not select it");
        store.unknown(WORKLOAD);
        assert_eq!(store.decision(), None, "nobody knows");
        store.row(EdgeId::Parent, RowKind::Verdict, WORKLOAD, Body::Verdict, false);
        assert_eq!(store.decision(), Some(false), "its home deleted it");
    }
}
