//! How children are let go: in agreement, when nothing of ours is left on them, or by force.
//!
//! Who was let go is remembered for ever, so that a node that never heard of it, dark or stolen,
//! cannot return with its old record.

use std::collections::BTreeSet;

use canopy_model::event::Reason;
use canopy_model::{Name, Record, Role, Uid};

use super::commands::Result;
use super::settle::Touched;
use super::state::Hub;
use crate::command::{Outcome, Refusal};
use crate::durable::{Change, Slot, Value};
use crate::effect::Effect;
use crate::link::EdgeId;
use crate::row::{Body, Key};
use crate::seam::Step;

impl Hub {
    /// Whether this identity belonged to a child that was let go.
    pub fn has_released(&self, uid: Uid) -> bool {
        self.released.contains(&uid)
    }

    /// Asks again for the revocation of all who were let go: a crash may have come between.
    pub(super) fn revoke_released(&self, step: &mut Step) {
        for uid in &self.released {
            step.effect(Effect::Revoke(*uid));
        }
    }

    /// A cluster goes when nothing of ours is left on it; a hub only when it is known that no cluster
    /// stands below it.
    pub(super) fn release_child(
        &mut self,
        name: &Name,
        record: Record,
        forget: bool,
        touched: &mut Touched,
        step: &mut Step,
    ) -> Result<Outcome> {
        let role = record.role;
        self.check_release(name, role, forget)?;
        if !record.leaving {
            self.set_record(name, Record { leaving: true, ..record }, touched, step);
        }
        if forget || role == Role::Hub {
            self.drop_child(name, touched, step);
        }
        Ok(Outcome::Deleted)
    }

    /// Refuses to let a hub go while clusters may stand below it.
    pub(super) fn check_release(&self, name: &Name, role: Role, forget: bool) -> Result<()> {
        if role == Role::Agent || forget {
            return Ok(());
        }
        match self.clusters_below(name) {
            Some(0) => Ok(()),
            Some(children) => Err(Refusal::HasChildren { name: name.clone(), children }),
            None => Err(Refusal::ChildrenUnknown(name.clone())),
        }
    }

    /// How many clusters a hub below has told in this incarnation; none when it has not.
    fn clusters_below(&self, name: &Name) -> Option<u32> {
        let inbox = &self.children.get(name)?.edge.inbox;
        match inbox.get(&Key::FLEET).map(|row| &row.body) {
            Some(Body::Fleet(fleet)) if inbox.is_heard(self.history.incarnation) => Some(fleet.clusters),
            _ => None,
        }
    }

    /// Drops the children among these that are leaving and hold nothing any more.
    pub(super) fn drop_left(&mut self, among: BTreeSet<Name>, touched: &mut Touched, step: &mut Step) {
        for name in among {
            let Some(child) = self.children.get(&name) else { continue };
            if !child.record.as_ref().is_some_and(|record| record.leaving) {
                continue;
            }
            let holds = self.assigned.keys().any(|(_, child)| *child == name)
                || child.edge.inbox.rows().any(|(_, row)| row.payload.body.work().is_some());
            if !holds && self.may_decide(&name) {
                self.happens(Reason::Left, self.child_subject(&name), "nothing of this hub's is left on it");
                self.drop_child(&name, touched, step);
            }
        }
    }

    fn drop_child(&mut self, name: &Name, touched: &mut Touched, step: &mut Step) {
        let workloads: Vec<Uid> =
            self.assigned.keys().filter(|(_, child)| child == name).map(|(uid, _)| *uid).collect();
        for uid in workloads {
            self.set_assigned(uid, name, None, step);
            touched.folds.insert(uid);
        }
        let placements: Vec<Uid> =
            self.shares.keys().filter(|(_, child)| child == name).map(|(uid, _)| *uid).collect();
        for uid in placements {
            self.set_share(uid, name, Default::default(), step);
        }
        let Some(mut child) = self.forget_child(name) else { return };
        let id = EdgeId::Child(name.clone());
        child.edge.disconnect("this child was released", step);
        child.edge.inbox.clear(&id, step);
        child.edge.outbox.clear(&id, step);
        step.put(Change::Delete(Slot::Child(name.clone())));
        if let Some(record) = child.record {
            self.recount_selected(name, Some(&record), touched);
            self.released.insert(record.uid);
            step.put(Change::Put(Slot::Released(record.uid), Value::Released));
            step.effect(Effect::Revoke(record.uid));
        }
        touched.everything = true;
    }
}

#[cfg(test)]
mod tests {
    use canopy_model::{Fleet, Incarnation, Now, Uptime, Wall};

    use super::*;
    use crate::command::{Command, Verb};
    use crate::hub::fixture::{NOW, Store, press, reply};
    use crate::input::Input;
    use crate::row::RowKind;
    use crate::seam::Machine as _;

    fn release(role: Role, name: Name, forget: bool) -> Verb {
        Verb::Release { role, name, forget, expected: None }
    }

    fn revokes(effects: &[Effect], uid: Uid) -> bool {
        effects.contains(&Effect::Revoke(uid))
    }

    #[test]
    fn a_crash_before_the_revocation_only_delays_it() {
        let mut store = Store::new();
        let (mut hub, _) = store.start();
        let uid = hub.children[&press()].record.as_ref().unwrap().uid;
        let verb = release(Role::Agent, press(), true);
        let command = Command { id: Uid(9), principal: "anna".to_owned(), verb };
        let step = hub.handle(Now { uptime: Uptime(1), wall: Wall(1) }, Input::Command(command));
        assert!(revokes(&store.commit(step), uid));
        assert!(hub.has_released(uid));
        let (hub, step) = store.start();
        assert!(hub.has_released(uid) && !hub.children().contains_key(&press()));
        assert!(revokes(&store.commit(step), uid), "asked again, for a crash may have come between");
    }

    #[test]
    fn a_hub_of_which_nobody_knows_what_stands_below_it_is_not_let_go() {
        let refusal = |clusters: Option<u32>, heard| {
            let mut store = Store::new();
            store.child("plant", Role::Hub);
            let plant = EdgeId::Child("plant".parse().unwrap());
            if let Some(clusters) = clusters {
                let fleet = Fleet { clusters, ..Fleet::default() };
                store.row(plant.clone(), RowKind::Fleet, Uid(0), Body::Fleet(fleet), false);
            }
            store.heard(plant, heard);
            let (mut hub, step) = store.start();
            store.commit(step);
            let verb = release(Role::Hub, "plant".parse().unwrap(), false);
            let command = Command { id: Uid(9), principal: "anna".to_owned(), verb };
            let effects = store.commit(hub.handle(Now::default(), Input::Command(command)));
            match reply(effects) {
                Some(Outcome::Refused(refusal)) => Some(refusal),
                accepted => {
                    assert_eq!(accepted, Some(Outcome::Deleted));
                    None
                }
            }
        };
        let unknown = Some(Refusal::ChildrenUnknown("plant".parse().unwrap()));
        assert_eq!(refusal(None, NOW), unknown);
        assert_eq!(refusal(Some(0), Incarnation(1)), unknown);
        assert!(matches!(refusal(Some(2), NOW), Some(Refusal::HasChildren { children: 2, .. })));
        assert_eq!(refusal(Some(0), NOW), None);
    }
}
