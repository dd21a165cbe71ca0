//! Reads manifests as far as the embedded cluster looks at them, and finds what an API server would
//! find wrong.
//!
//! The annotation `canopy.dev/embedded` asks it to behave badly: with `fail`, on an object or on its
//! pods' template, they never get well; with `refuse` the object is refused. Of how objects are kept
//! it honours all but ignored fields, which it refuses: nobody else sets fields there.

use canopy_core::cluster::object::{Definition, Id, Object, Template};
use canopy_kube::ObjectName;
use canopy_kube::bundle::{self, Manifest};
use canopy_kube::object::GroupKind;
use canopy_model::{Digest, Labels};
use canopy_proto::admin::v1;
use canopy_proto::convert::{inbound, one_line};
use canopy_proto::document::spec::LabelSelector;
use canopy_proto::revision::Content;
use canopy_upkeep::{StrategyType, UpdateStrategy};
use serde::Deserialize;
use serde_json::Value;

/// Asks the embedded cluster to behave badly.
const ANNOTATION: &str = "canopy.dev/embedded";
/// What an embedded cluster says to fields that others may set.
const NO_FIELDS: &str = "Invalid: updateStrategy.serverSideApply.ignoreFields means nothing in an embedded \
    cluster, where nobody else sets fields: leave it out";
/// The longest name of an object.
const NAME_BYTES_MAX: usize = 253;
/// The longest name of a namespace or a service, which becomes a part of DNS names.
const SHORT_NAME_BYTES_MAX: usize = 63;

/// The objects of a content; those that the workload only watches are not among them.
///
/// # Errors
/// It is no content, or a manifest is no object.
pub(super) fn objects(content: &[u8]) -> Result<Vec<Object>, String> {
    let Content { manifests, upkeep } = Content::read(content).map_err(|error| one_line(&error))?;
    let manifests =
        bundle::read(&manifests).map_err(|(index, problem)| format!("manifest {index} {problem}"))?;
    let objects = manifests.iter().filter_map(|manifest| {
        let ObjectName { kind: GroupKind { group, kind }, namespace, name } = &manifest.name;
        let strategy = upkeep.strategy(group, kind, namespace.as_deref(), name);
        let stays = upkeep.delete_option.orphans(group, kind, namespace.as_deref(), name);
        (strategy.kind != StrategyType::ReadOnly).then(|| object(manifest, &strategy, stays))
    });
    Ok(objects.collect())
}

fn object(manifest: &Manifest, strategy: &UpdateStrategy, stays: bool) -> Object {
    let Manifest { name, api_version, object } = manifest;
    let GroupKind { group, kind } = name.kind.clone();
    let version = api_version.rsplit('/').next().unwrap_or_default().to_owned();
    let spec = &object.data["spec"];
    let template = match (group.as_str(), kind.as_str()) {
        ("apps", "Deployment" | "StatefulSet" | "ReplicaSet" | "DaemonSet") | ("batch", "Job") => {
            Some(&spec["template"])
        }
        ("", "Pod") => Some(spec),
        _ => None,
    };
    let pods = template.map(|template| Template {
        digest: Digest(blake3::hash(template.to_string().as_bytes()).into()),
        replicas: spec["replicas"].as_u64().map_or(1, |count| u32::try_from(count).unwrap_or(u32::MAX)),
    });
    let defines = (kind == "CustomResourceDefinition").then(|| definition(spec)).flatten();
    let asked = |what: &str| {
        let own = object.metadata.annotations.as_ref().and_then(|own| own.get(ANNOTATION));
        let of_pods = &spec["template"]["metadata"]["annotations"][ANNOTATION];
        own.is_some_and(|own| own == what) || of_pods == what
    };
    let rejected = match problems(manifest).join(", ") {
        _ if asked("refuse") => Some(format!("Forbidden: its annotation {ANNOTATION} asks to refuse it")),
        _ if !strategy.server_side_apply.ignore_fields.is_empty() => Some(NO_FIELDS.to_owned()),
        none if none.is_empty() => None,
        problems => Some(format!("Invalid: {} \"{}\" is invalid: {problems}", name.kind, name.name)),
    };
    let id = Id { group, kind, namespace: name.namespace.clone(), name: name.name.clone() };
    let create_only = strategy.kind == StrategyType::CreateOnly;
    Object { id, version, rejected, fails: asked("fail"), pods, defines, create_only, stays }
}

/// What an API server finds wrong, field by field.
fn problems(manifest: &Manifest) -> Vec<String> {
    let Manifest { name, object, .. } = manifest;
    let mut problems = Vec::new();
    if !is_name(&name.kind, &name.name) {
        problems.push(format!(
            "metadata.name: Invalid value: \"{}\": use lower case letters, digits, '-' and, but for namespaces and services, '.'; begin and end with a letter or digit",
            name.name
        ));
    }
    let spec = &object.data["spec"];
    if spec["replicas"].as_i64().is_some_and(|count| count < 0) {
        problems.push("spec.replicas: must be greater than or equal to 0".to_owned());
    }
    let selects =
        matches!(name.kind.kind.as_str(), "Deployment" | "StatefulSet" | "ReplicaSet" | "DaemonSet");
    if selects && name.kind.group == "apps" {
        problems.extend(selector_problem(&spec["selector"], &spec["template"]));
    }
    problems
}

fn selector_problem(selector: &Value, template: &Value) -> Option<String> {
    if selector.as_object().is_none_or(serde_json::Map::is_empty) {
        return Some("spec.selector: Required value".to_owned());
    }
    let read = LabelSelector::deserialize(selector).map_err(|error| error.to_string()).and_then(|selector| {
        inbound::selector("spec.selector", &v1::LabelSelector::from(selector))
            .map_err(|error| one_line(&error))
    });
    let selector = match read {
        Ok(selector) => selector,
        Err(error) => return Some(format!("spec.selector: {error}")),
    };
    let labels = &template["metadata"]["labels"];
    let labels = Labels::deserialize(labels).unwrap_or_default();
    (!selector.matches(&labels))
        .then(|| "spec.template.metadata.labels: `selector` does not match template `labels`".to_owned())
}

/// Whether an object of this kind may have this name.
fn is_name(kind: &GroupKind, name: &str) -> bool {
    let edge = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let word = |word: &str| {
        let bytes = word.as_bytes();
        bytes.iter().all(|byte| edge(*byte) || *byte == b'-')
            && bytes.first().is_some_and(|byte| edge(*byte))
            && bytes.last().is_some_and(|byte| edge(*byte))
    };
    match (kind.group.as_str(), kind.kind.as_str()) {
        // Names such as `system:node` are fine there.
        ("rbac.authorization.k8s.io", _) => !name.contains(['/', '%']) && name != "." && name != "..",
        ("", "Namespace" | "Service") => name.len() <= SHORT_NAME_BYTES_MAX && word(name),
        _ => name.len() <= NAME_BYTES_MAX && name.split('.').all(word),
    }
}

/// The kind that a definition defines; none when it is not complete.
fn definition(spec: &Value) -> Option<Definition> {
    let versions = spec["versions"].as_array()?.iter().filter(|version| version["served"] == true);
    Some(Definition {
        group: spec["group"].as_str()?.to_owned(),
        kind: spec["names"]["kind"].as_str()?.to_owned(),
        versions: versions.filter_map(|version| Some(version["name"].as_str()?.to_owned())).collect(),
        namespaced: spec["scope"] == "Namespaced",
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn one(manifest: Value) -> Object {
        let content = Content { manifests: vec![manifest], upkeep: Default::default() };
        objects(&content.to_bytes()).unwrap().remove(0)
    }

    fn deployment(selector: Value) -> Value {
        json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "namespace": "line"},
            "spec": {"replicas": 3, "selector": selector, "template": {"metadata": {"labels": {"app": "web"}}}}})
    }

    #[test]
    fn a_deployment_is_read_with_its_pods() {
        let object = one(deployment(json!({"matchLabels": {"app": "web"}})));
        assert_eq!((object.id.to_string().as_str(), object.version.as_str()), ("Deployment line/web", "v1"));
        assert_eq!((object.pods.unwrap().replicas, object.rejected, object.fails), (3, None, false));
    }

    #[test]
    fn what_an_api_server_finds_wrong_is_found() {
        let select = |selector| one(deployment(selector)).rejected.unwrap();
        let begin = "Invalid: Deployment.apps \"web\" is invalid: ";
        assert_eq!(select(Value::Null), format!("{begin}spec.selector: Required value"));
        let differs = "spec.template.metadata.labels: `selector` does not match template `labels`";
        for selector in [
            json!({"matchLabels": {"app": "shop"}}),
            json!({"matchExpressions": [{"key": "app", "operator": "NotIn", "values": ["web"]}]}),
        ] {
            assert_eq!(select(selector), format!("{begin}{differs}"));
        }
        let unknown = select(json!({"matchExpressions": [{"key": "app", "operator": "Like"}]}));
        assert!(unknown.contains("spec.selector.matchExpressions[0]"), "{unknown}");
        let mut negative = deployment(json!({"matchLabels": {"app": "web"}}));
        negative["spec"]["replicas"] = json!(-1);
        assert!(one(negative).rejected.unwrap().contains("spec.replicas"));
    }

    #[test]
    fn names_are_those_that_a_kind_may_have() {
        for (api_version, kind, name, fine) in [
            ("v1", "Pod", "Bad_NAME", false),
            ("v1", "ConfigMap", "rules.of-line-7", true),
            ("v1", "ConfigMap", "rules.", false),
            ("v1", "Namespace", "line.seven", false),
            ("v1", "ConfigMap", &"a".repeat(254), false),
            ("rbac.authorization.k8s.io/v1", "ClusterRole", "system:node", true),
        ] {
            let manifest = json!({"apiVersion": api_version, "kind": kind, "metadata": {"name": name}});
            assert_eq!(one(manifest).rejected.is_none(), fine, "{kind} {name}");
        }
    }

    #[test]
    fn annotations_ask_for_trouble() {
        let mut manifest = deployment(json!({"matchLabels": {"app": "web"}}));
        manifest["spec"]["template"]["metadata"]["annotations"] = json!({ANNOTATION: "fail"});
        assert!(one(manifest.clone()).fails);
        manifest["metadata"]["annotations"] = json!({ANNOTATION: "refuse"});
        assert!(one(manifest).rejected.unwrap().starts_with("Forbidden: "));
    }

    #[test]
    fn a_definition_says_what_it_serves() {
        let versions = json!([{"name": "v1", "served": true}, {"name": "v0", "served": false}]);
        let spec = json!({"group": "shop.example", "scope": "Namespaced", "names": {"kind": "Robot"}, "versions": versions});
        let defined =
            one(json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
            "metadata": {"name": "robots.shop.example"}, "spec": spec}));
        let defined = defined.defines.unwrap();
        assert_eq!((defined.kind.as_str(), defined.namespaced), ("Robot", true));
        assert_eq!(defined.versions, ["v1"]);
    }

    #[test]
    fn what_a_workload_only_watches_is_not_its_own() {
        let content = br#"{"manifests": [{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}}],
            "upkeep": {"manifestConfigs": [{"resourceIdentifier": {"kind": "ConfigMap"}, "updateStrategy": {"type": "ReadOnly"}}]}}"#;
        assert_eq!(objects(content), Ok(vec![]));
    }

    #[test]
    fn objects_are_kept_as_their_workload_asks() {
        let read = |upkeep: Value| {
            let manifests = json!([{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}}]);
            let content = json!({"manifests": manifests, "upkeep": upkeep}).to_string();
            objects(content.as_bytes()).unwrap().remove(0)
        };
        assert!(read(json!({"deleteOption": {"propagationPolicy": "Orphan"}})).stays);
        let by = |strategy: Value| {
            read(json!({"manifestConfigs": [{"resourceIdentifier": {}, "updateStrategy": strategy}]}))
        };
        assert!(by(json!({"type": "CreateOnly"})).create_only);
        assert_eq!(by(json!({"recreate": true})).rejected, None, "every field can change");
        let others = by(json!({"serverSideApply": {"ignoreFields": [{"jsonPaths": [".data.a"]}]}}));
        assert_eq!(others.rejected.as_deref(), Some(NO_FIELDS));
    }
}
