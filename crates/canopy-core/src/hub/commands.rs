//! Commands: each is carried out once, however often it comes. What they write are the objects at
//! home here (see [`objects`](super::objects)) and the records of children (see
//! [`children`](super::children)).

use canopy_model::event::{Reason, Subject};
use canopy_model::{
    Kind, Labels, Name, Now, Object, ObjectName, Record, ResourceVersion, Uid, labels, taint,
};

use super::objects::Draft;
use super::settle::Touched;
use super::state::Hub;
use crate::command::{ANSWER_KEPT, ANSWERS_MAX, Command, Meant, Outcome, Refusal, Verb};
use crate::durable::{Answer, Change, Slot, Value};
use crate::effect::Effect;
use crate::seam::Step;

pub(super) type Result<T> = std::result::Result<T, Refusal>;

impl Hub {
    pub(super) fn command(&mut self, now: Now, command: Command, touched: &mut Touched, step: &mut Step) {
        let Command { id, principal, verb } = command;
        let outcome = match self.answers.get(&id) {
            Some(answer) => answer.outcome.clone(),
            None => {
                let asked = self.asked(&verb);
                let outcome =
                    self.execute(now, &principal, verb, touched, step).unwrap_or_else(Outcome::Refused);
                self.tell_write(&principal, asked, &outcome);
                let answer = Answer { outcome: outcome.clone(), at: now.uptime };
                step.put(Change::Put(Slot::Answer(id), Value::Answer(answer.clone())));
                self.answers.insert(id, answer);
                outcome
            }
        };
        step.effect(Effect::Reply { id, outcome });
    }

    fn execute(
        &mut self,
        now: Now,
        principal: &str,
        verb: Verb,
        touched: &mut Touched,
        step: &mut Step,
    ) -> Result<Outcome> {
        match verb {
            Verb::Apply { name, labels, spec, uid, expected } => {
                self.apply(now, principal, Draft { name, labels, spec, uid, expected }, touched, step)
            }
            Verb::Delete { kind, name, forget, expected } => {
                self.delete(now, (kind, &name), forget, expected, touched, step)
            }
            Verb::Accept { name, record } => {
                let record = Record { created: now.wall, created_by: principal.to_owned(), ..record };
                self.accept(&name, record, touched, step)
            }
            Verb::Amend { role, name, amendment, expected } => {
                let record = self.record((role, &name), expected)?;
                self.amend(now, &name, record, amendment, touched, step)
            }
            Verb::Release { role, name, forget, expected } => {
                let record = self.record((role, &name), expected)?;
                self.release_child(&name, record, forget, touched, step)
            }
            Verb::ForgetMissing => {
                self.history.recovering = false;
                self.grace_until = None;
                step.put(self.history_change());
                touched.everything = true;
                Ok(Outcome::Done)
            }
            Verb::Drop(uid) => self.drop_orphan(uid, touched, step),
        }
    }

    /// What a write is about, before it is carried out.
    fn asked(&self, verb: &Verb) -> Asked {
        let object =
            |kind: Kind, name: &ObjectName| self.find(kind, name).map(|object| Object::clone(object));
        match verb {
            Verb::Apply { name, spec, uid, .. } => {
                Asked::Apply { before: object(spec.kind(), name), adopted: matches!(uid, Meant::This(_)) }
            }
            Verb::Delete { kind, name, .. } => Asked::Delete {
                before: object(*kind, name),
                about: self.find(*kind, name).and_then(|object| self.object_subject(object.metadata.uid)),
            },
            Verb::Accept { name, .. } | Verb::Amend { name, .. } => Asked::Child(name.clone()),
            Verb::Release { name, .. } => {
                Asked::Release { name: name.clone(), about: self.child_subject(name) }
            }
            Verb::ForgetMissing => Asked::ForgetMissing,
            Verb::Drop(uid) => Asked::Drop(self.object_subject(*uid)),
        }
    }

    /// Tells who wrote what.
    fn tell_write(&mut self, principal: &str, asked: Asked, outcome: &Outcome) {
        let by = format!("by {principal}");
        match (asked, outcome) {
            (Asked::Apply { adopted, .. }, Outcome::Created(uid)) => {
                let reason = if adopted { Reason::Adopted } else { Reason::Created };
                self.object_subject(*uid).into_iter().for_each(|about| self.happens(reason, about, &by));
            }
            (Asked::Apply { before, .. }, Outcome::Configured(uid)) => {
                let generation = |object: &Object| object.metadata.generation;
                let after = self.objects.get(uid).map(|object| generation(object));
                let message = match after {
                    Some(after) if before.map(|object| generation(&object)) != Some(after) => {
                        format!("to generation {after} {by}")
                    }
                    _ => format!("its labels, {by}"),
                };
                let about = self.object_subject(*uid);
                about.into_iter().for_each(|about| self.happens(Reason::Changed, about, &message));
            }
            (Asked::Delete { before: Some(before), about: Some(about) }, Outcome::Deleted) => {
                let stays = self.objects.contains_key(&about.uid);
                if !stays {
                    self.happens(Reason::Deleted, about, by);
                } else if before.metadata.deleted.is_none() {
                    self.happens(Reason::DeletionRequested, about, by);
                }
            }
            (Asked::Child(name), Outcome::Created(_)) => {
                self.happens(Reason::Joined, self.child_subject(&name), format!("accepted {by}"));
            }
            (Asked::Child(name), Outcome::Configured(_)) => {
                self.happens(
                    Reason::Changed,
                    self.child_subject(&name),
                    format!("its labels or taints, {by}"),
                );
            }
            (Asked::Release { name, about }, Outcome::Deleted) => {
                let stays = self.children.contains_key(&name);
                let reason = if stays { Reason::DeletionRequested } else { Reason::Left };
                self.happens(reason, about, if stays { by } else { format!("let go {by}") });
            }
            (Asked::ForgetMissing, Outcome::Done) => {
                self.happens(Reason::MissingForgotten, self.own_subject(), by);
            }
            (Asked::Drop(Some(about)), Outcome::Done) => self.happens(Reason::OrphanDropped, about, by),
            _ => {}
        }
    }

    pub(super) fn not_found(&self, kind: Kind, name: String) -> Refusal {
        Refusal::NotFound { kind, name, home: self.path.clone() }
    }

    pub(super) fn forget_answers(&mut self, now: Now, step: &mut Step) {
        let excess = self.answers.len().saturating_sub(ANSWERS_MAX);
        let mut by_age: Vec<(canopy_model::Uptime, Uid)> =
            self.answers.iter().map(|(id, answer)| (answer.at, *id)).collect();
        by_age.sort_unstable();
        for (at, (given, id)) in by_age.into_iter().enumerate() {
            if at >= excess && now.uptime.since(given) < ANSWER_KEPT {
                break;
            }
            self.answers.remove(&id);
            step.put(Change::Delete(Slot::Answer(id)));
        }
    }
}

/// What a write is about, as it was before.
enum Asked {
    Apply { before: Option<Object>, adopted: bool },
    Delete { before: Option<Object>, about: Option<Subject> },
    Child(Name),
    Release { name: Name, about: Subject },
    ForgetMissing,
    Drop(Option<Subject>),
}

pub(super) fn expect(expected: Option<ResourceVersion>, current: ResourceVersion) -> Result<()> {
    match expected {
        Some(expected) if expected != current => {
            Err(Refusal::Conflict { expected: expected.0, current: current.0 })
        }
        _ => Ok(()),
    }
}

pub(super) fn check_labels(labels: &Labels) -> Result<()> {
    labels::check_all(labels).map_err(|error| Refusal::Invalid(error.to_string()))
}

impl From<taint::Error> for Refusal {
    fn from(error: taint::Error) -> Self {
        match error {
            taint::Error::Taken(taint) => Self::TaintExists(taint),
            taint::Error::Form(source) => Self::Invalid(format!("a taint has the form of a label: {source}")),
            taint::Error::TooMany(_) => Self::Invalid(error.to_string()),
        }
    }
}

impl From<labels::Taken> for Refusal {
    fn from(taken: labels::Taken) -> Self {
        let labels::Taken { key, value } = taken;
        Self::LabelExists { key, value }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use canopy_model::{Role, Spec};

    use super::*;
    use crate::command::Amendment;
    use crate::hub::fixture::{Store, WORKLOAD, home, press, reply, workload};
    use crate::input::Input;
    use crate::seam::Machine as _;

    /// The hub `eu` with the cluster `press`, and the commands that it was given.
    struct Asked {
        store: Store,
        hub: Hub,
        commands: u128,
    }

    impl Asked {
        fn new() -> Self {
            let mut store = Store::new();
            let (hub, step) = store.start();
            store.commit(step);
            Self { store, hub, commands: 0 }
        }

        fn record(&self) -> Record {
            self.hub.children[&press()].record.clone().unwrap()
        }

        fn ask(&mut self, verb: Verb) -> Outcome {
            self.commands += 1;
            let id = Uid(self.commands);
            let command = Command { id, principal: "anna".to_owned(), verb };
            let step = self.hub.handle(Now::default(), Input::Command(command));
            let effects = self.store.commit(step);
            reply(effects).expect("a reply")
        }
    }

    fn many_labels(count: usize) -> Labels {
        (0..count).map(|at| (format!("{at:0>63}"), "x".repeat(57))).collect()
    }

    #[test]
    fn labels_that_no_record_could_keep_are_refused() {
        let mut hub = Asked::new();
        let before = hub.record();
        let changes = many_labels(65).into_iter().map(|(key, value)| (key, Some(value))).collect();
        let label = label(changes, None);
        let name: Name = "mill".parse().unwrap();
        let record = Record::new(Uid(200), Role::Agent, many_labels(65));
        for verb in [label, Verb::Accept { name, record }] {
            let Outcome::Refused(Refusal::Invalid(why)) = hub.ask(verb) else { panic!("it is kept") };
            assert!(why.contains("the 6"), "{why}");
        }
        assert_eq!(hub.record(), before);
    }

    #[test]
    fn who_knew_an_object_does_not_create_another() {
        let mut hub = Asked::new();
        let expected = Some(ResourceVersion(3));
        let refused = hub.ask(apply("web", Meant::Any { fresh: Uid(70) }, expected));
        assert!(
            matches!(refused, Outcome::Refused(Refusal::NotFound { kind: Kind::Placement, .. })),
            "{refused:?}"
        );
        assert_eq!(hub.ask(apply("web", Meant::Any { fresh: Uid(70) }, None)), Outcome::Created(Uid(70)));
        let refused = hub.ask(apply("web", Meant::Any { fresh: Uid(71) }, expected));
        assert!(matches!(refused, Outcome::Refused(Refusal::Conflict { expected: 3, .. })), "{refused:?}");
    }

    #[test]
    fn a_record_is_changed_only_as_it_was_known() {
        let mut hub = Asked::new();
        let name: Name = "mill".parse().unwrap();
        let record = Record::new(Uid(200), Role::Agent, Labels::new());
        assert_eq!(hub.ask(Verb::Accept { name: name.clone(), record }), Outcome::Created(Uid(200)));
        assert_eq!(hub.hub.children[&name].record.as_ref().unwrap().created_by, "anna");
        let spare = || BTreeMap::from([("spare".to_owned(), Some("yes".to_owned()))]);
        assert_eq!(hub.ask(label(spare(), None)), Outcome::Configured(Uid(100)));
        let version = hub.record().version;
        assert_eq!(hub.ask(label(spare(), Some(version))), Outcome::Unchanged(Uid(100)));
        let none = BTreeMap::from([("spare".to_owned(), None)]);
        assert_eq!(hub.ask(label(none, Some(version))), Outcome::Configured(Uid(100)));
        let release = |role, expected| Verb::Release { role, name: press(), forget: true, expected };
        for verb in [label(spare(), Some(version)), release(Role::Agent, Some(version))] {
            let refused = hub.ask(verb);
            assert!(matches!(refused, Outcome::Refused(Refusal::Conflict { .. })), "{refused:?}");
        }
        let refused = hub.ask(release(Role::Hub, None));
        assert!(
            matches!(refused, Outcome::Refused(Refusal::NotFound { kind: Kind::Hub, .. })),
            "{refused:?}"
        );
        assert_eq!(hub.ask(release(Role::Agent, None)), Outcome::Deleted);
    }

    #[test]
    fn a_name_that_is_meant_by_uid_is_not_another_object() {
        let mut hub = Asked::new();
        assert_eq!(hub.ask(apply("web", Meant::Any { fresh: Uid(70) }, None)), Outcome::Created(Uid(70)));
        assert_eq!(hub.ask(apply("web", Meant::This(Uid(70)), None)), Outcome::Unchanged(Uid(70)));
        let refused = hub.ask(apply("web", Meant::This(Uid(71)), None));
        assert!(matches!(refused, Outcome::Refused(Refusal::OtherUid { .. })), "{refused:?}");
        let refused = hub.ask(apply("other", Meant::This(Uid(70)), None));
        assert!(matches!(refused, Outcome::Refused(Refusal::NotOrphaned { .. })), "{refused:?}");
    }

    /// A hub whose cluster holds work of which the home, at this path, knows nothing.
    fn orphaned(path: &str) -> Asked {
        let mut store = Store::new();
        store.unknown(WORKLOAD);
        store.reports(true, None, home(path, 10, 30));
        let (hub, step) = store.start();
        store.commit(step);
        Asked { store, hub, commands: 0 }
    }

    #[test]
    fn only_what_was_at_home_here_is_adopted_and_as_what_it_was() {
        let mut hub = orphaned("eu");
        let refused = hub.ask(apply("line", Meant::This(WORKLOAD), None));
        assert!(matches!(refused, Outcome::Refused(Refusal::OtherName { .. })), "{refused:?}");
        let mut theirs = orphaned("/");
        for verb in [apply("line", Meant::This(WORKLOAD), None), Verb::Drop(WORKLOAD)] {
            let refused = theirs.ask(verb);
            assert!(matches!(refused, Outcome::Refused(Refusal::OtherHome { .. })), "{refused:?}");
        }
        let spec = workload().spec;
        let Verb::Apply { name, labels, uid, expected, .. } = apply("line", Meant::This(WORKLOAD), None)
        else {
            unreachable!()
        };
        let adopt = Verb::Apply { name, labels, spec, uid, expected };
        assert_eq!(hub.ask(adopt), Outcome::Created(WORKLOAD));
        let refused = hub.ask(Verb::Drop(WORKLOAD));
        assert!(matches!(refused, Outcome::Refused(Refusal::NotOrphaned { .. })), "{refused:?}");
        assert!(hub.hub.dropped.is_empty());
    }

    fn label(changes: BTreeMap<String, Option<String>>, expected: Option<ResourceVersion>) -> Verb {
        let amendment = Amendment { labels: changes, overwrite: true, ..Amendment::default() };
        Verb::Amend { role: Role::Agent, name: press(), amendment, expected }
    }

    /// Applies a placement.
    fn apply(name: &str, uid: Meant, expected: Option<ResourceVersion>) -> Verb {
        let name = ObjectName { project: "default".parse().unwrap(), name: name.parse().unwrap() };
        let spec = Spec::Placement(canopy_model::Placement::default());
        Verb::Apply { name, labels: Labels::new(), spec, uid, expected }
    }
}
