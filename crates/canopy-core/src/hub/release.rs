//! How children are let go: in agreement, when nothing of ours is left on them, or by force.
//!
//! Who was let go is remembered for ever, so that a node that never heard of it, dark or stolen,
//! cannot return with its old record.

use canopy_model::{Name, Role, Uid};

use super::commands::Result;
use super::settle::Touched;
use super::state::{Child, Hub};
use crate::command::{Outcome, Refusal};
use crate::durable::{Change, Slot, Value};
use crate::effect::Effect;
use crate::link::EdgeId;
use crate::row::{Body, Key, RowKind};
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

    /// A cluster goes when nothing of ours is left on it; a hub only without clusters below.
    pub(super) fn release_child(
        &mut self,
        name: &Name,
        forget: bool,
        touched: &mut Touched,
        step: &mut Step,
    ) -> Result<Outcome> {
        let mut record = self.record(name)?;
        if record.role == Role::Hub && !forget {
            let child = self.children.get(name);
            let child = child.and_then(|child| child.edge.inbox.get(&Key::new(RowKind::Fleet, Uid(0))));
            if let Some(Body::Fleet(fleet)) = child.map(|row| &row.body)
                && fleet.clusters > 0
            {
                return Err(Refusal::HasChildren { name: name.clone(), children: fleet.clusters });
            }
        }
        record.leaving = true;
        let role = record.role;
        self.change_record(name, record, touched, step)?;
        if forget || role == Role::Hub {
            self.drop_child(name, touched, step);
        }
        Ok(Outcome::Deleted)
    }

    /// Drops the children that are leaving and hold nothing any more.
    pub(super) fn drop_left(&mut self, touched: &mut Touched, step: &mut Step) {
        let leaving = |child: &Child| child.record.as_ref().is_some_and(|record| record.leaving);
        let names: Vec<Name> =
            self.children.iter().filter(|(_, child)| leaving(child)).map(|(name, _)| name.clone()).collect();
        for name in names {
            let holds = self.assigned.keys().any(|(_, child)| *child == name)
                || self.children[&name].edge.inbox.rows().any(|(_, row)| row.payload.body.work().is_some());
            if !holds && self.may_decide(&name) {
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
    use canopy_model::{Now, Uptime, Wall};

    use super::*;
    use crate::command::{Command, Verb};
    use crate::hub::fixture::{Store, press};
    use crate::input::Input;
    use crate::seam::Machine as _;

    fn revokes(effects: &[Effect], uid: Uid) -> bool {
        effects.contains(&Effect::Revoke(uid))
    }

    #[test]
    fn a_crash_before_the_revocation_only_delays_it() {
        let mut store = Store::new();
        let (mut hub, _) = store.start();
        let uid = hub.record(&press()).unwrap().uid;
        let verb = Verb::Release { name: press(), forget: true };
        let command = Command { id: Uid(9), principal: "anna".to_owned(), verb };
        let step = hub.handle(Now { uptime: Uptime(1), wall: Wall(1) }, Input::Command(command));
        assert!(revokes(&store.commit(step), uid));
        assert!(hub.has_released(uid));
        let (hub, step) = store.start();
        assert!(hub.has_released(uid) && !hub.children().contains_key(&press()));
        assert!(revokes(&store.commit(step), uid), "asked again, for a crash may have come between");
    }
}
