//! Placements and workloads: which there are, and how they are doing.

use std::collections::BTreeSet;
use std::sync::Arc;

use canopy_model::{Condition, Kind, Name, Now, Object, ObjectName, Path, Summary, Uid, Wall};

use super::nodes::SILENT_AFTER;
use super::{STALE, condition, fold, join};
use crate::hub::selected::Selected;
use crate::hub::state::Hub;
use crate::row::{Key, RowKind};

/// How far a placement is satisfied.
#[derive(Debug)]
pub struct PlacementView {
    /// Clusters that are selected; without a number, as far as it is known here.
    pub selected: u32,
    /// The number that is wanted.
    pub wanted: Option<u32>,
    /// The last of them is Ready.
    pub conditions: Vec<Condition>,
}

/// How a workload is doing.
#[derive(Debug)]
pub struct WorkloadView {
    /// Over all clusters below.
    pub summary: Summary,
    /// The last of them is Ready.
    pub conditions: Vec<Condition>,
}

impl Hub {
    /// The objects of one kind that are at home here, in the order of project and name.
    pub fn homed(&self, kind: Kind) -> Vec<&Arc<Object>> {
        let mut found: Vec<_> = self.objects.values().filter(|object| object.spec.kind() == kind).collect();
        found.sort_by(|a, b| a.metadata.name.cmp(&b.metadata.name));
        found
    }

    /// The objects of one kind that apply here, in the order of their homes and names: what is
    /// inherited stands before what is at home here.
    pub fn applying(&self, kind: Kind) -> Vec<&Arc<Object>> {
        let mut found: Vec<_> = self.all_objects().filter(|object| object.spec.kind() == kind).collect();
        let order = |object: &Object| (object.metadata.home.path.clone(), object.metadata.name.clone());
        found.sort_by_cached_key(|object| order(object));
        found
    }

    /// The object of this name that is at home at a hub, if it applies here.
    pub fn find_at(&self, home: &Path, kind: Kind, name: &ObjectName) -> Option<&Arc<Object>> {
        self.object(self.index.find(kind, home, name)?)
    }

    /// The object of this name that applies here: the one that is at home here, or else nearest
    /// above.
    pub fn find_nearest(&self, kind: Kind, name: &ObjectName) -> Option<&Arc<Object>> {
        let homes = std::iter::successors(Some(self.path.clone()), Path::parent);
        homes.into_iter().find_map(|home| self.find_at(&home, kind, name))
    }

    /// How far a placement that applies here is satisfied below this hub.
    pub fn placement_view(&self, uid: Uid) -> Option<PlacementView> {
        let number = self.object(uid)?.placement()?.number_of_clusters;
        let wanted = number.map(|_| self.quota(uid).unwrap_or(0));
        let (selected, told) = match self.selected(uid) {
            None => (self.granted(uid), true),
            Some(Selected { clusters, complete }) => (clusters, complete),
        };
        let satisfied = match (selected, wanted) {
            (_, None) if !told => {
                let message = "each hub below selects its own clusters, and not every one has told how many";
                (None, "NotCounted", message.to_owned())
            }
            (0, None | Some(1..)) => {
                (Some(false), "NoManagedClusterMatched", "no cluster is selected".to_owned())
            }
            (_, Some(wanted)) if selected < wanted => {
                let message = format!("{selected} of {wanted} clusters are selected");
                (Some(false), "NotAllDecisionsScheduled", message)
            }
            _ => (Some(true), "AllDecisionsScheduled", String::new()),
        };
        let (status, reason, message) = satisfied;
        let mut satisfied = condition("PlacementSatisfied", status, reason, &message);
        satisfied.since = self.since(uid, &satisfied);
        let ready = Condition { kind: "Ready", ..satisfied.clone() };
        Some(PlacementView { selected, wanted, conditions: vec![satisfied, ready] })
    }

    fn granted(&self, placement: Uid) -> u32 {
        Self::of(&self.shares, placement).fold(0, |sum, (_, share)| sum.saturating_add(share.grant))
    }

    /// How a workload that applies here is doing below this hub.
    pub fn workload_view(&self, now: Now, uid: Uid) -> Option<WorkloadView> {
        let object = self.object(uid)?;
        let summary = self.summary(uid)?;
        let mut conditions = vec![self.placements_found(object)];
        conditions.extend(fold::conditions(&summary));
        for condition in &mut conditions {
            condition.since = self.since(uid, condition);
        }
        conditions.insert(1, self.current(now, uid));
        let mut ready = fold::sum_up(object, &summary, &conditions);
        if ready.reason != STALE {
            ready.since = self.since(uid, &ready);
        }
        conditions.push(ready);
        Some(WorkloadView { summary, conditions })
    }

    /// The conditions of an object that no passing of time changes.
    pub(in crate::hub) fn lasting_conditions(&self, uid: Uid) -> Vec<Condition> {
        if let Some(placement) = self.placement_view(uid) {
            return placement.conditions;
        }
        let (Some(object), Some(summary)) = (self.object(uid), self.summary(uid)) else { return Vec::new() };
        let mut conditions = vec![self.placements_found(object)];
        conditions.extend(fold::conditions(&summary));
        conditions.push(fold::sum_up(object, &summary, &conditions));
        conditions
    }

    /// Whether what is shown of a workload is news: the children that have it are heard.
    fn current(&self, now: Now, uid: Uid) -> Condition {
        let rows = [RowKind::Report, RowKind::Summary].map(|kind| Key::new(kind, uid));
        let concerned = || {
            self.children.iter().filter(|(_, child)| {
                child.record.is_some() && rows.iter().any(|key| child.edge.inbox.get(key).is_some())
            })
        };
        let silent = concerned().map(|(name, child)| (self.age(now, child), name));
        let silent: Vec<_> = silent.filter(|(age, _)| *age >= SILENT_AFTER).collect();
        let Some((age, longest)) = silent.iter().max() else {
            let connected = concerned().filter_map(|(_, child)| child.edge.connected_since()).max();
            let since = connected.map_or(Wall(0), |at| now.wall_at(at));
            return Condition { since, ..condition("Current", Some(true), "Heard", "") };
        };
        let others = match silent.len() - 1 {
            0 => String::new(),
            others => format!(" and {others} more"),
        };
        let path = self.path.child(longest);
        let message = format!("{path}{others} not heard for {} s: counts are from then", age.as_secs());
        let fell_silent = (*age).saturating_sub(SILENT_AFTER);
        let since = Wall(now.wall.0.saturating_sub(fell_silent.as_millis() as u64));
        Condition { since, ..condition("Current", Some(false), STALE, &message) }
    }

    fn placements_found(&self, object: &Object) -> Condition {
        let named = object.workload().map(|workload| workload.placements.as_slice()).unwrap_or_default();
        let (home, project) = (&object.metadata.home.path, &object.metadata.name.project);
        let absent = named.iter().filter(|name| {
            let name = ObjectName { project: project.clone(), name: (*name).clone() };
            self.find_at(home, Kind::Placement, &name).is_none()
        });
        let absent: BTreeSet<&Name> = absent.collect();
        if named.is_empty() {
            return condition("PlacementFound", Some(false), "NoPlacement", "spec.placements is empty");
        }
        if absent.is_empty() {
            return condition("PlacementFound", Some(true), "Found", "");
        }
        let message = format!("no placement {} in project {project} at hub {home}", join(&absent));
        condition("PlacementFound", Some(false), "PlacementNotFound", &message)
    }
}
