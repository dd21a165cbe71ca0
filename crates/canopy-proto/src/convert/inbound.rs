//! Admin objects as values of the model, checked.

use std::collections::HashMap;

use canopy_model::labels::{self, Operator};
use canopy_model::{
    Digest, Kind, Labels, Name, ObjectName, Path, Placement, Requirement, ResourceVersion, Revision,
    Selector, Toleration, Uid, Workload, taint,
};
use canopy_upkeep::Upkeep;
use serde_json::Value;

use super::{DEFAULT_PROJECT, Error};
use crate::admin::v1::{self, object::Spec};
use crate::revision::Content;

/// Checks all of an object that its author writes.
pub fn check(object: &v1::Object) -> Result<(), Error> {
    let metadata = object.metadata.as_ref().ok_or(Error::Missing("metadata"))?;
    labels(&metadata.labels)?;
    path("metadata.home", &metadata.home)?;
    match object.spec.as_ref().ok_or(Error::Missing("spec"))? {
        Spec::Cluster(spec) => {
            path("metadata.name", &metadata.name)?;
            spec.taints.iter().try_for_each(|given| taint(given).map(drop))
        }
        Spec::Hub(_) => path("metadata.name", &metadata.name).map(drop),
        Spec::Machine(_) => Err(Error::Observed),
        Spec::Placement(spec) => {
            object_name(&metadata.project, &metadata.name)?;
            placement(spec).map(drop)
        }
        Spec::Workload(spec) => {
            object_name(&metadata.project, &metadata.name)?;
            let unnamed = |content: &[u8]| Revision {
                digest: Digest([0; 32]),
                size: content.len() as u64,
                inline: None,
            };
            workload(spec, unnamed).map(drop)
        }
    }
}

/// The kind, which requests must name.
pub fn kind(kind: v1::Kind) -> Result<Kind, Error> {
    match kind {
        v1::Kind::Unspecified => Err(Error::Missing("kind")),
        v1::Kind::Hub => Ok(Kind::Hub),
        v1::Kind::Cluster => Ok(Kind::Cluster),
        v1::Kind::Machine => Ok(Kind::Machine),
        v1::Kind::Placement => Ok(Kind::Placement),
        v1::Kind::Workload => Ok(Kind::Workload),
    }
}

/// The path in this field.
pub fn path(field: &'static str, text: &str) -> Result<Path, Error> {
    text.parse().map_err(|source| Error::Path { field, source })
}

/// The uid in this field.
pub fn uid(field: &'static str, text: &str) -> Result<Uid, Error> {
    text.parse().map_err(|source| Error::Uid { field, source })
}

/// The version for a compare-and-swap, none when the field is empty.
pub fn resource_version(text: &str) -> Result<Option<ResourceVersion>, Error> {
    if text.is_empty() {
        return Ok(None);
    }
    let version = text.parse().map_err(|_| Error::ResourceVersion(text.to_owned()))?;
    Ok(Some(ResourceVersion(version)))
}

/// Project and name; an empty project is [`DEFAULT_PROJECT`].
pub fn object_name(project: &str, name: &str) -> Result<ObjectName, Error> {
    let project = if project.is_empty() { DEFAULT_PROJECT } else { project };
    Ok(ObjectName {
        project: self::name("metadata.project", project)?,
        name: self::name("metadata.name", name)?,
    })
}

fn name(field: impl Into<String>, text: &str) -> Result<Name, Error> {
    text.parse().map_err(|source| Error::Name { field: field.into(), source })
}

/// The labels, checked.
pub fn labels(given: &HashMap<String, String>) -> Result<Labels, Error> {
    let labels: Labels = given.iter().map(|(key, value)| (key.clone(), value.clone())).collect();
    labels::check_all(&labels).map_err(Error::Label)?;
    Ok(labels)
}

/// The placement, validated.
pub fn placement(spec: &v1::PlacementSpec) -> Result<Placement, Error> {
    let predicates = spec.predicates.iter().enumerate().map(|(at, predicate)| {
        let field = format!("spec.predicates[{at}].requiredClusterSelector.labelSelector");
        match &predicate.label_selector {
            Some(given) => selector(&field, given),
            None => Ok(Selector::default()),
        }
    });
    let tolerations = spec.tolerations.iter().enumerate();
    let tolerations = tolerations.map(|(at, given)| toleration(at, given)).collect::<Result<_, _>>()?;
    let placement = Placement {
        predicates: predicates.collect::<Result<_, _>>()?,
        number_of_clusters: spec.number_of_clusters,
        tolerations,
        numbered_since: 0,
    };
    placement.validate().map_err(Error::Placement)?;
    Ok(placement)
}

fn toleration(at: usize, given: &v1::Toleration) -> Result<Toleration, Error> {
    let refuse = |problem| Error::Toleration { at, problem };
    if given.toleration_seconds.is_some() {
        return Err(refuse(
            "has tolerationSeconds, which are not counted yet: leave them out to tolerate for ever",
        ));
    }
    let value = match (given.operator.as_str(), given.value.as_str()) {
        ("" | "Equal", _) if given.key.is_empty() => {
            return Err(refuse("has no key, which only Exists allows"));
        }
        ("" | "Equal", value) => Some(value.to_owned()),
        ("Exists", "") => None,
        ("Exists", _) => return Err(refuse("has a value, which Exists does not take")),
        _ => return Err(refuse("has an unknown operator: expected Equal or Exists")),
    };
    let effect = match given.effect.as_str() {
        "" => None,
        effect => Some(self::effect(effect)?),
    };
    Ok(Toleration { key: given.key.clone(), value, effect })
}

/// A taint that is to be there.
pub fn taint(given: &v1::Taint) -> Result<taint::Change, Error> {
    let (key, value) = (given.key.clone(), given.value.clone());
    Ok(taint::Change::Set { key, value, effect: effect(&given.effect)? })
}

/// A taint that is to go: of any effect unless it names one.
pub fn untaint(given: &v1::Taint) -> Result<taint::Change, Error> {
    let effect = match given.effect.as_str() {
        "" => None,
        effect => Some(self::effect(effect)?),
    };
    Ok(taint::Change::Remove { key: given.key.clone(), effect })
}

fn effect(text: &str) -> Result<taint::Effect, Error> {
    let found = taint::Effect::ALL.into_iter().find(|effect| effect.name() == text);
    found.ok_or_else(|| Error::Effect(text.to_owned()))
}

/// The selector; `field` says in an error where it stands.
///
/// # Errors
/// An operator is unknown, or has values that it does not take.
pub fn selector(field: &str, given: &v1::LabelSelector) -> Result<Selector, Error> {
    let mut labels: Vec<_> = given.match_labels.iter().collect();
    labels.sort();
    let equal = labels.into_iter().map(|(key, value)| {
        Ok(Requirement { key: key.clone(), operator: Operator::In(vec![value.clone()]) })
    });
    let further = given
        .match_expressions
        .iter()
        .enumerate()
        .map(|(at, given)| requirement(&format!("{field}.matchExpressions[{at}]"), given));
    equal.chain(further).collect::<Result<_, _>>().map(Selector)
}

fn requirement(field: &str, given: &v1::Requirement) -> Result<Requirement, Error> {
    let operator = match given.operator.as_str() {
        "In" => Operator::In(given.values.clone()),
        "NotIn" => Operator::NotIn(given.values.clone()),
        "Exists" | "DoesNotExist" if !given.values.is_empty() => {
            return Err(Error::NeedlessValues {
                field: format!("{field}.values"),
                operator: given.operator.clone(),
            });
        }
        "Exists" => Operator::Exists,
        "DoesNotExist" => Operator::DoesNotExist,
        other => {
            return Err(Error::Operator { field: format!("{field}.operator"), operator: other.to_owned() });
        }
    };
    Ok(Requirement { key: given.key.clone(), operator })
}

/// The workload, validated. `revision` names the bytes of the [`Content`] that it is given.
pub fn workload(
    spec: &v1::WorkloadSpec,
    revision: impl FnOnce(&[u8]) -> Revision,
) -> Result<Workload, Error> {
    let placements = spec.placements.iter().enumerate();
    let placements = placements.map(|(at, text)| name(format!("spec.placements[{at}].name"), text));
    let workload = Workload {
        placements: placements.collect::<Result<_, _>>()?,
        revision: revision(&content(spec)?.to_bytes()),
    };
    workload.validate().map_err(Error::Workload)?;
    Ok(workload)
}

fn content(spec: &v1::WorkloadSpec) -> Result<Content, Error> {
    if spec.manifests.is_empty() {
        return Err(Error::NoManifests);
    }
    let manifests = spec.manifests.iter().enumerate();
    let manifests = manifests
        .map(|(at, text)| manifest(text).map_err(|problem| Error::Manifest { at, problem }))
        .collect::<Result<Vec<_>, _>>()?;
    let upkeep: Upkeep = match spec.upkeep.as_str() {
        "" => Upkeep::default(),
        text => serde_json::from_str(text).map_err(|error| Error::UpkeepJson(error.to_string()))?,
    };
    upkeep.validate().map_err(Error::Upkeep)?;
    Ok(Content { manifests, upkeep })
}

fn manifest(text: &str) -> Result<Value, &'static str> {
    let mut value: Value = serde_json::from_str(text).map_err(|_| "is no JSON")?;
    if !value.is_object() {
        return Err("is no Kubernetes object: expected a mapping with apiVersion, kind and metadata.name");
    }
    let is_text =
        |pointer| value.pointer(pointer).and_then(Value::as_str).is_some_and(|text| !text.is_empty());
    for (pointer, problem) in [
        ("/apiVersion", "has no apiVersion"),
        ("/kind", "has no kind"),
        ("/metadata/name", "has no metadata.name"),
    ] {
        if !is_text(pointer) {
            return Err(problem);
        }
    }
    value.sort_all_objects();
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_bounded_together() {
        let many = |count| (0..count).map(|at| (format!("{at:0>63}"), "x".repeat(57))).collect();
        assert!(labels(&many(64)).is_ok());
        assert!(matches!(labels(&many(65)), Err(Error::Label(labels::Error::TooMany { .. }))));
    }
}
