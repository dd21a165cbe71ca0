//! The questions that users ask, answered from the committed state.
//!
//! What is shown here is what this hub knows by itself: its own objects, those that it inherits, its
//! own children, and what was folded upward. A stale thing is shown as stale, with its age.
//!
//! - [`nodes`]: hubs and clusters directly below, and this hub itself;
//! - [`objects`]: placements and workloads, and [`fold`]: what the counts of a workload mean.

mod fold;
mod nodes;
mod objects;

use canopy_model::{Condition, Wall};

pub use nodes::{NodeView, SILENT_AFTER, Wish};
pub use objects::{PlacementView, WorkloadView};

/// The reason of a condition whose message tells for how long a child has been silent.
pub const SILENT: &str = "Silent";
/// The reason of a condition whose message tells how old the news of a workload are.
pub const STALE: &str = "Stale";

fn condition(kind: &'static str, status: Option<bool>, reason: &'static str, message: &str) -> Condition {
    Condition { kind, status, reason, message: message.to_owned(), since: Wall(0) }
}

fn join<T: std::fmt::Display>(names: impl IntoIterator<Item = T>) -> String {
    names.into_iter().map(|name| name.to_string()).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use canopy_model::{
        Counts, Digest, Kind, Labels, Name, Now, ObjectName, Path, Placement, Readiness, Record, Report,
        Revision, Role, Spec, Summary, Uid, Workload,
    };

    use super::*;
    use crate::command::{Command, Meant, Verb};
    use crate::durable::ReceivedRow;
    use crate::hub::Hub;
    use crate::hub::fixture::{Store, WORKLOAD};
    use crate::link::{EdgeId, Frame, Hello, Message, SessionId};
    use crate::row::{Body, Key, RowKind};
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
        let record = Record::new(Uid(9), Role::Agent, Labels::new());
        command(&mut hub, Verb::Accept { name: name("press-3"), record });
        for (at, (text, spec)) in specs.into_iter().enumerate() {
            let name = ObjectName { project: name("default"), name: name(text) };
            let uid = Meant::Any { fresh: Uid(100 + at as u128) };
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
    fn a_hub_below_is_shown_as_it_says_itself() {
        let shown = |readiness| {
            let mut hub = root(vec![]);
            let record = Record::new(Uid(8), Role::Hub, Labels::new());
            let verb = Verb::Accept { name: name("eu"), record };
            let command = Command { id: Uid(1000), principal: "alice".to_owned(), verb };
            hub.handle(Now::default(), Input::Command(command)).commit(|_| Ok::<(), ()>(())).unwrap();
            let fleet = canopy_model::Fleet { readiness, ..Default::default() };
            let learned = hub.history.incarnation;
            let payload = Body::Fleet(fleet).into();
            let row = ReceivedRow { version: 1, learned, orphaned: false, payload };
            let edge = &mut hub.children.get_mut(&name("eu")).unwrap().edge;
            let cursor =
                canopy_model::Cursor { incarnation: learned, boot: canopy_model::Boot(1), version: 1 };
            edge.inbox.load_cursor(crate::durable::Position {
                cursor,
                seen: 0,
                into: learned,
                generation: false,
            });
            edge.inbox.load_row(false, Key::FLEET, row);
            let session = crate::link::SessionId(1);
            let edge = crate::link::EdgeId::Child(name("eu"));
            let connected = Input::Connected { edge, session };
            hub.handle(Now::default(), connected).commit(|_| Ok::<(), ()>(())).unwrap();
            let node = hub.node(Now::default(), &name("eu")).unwrap();
            let ready = node.conditions.last().unwrap();
            (ready.status, ready.reason)
        };
        assert_eq!(shown(Readiness::Recovering), (Some(false), "Recovering"));
        assert_eq!(shown(Readiness::Ready), (Some(true), "Ready"));
        assert_eq!(shown(Readiness::Unknown), (Some(true), "Ready"));
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
    fn a_placement_that_hubs_below_have_not_counted_says_so() {
        let mut hub = root(vec![("all", Spec::Placement(Placement::default()))]);
        let record = Record::new(Uid(8), Role::Hub, Labels::new());
        let verb = Verb::Accept { name: name("eu"), record };
        let command = Command { id: Uid(1000), principal: "alice".to_owned(), verb };
        hub.handle(Now::default(), Input::Command(command)).commit(|_| Ok::<(), ()>(())).unwrap();
        let view = hub.placement_view(Uid(100)).unwrap();
        assert_eq!((view.selected, ready(&view.conditions)), (1, ("Ready", None, "NotCounted")));
    }

    #[test]
    fn clocks_that_are_apart_are_told() {
        for (child, reason) in [(1_000_000, "Synced"), (1_400_000, "ClocksApart"), (600_000, "ClocksApart")] {
            let mut hub = root(vec![]);
            let now = Now { wall: Wall(1_000_000), ..Now::default() };
            let (edge, session) = (EdgeId::Child(name("press-3")), SessionId(1));
            let hello = Hello {
                boot: canopy_model::Boot(7),
                incarnation: canopy_model::Incarnation(7),
                cursor: None,
                seen: 0,
                wall: Wall(child),
                record: None,
            };
            let frame = Frame { seq: 0, message: Message::Hello(hello) };
            let greeted =
                [Input::Connected { edge: edge.clone(), session }, Input::Received { edge, session, frame }];
            for input in greeted {
                hub.handle(now, input).commit(|_| Ok::<(), ()>(())).unwrap();
            }
            let conditions = hub.node(now, &name("press-3")).unwrap().conditions;
            let clock = conditions.iter().find(|condition| condition.kind == "ClockSynced").unwrap();
            assert_eq!(clock.reason, reason);
        }
    }

    #[test]
    fn a_hub_says_what_keeps_it_from_its_parent() {
        let (region, _) = Store::new().start();
        let own = region.own_conditions(Some("a proxy breaks TLS"));
        assert_eq!((own[0].kind, own[0].reason, own[0].message.as_str()), {
            ("ParentConnected", "Unreachable", "a proxy breaks TLS")
        });
        assert_eq!(ready(&own).0, "Ready");
        assert_eq!(root(vec![]).own_conditions(None).len(), 1, "a root has no parent");
    }

    #[test]
    fn what_is_inherited_is_found_and_stands_first() {
        let (hub, _) = Store::new().start();
        let line = ObjectName { project: name("default"), name: name("line") };
        assert!(hub.find(Kind::Workload, &line).is_none());
        for found in [
            hub.find_nearest(Kind::Workload, &line),
            hub.find_at(&Path::root(), Kind::Workload, &line),
            hub.applying(Kind::Workload).into_iter().next(),
        ] {
            assert_eq!(found.unwrap().metadata.uid, WORKLOAD);
        }
        let view = hub.workload_view(Now::default(), WORKLOAD).unwrap();
        assert_eq!(view.conditions[0].reason, "Found");
        assert!(hub.placement_view(crate::hub::fixture::PLACEMENT).is_some());
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
            let told: Vec<_> = fold::conditions(&summary)
                .iter()
                .map(|condition| format!("{}={}", condition.kind, condition.status.unwrap()))
                .collect();
            assert_eq!(told.join(" "), expected, "{counts:?}");
        }
    }
}
