//! Writes at this hub: objects that are at home here, and the records of its children.

use std::collections::BTreeMap;
use std::sync::Arc;

use canopy_model::{
    Boot, Cursor, Home, Kind, Labels, Metadata, Name, Now, Object, ObjectName, Record, ResourceVersion, Role,
    Spec, Uid,
};

use super::settle::Touched;
use super::state::Hub;
use crate::command::{ANSWER_KEPT, ANSWERS_MAX, Command, Outcome, Refusal, Verb};
use crate::durable::{Answer, Change, Slot, Value};
use crate::effect::Effect;
use crate::row::{Key, RowKind};
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
            Verb::Accept { name, record } => self.accept(&name, record, touched, step),
            Verb::Label { name, changes, overwrite } => self.label(&name, changes, overwrite, touched, step),
            Verb::Release { name, forget } => self.release_child(&name, forget, touched, step),
            Verb::ForgetMissing => {
                self.history.recovering = false;
                self.grace_until = None;
                step.put(self.history_change());
                touched.everything = true;
                Ok(Outcome::Done)
            }
            Verb::Drop(uid) => {
                self.dropped.insert(uid);
                step.put(Change::Put(Slot::Dropped(uid), Value::Dropped));
                touched.everything = true;
                Ok(Outcome::Done)
            }
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
        let kind = draft.spec.kind();
        let found = self.find(kind, &draft.name).cloned();
        let adopted = found.is_none() && self.orphan(draft.uid).is_some();
        let draft = Draft { spec: note_number(draft.spec, found.as_deref(), adopted), ..draft };
        let object = match &found {
            Some(old) => {
                expect(draft.expected, old)?;
                if old.metadata.deleted.is_some() {
                    return Err(Refusal::Terminating(full_name(kind, &draft.name)));
                }
                if old.spec == draft.spec && old.metadata.labels == draft.labels {
                    return Ok(Outcome::Unchanged(old.clone()));
                }
                let mut object = Object::clone(old);
                object.metadata.generation += u64::from(object.spec != draft.spec);
                object.metadata.labels = draft.labels;
                principal.clone_into(&mut object.metadata.changed_by);
                object.spec = draft.spec;
                object
            }
            None => {
                if self.objects.contains_key(&draft.uid) {
                    return Err(Refusal::Invalid(format!("uid {} belongs to another object", draft.uid)));
                }
                self.create(now, principal, draft)
            }
        };
        let object = self.store(object, touched, step);
        Ok(if found.is_some() { Outcome::Configured(object) } else { Outcome::Created(object) })
    }

    fn create(&mut self, now: Now, principal: &str, draft: Draft) -> Object {
        let boot: Boot = self.history.boot();
        let born = Cursor { incarnation: self.history.incarnation, boot, version: self.version() };
        // An orphan that is adopted may run anywhere already, like an object that was changed.
        let generation = if self.orphan(draft.uid).is_some() { 2 } else { 1 };
        let metadata = Metadata {
            name: draft.name,
            uid: draft.uid,
            home: Home { path: self.path.clone(), born },
            generation,
            resource_version: ResourceVersion(0),
            labels: draft.labels,
            created_by: principal.to_owned(),
            changed_by: principal.to_owned(),
            created: now.wall,
            deleted: None,
        };
        Object { metadata, spec: draft.spec }
    }

    fn store(&mut self, mut object: Object, touched: &mut Touched, step: &mut Step) -> Arc<Object> {
        object.metadata.resource_version = ResourceVersion(self.version());
        let uid = object.metadata.uid;
        let object = Arc::new(object);
        step.put(Change::Put(Slot::Object(uid), Value::Object(object.clone())));
        self.objects.insert(uid, object.clone());
        for name in self.names(Role::Hub) {
            self.touch_child_row(&name, Key::new(RowKind::Object, uid), true, step);
        }
        touched.object(uid);
        object
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
            return Err(self.not_found(kind, full_name(kind, name)));
        };
        expect(expected, &object)?;
        let uid = object.metadata.uid;
        if kind == Kind::Placement || forget {
            let users = self.index.users(uid);
            let agents = self.names(Role::Agent);
            for workload in users.into_iter().chain([uid]) {
                touched.pairs.extend(agents.iter().map(|name| (workload, name.clone())));
            }
            self.remove_object(uid, step);
            touched.placements.insert(uid);
            touched.folds.insert(uid);
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
            Some(old) => Ok(Outcome::Recorded(old)),
            None => {
                self.set_record(name, record.clone(), touched, step);
                Ok(Outcome::Recorded(record))
            }
        }
    }

    fn label(
        &mut self,
        name: &Name,
        changes: BTreeMap<String, Option<String>>,
        overwrite: bool,
        touched: &mut Touched,
        step: &mut Step,
    ) -> Result<Outcome> {
        let mut record = self.record(name)?;
        for (key, value) in changes {
            let Some(value) = value else {
                record.labels.remove(&key);
                continue;
            };
            match record.labels.get(&key) {
                Some(old) if *old != value && !overwrite => {
                    return Err(Refusal::LabelExists { key, value: old.clone() });
                }
                _ => record.labels.insert(key, value),
            };
        }
        check_labels(&record.labels)?;
        self.change_record(name, record, touched, step)
    }

    pub(super) fn change_record(
        &mut self,
        name: &Name,
        record: Record,
        touched: &mut Touched,
        step: &mut Step,
    ) -> Result<Outcome> {
        if self.record(name)? != record {
            self.set_record(name, record.clone(), touched, step);
        }
        Ok(Outcome::Recorded(record))
    }

    pub(super) fn record(&self, name: &Name) -> Result<Record> {
        let record = self.children.get(name).and_then(|child| child.record.clone());
        record.ok_or_else(|| self.not_found(Kind::Cluster, self.path.child(name).to_string()))
    }

    pub(super) fn not_found(&self, kind: Kind, name: String) -> Refusal {
        Refusal::NotFound { kind: kind.name(), name, home: self.path.clone() }
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
    uid: Uid,
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

fn expect(expected: Option<ResourceVersion>, object: &Object) -> Result<()> {
    let current = object.metadata.resource_version;
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
    let invalid = |error: canopy_model::labels::Error| Refusal::Invalid(error.to_string());
    labels.iter().try_for_each(|(key, value)| canopy_model::labels::check(key, value).map_err(invalid))
}

fn full_name(kind: Kind, name: &ObjectName) -> String {
    format!("{}/{}", kind.name().to_lowercase(), name.name)
}
