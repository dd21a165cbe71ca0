//! What an agent concludes from what its cluster tells, through its one seam and in virtual time.

use std::time::Duration;

use canopy_model::{
    Boot, Cursor, Digest, FEEDBACK_MAX, Feedback, FeedbackValue, FieldValue, Health, Home, Incarnation,
    MESSAGE_BYTES_MAX, ObjectName, Path, Revision, Sync, Uid, Wall, Work,
};

use super::*;
use crate::durable::ReceivedRow;
use crate::effect::{Apply, ClusterOrder, Effect};
use crate::input::{ClusterEvent, Survey};
use crate::link::EdgeId;
use crate::row::{Assignment, Body, Key, RowKind, Run};

const UID: Uid = Uid(7);
const WANTED: Digest = Digest([1; 32]);

/// An agent that was told to run one workload, and the orders that it gave.
struct Rig {
    agent: Agent,
    at: u64,
    ordered: Vec<ClusterOrder>,
}

impl Rig {
    fn new() -> Self {
        let mut rig = Self { agent: load(), at: 0, ordered: vec![] };
        rig.feed(Input::Started { boot: Boot(5) });
        rig.tell(ClusterEvent::Surveyed(Survey::default()));
        rig
    }

    fn feed(&mut self, input: Input) {
        let now = Now { uptime: Uptime(self.at), wall: Wall(0) };
        let step = self.agent.handle(now, input);
        for effect in step.effects {
            let Effect::Cluster(order) = effect else { panic!("{effect:?}") };
            if order != ClusterOrder::Survey {
                self.ordered.push(order);
            }
        }
    }

    fn tell(&mut self, event: ClusterEvent) {
        self.feed(Input::Cluster(event));
    }

    /// The apply that was ordered and is not answered yet.
    fn ordered(&mut self) -> Option<Apply> {
        let order = self.ordered.pop()?;
        let ClusterOrder::Apply(apply) = order else { panic!("{order:?}") };
        Some(apply)
    }

    /// Lets time pass until the agent orders an apply.
    fn wait(&mut self) -> (Duration, Apply) {
        let began = self.at;
        loop {
            if let Some(apply) = self.ordered() {
                return (Duration::from_millis(self.at - began), apply);
            }
            self.at = self.agent.wake_at().unwrap().0;
            self.feed(Input::Wake);
        }
    }

    fn observe(&mut self, drifted: bool, message: &str) {
        let health = if message.is_empty() { Health::Healthy } else { Health::Progressing };
        self.told(drifted, health, message, Feedback::default());
    }

    fn told(&mut self, drifted: bool, health: Health, message: &str, feedback: Feedback) {
        self.tell(ClusterEvent::Observed {
            uid: UID,
            drifted,
            health,
            message: message.to_owned(),
            feedback,
        });
    }

    fn answer(&mut self, apply: &Apply, error: Option<&str>) {
        let (uid, revision, attempt) = (apply.uid, apply.revision.digest, apply.attempt);
        self.tell(ClusterEvent::Applied { uid, revision, attempt, error: error.map(str::to_owned) });
    }

    fn work(&self) -> Work {
        self.agent.held[&UID].report.work.clone().unwrap()
    }
}

fn load() -> Agent {
    let name = ObjectName { project: "default".parse().unwrap(), name: "line".parse().unwrap() };
    let born = Cursor { incarnation: Incarnation(1), boot: Boot(1), version: 1 };
    let home = Home { path: Path::default(), born };
    let revision = Revision { digest: WANTED, size: 2, inline: Some(b"{}".as_slice().into()) };
    let run = Run { name, home, placements: vec![Uid(8)], revision };
    let row = ReceivedRow {
        version: 5,
        learned: Incarnation(3),
        orphaned: false,
        payload: Body::Assignment(Assignment::Run(run)).into(),
    };
    let slot = Slot::Received(EdgeId::Parent, false, Key::new(RowKind::Assignment, UID));
    Agent::load("eu/plant-7".parse().unwrap(), [(slot, Value::Received(row))])
}

/// Otherwise no store would take the report, and the agent would fail for ever.
#[test]
fn what_a_cluster_says_is_cut_before_it_is_kept() {
    let mut rig = Rig::new();
    let apply = rig.ordered().unwrap();
    rig.answer(&apply, Some(&"ü".repeat(40_000)));
    let message = rig.work().message;
    assert!(message.len() <= MESSAGE_BYTES_MAX && message.ends_with("ü…"), "{} bytes", message.len());
    rig.observe(false, "0 of 2 replicas available");
    assert!(rig.work().message.ends_with('…'), "a refusal is more urgent");
}

#[test]
fn values_for_which_a_report_has_no_room_are_counted() {
    let mut rig = Rig::new();
    let apply = rig.ordered().unwrap();
    rig.answer(&apply, None);
    let value = |text: &str| FeedbackValue {
        object: "ConfigMap line/rules".to_owned(),
        name: "speed".to_owned(),
        value: FieldValue::String(text.to_owned()),
    };
    for (values, kept) in
        [(vec![value("1"); FEEDBACK_MAX + 3], FEEDBACK_MAX), (vec![value(&"1".repeat(3000)); 4], 2)]
    {
        let all = values.len();
        rig.told(false, Health::Healthy, "", Feedback { values, left_out: 0 });
        let Feedback { values, left_out } = rig.work().feedback;
        assert_eq!((values.len(), left_out as usize), (kept, all - kept));
    }
}

#[test]
fn an_edit_during_an_apply_is_corrected() {
    let mut rig = Rig::new();
    let apply = rig.ordered().unwrap();
    rig.observe(true, "changed");
    rig.answer(&apply, None);
    assert_eq!((rig.work().sync, rig.work().message.as_str()), (Sync::OutOfSync, "changed"));
    let (_, apply) = rig.wait();
    rig.answer(&apply, None);
    assert_eq!((rig.work().sync, rig.work().message.as_str()), (Sync::Synced, ""));
}

#[test]
fn what_was_told_during_an_apply_is_told_after_it() {
    let mut rig = Rig::new();
    let apply = rig.ordered().unwrap();
    rig.observe(false, "0 of 2 replicas available");
    rig.answer(&apply, None);
    let Work { sync, health, message, .. } = rig.work();
    assert_eq!(
        (sync, health, message.as_str()),
        (Sync::Synced, Health::Progressing, "0 of 2 replicas available")
    );
}

#[test]
fn drift_that_ends_by_itself_is_told_and_needs_no_apply() {
    let mut rig = Rig::new();
    let apply = rig.ordered().unwrap();
    rig.answer(&apply, None);
    rig.observe(true, "changed");
    assert_eq!(rig.work().sync, Sync::OutOfSync);
    rig.observe(false, "");
    assert_eq!(rig.work().sync, Sync::Synced);
    rig.at = 60_000;
    rig.feed(Input::Wake);
    assert!(rig.ordered().is_none());
}

#[test]
fn who_undoes_every_apply_at_once_is_met_ever_more_rarely_until_it_is_quiet() {
    let mut rig = Rig::new();
    let fight = |rig: &mut Rig, apply: Apply| {
        rig.answer(&apply, None);
        rig.observe(true, "changed");
        let (waited, apply) = rig.wait();
        (waited.as_secs(), apply)
    };
    let mut apply = rig.ordered().unwrap();
    let mut waits = vec![];
    for _ in 0..10 {
        let (waited, next) = fight(&mut rig, apply);
        waits.push(waited);
        apply = next;
    }
    assert_eq!(waits, [2, 4, 8, 16, 32, 64, 128, 256, 300, 300]);
    rig.answer(&apply, None);
    rig.at += 60_000;
    rig.observe(true, "changed");
    assert_eq!(rig.wait().0.as_secs(), 2);
}

#[test]
fn work_that_the_cluster_cannot_tell_is_not_missing() {
    let mut rig = Rig::new();
    let apply = rig.ordered().unwrap();
    rig.answer(&apply, None);
    let unreadable = vec![(UID, "an annotation is missing".to_owned())];
    rig.tell(ClusterEvent::Surveyed(Survey { unreadable, ..Survey::default() }));
    let Work { revision, sync, message, .. } = rig.work();
    assert_eq!((revision, sync), (Some(WANTED), Sync::Unknown));
    assert_eq!(message, "an annotation is missing");
    assert!(rig.ordered().is_some(), "the next apply tells what is the matter");
}
