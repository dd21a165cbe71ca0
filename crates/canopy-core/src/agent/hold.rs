//! People at the machine have the last word: while they hold it, nothing is asked of the cluster.

use canopy_model::{Claims, Now};

use super::state::Agent;
use crate::durable::{Change, Slot, Value};
use crate::row::Key;
use crate::seam::Step;

/// The claim that tells a hub why people at the machine want nothing changed.
const HOLD_CLAIM: &str = "hold.canopy.dev";

impl Agent {
    /// Tells the hub what the cluster says about itself, and that people hold it.
    pub(super) fn claim(&mut self, mut claims: Claims, step: &mut Step) {
        claims.remove(HOLD_CLAIM);
        claims.extend(self.hold.clone().map(|reason| (HOLD_CLAIM.to_owned(), reason)));
        let key = Key::CLAIMS;
        if self.cluster.claims != claims || self.parent.outbox.version(&key).is_none() {
            self.cluster.claims = claims;
            self.touch(key, true, step);
        }
    }

    /// People at the machine want nothing changed, or want to go on. What the cluster is doing at
    /// that moment it finishes.
    pub(super) fn held_by_people(&mut self, now: Now, reason: Option<String>, step: &mut Step) {
        step.put(match &reason {
            Some(reason) => Change::Put(Slot::Hold, Value::Hold(reason.clone())),
            None => Change::Delete(Slot::Hold),
        });
        self.hold = reason;
        self.claim(self.cluster.claims.clone(), step);
        self.pursue_all(now, step);
    }
}

#[cfg(test)]
mod tests {
    use canopy_model::{
        Boot, Cursor, Digest, Home, Incarnation, Path, Report, Revision, Sync, Uid, Uptime, Wall, Work,
    };

    use super::*;
    use crate::durable::Held;
    use crate::effect::{ClusterOrder, Effect};
    use crate::input::{ClusterEvent, Found, Input};
    use crate::seam::Machine as _;

    const NOW: Now = Now { uptime: Uptime(0), wall: Wall(0) };
    const UID: Uid = Uid(7);

    /// An agent with one workload in its cluster that its hub has withdrawn.
    fn agent(slots: Vec<(Slot, Value)>) -> (Agent, Step) {
        let born = Cursor { incarnation: Incarnation(1), boot: Boot(1), version: 1 };
        let home = Home { path: Path::default(), born };
        let name =
            canopy_model::ObjectName { project: "default".parse().unwrap(), name: "line".parse().unwrap() };
        let revision = Some(Revision { digest: Digest([4; 32]), size: 0, inline: None }.digest);
        let found = Found { uid: UID, name: name.clone(), home: home.clone(), placements: vec![], revision };
        let work = Work {
            name,
            home,
            placements: vec![],
            revision,
            sync: Sync::Synced,
            health: Default::default(),
            message: String::new(),
            refused: false,
            feedback: Default::default(),
        };
        let held = Held { report: Report { stamp: None, work: Some(work) }, withdrawn: true };
        let mut agent = Agent::load(
            "eu/plant-7".parse().unwrap(),
            slots.into_iter().chain([(Slot::Held(UID), Value::Held(held))]),
        );
        agent.wishes.whole = true;
        let _ = agent.handle(NOW, Input::Started { boot: Boot(5) });
        let step = agent.handle(NOW, Input::Cluster(ClusterEvent::Surveyed(vec![found].into())));
        (agent, step)
    }

    fn deletes(step: &Step) -> usize {
        let delete = |effect: &&Effect| matches!(effect, Effect::Cluster(ClusterOrder::Delete { .. }));
        step.effects.iter().filter(delete).count()
    }

    #[test]
    fn nothing_is_asked_of_a_cluster_that_people_hold() {
        assert_eq!(deletes(&agent(vec![]).1), 1, "it would be deleted");

        let hold = (Slot::Hold, Value::Hold("the spindle is open".into()));
        let (mut agent, step) = agent(vec![hold]);
        assert_eq!(deletes(&step), 0, "also by a process that started later");
        let message = |agent: &Agent| agent.reports().next().unwrap().1.work.clone().unwrap().message;
        assert!(message(&agent).starts_with("held at the machine: the spindle is open"));
        let claimed = agent.handle(NOW, Input::Cluster(ClusterEvent::Claims(Claims::new())));
        assert_eq!(agent.cluster.claims[HOLD_CLAIM], "the spindle is open");
        assert_eq!(deletes(&claimed), 0);

        let step = agent.handle(NOW, Input::Hold(None));
        assert_eq!(deletes(&step), 1, "released");
        assert!(!agent.cluster.claims.contains_key(HOLD_CLAIM));
    }
}
