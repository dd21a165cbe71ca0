//! The machines of a cluster (Kubernetes Nodes), as its agent tells them, and what they have in all.
//!
//! They are known at the cluster's own hub only. A machine is told again only when something changes
//! that stands here: how busy it is does not.

use std::collections::BTreeMap;

use crate::{Uid, Wall};

/// The most machines of one cluster that are told one by one: an edge cluster has a few, and a page
/// of all of them is still read at once. What is beyond is counted.
pub const MACHINES_MAX: usize = 1000;
/// The most resources that are told of one machine: a machine's own few, and a plant's special devices.
/// Those of Kubernetes' own names come first.
pub const RESOURCES_MAX: usize = 32;
/// The longest text that a machine tells of itself, in bytes: what Kubernetes allows for a name.
pub const TEXT_BYTES_MAX: usize = 253;
/// The longest name of a resource, in bytes: a domain, a slash and a name.
const RESOURCE_BYTES_MAX: usize = 253 + 1 + 63;

/// Amounts by the resource's name: of `cpu` in thousandths of a core, of memory and storage in bytes,
/// of everything else the number.
pub type Resources = BTreeMap<String, u64>;

/// The machines of a cluster by the uid of the Kubernetes Node, which stays for the machine's life.
pub type Machines = BTreeMap<Uid, Machine>;

/// One machine of a cluster.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Machine {
    /// What its cluster calls it.
    pub name: String,
    /// Whether it can run pods; none when it has fallen silent.
    pub ready: Option<bool>,
    /// New pods may come to it.
    pub schedulable: bool,
    /// What it has.
    pub capacity: Resources,
    /// What of that pods may use.
    pub allocatable: Resources,
    /// The version of its kubelet.
    pub kubelet: String,
    /// Of its processor, as Go names it: `amd64`, `arm64`.
    pub architecture: String,
    /// The name of its operating system.
    pub os_image: String,
    /// When it came to the cluster.
    pub created: Wall,
}

/// What a cluster has in all.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Inventory {
    /// All its machines.
    pub machines: u32,
    /// Of these: ready.
    pub ready: u32,
    /// Of these: only counted, and not told one by one.
    pub left_out: u32,
    /// What all of them have.
    pub capacity: Resources,
    /// What of that pods may use.
    pub allocatable: Resources,
    /// Why machines are not known, or no longer; empty when they are.
    pub problem: String,
}

impl Inventory {
    /// What these machines have in all.
    pub fn of<'a>(machines: impl IntoIterator<Item = &'a Machine>) -> Self {
        let mut inventory = Self::default();
        for machine in machines {
            inventory.machines += 1;
            inventory.ready += u32::from(machine.ready == Some(true));
            add(&mut inventory.capacity, &machine.capacity);
            add(&mut inventory.allocatable, &machine.allocatable);
        }
        for resources in [&mut inventory.capacity, &mut inventory.allocatable] {
            keep_first(resources);
        }
        inventory
    }
}

impl Machine {
    /// The machine as it may be told: texts and lists cut to their bounds.
    pub fn bounded(mut self) -> Self {
        for text in [&mut self.name, &mut self.kubelet, &mut self.architecture, &mut self.os_image] {
            text.truncate(text.floor_char_boundary(TEXT_BYTES_MAX));
        }
        for resources in [&mut self.capacity, &mut self.allocatable] {
            resources.retain(|name, _| name.len() <= RESOURCE_BYTES_MAX);
            keep_first(resources);
        }
        self
    }
}

fn add(sum: &mut Resources, part: &Resources) {
    for (name, amount) in part {
        let sum = sum.entry(name.clone()).or_default();
        *sum = sum.saturating_add(*amount);
    }
}

/// Kubernetes' own resources have no domain.
fn keep_first(resources: &mut Resources) {
    while resources.len() > RESOURCES_MAX {
        let foreign = resources.keys().rev().find(|name| name.contains('/'));
        let last = foreign.or(resources.keys().next_back()).cloned().expect("there are some");
        resources.remove(&last);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resources(pairs: &[(&str, u64)]) -> Resources {
        pairs.iter().map(|(name, amount)| ((*name).to_owned(), *amount)).collect()
    }

    #[test]
    fn a_cluster_has_what_its_machines_have() {
        let capacity = resources(&[("cpu", 4000), ("nvidia.com/gpu", 2)]);
        let gpu = Machine { ready: Some(true), capacity, ..Machine::default() };
        let plain = Machine { capacity: resources(&[("cpu", 1500)]), ..Machine::default() };
        let inventory = Inventory::of([&gpu, &plain]);
        assert_eq!((inventory.machines, inventory.ready), (2, 1));
        assert_eq!(inventory.capacity, resources(&[("cpu", 5500), ("nvidia.com/gpu", 2)]));
    }

    #[test]
    fn what_a_machine_tells_is_bounded() {
        let mut capacity: Resources = (0..100).map(|at| (format!("a.com/{at:03}"), 1)).collect();
        capacity.extend(resources(&[("cpu", 1), (&"x".repeat(400), 1)]));
        let machine = Machine { name: "ä".repeat(200), capacity, ..Machine::default() }.bounded();
        assert_eq!(machine.name.len(), TEXT_BYTES_MAX - 1);
        assert_eq!(machine.capacity.len(), RESOURCES_MAX);
        assert!(machine.capacity.contains_key("cpu"), "Kubernetes' own stay");
        assert!(machine.capacity.contains_key("a.com/000"), "of the others the first");
    }
}
