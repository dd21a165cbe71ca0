//! Whatever is written reads back the same.

use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::spec::{
    Cluster, ClusterSelector, LabelSelector, Placement, PlacementRef, Predicate, Requirement, Taint,
    Toleration, Workload,
};
use super::*;
use crate::convert::{inbound, outbound};
use crate::document::write::AnyDocument;

const NAME: &str = "[a-z]([a-z0-9-]{0,8}[a-z0-9])?";

proptest! {
    #[test]
    fn documents_survive_the_way_through_text_and_proto(document in any_document()) {
        let yaml = serde_saphyr::to_string(&document).unwrap();
        let object = read(&yaml).remove(0).map_err(|error| TestCaseError::fail(format!("{error:?}\n{yaml}")))?;
        prop_assert_eq!(super::document(object), document);
    }

    #[test]
    fn placements_survive_the_way_through_the_model(placement in placement()) {
        let model = inbound::placement(&placement.into()).unwrap();
        prop_assert_eq!(inbound::placement(&outbound::placement(&model)).unwrap(), model);
    }
}

fn any_document() -> impl Strategy<Value = AnyDocument> {
    let workload = (metadata(), workload()).prop_map(|(metadata, spec)| {
        AnyDocument::Workload(Document {
            api_version: API_VERSION.into(),
            kind: "Workload".into(),
            metadata,
            spec,
            status: None,
        })
    });
    let placement = (metadata(), placement()).prop_map(|(metadata, spec)| {
        AnyDocument::Placement(Document {
            api_version: API_VERSION.into(),
            kind: "Placement".into(),
            metadata,
            spec,
            status: None,
        })
    });
    let taint = (NAME, option::of(NAME), effect()).prop_map(|(key, value, effect)| Taint {
        key,
        value: value.unwrap_or_default(),
        effect,
        time_added: None,
    });
    let cluster = (metadata(), vec(taint, 0..3)).prop_map(|(metadata, taints)| {
        AnyDocument::Cluster(Document {
            api_version: API_VERSION.into(),
            kind: "Cluster".into(),
            metadata,
            spec: Cluster { taints },
            status: None,
        })
    });
    prop_oneof![workload, placement, cluster]
}

fn metadata() -> impl Strategy<Value = Metadata> {
    let moment =
        || option::of((1..=4_102_444_800_000_i64).prop_map(|at| Timestamp::from_millisecond(at).unwrap()));
    let words = (NAME, NAME, option::of(NAME), labels(), ".{0,12}");
    (words, moment(), moment(), any::<u64>()).prop_map(|(words, created, deleted, generation)| {
        let (name, project, home, labels, created_by) = words;
        Metadata {
            name,
            project,
            home: home.unwrap_or_default(),
            labels,
            generation,
            created_by,
            creation_timestamp: created,
            deletion_timestamp: deleted,
            ..Metadata::default()
        }
    })
}

fn labels() -> impl Strategy<Value = BTreeMap<String, String>> {
    btree_map(NAME, option::of(NAME).prop_map(Option::unwrap_or_default), 0..4)
}

fn placement() -> impl Strategy<Value = Placement> {
    let selector = (labels(), vec(requirement(), 0..4))
        .prop_map(|(match_labels, match_expressions)| LabelSelector { match_labels, match_expressions });
    let predicate = selector.prop_map(|label_selector| Predicate {
        required_cluster_selector: ClusterSelector { label_selector },
    });
    (vec(predicate, 0..4), option::of(any::<u32>()), vec(toleration(), 0..3)).prop_map(
        |(predicates, number_of_clusters, tolerations)| Placement {
            predicates,
            number_of_clusters,
            tolerations,
        },
    )
}

fn toleration() -> impl Strategy<Value = Toleration> {
    let form = prop_oneof![(NAME, Just("Equal"), NAME), (NAME, Just("Exists"), "")];
    (form, effect()).prop_map(|((key, operator, value), effect)| Toleration {
        key,
        operator: operator.to_owned(),
        value,
        effect,
        toleration_seconds: None,
    })
}

fn effect() -> impl Strategy<Value = String> {
    let effects = ["NoSelect", "PreferNoSelect", "NoSelectIfNew"];
    prop::sample::select(effects.map(String::from).to_vec())
}

fn requirement() -> impl Strategy<Value = Requirement> {
    let values = prop_oneof![
        (Just("In"), vec(NAME, 1..3)),
        (Just("NotIn"), vec(NAME, 1..3)),
        (Just("Exists"), Just(vec![])),
        (Just("DoesNotExist"), Just(vec![])),
    ];
    (NAME, values).prop_map(|(key, (operator, values))| Requirement {
        key,
        operator: operator.into(),
        values,
    })
}

fn workload() -> impl Strategy<Value = Workload> {
    let manifest = (NAME, any_value()).prop_map(
        |(name, data)| json!({"apiVersion": "v1", "kind": "X", "metadata": {"name": name}, "data": data}),
    );
    (btree_map(NAME, Just(()), 0..4), vec(manifest, 1..3)).prop_map(|(placements, manifests)| Workload {
        placements: placements.into_keys().map(|name| PlacementRef { name }).collect(),
        manifests,
        ..Workload::default()
    })
}

fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        ".{0,12}".prop_map(Value::from),
        "(yes|no|on|null|~|0x1f|0644|1e3|- a|: b|# c|true|1_000|\\.inf|2001-01-01)".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::from),
            btree_map(".{0,6}", inner, 0..4).prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}
