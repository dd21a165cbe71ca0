//! What goes wrong: crashes, lost and restored disks, silent links, jumping clocks.

use canopy_core::durable::Slot;
use canopy_model::Role;

use super::world::{Broken, Event, World};

const HOUR_MS: i64 = 3_600_000;

impl World {
    pub(crate) fn fault(&mut self) -> Result<(), Broken> {
        if self.calm {
            return Ok(());
        }
        let delay = self.rng.u64(1_000..12_000);
        self.schedule(delay, Event::Fault);
        let node = self.rng.usize(..self.nodes.len());
        if self.nodes[node].left {
            return Ok(());
        }
        match self.rng.u8(..20) {
            0..=5 => {
                let for_ms = self.rng.u64(2_000..90_000);
                if self.nodes[node].parent.is_some() && !self.network.is_cut(node) {
                    self.cut(node, for_ms);
                }
            }
            6..=10 => self.crash(node),
            11..=12 => self.jump(node),
            13..=16 => self.nodes[node].copy = Some(self.nodes[node].disk.clone()),
            17 if self.disk_faults => self.lose_disk(node),
            18..=19 if self.disk_faults => self.restore(node),
            _ => {}
        }
        Ok(())
    }

    fn jump(&mut self, node: usize) {
        self.occurrences.note("wall clock jumped");
        let jump = [-HOUR_MS, HOUR_MS, 24 * 3650 * HOUR_MS, -24 * 3650 * HOUR_MS][self.rng.usize(..4)];
        self.nodes[node].skew = jump;
    }

    fn lose_disk(&mut self, node: usize) {
        self.occurrences.note(match self.nodes[node].identity.role {
            Role::Hub => "hub lost its disk",
            Role::Agent => "agent lost its disk",
        });
        self.note(format!("{} loses its disk", self.nodes[node].path));
        self.nodes[node].disk.clear();
        self.nodes[node].copy = None;
        if self.nodes[node].identity.role == Role::Agent && self.rng.u8(..4) == 0 {
            self.nodes[node].cluster.wipe();
        }
        self.disk_changed(node);
        self.come_back(node);
        self.crash(node);
    }

    /// An old copy comes back; the copy is kept, so that it may come back again.
    fn restore(&mut self, node: usize) {
        let Some(copy) = self.nodes[node].copy.clone() else { return };
        self.occurrences.note(match self.nodes[node].identity.role {
            Role::Hub => "hub restored from an old copy",
            Role::Agent => "agent restored from an old copy",
        });
        self.note(format!("{} is restored from an old copy", self.nodes[node].path));
        self.nodes[node].disk = copy;
        self.disk_changed(node);
        self.come_back(node);
        self.crash(node);
    }

    /// With its disk a hub forgot whom it had let go: who was not revoked before belongs to it again.
    fn come_back(&mut self, hub: usize) {
        let forgotten = |node: &usize| {
            let (it, hub_at) = (&self.nodes[*node], &self.nodes[hub]);
            let uid = it.identity.uid;
            let remembered = hub_at.revoked.contains(&uid) || hub_at.disk.contains_key(&Slot::Released(uid));
            it.left && it.parent == Some(hub) && !remembered
        };
        for node in (0..self.nodes.len()).filter(forgotten).collect::<Vec<_>>() {
            self.note(format!("{} was let go in vain", self.nodes[node].path));
            self.nodes[node].left = false;
            self.schedule(500, Event::Start { node });
        }
    }

    /// From now on nothing goes wrong any more.
    pub(crate) fn heal(&mut self) {
        self.calm = true;
        self.note("everything heals".to_owned());
        for node in 0..self.nodes.len() {
            self.network.heal(node);
            self.nodes[node].skew = 0;
            self.nodes[node].refusals = 0;
            self.schedule(600, Event::Release { agent: node });
            self.schedule(500, Event::Start { node });
        }
    }
}
