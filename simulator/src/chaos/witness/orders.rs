//! What agents ask of their clusters: nothing is removed by silence, nothing started that nobody
//! wanted.

use canopy_core::durable::{Slot, Value};
use canopy_core::effect::ClusterOrder;

use crate::chaos::world::{Broken, World};

impl World {
    /// An order to a cluster: nothing is removed by silence, nothing started that nobody wanted.
    pub(crate) fn witness_order(&mut self, agent: usize, order: &ClusterOrder) -> Result<(), Broken> {
        let path = self.nodes[agent].path.clone();
        match order {
            ClusterOrder::Survey => {}
            ClusterOrder::Delete { uid, .. } => {
                let present = self.nodes[agent].cluster.sets().any(|(held, _)| held == *uid);
                let justified =
                    self.witness.deleted.contains(uid) || self.witness.unwanted.contains(&(*uid, agent));
                self.note(format!("{path} removes {uid:?}"));
                if present && !justified {
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
                let hub = self.nodes[agent].parent.expect("an agent has a hub");
                let name = self.nodes[agent].path.name().expect("an agent has a name");
                let assigned = self.nodes[hub].disk.get(&Slot::Assigned(name, uid));
                let still_wanted = matches!(assigned, Some(Value::Assigned(assigned)) if assigned.run);
                if fresh && still_wanted {
                    self.witness.unwanted.remove(&(uid, agent));
                }
                if fresh {
                    for placement in &apply.placements {
                        let moved = self.witness.places.entry(*placement).or_default();
                        if moved.insert(agent) && moved.len() > 1 {
                            self.occurrences.note("slot moved to another cluster");
                        }
                    }
                }
            }
        }
        Ok(())
    }
}
