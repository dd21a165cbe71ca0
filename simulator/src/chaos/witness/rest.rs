//! What must be so when nothing goes wrong any more.

use std::collections::{BTreeMap, BTreeSet};

use canopy_core::durable::{Slot, Value};
use canopy_core::{Hub, check};
use canopy_model::{Counts, Digest, Fit, Health, Path, Role, Sync, Uid};

use super::wishes::Homed;
use crate::chaos::content;
use crate::chaos::world::{Broken, World};

/// What each cluster is to run.
type Wanted = BTreeMap<usize, BTreeMap<Uid, Digest>>;

impl World {
    /// Everything is as wanted: without a number like a naive flat reference, with one as many as
    /// feasible, all feasible; and every hub knows the counts below it.
    pub(crate) fn at_rest(&self) -> Result<(), Broken> {
        let homed = self.homed();
        let agents = self.present(Role::Agent);
        let mut wanted = Wanted::new();
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
                    if self.chosen(workload, placement, *agent) {
                        let it = wanted.entry(*agent).or_default();
                        it.insert(workload.object.metadata.uid, spec.revision.digest);
                    }
                }
            }
        }
        for placement in &homed {
            self.number_kept(placement, &agents)?;
        }
        self.folds_are_flat_counts(&homed, &wanted)?;
        self.the_released_are_revoked()?;
        if let Some(violation) = check::tree(&self.tree()).first() {
            return Err(violation.to_string());
        }
        for agent in agents {
            let runs: BTreeMap<Uid, Digest> = self.nodes[agent]
                .cluster
                .sets()
                .filter_map(|(uid, set)| Some((uid, set.found.revision?)))
                .collect();
            let wanted = wanted.remove(&agent).unwrap_or_default();
            if runs != wanted {
                return Err(format!("{} runs {runs:?}, wanted is {wanted:?}", self.nodes[agent].path));
            }
            self.health_is_told(agent, &runs)?;
        }
        Ok(())
    }

    /// What an agent reports of a workload's health is what becomes of the pods of its revision.
    fn health_is_told(&self, agent: usize, runs: &BTreeMap<Uid, Digest>) -> Result<(), Broken> {
        let view = self.nodes[agent].view();
        for (uid, revision) in runs {
            let fails = content::fails(*revision);
            let health = if fails { Health::Degraded } else { Health::Healthy };
            let told = view.held().find(|(held, _)| held == uid).map(|(_, work)| work.health);
            if told != Some(health) {
                let path = &self.nodes[agent].path;
                return Err(format!("{path} tells {told:?} of workload {uid}, which is {health}"));
            }
        }
        Ok(())
    }

    /// No crash may lose the revocation of a node that was let go.
    fn the_released_are_revoked(&self) -> Result<(), Broken> {
        for hub in self.present(Role::Hub) {
            for slot in self.nodes[hub].disk.keys() {
                if let Slot::Released(uid) = slot
                    && !self.nodes[hub].revoked.contains(uid)
                {
                    return Err(format!("{} let {uid:?} go without revoking it", self.nodes[hub].path));
                }
            }
        }
        Ok(())
    }

    /// What the home of a workload was told tier by tier is what counting the agents' reports at once
    /// gives; so is what the root knows of the fleet.
    fn folds_are_flat_counts(&self, homed: &[Homed], wanted: &Wanted) -> Result<(), Broken> {
        for workload in homed.iter().filter(|it| it.object.workload().is_some()) {
            let (home, metadata) = (workload.home, &workload.object.metadata);
            let mut flat = Counts::default();
            for (agent, works) in wanted {
                if let Some(revision) = works.get(&metadata.uid) {
                    flat.add(&self.standing(*agent, metadata.uid, *revision));
                }
            }
            let folded = self.hub(home).and_then(|hub| hub.summary(metadata.uid)).map(|it| it.counts);
            if folded != Some(flat) {
                return Err(format!("{} is folded to {folded:?}, not {flat:?}", metadata.name.name));
            }
        }
        for placement in homed {
            let Some(policy) = placement.object.placement() else { continue };
            let uid = placement.object.metadata.uid;
            let feasible = |agent: &usize| self.fit(policy, placement.home, *agent) > Some(Fit::Never);
            let flat = self.present(Role::Agent).iter().filter(|agent| feasible(agent)).count();
            let told = self.hub(placement.home).and_then(|hub| hub.selected(uid));
            let folded = told.filter(|it| it.complete).map(|it| it.clusters as usize);
            if folded != policy.number_of_clusters.is_none().then_some(flat) {
                return Err(format!("{} selects {told:?}, not {flat}", placement.object.metadata.name.name));
            }
        }
        let records = self.present(Role::Hub).into_iter().flat_map(|hub| self.nodes[hub].disk.values());
        let accepted = records.filter(|it| matches!(it, Value::Child(record) if record.role == Role::Agent));
        let (accepted, connected) = (accepted.count(), self.present(Role::Agent).len());
        let fleet = self.hub(0).map(Hub::fleet).unwrap_or_default();
        if (fleet.clusters as usize, fleet.connected as usize) != (accepted, connected) {
            return Err(format!(
                "{accepted} clusters, {connected} of them connected, are folded to {fleet:?}"
            ));
        }
        Ok(())
    }

    /// What an agent says of a workload that is wanted on its cluster.
    fn standing(&self, agent: usize, workload: Uid, revision: Digest) -> Counts {
        let view = self.nodes[agent].view();
        let work = view.held().find(|(uid, _)| *uid == workload).map(|(_, work)| work);
        let updated = work.is_some_and(|it| it.revision == Some(revision) && it.sync == Sync::Synced);
        let health = work.map(|work| work.health);
        Counts {
            selected: 1,
            updated: u32::from(updated),
            healthy: u32::from(updated && health == Some(Health::Healthy)),
            degraded: u32::from(matches!(health, Some(Health::Degraded | Health::Missing))),
            refused: u32::from(work.is_some_and(|work| work.refused)),
            removing: 0,
        }
    }

    /// Whether a placement selects a cluster for a workload at rest: by its labels and taints, or by its
    /// hub's decision. What is closed to new work keeps what it has.
    fn chosen(&self, workload: &Homed, placement: &Homed, agent: usize) -> bool {
        let Some(policy) = placement.object.placement() else { return false };
        let slot =
            policy.number_of_clusters.is_none() || self.is_selected(placement.object.metadata.uid, agent);
        slot && match self.fit(policy, placement.home, agent) {
            None | Some(Fit::Never) => false,
            Some(Fit::IfThere) => self.runs(workload.object.metadata.uid, agent),
            Some(Fit::IfNeeded | Fit::Good) => true,
        }
    }

    fn runs(&self, workload: Uid, agent: usize) -> bool {
        let hub = self.nodes[agent].parent.expect("an agent has a hub");
        let name = self.nodes[agent].path.name().expect("an agent has a name");
        self.nodes[hub].view().assigned(&name, workload).is_some_and(|assigned| assigned.run)
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
        let feasible = agents.iter().filter(|agent| match self.fit(policy, placement.home, **agent) {
            None | Some(Fit::Never) => false,
            Some(Fit::IfThere) => self.is_selected(uid, **agent),
            Some(Fit::IfNeeded | Fit::Good) => true,
        });
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
