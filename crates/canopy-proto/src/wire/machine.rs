//! The machines of a cluster, and what they have in all.

use canopy_model::{Inventory, Machine, Wall};

use crate::link::v1;

impl From<&Machine> for v1::Machine {
    fn from(machine: &Machine) -> Self {
        Self {
            name: machine.name.clone(),
            ready: machine.ready,
            schedulable: machine.schedulable,
            capacity: machine.capacity.clone(),
            allocatable: machine.allocatable.clone(),
            kubelet: machine.kubelet.clone(),
            architecture: machine.architecture.clone(),
            os_image: machine.os_image.clone(),
            created_ms: machine.created.0,
        }
    }
}

impl From<v1::Machine> for Machine {
    fn from(machine: v1::Machine) -> Self {
        Self {
            name: machine.name,
            ready: machine.ready,
            schedulable: machine.schedulable,
            capacity: machine.capacity,
            allocatable: machine.allocatable,
            kubelet: machine.kubelet,
            architecture: machine.architecture,
            os_image: machine.os_image,
            created: Wall(machine.created_ms),
        }
        .bounded()
    }
}

impl From<&Inventory> for v1::Inventory {
    fn from(inventory: &Inventory) -> Self {
        Self {
            machines: inventory.machines,
            ready: inventory.ready,
            left_out: inventory.left_out,
            capacity: inventory.capacity.clone(),
            allocatable: inventory.allocatable.clone(),
            problem: inventory.problem.clone(),
        }
    }
}

impl From<v1::Inventory> for Inventory {
    fn from(inventory: v1::Inventory) -> Self {
        let v1::Inventory { machines, ready, left_out, capacity, allocatable, problem } = inventory;
        Self { machines, ready, left_out, capacity, allocatable, problem }
    }
}
