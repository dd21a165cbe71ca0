//! How many clusters may hold a placement, counted naively over the whole tree.

use canopy_core::link::EdgeId;
use canopy_core::row::{Assignment, Body, RowKind};
use canopy_model::{Role, Uid};

use crate::chaos::world::{Broken, World};

/// How long word from before a number was set may be under way: longer than any partition.
const SURPLUS_MS: u64 = 120_000;
/// Within what time a tree has settled after a number was changed or a hub's disk exchanged: a crash
/// and a partition, one after the other, and what follows from them.
pub(super) const SETTLED_MS: u64 = 180_000;

/// How many clusters may hold a placement, and how many are allowed.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Holding {
    pub exposure: u32,
    pub number: Option<u32>,
    pub surplus: u32,
    pub surplus_until: u64,
}

impl World {
    /// A disk was lost, or an old copy came back: what it says is counted from now on.
    pub(super) fn count_anew(&mut self) {
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
    }

    /// No grant makes the sum of what children may hold exceed the number. What exceeded it when the
    /// number was set is a surplus: it never grows beyond what it was then, and is gone when the
    /// last word from before has been replaced.
    pub(super) fn check_numbers(&mut self) -> Result<(), Broken> {
        for it in self.homed() {
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
            if exposure > before.exposure && exposure > allowed && self.now >= self.witness.unprovable_until {
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
    pub(super) fn exposure(&self, placement: Uid, node: usize) -> u32 {
        if self.nodes[node].identity.role == Role::Agent {
            return u32::from(self.may_run(placement, node));
        }
        let view = self.nodes[node].view();
        let granted = match view.row(&EdgeId::Parent, RowKind::Grant, placement).map(|row| &row.payload.body)
        {
            Some(Body::Grant(count)) => *count,
            _ => 0,
        };
        let children = (0..self.nodes.len()).filter(|child| self.nodes[*child].parent == Some(node));
        let below: u32 = children
            .map(|child| self.granted_to(placement, node, child).max(self.exposure(placement, child)))
            .sum();
        granted.max(below)
    }

    /// Who may hold a placement and why, for the message.
    fn holders(&self, placement: Uid, node: usize, share: u32) -> String {
        let it = &self.nodes[node];
        let exposure = self.exposure(placement, node);
        let mut text = format!(" {} was granted {share} and may hold {exposure};", it.path);
        for child in (0..self.nodes.len()).filter(|child| self.nodes[*child].parent == Some(node)) {
            let share = self.granted_to(placement, node, child);
            if share > 0 || self.exposure(placement, child) > 0 {
                text.push_str(&self.holders(placement, child, share));
            }
        }
        text
    }

    fn granted_to(&self, placement: Uid, hub: usize, child: usize) -> u32 {
        let name = self.nodes[child].path.name().expect("a child has a name");
        self.nodes[hub].view().share(placement, &name).grant
    }

    /// Whether a cluster runs work for a placement, or may start it by what it was told. Work that
    /// its hub has since given to another placement counts there.
    fn may_run(&self, placement: Uid, agent: usize) -> bool {
        let it = &self.nodes[agent];
        let in_cluster = it.cluster.sets().filter(|(_, set)| set.found.placements.contains(&placement));
        let view = it.view();
        let told = view.rows(&EdgeId::Parent).filter_map(|(key, row)| match &row.payload.body {
            Body::Assignment(Assignment::Run(run)) => run.placements.contains(&placement).then_some(key.uid),
            _ => None,
        });
        let given_away = |workload: Uid| self.assigned_for(workload, agent, placement) == Some(false);
        let hub = self.nodes[it.parent.expect("an agent has a hub")].view();
        let name = it.path.name().expect("an agent has a name");
        let under_way = hub.assignments().any(|(child, _, assigned)| {
            *child == name && assigned.run && assigned.placements.contains(&placement)
        });
        let may_run = under_way || in_cluster.map(|(uid, _)| uid).chain(told).any(|uid| !given_away(uid));
        !it.left && may_run
    }
}
