//! What flows down: objects, records and assignments.

use canopy_core::row::{Assignment, Run};
use canopy_model::record::Role;
use canopy_model::{
    Metadata, Object, Placement, Record, Requirement, ResourceVersion, Selector, Spec, Taint, Toleration,
    Wall, Workload,
    labels::Operator,
    taint::{self, Effect},
};

use super::part::{bytes, read_labels, read_name, read_uid, read_uids, uids};
use super::{Error, required};
use crate::link::v1;

/// The longest name of whoever admitted a child, in bytes: a path of the greatest depth has 511. A
/// child tells its own record, and what it tells is stored.
const PRINCIPAL_BYTES_MAX: usize = 512;

impl From<&Object> for v1::Object {
    fn from(object: &Object) -> Self {
        let spec = match &object.spec {
            Spec::Placement(placement) => v1::object::Spec::Placement(placement.into()),
            Spec::Workload(workload) => v1::object::Spec::Workload(workload.into()),
        };
        Self { metadata: Some((&object.metadata).into()), spec: Some(spec) }
    }
}

impl TryFrom<v1::Object> for Object {
    type Error = Error;

    fn try_from(object: v1::Object) -> Result<Self, Error> {
        let spec = match required("spec", object.spec)? {
            v1::object::Spec::Placement(placement) => Spec::Placement(placement.try_into()?),
            v1::object::Spec::Workload(workload) => Spec::Workload(workload.try_into()?),
        };
        Ok(Self { metadata: required("metadata", object.metadata)?.try_into()?, spec })
    }
}

impl From<&Metadata> for v1::Metadata {
    fn from(metadata: &Metadata) -> Self {
        Self {
            name: Some((&metadata.name).into()),
            uid: bytes(metadata.uid.0),
            home: Some((&metadata.home).into()),
            generation: metadata.generation,
            resource_version: metadata.resource_version.0,
            labels: metadata.labels.clone(),
            created_by: metadata.created_by.clone(),
            changed_by: metadata.changed_by.clone(),
            created_ms: metadata.created.0,
            deleted_ms: metadata.deleted.map(|wall| wall.0),
        }
    }
}

impl TryFrom<v1::Metadata> for Metadata {
    type Error = Error;

    fn try_from(metadata: v1::Metadata) -> Result<Self, Error> {
        Ok(Self {
            name: required("metadata.name", metadata.name)?.try_into()?,
            uid: read_uid("metadata.uid", &metadata.uid)?,
            home: required("metadata.home", metadata.home)?.try_into()?,
            generation: metadata.generation,
            resource_version: ResourceVersion(metadata.resource_version),
            labels: read_labels(metadata.labels)?,
            created_by: metadata.created_by,
            changed_by: metadata.changed_by,
            created: Wall(metadata.created_ms),
            deleted: metadata.deleted_ms.map(Wall),
        })
    }
}

impl From<&Placement> for v1::Placement {
    fn from(placement: &Placement) -> Self {
        Self {
            predicates: placement.predicates.iter().map(Into::into).collect(),
            number_of_clusters: placement.number_of_clusters,
            numbered_since: placement.numbered_since,
            tolerations: placement.tolerations.iter().map(Into::into).collect(),
        }
    }
}

impl TryFrom<v1::Placement> for Placement {
    type Error = Error;

    fn try_from(placement: v1::Placement) -> Result<Self, Error> {
        let predicates = placement.predicates.into_iter().map(TryInto::try_into).collect::<Result<_, _>>()?;
        let tolerations =
            placement.tolerations.into_iter().map(TryInto::try_into).collect::<Result<_, _>>()?;
        let v1::Placement { number_of_clusters, numbered_since, .. } = placement;
        let placement = Self { predicates, number_of_clusters, tolerations, numbered_since };
        placement.validate()?;
        Ok(placement)
    }
}

impl From<&Selector> for v1::Selector {
    fn from(selector: &Selector) -> Self {
        Self { requirements: selector.0.iter().map(Into::into).collect() }
    }
}

impl TryFrom<v1::Selector> for Selector {
    type Error = Error;

    fn try_from(selector: v1::Selector) -> Result<Self, Error> {
        selector.requirements.into_iter().map(TryInto::try_into).collect::<Result<_, _>>().map(Self)
    }
}

impl From<&Requirement> for v1::Requirement {
    fn from(requirement: &Requirement) -> Self {
        let (operator, values) = match &requirement.operator {
            Operator::In(values) => (v1::Operator::In, values.clone()),
            Operator::NotIn(values) => (v1::Operator::NotIn, values.clone()),
            Operator::Exists => (v1::Operator::Exists, Vec::new()),
            Operator::DoesNotExist => (v1::Operator::DoesNotExist, Vec::new()),
        };
        Self { key: requirement.key.clone(), operator: operator.into(), values }
    }
}

impl TryFrom<v1::Requirement> for Requirement {
    type Error = Error;

    fn try_from(requirement: v1::Requirement) -> Result<Self, Error> {
        let operator = match requirement.operator() {
            v1::Operator::In => Operator::In(requirement.values),
            v1::Operator::NotIn => Operator::NotIn(requirement.values),
            v1::Operator::Exists => Operator::Exists,
            v1::Operator::DoesNotExist => Operator::DoesNotExist,
            v1::Operator::Unspecified => return Err(Error::Missing("operator")),
        };
        Ok(Self { key: requirement.key, operator })
    }
}

impl From<&Workload> for v1::Workload {
    fn from(workload: &Workload) -> Self {
        Self {
            placements: workload.placements.iter().map(ToString::to_string).collect(),
            revision: Some((&workload.revision).into()),
        }
    }
}

impl TryFrom<v1::Workload> for Workload {
    type Error = Error;

    fn try_from(workload: v1::Workload) -> Result<Self, Error> {
        let placements = workload.placements.iter().map(|name| read_name("placements", name));
        let workload = Self {
            placements: placements.collect::<Result<_, _>>()?,
            revision: required("revision", workload.revision)?.try_into()?,
        };
        workload.validate()?;
        Ok(workload)
    }
}

impl From<&Record> for v1::Record {
    fn from(record: &Record) -> Self {
        let role = match record.role {
            Role::Hub => v1::Role::Hub,
            Role::Agent => v1::Role::Agent,
        };
        Self {
            uid: bytes(record.uid.0),
            role: role.into(),
            labels: record.labels.clone(),
            leaving: record.leaving,
            resource_version: record.version.0,
            created_by: record.created_by.clone(),
            created_ms: record.created.0,
            taints: record.taints.iter().map(Into::into).collect(),
        }
    }
}

impl TryFrom<v1::Record> for Record {
    type Error = Error;

    fn try_from(record: v1::Record) -> Result<Self, Error> {
        let role = match record.role() {
            v1::Role::Hub => Role::Hub,
            v1::Role::Agent => Role::Agent,
            v1::Role::Unspecified => return Err(Error::Missing("record.role")),
        };
        let actual = record.created_by.len();
        if actual > PRINCIPAL_BYTES_MAX {
            return Err(Error::TooLarge { field: "record.created_by", actual, max: PRINCIPAL_BYTES_MAX });
        }
        Ok(Self {
            uid: read_uid("record.uid", &record.uid)?,
            role,
            labels: read_labels(record.labels)?,
            taints: read_taints(record.taints)?,
            leaving: record.leaving,
            version: ResourceVersion(record.resource_version),
            created_by: record.created_by,
            created: Wall(record.created_ms),
        })
    }
}

fn read_taints(taints: Vec<v1::Taint>) -> Result<Vec<Taint>, Error> {
    let taints = taints.into_iter().map(TryInto::try_into).collect::<Result<Vec<_>, _>>()?;
    taint::check_all(&taints)?;
    Ok(taints)
}

impl From<&Taint> for v1::Taint {
    fn from(taint: &Taint) -> Self {
        let Taint { key, value, effect, added } = taint;
        let effect = write_effect(*effect).into();
        Self { key: key.clone(), value: value.clone(), effect, added_ms: added.0 }
    }
}

impl TryFrom<v1::Taint> for Taint {
    type Error = Error;

    fn try_from(taint: v1::Taint) -> Result<Self, Error> {
        let effect = read_effect(taint.effect).ok_or(Error::Missing("taint.effect"))?;
        Ok(Self { effect, key: taint.key, value: taint.value, added: Wall(taint.added_ms) })
    }
}

impl From<&Toleration> for v1::Toleration {
    fn from(toleration: &Toleration) -> Self {
        let Toleration { key, value, effect } = toleration;
        let effect = effect.map_or(v1::TaintEffect::Unspecified, write_effect).into();
        Self { key: key.clone(), value: value.clone(), effect }
    }
}

impl TryFrom<v1::Toleration> for Toleration {
    type Error = Error;

    /// An effect of a newer version is not every effect.
    fn try_from(toleration: v1::Toleration) -> Result<Self, Error> {
        let effect = read_effect(toleration.effect);
        if effect.is_none() && toleration.effect != 0 {
            return Err(Error::Missing("toleration.effect"));
        }
        Ok(Self { key: toleration.key, value: toleration.value, effect })
    }
}

fn write_effect(effect: Effect) -> v1::TaintEffect {
    match effect {
        Effect::NoSelect => v1::TaintEffect::NoSelect,
        Effect::PreferNoSelect => v1::TaintEffect::PreferNoSelect,
        Effect::NoSelectIfNew => v1::TaintEffect::NoSelectIfNew,
    }
}

fn read_effect(number: i32) -> Option<Effect> {
    Effect::ALL.into_iter().find(|effect| write_effect(*effect) as i32 == number)
}

impl From<&Assignment> for v1::Assignment {
    fn from(assignment: &Assignment) -> Self {
        let wish = match assignment {
            Assignment::Run(run) => v1::assignment::Wish::Run(run.into()),
            Assignment::Remove => v1::assignment::Wish::Remove(v1::Remove {}),
            Assignment::Keep => v1::assignment::Wish::Keep(v1::Keep {}),
        };
        Self { wish: Some(wish) }
    }
}

impl TryFrom<v1::Assignment> for Assignment {
    type Error = Error;

    fn try_from(assignment: v1::Assignment) -> Result<Self, Error> {
        Ok(match required("wish", assignment.wish)? {
            v1::assignment::Wish::Run(run) => Self::Run(run.try_into()?),
            v1::assignment::Wish::Remove(_) => Self::Remove,
            v1::assignment::Wish::Keep(_) => Self::Keep,
        })
    }
}

impl From<&Run> for v1::Run {
    fn from(run: &Run) -> Self {
        Self {
            name: Some((&run.name).into()),
            home: Some((&run.home).into()),
            placements: uids(&run.placements),
            revision: Some((&run.revision).into()),
        }
    }
}

impl TryFrom<v1::Run> for Run {
    type Error = Error;

    fn try_from(run: v1::Run) -> Result<Self, Error> {
        Ok(Self {
            name: required("run.name", run.name)?.try_into()?,
            home: required("run.home", run.home)?.try_into()?,
            placements: read_uids("run.placements", &run.placements)?,
            revision: required("run.revision", run.revision)?.try_into()?,
        })
    }
}
