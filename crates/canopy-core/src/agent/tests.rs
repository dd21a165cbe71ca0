//! What an agent concludes from what its cluster tells, through its one seam and in virtual time.

use canopy_model::{
    Boot, Cursor, Digest, Health, Home, Incarnation, MESSAGE_BYTES_MAX, ObjectName, Path, Revision, Uid,
    Wall, Work,
};

use super::*;
use crate::durable::ReceivedRow;
use crate::effect::{Apply, ClusterOrder, Effect};
use crate::input::ClusterEvent;
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
        rig.tell(ClusterEvent::Surveyed(vec![]));
        rig
    }

    fn feed(&mut self, input: Input) {
        let now = Now { uptime: Uptime(self.at), wall: Wall(0) };
        let step = self.agent.handle(now, input);
        let orders = step.effects.into_iter().filter_map(|effect| match effect {
            Effect::Cluster(ClusterOrder::Survey) => None,
            Effect::Cluster(order) => Some(order),
            other => panic!("{other:?}"),
        });
        self.ordered.extend(orders);
    }

    fn tell(&mut self, event: ClusterEvent) {
        self.feed(Input::Cluster(event));
    }

    /// The apply that was ordered and is not answered yet.
    fn ordered(&mut self) -> Option<Apply> {
        match self.ordered.pop()? {
            ClusterOrder::Apply(apply) => Some(apply),
            other => panic!("{other:?}"),
        }
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
    rig.tell(ClusterEvent::Observed {
        uid: UID,
        drifted: false,
        health: Health::Degraded,
        message: "short".to_owned(),
    });
    assert!(rig.work().message.ends_with('…'), "a refusal is more urgent");
}
