//! What a command would come to: checked as if it were carried out, by the same code, and nothing is
//! changed.

use canopy_model::{Kind, Now, Object, Record};

use super::children::amended;
use super::commands::Result;
use super::objects::Draft;
use super::state::Hub;
use crate::command::{Outcome, Verb};

/// What a command would come to.
#[derive(Debug, Clone, PartialEq)]
pub struct Rehearsal {
    /// What would be answered.
    pub outcome: Outcome,
    /// The object as it would be; none if nothing would be left of it, or if it is a child.
    pub object: Option<Object>,
    /// What would be recorded about a child.
    pub record: Option<Record>,
}

impl Hub {
    /// What a command would come to. One that is not about an object or a child is refused or
    /// done, whatever the state.
    ///
    /// # Errors
    /// As the command itself would be refused.
    pub fn rehearse(&self, now: Now, principal: &str, verb: Verb) -> Result<Rehearsal> {
        let nothing = Rehearsal { outcome: Outcome::Done, object: None, record: None };
        match verb {
            Verb::Apply { name, labels, spec, uid, expected } => {
                let kind = spec.kind();
                let present = self.find(kind, &name).map(|object| Object::clone(object));
                let draft = Draft { name, labels, spec, uid, expected };
                let (outcome, object) = self.plan_apply(now, principal, draft)?;
                Ok(Rehearsal { outcome, object: object.or(present), ..nothing })
            }
            Verb::Delete { kind, name, forget, expected } => {
                let mut object = Object::clone(self.deletable(kind, &name, expected)?);
                object.metadata.deleted.get_or_insert(now.wall);
                let stays = kind == Kind::Workload && !forget;
                let object = stays.then_some(object);
                Ok(Rehearsal { outcome: Outcome::Deleted, object, ..nothing })
            }
            Verb::Amend { role, name, amendment, expected } => {
                let record = self.record((role, &name), expected)?;
                let amended = amended(now, &record, amendment)?;
                let outcome = match amended == record {
                    true => Outcome::Unchanged(record.uid),
                    false => Outcome::Configured(record.uid),
                };
                Ok(Rehearsal { outcome, record: Some(amended), ..nothing })
            }
            Verb::Release { role, name, forget, expected } => {
                self.record((role, &name), expected)?;
                self.check_release(&name, role, forget)?;
                Ok(Rehearsal { outcome: Outcome::Deleted, ..nothing })
            }
            Verb::Accept { .. } | Verb::ForgetMissing | Verb::Drop(_) => Ok(nothing),
        }
    }
}

#[cfg(test)]
mod tests {
    use canopy_model::{Labels, Uid};

    use super::*;
    use crate::command::{Command, Meant, Refusal};
    use crate::hub::fixture::{Store, placement, reply};
    use crate::input::Input;
    use crate::seam::Machine as _;

    fn apply(number: Option<u32>) -> Verb {
        let mut object = placement();
        if let canopy_model::Spec::Placement(placement) = &mut object.spec {
            placement.number_of_clusters = number;
        }
        let uid = Meant::Any { fresh: Uid(500) };
        let (name, spec) = (object.metadata.name, object.spec);
        Verb::Apply { name, labels: Labels::new(), spec, uid, expected: None }
    }

    #[test]
    fn a_rehearsal_says_what_the_command_then_does_and_changes_nothing() {
        let mut store = Store::new();
        let (mut hub, step) = store.start();
        store.commit(step);
        let name = placement().metadata.name;
        let delete = Verb::Delete { kind: Kind::Placement, name, forget: false, expected: None };
        let mut id = 0;
        for verb in [delete.clone(), apply(None), apply(None), apply(Some(3)), delete.clone(), delete] {
            let before = format!("{hub:?}");
            let rehearsed = hub.rehearse(Now::default(), "anna", verb.clone());
            assert_eq!(format!("{hub:?}"), before, "nothing is changed");
            id += 1;
            let command = Command { id: Uid(id), principal: "anna".to_owned(), verb };
            let effects = store.commit(hub.handle(Now::default(), Input::Command(command)));
            let outcome = reply(effects).unwrap();
            match rehearsed {
                Err(refusal) => assert_eq!(outcome, Outcome::Refused(refusal)),
                Ok(rehearsal) => {
                    assert_eq!(outcome, rehearsal.outcome);
                    let stored = hub.objects.get(&Uid(500)).map(|object| &object.spec);
                    assert_eq!(rehearsal.object.as_ref().map(|object| &object.spec), stored);
                }
            }
        }
    }

    #[test]
    fn what_would_be_refused_is() {
        let (hub, _) = Store::new().start();
        let name = "moon".parse().unwrap();
        let release = Verb::Release { role: canopy_model::Role::Agent, name, forget: true, expected: None };
        let refused = hub.rehearse(Now::default(), "anna", release);
        assert!(matches!(refused, Err(Refusal::NotFound { .. })), "{refused:?}");
    }
}
