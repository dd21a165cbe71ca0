//! What agents ask of their clusters: nothing is removed by silence, nothing started that nobody
//! wanted. And what hubs tell: nothing without their parent's wishes.

use canopy_core::durable::Slot;
use canopy_core::effect::ClusterOrder;
use canopy_core::link::{EdgeId, Frame, Message};
use canopy_core::row::{Key, RowKind};
use canopy_model::Uid;

use crate::chaos::world::{Broken, World};

impl World {
    /// An order to a cluster: nothing is removed by silence, nothing started that nobody wanted.
    pub(crate) fn witness_order(&mut self, agent: usize, order: &ClusterOrder) -> Result<(), Broken> {
        let path = self.nodes[agent].path.clone();
        if self.nodes[agent].disk.contains_key(&Slot::Hold) && !matches!(order, ClusterOrder::Survey) {
            return Err(format!("{path} was asked for {order:?}, though people hold it"));
        }
        match order {
            ClusterOrder::Survey => return Ok(()),
            ClusterOrder::Delete { uid, .. } => {
                self.note(format!("{path} removes {uid:?}"));
                let mut sets = self.nodes[agent].cluster.sets();
                let set = sets.find(|(held, _)| held == uid).map(|(_, set)| set);
                let given_back = |placement| {
                    self.witness.given_back_until.get(placement).is_some_and(|until| self.now < *until)
                };
                let justified = self.witness.deleted.contains(uid)
                    || self.witness.unwanted.contains(&(*uid, agent))
                    || set.is_none_or(|set| set.found.placements.iter().any(given_back));
                if !justified {
                    return Err(format!("silence deleted {uid:?} at {path}: nobody ever wanted it removed"));
                }
            }
            ClusterOrder::Apply(apply) => {
                let uid = apply.uid;
                let fresh = !self.nodes[agent].cluster.sets().any(|(held, _)| held == uid);
                self.note(format!("{path} applies {uid:?} {:?}", apply.revision.digest));
                if !self.witness.wanted.contains(&(uid, agent)) {
                    return Err(format!("{uid:?} was started at {path} where nobody ever wanted it"));
                }
                if fresh && self.obeys_the_newest(agent, uid) {
                    self.witness.unwanted.remove(&(uid, agent));
                }
            }
        }
        Ok(())
    }

    /// A hub that does not know its parent's wishes in its present incarnation tells its children
    /// nothing: neither a snapshot nor a removal.
    pub(crate) fn witness_telling(&self, hub: usize, to: &EdgeId, frame: &Frame) -> Result<(), Broken> {
        let tells = match frame.message {
            Message::Begin { .. } | Message::Rows { .. } | Message::End { .. } => true,
            Message::Hello(_) | Message::Ack { .. } | Message::Heartbeat { .. } => false,
        };
        if tells && matches!(to, EdgeId::Child(_)) && !self.nodes[hub].view().knows_wishes() {
            return Err(format!("{} tells {to} without its parent's wishes", self.nodes[hub].path));
        }
        Ok(())
    }

    /// Whether a cluster runs a workload by what its hub says now: nothing else about it, such as a
    /// removal that was already taken back, is still on the way.
    fn obeys_the_newest(&self, agent: usize, workload: Uid) -> bool {
        let it = &self.nodes[agent];
        let hub = self.nodes[it.parent.expect("an agent has a hub")].view();
        let name = it.path.name().expect("an agent has a name");
        let runs = hub.assigned(&name, workload).is_some_and(|assigned| assigned.run);
        let key = Key { kind: RowKind::Assignment, uid: workload };
        let told = hub.sent_row(&EdgeId::Child(name), key).map(|row| row.version);
        let heard = it.view().row(&EdgeId::Parent, key.kind, workload).map(|row| row.version);
        runs && told == heard
    }
}
