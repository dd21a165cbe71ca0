//! The objects that are at home here: how they are written, deleted, adopted and dropped.

use std::sync::Arc;

use canopy_model::{
    Boot, Cursor, Home, Kind, Labels, Metadata, Now, Object, ObjectName, ResourceVersion, Role, Spec, Uid,
};

use super::commands::{Result, check_labels, expect};
use super::settle::Touched;
use super::state::Hub;
use crate::command::{Meant, Outcome, Refusal};
use crate::durable::{Change, Slot, Value};
use crate::row::{Key, Orphan, RowKind};
use crate::seam::Step;

impl Hub {
    pub(super) fn apply(
        &mut self,
        now: Now,
        principal: &str,
        draft: Draft,
        touched: &mut Touched,
        step: &mut Step,
    ) -> Result<Outcome> {
        let (outcome, object) = self.plan_apply(now, principal, draft)?;
        if let Some(object) = object {
            self.store(object, touched, step);
        }
        Ok(outcome)
    }

    /// What applying the draft comes to, and the object that is to be stored; none if it is so already.
    pub(super) fn plan_apply(
        &self,
        now: Now,
        principal: &str,
        draft: Draft,
    ) -> Result<(Outcome, Option<Object>)> {
        validate(&draft.spec)?;
        check_labels(&draft.labels)?;
        match self.find(draft.spec.kind(), &draft.name) {
            Some(old) => plan_change(principal, old, draft),
            None => self.plan_creation(now, principal, draft),
        }
    }

    /// A new object, or an orphan that comes back under its uid.
    fn plan_creation(&self, now: Now, principal: &str, draft: Draft) -> Result<(Outcome, Option<Object>)> {
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
        let born = Cursor { incarnation: self.history.incarnation, boot, version: self.next_version() };
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
        let object = Object { metadata, spec: note_number(draft.spec, None, adopted) };
        Ok((Outcome::Created(uid), Some(object)))
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

    pub(super) fn drop_orphan(
        &mut self,
        uid: Uid,
        touched: &mut Touched,
        step: &mut Step,
    ) -> Result<Outcome> {
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

    pub(super) fn delete(
        &mut self,
        now: Now,
        (kind, name): (Kind, &ObjectName),
        forget: bool,
        expected: Option<ResourceVersion>,
        touched: &mut Touched,
        step: &mut Step,
    ) -> Result<Outcome> {
        let object = self.deletable(kind, name, expected)?.clone();
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

    /// The object that a deletion is about.
    pub(super) fn deletable(
        &self,
        kind: Kind,
        name: &ObjectName,
        expected: Option<ResourceVersion>,
    ) -> Result<&Arc<Object>> {
        let object = self.find(kind, name);
        let object = object.ok_or_else(|| self.not_found(kind, name.name.to_string()))?;
        expect(expected, object.metadata.resource_version)?;
        Ok(object)
    }
}

/// An object that is there, as the draft changes it.
fn plan_change(principal: &str, old: &Object, draft: Draft) -> Result<(Outcome, Option<Object>)> {
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
        return Ok((Outcome::Unchanged(present), None));
    }
    let mut object = old.clone();
    object.metadata.generation += u64::from(object.spec != spec);
    object.metadata.labels = draft.labels;
    principal.clone_into(&mut object.metadata.changed_by);
    object.spec = spec;
    Ok((Outcome::Configured(present), Some(object)))
}

/// An object as somebody writes it.
pub(super) struct Draft {
    pub name: ObjectName,
    pub labels: Labels,
    pub spec: Spec,
    pub uid: Meant,
    pub expected: Option<ResourceVersion>,
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

fn full_name(kind: Kind, name: &ObjectName) -> String {
    format!("{}/{}", kind.name().to_lowercase(), name.name)
}
