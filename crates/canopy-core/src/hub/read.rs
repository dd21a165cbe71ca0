//! The questions that users ask, answered from the committed state.
//!
//! What is shown here is what this hub knows by itself: its own objects, its own children, and what
//! was folded upward. A stale thing is shown as stale, with its age.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use canopy_model::{
    Claims, Condition, Fleet, Kind, Name, Now, Object, Path, Record, Role, Summary, Uid, Work,
};

use super::state::{Child, Hub};
use crate::link::HEARTBEAT_EVERY;
use crate::row::{Body, Key, RowKind};

/// A child that was silent for longer is no longer shown as available: three heartbeats.
pub const SILENT_AFTER: Duration = HEARTBEAT_EVERY.saturating_mul(3);

/// A hub or cluster directly below.
#[derive(Debug)]
pub struct NodeView<'a> {
    /// Where it stands.
    pub path: Path,
    /// What is recorded about it.
    pub record: &'a Record,
    /// Whether its connection is open.
    pub connected: bool,
    /// How long ago it was heard last; since this hub's start if it was not heard since.
    pub age: Duration,
    /// What stands below it, if it is a hub.
    pub fleet: Fleet,
    /// The last of them is Ready, which sums up.
    pub conditions: Vec<Condition>,
}

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

    /// Whether this hub decides, and if not, what it waits for.
    pub fn readiness(&self) -> Condition {
        let wishes_known =
            self.parent.as_ref().is_none_or(|edge| edge.inbox.is_heard(self.history.incarnation));
        let (status, reason, message) = if self.started.is_none() {
            (false, "Starting", "the hub is starting".to_owned())
        } else if !wishes_known {
            let message = "waiting for the parent's wishes; everything below stays as it is".to_owned();
            (false, "WaitingForParent", message)
        } else if self.grace_until.is_some() {
            let names = join(self.missing());
            (false, "WaitingForChildren", format!("waiting for the first report of {names}"))
        } else if self.history.recovering {
            let message = "clusters may be missing after the store was lost or restored; nothing new is \
                           selected until `canopy hub forget-missing`";
            (false, "Recovering", message.to_owned())
        } else {
            (true, "Ready", String::new())
        };
        Condition { kind: "Ready", status: Some(status), reason, message }
    }

    /// The recorded children that have not reported in the present incarnation.
    pub fn missing(&self) -> Vec<Path> {
        let heard = |child: &Child| child.edge.inbox.is_heard(self.history.incarnation);
        let missing = self.children.iter().filter(|(_, child)| child.record.is_some() && !heard(child));
        missing.map(|(name, _)| self.path.child(name)).collect()
    }

    /// A recorded child.
    pub fn node(&self, now: Now, name: &Name) -> Option<NodeView<'_>> {
        let child = self.children.get(name)?;
        let record = child.record.as_ref()?;
        let age = self.age(now, child);
        let fleet = match child.edge.inbox.get(&Key::new(RowKind::Fleet, Uid(0))).map(|row| &row.body) {
            Some(Body::Fleet(fleet)) => *fleet,
            _ => Fleet::default(),
        };
        Some(NodeView {
            path: self.path.child(name),
            record,
            connected: child.edge.is_connected(),
            age,
            fleet,
            conditions: self.node_conditions(child, record, age),
        })
    }

    fn node_conditions(&self, child: &Child, record: &Record, age: Duration) -> Vec<Condition> {
        let joined = child.edge.inbox.is_heard(self.history.incarnation);
        let available = child.edge.is_connected() && age < SILENT_AFTER;
        let silence = if child.edge.is_connected() {
            format!("connected, and silent for {} s", age.as_secs())
        } else {
            format!("not connected; not heard for {} s or more", age.as_secs())
        };
        let accepted = condition("Accepted", Some(true), "Recorded", "");
        let joined = match joined {
            true => condition("Joined", Some(true), "Reported", ""),
            false => condition("Joined", Some(false), "NotReported", "no complete report has arrived yet"),
        };
        let available = match available {
            true => condition("Available", Some(true), "Connected", ""),
            false => condition("Available", None, "Silent", &silence),
        };
        let ready = match (record.leaving, joined.status, available.status) {
            (true, ..) => condition("Ready", Some(false), "Terminating", "what runs there is being removed"),
            (_, Some(true), Some(true)) => condition("Ready", Some(true), "Ready", ""),
            (_, _, Some(_)) => Condition { kind: "Ready", ..joined.clone() },
            (_, _, None) => Condition { kind: "Ready", ..available.clone() },
        };
        match record.role {
            Role::Agent => vec![accepted, joined, available, ready],
            Role::Hub => vec![accepted, available, ready],
        }
    }

    /// What an agent says about its cluster.
    pub fn claims(&self, name: &Name) -> Claims {
        let row = self.children.get(name).and_then(|child| child.edge.inbox.get(&CLAIMS));
        match row.map(|row| &row.body) {
            Some(Body::Claims(claims)) => claims.clone(),
            _ => Claims::new(),
        }
    }

    /// What runs on an own cluster, in the order of names.
    pub fn works(&self, name: &Name) -> Vec<&Work> {
        let rows = self.children.get(name).into_iter().flat_map(|child| child.edge.inbox.rows());
        let mut works: Vec<&Work> = rows.filter_map(|(_, row)| row.payload.body.work()).collect();
        works.sort_by(|a, b| (&a.name, &a.home.path).cmp(&(&b.name, &b.home.path)));
        works
    }

    /// How far a placement that is at home here is satisfied.
    pub fn placement_view(&self, uid: Uid) -> Option<PlacementView> {
        let object = self.objects.get(&uid)?;
        let wanted = object.placement()?.number_of_clusters;
        let selected = match wanted {
            Some(_) => self.granted(uid),
            None => self.selected(uid)?.clusters,
        };
        let satisfied = match (selected, wanted) {
            (0, None | Some(1..)) => (false, "NoManagedClusterMatched", "no cluster is selected".to_owned()),
            (_, Some(wanted)) if selected < wanted => {
                let message = format!("{selected} of {wanted} clusters are selected");
                (false, "NotAllDecisionsScheduled", message)
            }
            _ => (true, "AllDecisionsScheduled", String::new()),
        };
        let (status, reason, message) = satisfied;
        let satisfied = condition("PlacementSatisfied", Some(status), reason, &message);
        let ready = Condition { kind: "Ready", ..satisfied.clone() };
        Some(PlacementView { selected, wanted, conditions: vec![satisfied, ready] })
    }

    fn granted(&self, placement: Uid) -> u32 {
        let shares = self.shares.iter().filter(|((uid, _), _)| *uid == placement);
        shares.fold(0, |sum, (_, share)| sum.saturating_add(share.grant))
    }

    /// How a workload that is at home here is doing.
    pub fn workload_view(&self, now: Now, uid: Uid) -> Option<WorkloadView> {
        let object = self.objects.get(&uid)?;
        let summary = self.summary(uid)?;
        let mut conditions = vec![self.placements_found(object), self.current(now, uid)];
        conditions.extend(fold_conditions(&summary));
        conditions.push(sum_up(object, &summary, &conditions));
        Some(WorkloadView { summary, conditions })
    }

    /// Whether what is shown of a workload is news: the children that have it are heard.
    fn current(&self, now: Now, uid: Uid) -> Condition {
        let rows = [RowKind::Report, RowKind::Summary].map(|kind| Key::new(kind, uid));
        let concerned = self.children.iter().filter(|(_, child)| {
            child.record.is_some() && rows.iter().any(|key| child.edge.inbox.get(key).is_some())
        });
        let silent = concerned.map(|(name, child)| (self.age(now, child), name));
        let silent: Vec<_> = silent.filter(|(age, _)| *age >= SILENT_AFTER).collect();
        let Some((age, longest)) = silent.iter().max() else {
            return condition("Current", Some(true), "Heard", "");
        };
        let others = match silent.len() - 1 {
            0 => String::new(),
            others => format!(" and {others} more"),
        };
        let path = self.path.child(longest);
        let message = format!("{path}{others} not heard for {} s: counts are from then", age.as_secs());
        condition("Current", Some(false), "Stale", &message)
    }

    /// How long ago a child was heard; since this hub's start if it was not heard since.
    fn age(&self, now: Now, child: &Child) -> Duration {
        let started = self.started.unwrap_or(now.uptime);
        now.uptime.since(child.edge.freshness().map_or(started, |(heard, _)| heard))
    }

    fn placements_found(&self, object: &Object) -> Condition {
        let named = object.workload().map(|workload| workload.placements.as_slice()).unwrap_or_default();
        let project = &object.metadata.name.project;
        let absent = named.iter().filter(|name| {
            let name = canopy_model::ObjectName { project: project.clone(), name: (*name).clone() };
            self.find(Kind::Placement, &name).is_none()
        });
        let absent: BTreeSet<&Name> = absent.collect();
        if named.is_empty() {
            return condition("PlacementFound", Some(false), "NoPlacement", "spec.placements is empty");
        }
        if absent.is_empty() {
            return condition("PlacementFound", Some(true), "Found", "");
        }
        let message = format!("no placement {} in project {project} here", join(&absent));
        condition("PlacementFound", Some(false), "PlacementNotFound", &message)
    }
}

const CLAIMS: Key = Key { kind: RowKind::Claims, uid: Uid(0) };

/// Applied, Available, Progressing and Degraded, in OCM's and kstatus' sense.
fn fold_conditions(summary: &Summary) -> [Condition; 4] {
    let counts = &summary.counts;
    let of = |part: u32| format!("{part} of {} clusters", counts.selected);
    let failed = counts.degraded.saturating_add(counts.refused);
    let all = |part: u32| counts.selected > 0 && part >= counts.selected;
    let applied = match all(counts.updated) {
        true => condition("Applied", Some(true), "AppliedEverywhere", &of(counts.updated)),
        false if counts.refused > 0 => {
            condition("Applied", Some(false), "Refused", &format!("refused by {}", of(counts.refused)))
        }
        false => condition("Applied", Some(false), "Applying", &of(counts.updated)),
    };
    let available = match all(counts.healthy) {
        true => condition("Available", Some(true), "AvailableEverywhere", &of(counts.healthy)),
        false => condition("Available", Some(false), "NotAvailableEverywhere", &of(counts.healthy)),
    };
    let waiting = counts.selected.saturating_sub(counts.healthy);
    let moving = waiting > failed || counts.removing > 0;
    let progressing = match moving {
        true if counts.removing > 0 => {
            let message = format!("{} being removed", counts.removing);
            condition("Progressing", Some(true), "Removing", &message)
        }
        true => condition("Progressing", Some(true), "RollingOut", &of(counts.healthy)),
        false => condition("Progressing", Some(false), "Settled", ""),
    };
    let degraded = match failed > 0 {
        true => {
            let message = [of(failed), summary.example.clone()];
            let message: Vec<_> = message.into_iter().filter(|part| !part.is_empty()).collect();
            condition("Degraded", Some(true), "Failing", &message.join("; "))
        }
        false => condition("Degraded", Some(false), "NoneFailing", ""),
    };
    [applied, available, progressing, degraded]
}

/// The condition Ready of a workload: what hinders it most.
fn sum_up(object: &Object, summary: &Summary, conditions: &[Condition]) -> Condition {
    let counts = &summary.counts;
    if object.metadata.deleted.is_some() {
        let left = counts.selected.saturating_add(counts.removing);
        return condition("Ready", Some(false), "Terminating", &format!("still on {left} clusters"));
    }
    let is = |kind, status| {
        conditions.iter().find(|condition| condition.kind == kind && condition.status == Some(status))
    };
    if let Some(absent) = is("PlacementFound", false) {
        return Condition { kind: "Ready", ..absent.clone() };
    }
    if counts.selected == 0 {
        return condition("Ready", Some(false), "NoClusterSelected", "no cluster is selected");
    }
    if let Some(degraded) = is("Degraded", true) {
        return Condition { kind: "Ready", status: Some(false), ..degraded.clone() };
    }
    match is("Available", true) {
        Some(available) => match is("Current", false) {
            Some(stale) => Condition { kind: "Ready", status: None, ..stale.clone() },
            None => condition("Ready", Some(true), "Ready", &available.message),
        },
        None => {
            let message = format!("{} of {} clusters", counts.healthy, counts.selected);
            condition("Ready", Some(false), "Progressing", &message)
        }
    }
}

fn condition(kind: &'static str, status: Option<bool>, reason: &'static str, message: &str) -> Condition {
    Condition { kind, status, reason, message: message.to_owned() }
}

fn join<T: std::fmt::Display>(names: impl IntoIterator<Item = T>) -> String {
    names.into_iter().map(|name| name.to_string()).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use canopy_model::{Counts, Digest, Labels, ObjectName, Placement, Report, Revision, Spec, Workload};

    use super::*;
    use crate::command::{Command, Verb};
    use crate::durable::ReceivedRow;
    use crate::{Input, Machine};

    fn name(text: &str) -> Name {
        text.parse().unwrap()
    }

    fn root(specs: Vec<(&str, Spec)>) -> Hub {
        let mut hub = Hub::load(Path::root(), []);
        let mut next = 0;
        let mut command = |hub: &mut Hub, verb| {
            next += 1;
            let command = Command { id: Uid(next), principal: "alice".to_owned(), verb };
            hub.handle(Now::default(), Input::Command(command)).commit(|_| Ok::<(), ()>(())).unwrap();
        };
        let started = Input::Started { boot: canopy_model::Boot(1) };
        hub.handle(Now::default(), started).commit(|_| Ok::<(), ()>(())).unwrap();
        let record = Record { uid: Uid(9), role: Role::Agent, labels: Labels::new(), leaving: false };
        command(&mut hub, Verb::Accept { name: name("press-3"), record });
        for (at, (text, spec)) in specs.into_iter().enumerate() {
            let name = ObjectName { project: name("default"), name: name(text) };
            let uid = Uid(100 + at as u128);
            command(&mut hub, Verb::Apply { name, labels: Labels::new(), spec, uid, expected: None });
        }
        hub
    }

    fn workload(placements: &[&str]) -> Spec {
        let revision = Revision { digest: Digest([0; 32]), size: 2, inline: Some((*b"[]").into()) };
        Spec::Workload(Workload { placements: placements.iter().map(|text| name(text)).collect(), revision })
    }

    fn ready(conditions: &[Condition]) -> (&str, Option<bool>, &str) {
        let ready = conditions.last().unwrap();
        (ready.kind, ready.status, ready.reason)
    }

    #[test]
    fn a_cluster_that_never_reported_is_not_available() {
        let hub = root(vec![]);
        let now = Now { uptime: canopy_model::Uptime(60_000), ..Now::default() };
        let node = hub.node(now, &name("press-3")).unwrap();
        assert_eq!(node.age, Duration::from_secs(60));
        assert_eq!(ready(&node.conditions), ("Ready", None, "Silent"));
        assert_eq!(hub.missing(), ["press-3".parse().unwrap()]);
        assert!(hub.node(now, &name("press-4")).is_none());
    }

    #[test]
    fn a_placement_says_whether_it_is_satisfied() {
        let numbered = Placement { number_of_clusters: Some(2), ..Placement::default() };
        let hub =
            root(vec![("all", Spec::Placement(Placement::default())), ("two", Spec::Placement(numbered))]);
        let all = hub.placement_view(Uid(100)).unwrap();
        assert_eq!((all.selected, ready(&all.conditions).2), (1, "AllDecisionsScheduled"));
        let two = hub.placement_view(Uid(101)).unwrap();
        assert_eq!((two.selected, ready(&two.conditions).2), (0, "NoManagedClusterMatched"));
    }

    #[test]
    fn what_was_told_long_ago_is_shown_as_stale() {
        let mut hub = root(vec![("all", Spec::Placement(Placement::default())), ("web", workload(&["all"]))]);
        let report = Report { stamp: None, work: None };
        let row = ReceivedRow {
            version: 1,
            learned: hub.history.incarnation,
            orphaned: false,
            payload: Body::Report(report).into(),
        };
        let child = hub.children.get_mut(&name("press-3")).unwrap();
        let key = Key::new(RowKind::Report, Uid(101));
        child.edge.inbox.load_row(false, key, row);
        let current = |seconds: u64| {
            let now = Now { uptime: canopy_model::Uptime(seconds * 1000), ..Now::default() };
            let view = hub.workload_view(now, Uid(101)).unwrap();
            view.conditions.into_iter().find(|condition| condition.kind == "Current").unwrap()
        };
        assert_eq!(current(20).status, Some(true));
        assert_eq!(current(40).message, "press-3 not heard for 40 s: counts are from then");
    }

    #[test]
    fn a_workload_names_the_placement_that_does_not_exist() {
        let hub = root(vec![("web", workload(&["cnc"])), ("lone", workload(&[]))]);
        let web = hub.workload_view(Now::default(), Uid(100)).unwrap();
        assert_eq!(ready(&web.conditions), ("Ready", Some(false), "PlacementNotFound"));
        assert!(web.conditions.last().unwrap().message.contains("cnc"));
        assert_eq!(ready(&hub.workload_view(Now::default(), Uid(101)).unwrap().conditions).2, "NoPlacement");
        let names: Vec<_> =
            hub.homed(Kind::Workload).iter().map(|object| object.metadata.name.name.to_string()).collect();
        assert_eq!(names, ["lone", "web"]);
    }

    #[test]
    fn the_fold_of_a_workload_reads_as_conditions() {
        let counts = |selected, updated, healthy, degraded, removing| Counts {
            selected,
            updated,
            healthy,
            degraded,
            refused: 0,
            removing,
        };
        for (counts, expected) in [
            (counts(0, 0, 0, 0, 0), "Applied=false Available=false Progressing=false Degraded=false"),
            (counts(3, 1, 0, 0, 0), "Applied=false Available=false Progressing=true Degraded=false"),
            (counts(3, 3, 3, 0, 0), "Applied=true Available=true Progressing=false Degraded=false"),
            (counts(3, 3, 3, 0, 1), "Applied=true Available=true Progressing=true Degraded=false"),
            (counts(3, 3, 2, 1, 0), "Applied=true Available=false Progressing=false Degraded=true"),
        ] {
            let summary = Summary { generation: 1, counts, example: String::new(), gone: false };
            let told: Vec<_> = fold_conditions(&summary)
                .iter()
                .map(|condition| format!("{}={}", condition.kind, condition.status.unwrap()))
                .collect();
            assert_eq!(told.join(" "), expected, "{counts:?}");
        }
    }
}
