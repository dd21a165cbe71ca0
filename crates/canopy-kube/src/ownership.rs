//! What one live object tells: whose it is, which of its fields Canopy still owns, and its health.
//!
//! Drift is found without keeping manifests and without asking the server again. Server-side apply
//! records in `managedFields` which fields of an object Canopy owns; whoever changes or removes one
//! of them takes it out of that record. So an object has drifted exactly when the record differs
//! from the one in the server's answer to our apply, and 32 bytes per object are enough to tell.
//! What a mutating webhook or a default adds is in that answer already and is no drift; a field that
//! somebody adds beside ours is none either; a field that was changed and changed back is
//! drift once, until the next apply takes it back.

use std::collections::BTreeMap;

use canopy_model::{FeedbackValue, Health, Uid};
use canopy_upkeep::JsonPath;
use kube::ResourceExt;
use kube::api::DynamicObject;
use sha2::{Digest, Sha256};

use crate::applyset::{FIELD_MANAGER, LABEL_UID};
use crate::feedback;
use crate::health::health;
use crate::object::ObjectName;

/// One state of one object, reduced to what Canopy concludes from.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Seen {
    /// Its resource version: states of one object are ordered by it. 0 when the server's is no number.
    pub(crate) version: u64,
    /// The workload uid on its label, if there is one.
    pub(crate) owner: Option<String>,
    /// Digest of the fields that Canopy owns; none when it owns nothing.
    pub(crate) owned: Option<[u8; 32]>,
    /// Its health.
    pub(crate) health: Health,
    /// Why, in a few words.
    pub(crate) message: String,
    /// What the workloads that name it ask to be told.
    pub(crate) feedback: BTreeMap<Uid, Vec<FeedbackValue>>,
}

impl Seen {
    /// Reduces a live object.
    pub(crate) fn of(object: &DynamicObject) -> Self {
        let (health, message) = health(object);
        Self {
            version: object.resource_version().and_then(|version| version.parse().ok()).unwrap_or(0),
            owner: object.labels().get(LABEL_UID).cloned(),
            owned: owned_fields(object),
            health,
            message,
            feedback: BTreeMap::new(),
        }
    }

    /// Adds what a workload asks to be told of it.
    pub(crate) fn tell(&mut self, uid: Uid, object: &DynamicObject, name: &ObjectName, rules: &[JsonPath]) {
        if !rules.is_empty() {
            self.feedback.insert(uid, feedback::values(object, name, rules));
        }
    }
}

fn owned_fields(object: &DynamicObject) -> Option<[u8; 32]> {
    let ours = object.managed_fields().iter().filter(|entry| {
        entry.manager.as_deref() == Some(FIELD_MANAGER)
            && entry.subresource.as_deref().unwrap_or_default().is_empty()
    });
    let fields: Vec<_> = ours.filter_map(|entry| Some(entry.fields_v1.as_ref()?.0.to_string())).collect();
    (!fields.is_empty()).then(|| Sha256::digest(fields.join("\n")).into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn owned(entries: Value) -> Option<[u8; 32]> {
        let object = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "managedFields": entries}});
        owned_fields(&serde_json::from_value(object).unwrap())
    }

    fn entry(manager: &str, operation: &str, fields: Value) -> Value {
        json!({"manager": manager, "operation": operation, "apiVersion": "v1", "fieldsType": "FieldsV1", "fieldsV1": fields})
    }

    #[test]
    fn only_a_change_to_our_own_applied_fields_counts() {
        let ours = || entry("canopy", "Apply", json!({"f:data": {"f:a": {}, "f:b": {}}}));
        let before = owned(json!([ours()]));
        assert!(before.is_some());
        let later = json!([ours(), entry("kubectl-edit", "Update", json!({"f:data": {"f:c": {}}}))]);
        assert_eq!(owned(later), before, "a field beside ours is no drift");
        let taken = json!([
            entry("canopy", "Apply", json!({"f:data": {"f:a": {}}})),
            entry("kubectl-edit", "Update", json!({"f:data": {"f:b": {}}})),
        ]);
        assert_ne!(owned(taken), before, "a field taken from us is");
        assert_eq!(owned(json!([entry("kubectl", "Update", json!({"f:data": {"f:a": {}}}))])), None);
    }
}
