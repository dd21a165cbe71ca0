//! Namespaces and definitions: what other objects stand on.
//!
//! Deleting one takes along everything that stands on it, whoever put it there. Therefore one that
//! was there before a workload named it is used and never owned, several workloads may name the same
//! one, and the one who owns it lets go of it when others still use it.

use canopy_model::Uid;
use kube::Client;
use kube::api::{DynamicObject, Patch, PatchParams};
use serde_json::{Value, json};

use crate::applyset::{FIELD_MANAGER, LABEL_PART_OF, LABEL_UID};
use crate::cluster::{Cluster, RequestError, bounded};
use crate::kinds::Kind;
use crate::object::{GroupKind, ObjectName, kind_of};

/// The kind that an object defines, if it is a definition.
pub(crate) fn defined_kind(object: &DynamicObject) -> Option<GroupKind> {
    if kind_of(object).kind != "CustomResourceDefinition" {
        return None;
    }
    let text = |field| object.data.pointer(field).and_then(Value::as_str).map(str::to_owned);
    Some(GroupKind { group: text("/spec/group")?, kind: text("/spec/names/kind")? })
}

impl Cluster {
    /// Gives up the ownership of a foundation that other workloads use; says whether it did.
    pub(crate) async fn let_go_if_used(
        &self,
        uid: Uid,
        name: &ObjectName,
        kind: &Kind,
        writer: &Client,
    ) -> Result<bool, RequestError> {
        if !self.is_used_by_others(uid, name, kind).await? {
            return Ok(false);
        }
        self.let_go(name, kind, writer).await?;
        tracing::info!(%uid, object = %name, "stays: other workloads use it");
        Ok(true)
    }

    /// Takes the labels off an object: it is nobody's from now on.
    pub(crate) async fn let_go(
        &self,
        name: &ObjectName,
        kind: &Kind,
        writer: &Client,
    ) -> Result<(), RequestError> {
        let labels = json!({"metadata": {"labels": {LABEL_UID: null, LABEL_PART_OF: null}}});
        let manager = PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
        let api = kind.api(writer, name.namespace.as_deref());
        bounded(api.patch_metadata(&name.name, &manager, &Patch::Merge(labels))).await.map(drop)
    }

    /// Whether another workload uses a foundation.
    pub(crate) async fn is_used_by_others(
        &self,
        uid: Uid,
        name: &ObjectName,
        kind: &Kind,
    ) -> Result<bool, RequestError> {
        let defined = if name.kind.kind == "Namespace" {
            None
        } else {
            let api = kind.api(&self.client, None);
            let Some(definition) = bounded(api.get_opt(&name.name)).await? else { return Ok(false) };
            defined_kind(&definition)
        };
        let others = self.extents_of_others(uid).await?;
        Ok(others.iter().any(|other| match &defined {
            Some(defined) => other.kinds.contains(defined),
            None => other.namespaces.contains(&name.name),
        }))
    }
}
