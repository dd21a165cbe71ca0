//! The machines of the cluster: what is told of them is what changed.

use canopy_model::{Inventory, Machines};

use super::state::Agent;
use crate::durable::{Change, Slot, Value};
use crate::row::{Key, RowKind};
use crate::seam::Step;

impl Agent {
    /// Tells the hub which machines there are and what they have in all; without machines, why they
    /// are not known: then those that were told stay.
    pub(super) fn count_machines(
        &mut self,
        machines: Option<Machines>,
        mut inventory: Inventory,
        step: &mut Step,
    ) {
        match machines {
            Some(machines) => self.tell_machines(machines, step),
            None => {
                let known = self.cluster.inventory.clone().unwrap_or_default();
                inventory = Inventory { problem: inventory.problem, ..known };
            }
        }
        if self.cluster.inventory.as_ref() != Some(&inventory) {
            step.put(Change::Put(Slot::Inventory, Value::Inventory(inventory.clone())));
            self.cluster.inventory = Some(inventory);
            self.touch(Key::INVENTORY, true, step);
        }
    }

    fn tell_machines(&mut self, machines: Machines, step: &mut Step) {
        let gone = self.cluster.machines.keys().filter(|uid| !machines.contains_key(uid));
        for uid in gone.copied().collect::<Vec<_>>() {
            self.cluster.machines.remove(&uid);
            step.put(Change::Delete(Slot::Machine(uid)));
            self.touch(Key::new(RowKind::Machine, uid), false, step);
        }
        for (uid, machine) in machines {
            if self.cluster.machines.get(&uid) != Some(&machine) {
                step.put(Change::Put(Slot::Machine(uid), Value::Machine(machine.clone())));
                self.cluster.machines.insert(uid, machine);
                self.touch(Key::new(RowKind::Machine, uid), true, step);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use canopy_model::{Machine, Path, Uid};

    use super::*;

    fn machine(name: &str, ready: bool) -> Machine {
        Machine { name: name.to_owned(), ready: Some(ready), ..Machine::default() }
    }

    /// What a step tells the hub: the rows, and whether each is there.
    fn told(agent: &mut Agent, machines: Option<Vec<(Uid, Machine)>>, problem: &str) -> Vec<(Key, bool)> {
        let mut step = Step::default();
        let machines: Option<Machines> = machines.map(|it| it.into_iter().collect());
        let inventory = Inventory::of(machines.iter().flat_map(|it| it.values()));
        let inventory = Inventory { problem: problem.to_owned(), ..inventory };
        agent.count_machines(machines, inventory, &mut step);
        let changes = step.changes.iter().filter_map(|change| match change {
            Change::Put(Slot::Sent(_, key), Value::Sent(row)) => Some((*key, row.live)),
            Change::Put(..) | Change::Delete(_) => None,
        });
        changes.collect()
    }

    #[test]
    fn only_what_changed_is_told() {
        let mut agent = Agent::load("eu/press".parse::<Path>().unwrap(), []);
        let row = |uid| Key::new(RowKind::Machine, Uid(uid));
        let two = |ready| Some(vec![(Uid(1), machine("a", true)), (Uid(2), machine("b", ready))]);
        assert_eq!(told(&mut agent, two(true), ""), [(row(1), true), (row(2), true), (Key::INVENTORY, true)]);
        assert!(told(&mut agent, two(true), "").is_empty(), "nothing changed");
        assert_eq!(told(&mut agent, two(false), ""), [(row(2), true), (Key::INVENTORY, true)]);
        let one = Some(vec![(Uid(1), machine("a", true))]);
        assert_eq!(told(&mut agent, one, ""), [(row(2), false), (Key::INVENTORY, true)]);
    }

    #[test]
    fn machines_that_may_no_longer_be_listed_stay() {
        let mut agent = Agent::load("eu/press".parse::<Path>().unwrap(), []);
        told(&mut agent, Some(vec![(Uid(1), machine("a", true))]), "");
        assert_eq!(told(&mut agent, None, "forbidden"), [(Key::INVENTORY, true)]);
        let inventory = agent.cluster.inventory.unwrap();
        assert_eq!((inventory.machines, inventory.problem.as_str()), (1, "forbidden"));
    }
}
