//! What must be so when nothing goes wrong any more.

use std::collections::{BTreeMap, BTreeSet};

use canopy_model::{Path, Role, Uid};

use super::wishes::Homed;
use crate::chaos::world::{Broken, World};

impl World {
    /// Everything is as wanted: without a number like a naive flat reference, with one as many as
    /// feasible, all feasible.
    pub(crate) fn at_rest(&self) -> Result<(), Broken> {
        let homed = self.homed();
        let agents = self.present(Role::Agent);
        let mut wanted: BTreeMap<usize, BTreeMap<Uid, canopy_model::Digest>> = BTreeMap::new();
        for workload in &homed {
            let Some(spec) = workload.object.workload() else { continue };
            let name = &workload.object.metadata.name.name;
            if workload.object.metadata.deleted.is_some() {
                return Err(format!("{name} at {} is still being deleted", self.nodes[workload.home].path));
            }
            for placement in
                spec.placements.iter().filter_map(|name| self.placement_of(&homed, workload, name))
            {
                for agent in &agents {
                    if self.chosen(placement, *agent) {
                        let it = wanted.entry(*agent).or_default();
                        it.insert(workload.object.metadata.uid, spec.revision.digest);
                    }
                }
            }
        }
        for placement in &homed {
            self.number_kept(placement, &agents)?;
        }
        for agent in agents {
            let runs: BTreeMap<Uid, canopy_model::Digest> = self.nodes[agent]
                .cluster
                .sets()
                .filter_map(|(uid, set)| Some((uid, set.found.revision?)))
                .collect();
            let wanted = wanted.remove(&agent).unwrap_or_default();
            if runs != wanted {
                return Err(format!("{} runs {runs:?}, wanted is {wanted:?}", self.nodes[agent].path));
            }
        }
        Ok(())
    }

    /// Whether a placement selects a cluster at rest: by its labels, or by its hub's decision.
    fn chosen(&self, placement: &Homed, agent: usize) -> bool {
        let Some(policy) = placement.object.placement() else { return false };
        let feasible = self.feasible(policy, placement.home, agent) == Some(true);
        match policy.number_of_clusters {
            None => feasible,
            Some(_) => self.is_selected(placement.object.metadata.uid, agent),
        }
    }

    fn is_selected(&self, placement: Uid, agent: usize) -> bool {
        let hub = self.nodes[agent].parent.expect("an agent has a hub");
        let name = self.nodes[agent].path.name().expect("an agent has a name");
        self.nodes[hub].view().share(placement, &name).grant > 0
    }

    fn number_kept(&self, placement: &Homed, agents: &[usize]) -> Result<(), Broken> {
        let Some(policy) = placement.object.placement() else { return Ok(()) };
        let Some(number) = policy.number_of_clusters else { return Ok(()) };
        let uid = placement.object.metadata.uid;
        let feasible =
            agents.iter().filter(|agent| self.feasible(policy, placement.home, **agent) == Some(true));
        let feasible: BTreeSet<usize> = feasible.copied().collect();
        let selected: BTreeSet<usize> =
            agents.iter().copied().filter(|agent| self.is_selected(uid, *agent)).collect();
        let paths = |set: &BTreeSet<usize>| -> Vec<Path> {
            set.iter().map(|it| self.nodes[*it].path.clone()).collect()
        };
        let right = selected.is_subset(&feasible) && selected.len() == feasible.len().min(number as usize);
        if right {
            return Ok(());
        }
        Err(format!(
            "placement {} of {uid:?} wants {number} of {:?} and has {:?}",
            placement.object.metadata.name.name,
            paths(&feasible),
            paths(&selected)
        ))
    }
}
