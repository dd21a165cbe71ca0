//! What an agent applies: the manifests of one workload at one revision.

use std::collections::BTreeSet;
use std::sync::Arc;

use canopy_model::{Digest, Home, Uid};
use canopy_upkeep::{JsonPath, UpdateStrategy, Upkeep};
use kube::api::DynamicObject;

use crate::object::{GroupKind, ObjectName};

/// The most manifests in one bundle: far above any application, far below what would starve an API server.
pub const MANIFESTS_MAX: usize = 10_000;

/// The manifests of one workload at one revision.
#[derive(Debug, Clone, PartialEq)]
pub struct Bundle {
    /// The workload's uid, by which its objects are labelled.
    pub uid: Uid,
    /// The workload's name.
    pub name: canopy_model::ObjectName,
    /// Digest of the manifests.
    pub revision: Digest,
    /// The hub where the workload was created, and when in that hub's history.
    pub home: Home,
    /// The placements for which it runs here.
    pub placements: Vec<Uid>,
    /// How its objects are kept.
    pub upkeep: Upkeep,
    /// Kubernetes objects of any kind, in any order.
    pub manifests: Vec<serde_json::Value>,
}

impl Bundle {
    /// How an object is kept.
    pub(crate) fn strategy(&self, object: &ObjectName) -> UpdateStrategy {
        let ObjectName { kind: GroupKind { group, kind }, namespace, name } = object;
        self.upkeep.strategy(group, kind, namespace.as_deref(), name)
    }

    /// What of an object is told.
    pub(crate) fn feedback(&self, object: &ObjectName) -> Arc<[JsonPath]> {
        let ObjectName { kind: GroupKind { group, kind }, namespace, name } = object;
        self.upkeep.feedback(group, kind, namespace.as_deref(), name).into()
    }
}

/// Why a manifest is no object that can be applied.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ManifestProblem {
    /// It is no mapping, or its metadata is malformed.
    #[error("is no Kubernetes object: {0}")]
    Malformed(String),
    /// A field that every object needs is absent.
    #[error("has no {0}")]
    Absent(&'static str),
    /// Another manifest of the bundle names the same object.
    #[error("names {0}, which another manifest of the same workload names too")]
    Duplicate(ObjectName),
    /// There are more than [`MANIFESTS_MAX`].
    #[error("is one too many: a workload has at most {MANIFESTS_MAX} manifests")]
    TooMany,
}

/// One manifest, read as far as every kind has the same shape.
#[derive(Debug, Clone)]
pub struct Manifest {
    /// The object's name.
    pub name: ObjectName,
    /// As it is written, with the group: `apps/v1`.
    pub api_version: String,
    /// The whole object.
    pub object: DynamicObject,
}

/// Reads the manifests; an error carries the position, counted from 0, of the one that is wrong.
///
/// # Errors
/// One is no object, or names the object of another; or there are too many.
pub fn read(manifests: &[serde_json::Value]) -> Result<Vec<Manifest>, (usize, ManifestProblem)> {
    let mut names = BTreeSet::new();
    let mut read = Vec::with_capacity(manifests.len());
    for (index, value) in manifests.iter().enumerate() {
        if index == MANIFESTS_MAX {
            return Err((index, ManifestProblem::TooMany));
        }
        let manifest = read_one(value).map_err(|problem| (index, problem))?;
        if !names.insert(manifest.name.clone()) {
            return Err((index, ManifestProblem::Duplicate(manifest.name)));
        }
        read.push(manifest);
    }
    Ok(read)
}

fn read_one(value: &serde_json::Value) -> Result<Manifest, ManifestProblem> {
    let text = |field: &'static str| {
        let found = value.pointer(field).and_then(serde_json::Value::as_str).filter(|text| !text.is_empty());
        found.map(str::to_owned)
    };
    let api_version = text("/apiVersion").ok_or(ManifestProblem::Absent("apiVersion"))?;
    let kind = text("/kind").ok_or(ManifestProblem::Absent("kind"))?;
    let name = text("/metadata/name").ok_or(ManifestProblem::Absent("metadata.name"))?;
    let object: DynamicObject = serde_json::from_value(value.clone())
        .map_err(|error| ManifestProblem::Malformed(error.to_string()))?;
    let name = ObjectName {
        kind: GroupKind::new(&api_version, &kind),
        namespace: text("/metadata/namespace"),
        name,
    };
    Ok(Manifest { name, api_version, object })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn manifests_that_are_no_objects_are_refused_by_position() {
        let good =
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "namespace": "n"}});
        for (bad, problem) in [
            (json!("text"), "has no apiVersion"),
            (json!({"apiVersion": "v1"}), "has no kind"),
            (json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {}}), "has no metadata.name"),
            (good.clone(), "names ConfigMap n/a, which another manifest of the same workload names too"),
        ] {
            let (index, found) = read(&[good.clone(), bad]).unwrap_err();
            assert_eq!((index, found.to_string().as_str()), (1, problem));
        }
        let malformed =
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "labels": 3}});
        assert!(matches!(read(&[malformed]), Err((0, ManifestProblem::Malformed(_)))));
    }

    #[test]
    fn the_number_of_manifests_is_bounded() {
        let manifests: Vec<_> = (0..=MANIFESTS_MAX)
            .map(|n| json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": n.to_string()}}))
            .collect();
        assert_eq!(read(&manifests[..MANIFESTS_MAX]).unwrap().len(), MANIFESTS_MAX);
        assert_eq!(read(&manifests).unwrap_err(), (MANIFESTS_MAX, ManifestProblem::TooMany));
    }
}
