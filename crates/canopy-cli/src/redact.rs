//! Keeps what Secrets hold away from screens and pipes.

use canopy_proto::admin::v1::{Object, object::Spec};
use canopy_proto::document::write::AnyDocument;
use serde_json::Value;

/// Stands in the place of what is not shown.
const HIDDEN: &str = "***";
/// Where kubectl keeps a second copy of what it applied.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// In the place of a value that differs from the one that it would have, or has.
const BEFORE: &str = "*** (before)";
const AFTER: &str = "*** (after)";

/// The document with the values of its Secrets hidden.
pub(crate) fn document(document: AnyDocument) -> AnyDocument {
    masked(document, &[], HIDDEN)
}

/// What an object is, and what it would be, with the values of Secrets hidden in such a way that it can be
/// seen which of them differ.
pub(crate) fn pair(before: Option<AnyDocument>, after: AnyDocument) -> (Option<AnyDocument>, AnyDocument) {
    let known = before.as_ref().map(secrets).unwrap_or_default();
    let wanted = secrets(&after);
    (before.map(|before| masked(before, &wanted, BEFORE)), masked(after, &known, AFTER))
}

/// Hides the values of Secrets; one that differs from that of the same Secret among the others gets a
/// mark of its own.
fn masked(mut document: AnyDocument, others: &[Value], differing: &str) -> AnyDocument {
    if let AnyDocument::Workload(workload) = &mut document {
        for secret in workload.spec.manifests.iter_mut().filter(|manifest| is_secret(manifest)) {
            let name = |secret: &Value| ["namespace", "name"].map(|part| secret["metadata"][part].clone());
            let other = others.iter().find(|other| name(other) == name(secret));
            mask(secret, other, differing);
        }
    }
    document
}

fn secrets(document: &AnyDocument) -> Vec<Value> {
    match document {
        AnyDocument::Workload(workload) => {
            workload.spec.manifests.iter().filter(|manifest| is_secret(manifest)).cloned().collect()
        }
        AnyDocument::Placement(_) | AnyDocument::Cluster(_) | AnyDocument::Node(_) => Vec::new(),
    }
}

fn is_secret(manifest: &Value) -> bool {
    manifest["kind"] == "Secret"
}

fn mask(secret: &mut Value, other: Option<&Value>, differing: &str) {
    for field in ["data", "stringData"] {
        let Some(values) = secret.get_mut(field).and_then(Value::as_object_mut) else { continue };
        for (key, value) in values {
            let differs = other.and_then(|other| other[field].get(key)).is_some_and(|other| other != value);
            *value = if differs { differing } else { HIDDEN }.into();
        }
    }
    if let Some(copy) = secret.pointer_mut("/metadata/annotations").and_then(|all| all.get_mut(LAST_APPLIED))
    {
        *copy = HIDDEN.into();
    }
}

/// The name of a Secret whose values were hidden: applying it would put `***` into clusters.
pub(crate) fn hidden_secret(object: &Object) -> Option<String> {
    let Some(Spec::Workload(workload)) = &object.spec else { return None };
    let manifests = workload.manifests.iter().filter_map(|text| serde_json::from_str::<Value>(text).ok());
    manifests.filter(is_secret).find_map(|secret| {
        let is_hidden = |field| {
            let values = secret.get(field).and_then(Value::as_object);
            values.is_some_and(|values| values.values().any(|value| value == HIDDEN))
        };
        let hidden = is_hidden("data") || is_hidden("stringData");
        hidden.then(|| secret["metadata"]["name"].as_str().unwrap_or_default().to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use canopy_proto::admin::v1;

    fn workload() -> Object {
        let secret = r#"{"apiVersion":"v1","kind":"Secret","metadata":{"name":"s","annotations":{"kubectl.kubernetes.io/last-applied-configuration":"hunter2"}},"data":{"a":"aHVudGVyMg=="},"stringData":{"b":"hunter2"}}"#;
        let spec =
            v1::WorkloadSpec { placements: vec![], manifests: vec![secret.into()], ..Default::default() };
        Object { spec: Some(Spec::Workload(spec)), ..Object::default() }
    }

    #[test]
    fn no_value_of_a_secret_is_shown() {
        let shown = serde_json::to_string(&document(canopy_proto::document::document(workload()))).unwrap();
        assert!(shown.contains(r#""a":"***""#) && shown.contains(r#""b":"***""#), "{shown}");
        assert!(!shown.contains("hunter2") && !shown.contains("aHVudGVyMg"), "{shown}");
    }

    #[test]
    fn what_was_hidden_is_recognised() {
        assert_eq!(hidden_secret(&workload()), None);
        let mut redacted = workload();
        if let Some(Spec::Workload(workload)) = &mut redacted.spec {
            workload.manifests[0] = workload.manifests[0].replace("aHVudGVyMg==", "***");
        }
        assert_eq!(hidden_secret(&redacted).as_deref(), Some("s"));
    }
}
