//! What was wanted when, kept apart from Canopy, and the promises checked against it.
//!
//! The witness knows only what administrators were told, what stands on the homes' disks, and what
//! happens in the clusters. A removal is justified when the object was deleted by somebody, or when
//! at some time since it was started there the wishes on disk did not select that cluster. A disk
//! that is lost or old is no wish.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use canopy_core::command::{Command, Outcome, Verb};
use canopy_core::durable::{Slot, Value};
use canopy_core::effect::ClusterOrder;
use canopy_core::link::EdgeId;
use canopy_core::row::{Assignment, Body, Key, RowKind};
use canopy_model::{Kind, Name, Object, ObjectName, Path, Placement, Role, Spec, Uid};

use super::world::{Broken, World};

/// How long word from before a number was set may be under way: longer than any partition.
const SURPLUS_MS: u64 = 120_000;

/// What the witness has seen.
#[derive(Debug, Default)]
pub(crate) struct Witness {
    /// Every object that was ever written, with its last specification.
    written: BTreeMap<Uid, Spec>,
    /// Deleted or dropped by somebody.
    deleted: BTreeSet<Uid>,
    /// Dropped by somebody.
    dropped: BTreeSet<Uid>,
    /// Not selected at some time since it was started there.
    unwanted: BTreeSet<(Uid, usize)>,
    /// Selected, or selectable, at some time.
    wanted: BTreeSet<(Uid, usize)>,
    /// Placements of which the number was lowered, or a hub on their way was restored from an old
    /// copy: what they selected may be given back.
    lowered: BTreeSet<Uid>,
    /// Placements of which a hub on the way was restored from an old copy: until a neighbour proves
    /// it, that hub cannot know what it granted since.
    unprovable: BTreeSet<Uid>,
    holdings: BTreeMap<Uid, Holding>,
    /// Where each numbered placement was last started.
    places: BTreeMap<Uid, BTreeSet<usize>>,
    /// Hubs of which the disk was exchanged, with the cursor that it held.
    exchanged: BTreeMap<usize, Option<Value>>,
}

impl Witness {
    pub(crate) fn spec(&self, uid: Uid) -> Option<Spec> {
        self.written.get(&uid).cloned()
    }
}

/// How many clusters may hold a placement, and how many are allowed.
#[derive(Debug, Clone, Copy, Default)]
struct Holding {
    exposure: u32,
    number: Option<u32>,
    surplus: u32,
    surplus_until: u64,
}

/// A workload or placement on its home's disk.
struct Homed {
    home: usize,
    object: Arc<Object>,
}

impl World {
    pub(crate) fn witness_command(&mut self, command: &Command, outcome: Option<&Outcome>) {
        match (&command.verb, outcome) {
            (_, Some(Outcome::Created(object) | Outcome::Configured(object))) => {
                self.witness.deleted.remove(&object.metadata.uid);
            }
            (Verb::Drop(uid), _) => {
                self.witness.dropped.insert(*uid);
                self.witness.deleted.insert(*uid);
            }
            _ => {}
        }
    }

    /// A home told that it had deleted an orphan, and nobody had to decide.
    pub(crate) fn witness_verdict(&mut self, uid: Uid) {
        if !self.witness.dropped.contains(&uid) {
            self.occurrences.note("orphan deleted by its home");
        }
    }

    /// A disk was lost, or an old copy came back: what it says is counted from now on.
    pub(crate) fn disk_changed(&mut self, node: usize) {
        for it in self.homed() {
            let uid = it.object.metadata.uid;
            let exposure = self.exposure(uid, it.home);
            let now = self.now;
            if let Some(holding) = self.witness.holdings.get_mut(&uid) {
                holding.surplus = holding.surplus.max(exposure);
                holding.surplus_until = now + SURPLUS_MS;
                holding.exposure = exposure;
            }
        }
        if self.nodes[node].identity.role == Role::Hub {
            let cursor = self.nodes[node].disk.get(&Slot::Cursor(EdgeId::Parent)).cloned();
            self.witness.exchanged.insert(node, cursor);
            let numbered = self.witness.written.iter().filter(|(_, spec)| spec.kind() == Kind::Placement);
            let uids: Vec<Uid> = numbered.map(|(uid, _)| *uid).collect();
            self.witness.lowered.extend(uids.iter().copied());
            self.witness.unprovable.extend(uids);
        }
    }

    fn homed(&self) -> Vec<Homed> {
        let mut homed = Vec::new();
        for home in 0..self.nodes.len() {
            for (slot, value) in self.nodes[home].disk.range(Slot::Object(Uid(0))..) {
                let (Slot::Object(_), Value::Object(object)) = (slot, value) else { break };
                homed.push(Homed { home, object: object.clone() });
            }
        }
        homed
    }

    fn placement_of<'a>(&self, homed: &'a [Homed], workload: &Homed, name: &Name) -> Option<&'a Homed> {
        let wanted =
            ObjectName { project: workload.object.metadata.name.project.clone(), name: name.clone() };
        homed.iter().find(|it| {
            it.home == workload.home && it.object.placement().is_some() && it.object.metadata.name == wanted
        })
    }

    /// Whether a placement may select this cluster, by the record on its hub's disk. Unknown when
    /// the hub has no record.
    fn feasible(&self, placement: &Placement, home: usize, agent: usize) -> Option<bool> {
        let it = &self.nodes[agent];
        let hub = it.parent.expect("an agent has a hub");
        let name = it.path.name().expect("an agent has a name");
        let Some(Value::Child(record)) = self.nodes[hub].disk.get(&Slot::Child(name)) else { return None };
        let in_scope = self.nodes[home].path.contains(&it.path);
        Some(in_scope && !record.leaving && placement.is_feasible(&record.labels))
    }

    /// Whether its hub's disk says that a cluster runs, or ran, a workload for a placement.
    fn assigned_for(&self, workload: Uid, agent: usize, placement: Uid) -> Option<bool> {
        let hub = self.nodes[agent].parent.expect("an agent has a hub");
        let name = self.nodes[agent].path.name().expect("an agent has a name");
        match self.nodes[hub].disk.get(&Slot::Assigned(name, workload)) {
            Some(Value::Assigned(assigned)) => Some(assigned.placements.contains(&placement)),
            _ => None,
        }
    }

    /// Notes for every workload and cluster whether the wishes on disk select it now.
    fn note_wishes(&mut self) {
        let homed = self.homed();
        for it in &homed {
            let uid = it.object.metadata.uid;
            if let (Some(Spec::Placement(old)), Some(new)) =
                (self.witness.written.get(&uid), it.object.placement())
                && old.number_of_clusters != new.number_of_clusters
            {
                if new.number_of_clusters < old.number_of_clusters {
                    self.occurrences.note("number lowered");
                }
                self.witness.lowered.insert(uid);
            }
            self.witness.written.insert(uid, it.object.spec.clone());
            if it.object.metadata.deleted.is_some() {
                self.witness.deleted.insert(uid);
            }
        }
        let agents = self.present(Role::Agent);
        self.note_view(&homed, &agents);
        for hub in self.present(Role::Hub) {
            if self.is_current(hub) {
                let own: Vec<usize> =
                    agents.iter().copied().filter(|agent| self.nodes[*agent].parent == Some(hub)).collect();
                self.note_view(&self.known(hub), &own);
            }
        }
    }

    /// Whether a hub has heard its parent since its disk was last exchanged.
    fn is_current(&self, hub: usize) -> bool {
        let cursor = self.nodes[hub].disk.get(&Slot::Cursor(EdgeId::Parent));
        self.witness.exchanged.get(&hub).is_none_or(|old| cursor.is_some() && cursor != old.as_ref())
    }

    /// The objects that apply at a hub, as its disk has them; not those in doubt.
    fn known(&self, hub: usize) -> Vec<Homed> {
        let generation = self.generation(hub);
        let doubted = |uid: Uid| {
            let slot = Slot::Received(EdgeId::Parent, generation, key(RowKind::Doubt, uid));
            self.nodes[hub].disk.contains_key(&slot)
        };
        let objects = self.nodes[hub].disk.iter().filter_map(|(slot, value)| match (slot, value) {
            (Slot::Object(_), Value::Object(object)) => Some(object.clone()),
            (Slot::Received(EdgeId::Parent, at, key), Value::Received(row))
                if *at == generation && !row.orphaned && !doubted(key.uid) =>
            {
                match &row.payload.body {
                    Body::Object(object) => Some(object.clone()),
                    _ => None,
                }
            }
            _ => None,
        });
        let home =
            |object: &Object| self.nodes.iter().position(|node| node.path == object.metadata.home.path);
        objects.filter_map(|object| Some(Homed { home: home(&object)?, object })).collect()
    }

    /// Notes what these wishes say about these clusters.
    fn note_view(&mut self, view: &[Homed], agents: &[usize]) {
        for workload in view {
            let Some(spec) = workload.object.workload() else { continue };
            let uid = workload.object.metadata.uid;
            let deleted = workload.object.metadata.deleted.is_some();
            let chosen: Vec<&Homed> =
                spec.placements.iter().filter_map(|name| self.placement_of(view, workload, name)).collect();
            for agent in agents {
                let (mut selected, mut selectable, mut doubtful) = (false, false, false);
                for placement in &chosen {
                    let Some(policy) = placement.object.placement() else { continue };
                    let feasible = self.feasible(policy, placement.home, *agent);
                    let numbered = policy.number_of_clusters.is_some();
                    let here = self.assigned_for(uid, *agent, placement.object.metadata.uid);
                    selectable |= feasible == Some(true);
                    selected |= feasible == Some(true) && (!numbered || here == Some(true));
                    doubtful |= feasible.is_none() || numbered && here.is_none();
                    if numbered && self.witness.lowered.contains(&placement.object.metadata.uid) {
                        self.witness.unwanted.insert((uid, *agent));
                    }
                }
                if selectable && !deleted {
                    self.witness.wanted.insert((uid, *agent));
                }
                if deleted || !selected && !doubtful {
                    self.witness.unwanted.insert((uid, *agent));
                }
            }
        }
    }

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

    /// After every commit.
    pub(crate) fn check_promises(&mut self) -> Result<(), Broken> {
        self.note_wishes();
        self.check_numbers(&self.homed())
    }

    /// No grant makes the sum of what children may hold exceed the number. What exceeded it when the
    /// number was set is a surplus: it never grows beyond what it was then, and is gone when the
    /// last word from before has been replaced.
    fn check_numbers(&mut self, homed: &[Homed]) -> Result<(), Broken> {
        for it in homed {
            let uid = it.object.metadata.uid;
            let Some(policy) = it.object.placement() else { continue };
            let exposure = self.exposure(uid, it.home);
            let before = self.witness.holdings.get(&uid).copied().unwrap_or_default();
            let number = policy.number_of_clusters;
            let mut now = Holding { exposure, number, ..before };
            if before.number != number {
                // A hub that has not heard of the number yet goes on selecting without one.
                let still_open = if self.now < before.surplus_until { before.surplus } else { 0 };
                let surplus = if before.number.is_none() { u32::MAX } else { before.exposure };
                now.surplus = surplus.max(still_open);
                now.surplus_until = self.now + SURPLUS_MS;
            }
            self.witness.holdings.insert(uid, now);
            let Some(number) = number else { continue };
            let allowed = if self.now < now.surplus_until { number.max(now.surplus) } else { number };
            if exposure > before.exposure && exposure > allowed && !self.witness.unprovable.contains(&uid) {
                return Err(format!(
                    "{exposure} clusters may hold placement {uid:?} (before: {}), {allowed} are allowed:{}",
                    before.exposure,
                    self.holders(uid, it.home, 0)
                ));
            }
        }
        Ok(())
    }

    /// How many clusters below a node may run work for a placement, by every grant and assignment
    /// on any disk.
    fn exposure(&self, placement: Uid, node: usize) -> u32 {
        let disk = &self.nodes[node].disk;
        if self.nodes[node].identity.role == Role::Agent {
            return u32::from(self.may_run(placement, node));
        }
        let granted = match disk.get(&Slot::Received(
            EdgeId::Parent,
            self.generation(node),
            key(RowKind::Grant, placement),
        )) {
            Some(Value::Received(row)) => match row.payload.body {
                Body::Grant(count) => count,
                _ => 0,
            },
            _ => 0,
        };
        let children = (0..self.nodes.len()).filter(|child| self.nodes[*child].parent == Some(node));
        let below: u32 = children
            .map(|child| self.share(placement, node, child).max(self.exposure(placement, child)))
            .sum();
        granted.max(below)
    }

    /// Who may hold a placement and why, for the message.
    fn holders(&self, placement: Uid, node: usize, share: u32) -> String {
        let it = &self.nodes[node];
        let exposure = self.exposure(placement, node);
        let mut text = format!(" {} was granted {share} and may hold {exposure};", it.path);
        for child in (0..self.nodes.len()).filter(|child| self.nodes[*child].parent == Some(node)) {
            let share = self.share(placement, node, child);
            if share > 0 || self.exposure(placement, child) > 0 {
                text.push_str(&self.holders(placement, child, share));
            }
        }
        text
    }

    fn share(&self, placement: Uid, hub: usize, child: usize) -> u32 {
        let name = self.nodes[child].path.name().expect("a child has a name");
        match self.nodes[hub].disk.get(&Slot::Share(placement, name)) {
            Some(Value::Share(share)) => share.grant,
            _ => 0,
        }
    }

    fn generation(&self, node: usize) -> bool {
        match self.nodes[node].disk.get(&Slot::Cursor(EdgeId::Parent)) {
            Some(Value::Cursor(received)) => received.generation,
            _ => false,
        }
    }

    /// Whether a cluster runs work for a placement, or may start it by what it was told. Work that
    /// its hub has since given to another placement counts there.
    fn may_run(&self, placement: Uid, agent: usize) -> bool {
        let it = &self.nodes[agent];
        let in_cluster = it.cluster.sets().filter(|(_, set)| set.found.placements.contains(&placement));
        let told = it.disk.iter().filter_map(|(slot, value)| match (slot, value) {
            (Slot::Received(_, generation, key), Value::Received(row))
                if *generation == self.generation(agent) =>
            {
                match &row.payload.body {
                    Body::Assignment(Assignment::Run(run)) => {
                        run.placements.contains(&placement).then_some(key.uid)
                    }
                    _ => None,
                }
            }
            _ => None,
        });
        let given_away = |workload: Uid| self.assigned_for(workload, agent, placement) == Some(false);
        let hub = &self.nodes[it.parent.expect("an agent has a hub")].disk;
        let name = it.path.name().expect("an agent has a name");
        let under_way = hub.iter().any(|(slot, value)| match (slot, value) {
            (Slot::Assigned(child, _), Value::Assigned(assigned)) => {
                *child == name && assigned.run && assigned.placements.contains(&placement)
            }
            _ => false,
        });
        let may_run = under_way || in_cluster.map(|(uid, _)| uid).chain(told).any(|uid| !given_away(uid));
        !it.left && may_run
    }

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
        let share = self.nodes[hub].disk.get(&Slot::Share(placement, name));
        matches!(share, Some(Value::Share(share)) if share.grant > 0)
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

fn key(kind: RowKind, uid: Uid) -> Key {
    Key { kind, uid }
}
