//! Writes at this hub: objects that are at home here, and the records of its children.

use std::collections::BTreeMap;
use std::sync::Arc;

use canopy_model::{
    Boot, Cursor, Home, Kind, Labels, Metadata, Name, Now, Object, ObjectName, Record, ResourceVersion, Role,
    Spec, Uid, labels,
};

use super::settle::Touched;
use super::state::Hub;
use crate::command::{ANSWER_KEPT, ANSWERS_MAX, Command, Meant, Outcome, Refusal, Verb};
use crate::durable::{Answer, Change, Slot, Value};
use crate::effect::Effect;
use crate::row::{Key, Orphan, RowKind};
use crate::seam::Step;

pub(super) type Result<T> = std::result::Result<T, Refusal>;

impl Hub {
    pub(super) fn command(&mut self, now: Now, command: Command, touched: &mut Touched, step: &mut Step) {
        let Command { id, principal, verb } = command;
        let outcome = match self.answers.get(&id) {
            Some(answer) => answer.outcome.clone(),
            None => {
                let outcome =
                    self.execute(now, &principal, verb, touched, step).unwrap_or_else(Outcome::Refused);
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
            Verb::Label { role, name, changes, overwrite, expected } => {
                let record = self.record((role, &name), expected)?;
                self.label(&name, record, changes, overwrite, touched, step)
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

    fn apply(
        &mut self,
        now: Now,
        principal: &str,
        draft: Draft,
        touched: &mut Touched,
        step: &mut Step,
    ) -> Result<Outcome> {
        validate(&draft.spec)?;
        check_labels(&draft.labels)?;
        match self.find(draft.spec.kind(), &draft.name).cloned() {
            Some(old) => self.change(principal, &old, draft, touched, step),
            None => self.create(now, principal, draft, touched, step),
        }
    }

    fn change(
        &mut self,
        principal: &str,
        old: &Object,
        draft: Draft,
        touched: &mut Touched,
        step: &mut Step,
    ) -> Result<Outcome> {
        let (present, name) = (old.metadata.uid, full_name(draft.spec.kind(), &draft.name));
        if let Meant::This(named) = draft.uid
            && named != present
        {
            return Err(Refusal::OtherUid { name, present, named });
        }
        expect(draft.expected, old.metadata.resource_version)?;
        if old.metadata.deleted.is_some() {
            return Err(Refusal::Terminating(name));
        }
        let spec = note_number(draft.spec, Some(old), false);
        if old.spec == spec && old.metadata.labels == draft.labels {
            return Ok(Outcome::Unchanged(present));
        }
        let mut object = old.clone();
        object.metadata.generation += u64::from(object.spec != spec);
        object.metadata.labels = draft.labels;
        principal.clone_into(&mut object.metadata.changed_by);
        object.spec = spec;
        self.store(object, touched, step);
        Ok(Outcome::Configured(present))
    }

    /// A new object, or an orphan that comes back under its uid.
    fn create(
        &mut self,
        now: Now,
        principal: &str,
        draft: Draft,
        touched: &mut Touched,
        step: &mut Step,
    ) -> Result<Outcome> {
        let kind = draft.spec.kind();
        let (uid, adopted) = match draft.uid {
            Meant::This(uid) => {
                self.check_adoption(uid, kind, &draft.name)?;
                (uid, true)
            }
            Meant::Any { .. } if draft.expected.is_some() => {
                return Err(self.not_found(kind, draft.name.name.to_string()));
            }
            Meant::Any { fresh } => (fresh, false),
        };
        if self.objects.contains_key(&uid) {
            return Err(Refusal::Invalid(format!("uid {uid} belongs to another object")));
        }
        let boot: Boot = self.history.boot();
        let born = Cursor { incarnation: self.history.incarnation, boot, version: self.version() };
        let metadata = Metadata {
            name: draft.name,
            uid,
            home: Home { path: self.path.clone(), born },
            // An orphan that is adopted may run anywhere already, like an object that was changed.
            generation: if adopted { 2 } else { 1 },
            resource_version: ResourceVersion(0),
            labels: draft.labels,
            created_by: principal.to_owned(),
            changed_by: principal.to_owned(),
            created: now.wall,
            deleted: None,
        };
        self.store(Object { metadata, spec: note_number(draft.spec, None, adopted) }, touched, step);
        Ok(Outcome::Created(uid))
    }

    /// Only what was at home here, and is still called the same, is adopted.
    fn check_adoption(&self, uid: Uid, kind: Kind, name: &ObjectName) -> Result<()> {
        let orphan = self.own_orphan(uid)?;
        if orphan.kind != kind || orphan.name != *name {
            let ObjectName { project, name } = orphan.name;
            let present = format!("{}/{name} in project {project}", orphan.kind.name().to_lowercase());
            return Err(Refusal::OtherName { uid, present });
        }
        Ok(())
    }

    fn drop_orphan(&mut self, uid: Uid, touched: &mut Touched, step: &mut Step) -> Result<Outcome> {
        if !self.dropped.contains(&uid) {
            self.own_orphan(uid)?;
            self.dropped.insert(uid);
            step.put(Change::Put(Slot::Dropped(uid), Value::Dropped));
            touched.everything = true;
        }
        Ok(Outcome::Done)
    }

    /// An orphan about which this hub decides, and has not decided yet.
    fn own_orphan(&self, uid: Uid) -> Result<Orphan> {
        let orphan = self.orphan(uid).filter(|_| !self.dropped.contains(&uid));
        let orphan = orphan.ok_or_else(|| Refusal::NotOrphaned { uid, home: self.path.clone() })?;
        if orphan.home.path != self.path {
            return Err(Refusal::OtherHome { uid, home: orphan.home.path });
        }
        Ok(orphan)
    }

    fn store(&mut self, mut object: Object, touched: &mut Touched, step: &mut Step) {
        object.metadata.resource_version = ResourceVersion(self.version());
        let uid = object.metadata.uid;
        let object = Arc::new(object);
        step.put(Change::Put(Slot::Object(uid), Value::Object(object.clone())));
        self.objects.insert(uid, object);
        for name in self.names(Role::Hub) {
            self.touch_child_row(&name, Key::new(RowKind::Object, uid), true, step);
        }
        touched.object(uid);
    }

    fn delete(
        &mut self,
        now: Now,
        (kind, name): (Kind, &ObjectName),
        forget: bool,
        expected: Option<ResourceVersion>,
        touched: &mut Touched,
        step: &mut Step,
    ) -> Result<Outcome> {
        let Some(object) = self.find(kind, name).cloned() else {
            return Err(self.not_found(kind, name.name.to_string()));
        };
        expect(expected, object.metadata.resource_version)?;
        let uid = object.metadata.uid;
        if kind == Kind::Placement || forget {
            let users = self.index.users(uid);
            let agents = self.names(Role::Agent);
            for workload in users.iter().copied().chain([uid]) {
                touched.pairs.extend(agents.iter().map(|name| (workload, name.clone())));
            }
            self.remove_object(uid, step);
            touched.placements.insert(uid);
            touched.folds.insert(uid);
            touched.folds.extend(users);
        } else if object.metadata.deleted.is_none() {
            let mut object = Object::clone(&object);
            object.metadata.deleted = Some(now.wall);
            self.store(object, touched, step);
        }
        Ok(Outcome::Deleted)
    }

    fn accept(
        &mut self,
        name: &Name,
        record: Record,
        touched: &mut Touched,
        step: &mut Step,
    ) -> Result<Outcome> {
        check_labels(&record.labels)?;
        let recorded = self.children.get(name).and_then(|child| child.record.clone());
        match recorded {
            Some(old) if old.uid != record.uid => {
                Err(Refusal::OtherIdentity { name: name.clone(), recorded: old.uid, offered: record.uid })
            }
            Some(old) => Ok(Outcome::Unchanged(old.uid)),
            None => {
                let uid = record.uid;
                self.set_record(name, record, touched, step);
                Ok(Outcome::Created(uid))
            }
        }
    }

    fn label(
        &mut self,
        name: &Name,
        record: Record,
        changes: BTreeMap<String, Option<String>>,
        overwrite: bool,
        touched: &mut Touched,
        step: &mut Step,
    ) -> Result<Outcome> {
        let labels = labels::change(&record.labels, changes, overwrite)?;
        check_labels(&labels)?;
        let uid = record.uid;
        if labels == record.labels {
            return Ok(Outcome::Unchanged(uid));
        }
        self.set_record(name, Record { labels, ..record }, touched, step);
        Ok(Outcome::Configured(uid))
    }

    /// What is recorded about the child with this role and name.
    fn record(&self, (role, name): (Role, &Name), expected: Option<ResourceVersion>) -> Result<Record> {
        let record = self.children.get(name).and_then(|child| child.record.clone());
        let record = record.filter(|record| record.role == role);
        let record = record.ok_or_else(|| self.not_found(role.kind(), self.path.child(name).to_string()))?;
        expect(expected, record.version)?;
        Ok(record)
    }

    fn not_found(&self, kind: Kind, name: String) -> Refusal {
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

struct Draft {
    name: ObjectName,
    labels: Labels,
    spec: Spec,
    uid: Meant,
    expected: Option<ResourceVersion>,
}

/// Notes since when a placement has had a number: since its creation, since its last change from
/// having none, or since the change that gives it one now.
fn note_number(spec: Spec, old: Option<&Object>, adopted: bool) -> Spec {
    let Spec::Placement(mut placement) = spec else { return spec };
    let next = old.map_or(1 + u64::from(adopted), |object| object.metadata.generation + 1);
    let before = old.and_then(|object| object.placement()).map_or(0, |placement| placement.numbered_since);
    placement.numbered_since = match placement.number_of_clusters {
        None => 0,
        Some(_) if before > 0 => before,
        Some(_) => next,
    };
    Spec::Placement(placement)
}

fn expect(expected: Option<ResourceVersion>, current: ResourceVersion) -> Result<()> {
    match expected {
        Some(expected) if expected != current => {
            Err(Refusal::Conflict { expected: expected.0, current: current.0 })
        }
        _ => Ok(()),
    }
}

fn validate(spec: &Spec) -> Result<()> {
    let invalid = |error: &dyn std::error::Error| {
        let cause = error.source().map(|source| format!(": {source}")).unwrap_or_default();
        Refusal::Invalid(format!("{error}{cause}"))
    };
    match spec {
        Spec::Placement(placement) => placement.validate().map_err(|error| invalid(&error)),
        Spec::Workload(workload) => workload.validate().map_err(|error| invalid(&error)),
    }
}

fn check_labels(labels: &Labels) -> Result<()> {
    labels::check_all(labels).map_err(|error| Refusal::Invalid(error.to_string()))
}

impl From<labels::Taken> for Refusal {
    fn from(taken: labels::Taken) -> Self {
        let labels::Taken { key, value } = taken;
        Self::LabelExists { key, value }
    }
}

fn full_name(kind: Kind, name: &ObjectName) -> String {
    format!("{}/{}", kind.name().to_lowercase(), name.name)
}

#[cfg(test)]
mod tests {
    use super::*;
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
        Verb::Label { role: Role::Agent, name: press(), changes, overwrite: true, expected }
    }

    /// Applies a placement.
    fn apply(name: &str, uid: Meant, expected: Option<ResourceVersion>) -> Verb {
        let name = ObjectName { project: "default".parse().unwrap(), name: name.parse().unwrap() };
        let spec = Spec::Placement(canopy_model::Placement::default());
        Verb::Apply { name, labels: Labels::new(), spec, uid, expected }
    }
}
