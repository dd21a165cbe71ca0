//! Work and objects whose wish nobody here knows: kept, shown, and asked about at their home.
//!
//! The home answers *deleted* only if it can prove it: the object was born at a position of the
//! home's own unbroken history. A home that was restored from before that cannot know; then an
//! administrator says adopt (apply it again under its uid) or drop.

use canopy_model::event::{Reason, Subject};
use canopy_model::{Home, Kind, Name, ObjectName, Role, Uid};

use super::settle::Touched;
use super::state::{Child, Hub};
use crate::link::{EdgeId, Resume};
use crate::row::{Body, Key, Orphan, RowKind};
use crate::seam::Step;

impl Hub {
    /// Whether the home of an object that is unknown here is known to have deleted it.
    pub(super) fn is_verdict_deleted(&self, uid: Uid, home: &Home) -> bool {
        if self.parents_row(RowKind::Verdict, uid).is_some() {
            return true;
        }
        home.path == self.path
            && (self.dropped.contains(&uid)
                || matches!(self.history.resume(Some(home.born), 0), Resume::After(_)))
    }

    /// An inherited object that its parent no longer knows goes when its home says so.
    pub(super) fn follow_verdicts(&mut self, touched: &mut Touched, step: &mut Step) {
        let uids: Vec<Uid> = match touched.everything {
            true => self.orphans().into_iter().map(|(uid, _)| uid).collect(),
            false => touched.orphans.iter().copied().collect(),
        };
        for uid in uids {
            touched.orphans.insert(uid);
            let key = Key::new(RowKind::Object, uid);
            let Some(edge) = &self.parent else { continue };
            let orphaned = edge.inbox.row(&key).is_some_and(|row| row.orphaned);
            if self.parents_row(RowKind::Verdict, uid).is_none() {
                continue;
            }
            if orphaned && let Some(mut edge) = self.take_edge(&EdgeId::Parent) {
                edge.inbox.remove(&EdgeId::Parent, &key, step);
                edge.inbox.remove(&EdgeId::Parent, &Key::new(RowKind::Grant, uid), step);
                self.return_edge(edge);
                for name in self.names(Role::Hub) {
                    self.touch_child_row(&name, key, false, step);
                }
                touched.objects.insert(uid);
            }
            let holders = self.names(Role::Agent);
            touched.pairs.extend(holders.into_iter().map(|name| (uid, name)));
        }
    }

    /// Everything that is orphaned here or below.
    pub fn orphans(&self) -> Vec<(Uid, Orphan)> {
        let inherited = self.parent.iter().flat_map(|edge| edge.inbox.rows()).filter(|(_, row)| row.orphaned);
        let mut uids: std::collections::BTreeSet<Uid> = inherited.map(|(key, _)| key.uid).collect();
        for child in self.children.values() {
            let doubtful = |(key, row): &(&Key, &crate::durable::ReceivedRow)| {
                let body = &row.payload.body;
                body.orphan().is_some() || body.work().is_some() && !self.is_known(key.uid)
            };
            uids.extend(child.edge.inbox.rows().filter(doubtful).map(|(key, _)| key.uid));
        }
        uids.into_iter().filter_map(|uid| Some((uid, self.orphan(uid)?))).collect()
    }

    /// What is known of an object of which the wish is unknown.
    pub(super) fn orphan(&self, uid: Uid) -> Option<Orphan> {
        if self.objects.contains_key(&uid) {
            return None;
        }
        let row = self.parent.as_ref().and_then(|edge| edge.inbox.row(&Key::new(RowKind::Object, uid)));
        match row.map(|row| (row.orphaned, &row.payload.body)) {
            Some((true, Body::Object(object))) => {
                let (kind, metadata) = (object.spec.kind(), &object.metadata);
                return Some(self.orphan_of(uid, kind, &metadata.name, &metadata.home));
            }
            Some(_) => return None,
            None => {}
        }
        self.children.iter().find_map(|(name, child)| {
            if let Some(orphan) = told_orphan(child, uid) {
                return Some(self.orphan_of(uid, orphan.kind, &orphan.name, &orphan.home));
            }
            let work = self.report(uid, name)?.work.as_ref()?;
            let unassigned = !self.assigned.contains_key(&(uid, name.clone()));
            unassigned.then(|| self.orphan_of(uid, Kind::Workload, &work.name, &work.home))
        })
    }

    /// An orphan, with the clusters below that hold it.
    fn orphan_of(&self, uid: Uid, kind: Kind, name: &ObjectName, home: &Home) -> Orphan {
        let held = |(name, child): (&Name, &Child)| match told_orphan(child, uid) {
            Some(orphan) => orphan.clusters,
            None => u32::from(self.report(uid, name).is_some_and(|report| report.work.is_some())),
        };
        let clusters = self.children.iter().map(held).fold(0, u32::saturating_add);
        Orphan { kind, name: name.clone(), home: home.clone(), clusters }
    }

    /// Asks upward about what is orphaned, and passes verdicts down to those who ask.
    pub(super) fn tell_orphans(&mut self, touched: &Touched, step: &mut Step) {
        for uid in &touched.orphans {
            let orphan = self.orphan(*uid);
            self.tell_doubt(*uid, orphan.as_ref());
            let deleted = match &orphan {
                Some(orphan) => self.is_verdict_deleted(*uid, &orphan.home),
                None => self.parents_row(RowKind::Verdict, *uid).is_some(),
            };
            let ask = orphan
                .filter(|orphan| orphan.home.path != self.path && orphan.home.path.contains(&self.path));
            self.tell(Key::new(RowKind::Orphan, *uid), ask.map(Body::Orphan), step);
            for (name, live) in self.askers(*uid, deleted) {
                self.touch_child_row(&name, Key::new(RowKind::Verdict, *uid), live, step);
            }
            self.pass_on_doubt(*uid, step);
        }
    }

    /// Something becomes an orphan, or is none any more.
    fn tell_doubt(&mut self, uid: Uid, orphan: Option<&Orphan>) {
        let about = |orphan: &Orphan| {
            let (project, name) = (Some(orphan.name.project.clone()), orphan.name.name.to_string());
            Subject { kind: orphan.kind, uid, project, name, home: orphan.home.path.clone() }
        };
        // Before, much is unknown that is no orphan.
        if !self.is_ready() {
            return;
        }
        match orphan {
            Some(orphan) if self.orphaned.insert(uid) => {
                let message = "its home does not know it; it is kept until it is adopted or dropped there";
                self.happens(Reason::Orphaned, about(orphan), message);
            }
            None if self.orphaned.remove(&uid) => {
                let (kind, name) = (Kind::Workload, uid.to_string());
                let unknown = Subject { kind, uid, project: None, name, home: self.path.clone() };
                let about = self.object_subject(uid).unwrap_or(unknown);
                self.happens(Reason::OrphanResolved, about, "");
            }
            Some(_) | None => {}
        }
    }

    /// Hubs below keep what is in doubt here as it is, too.
    fn pass_on_doubt(&mut self, uid: Uid, step: &mut Step) {
        let doubt = Key::new(RowKind::Doubt, uid);
        let live = self.is_in_doubt(uid);
        for name in self.names(Role::Hub) {
            let told =
                self.children.get(&name).is_some_and(|child| child.edge.outbox.version(&doubt).is_some());
            if told != live {
                self.touch_child_row(&name, doubt, live, step);
            }
        }
    }

    /// The child hubs for which a verdict comes into view or leaves it.
    fn askers(&self, uid: Uid, deleted: bool) -> Vec<(Name, bool)> {
        let verdict = Key::new(RowKind::Verdict, uid);
        let mut askers = Vec::new();
        for (name, child) in &self.children {
            let asks = child.edge.inbox.get(&Key::new(RowKind::Orphan, uid)).is_some();
            let told = child.edge.outbox.version(&verdict).is_some();
            if (asks && deleted) != told {
                askers.push((name.clone(), asks && deleted));
            }
        }
        askers
    }
}

/// What a hub below asks about.
fn told_orphan(child: &Child, uid: Uid) -> Option<&Orphan> {
    child.edge.inbox.get(&Key::new(RowKind::Orphan, uid))?.body.orphan()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hub::fixture::{Store, WORKLOAD, home, workload};

    /// A hub whose cluster holds work that it does not know, at home there.
    fn found(home: Home) -> Hub {
        let mut store = Store::new();
        store.unknown(WORKLOAD);
        store.reports(true, None, home);
        store.start().0
    }

    fn is_orphan(hub: &Hub) -> bool {
        hub.orphans().iter().any(|(uid, _)| *uid == WORKLOAD)
    }

    /// Whether the hub asks above what is to become of the workload.
    fn asks(hub: &Hub) -> bool {
        hub.told.contains_key(&Key::new(RowKind::Orphan, WORKLOAD))
    }

    #[test]
    fn a_home_says_deleted_only_of_what_it_proves_to_have_known() {
        let known = found(home("eu", 10, 15));
        assert!(!is_orphan(&known), "born in its own history, and no longer there");
        for unproven in [home("eu", 10, 30), home("eu", 7, 15)] {
            let hub = found(unproven.clone());
            assert!(is_orphan(&hub), "{unproven:?}");
            assert!(!asks(&hub), "its home is here");
        }
    }

    #[test]
    fn an_administrator_drops_what_the_home_cannot_know() {
        let mut hub = found(home("eu", 10, 30));
        let home = home("eu", 10, 30);
        assert!(!hub.is_verdict_deleted(WORKLOAD, &home));
        hub.dropped.insert(WORKLOAD);
        assert!(hub.is_verdict_deleted(WORKLOAD, &home));
    }

    #[test]
    fn what_is_at_home_above_is_asked_about_and_kept_meanwhile() {
        let hub = found(home("/", 1, 1));
        assert!(is_orphan(&hub) && asks(&hub));
        assert!(hub.assigned.is_empty(), "nothing is removed");
    }

    #[test]
    fn an_inherited_object_goes_only_by_verdict() {
        let mut store = Store::new();
        store.assigned(true);
        store.inherited(workload(), true);
        let (hub, _) = store.start();
        assert!(is_orphan(&hub) && hub.object(WORKLOAD).is_some());
        assert_eq!(store.decision(), Some(true));
        store.row(EdgeId::Parent, RowKind::Verdict, WORKLOAD, Body::Verdict, false);
        let (hub, _) = store.start();
        assert!(!is_orphan(&hub) && hub.object(WORKLOAD).is_none());
        assert_eq!(store.decision(), Some(false));
    }

    #[test]
    fn verdicts_and_doubts_are_passed_to_the_hubs_below_that_they_concern() {
        let told = |store: &Store, kind| {
            let (hub, _) = store.start();
            let child = &hub.children[&"plant".parse::<Name>().unwrap()];
            child.edge.outbox.version(&Key::new(kind, WORKLOAD)).is_some()
        };
        let mut store = Store::new();
        store.child("plant", Role::Hub);
        store.inherited(workload(), true);
        assert!(told(&store, RowKind::Doubt));
        store.unknown(WORKLOAD);
        store.row(EdgeId::Parent, RowKind::Verdict, WORKLOAD, Body::Verdict, false);
        assert!(!told(&store, RowKind::Verdict), "it did not ask");
        let plant = EdgeId::Child("plant".parse().unwrap());
        let name = workload().metadata.name;
        let orphan = Orphan { kind: Kind::Workload, name, home: home("/", 1, 1), clusters: 3 };
        store.row(plant, RowKind::Orphan, WORKLOAD, Body::Orphan(orphan), false);
        let (hub, _) = store.start();
        assert_eq!(hub.orphan(WORKLOAD).map(|it| it.clusters), Some(3), "counted below, and here none");
        assert!(told(&store, RowKind::Verdict));
        assert!(!told(&store, RowKind::Doubt));
    }
}
