//! What placements and workloads specify, with the field names of Open Cluster Management.

use std::collections::BTreeMap;

use canopy_upkeep::{DeleteOption, Executor, ManifestConfig, Upkeep};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{milliseconds, timestamp};
use crate::admin::v1;

/// Which clusters to select, and how many.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Placement {
    /// A cluster is feasible when any of these matches; with none, every cluster is.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub predicates: Vec<Predicate>,
    /// How many feasible clusters to take; all of them when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub number_of_clusters: Option<u32>,
    /// Which taints of clusters do not keep it away.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tolerations: Vec<Toleration>,
}

/// What a placement tolerates.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Toleration {
    /// Of taints with this key; with Exists it may be empty, for any.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub key: String,
    /// Equal, also when empty, or Exists.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub operator: String,
    /// For Equal.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub value: String,
    /// NoSelect, PreferNoSelect or NoSelectIfNew; empty: any.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub effect: String,
    /// Not supported yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub toleration_seconds: Option<i64>,
}

/// What is specified of a cluster besides its labels.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Cluster {
    /// What keeps work away.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub taints: Vec<Taint>,
}

/// Keeps work away from a cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Taint {
    /// Unique with the effect.
    pub key: String,
    /// May be empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub value: String,
    /// NoSelect, PreferNoSelect or NoSelectIfNew.
    pub effect: String,
    /// When it was set; the hub fills it in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_added: Option<Timestamp>,
}

/// One alternative of a placement.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Predicate {
    /// What a cluster must fulfil.
    pub required_cluster_selector: ClusterSelector,
}

/// What a cluster must fulfil.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ClusterSelector {
    /// What its labels must fulfil.
    pub label_selector: LabelSelector,
}

/// Requirements that must all hold.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LabelSelector {
    /// Labels that must be there with these values.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub match_labels: BTreeMap<String, String>,
    /// Further requirements.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub match_expressions: Vec<Requirement>,
}

/// One requirement on one label.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Requirement {
    /// The label's key.
    pub key: String,
    /// In, NotIn, Exists or DoesNotExist.
    pub operator: String,
    /// For In and NotIn.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub values: Vec<String>,
}

/// What to run, and the placements that say where.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Workload {
    /// A cluster that any of them selects runs it once.
    #[serde(default)]
    pub placements: Vec<PlacementRef>,
    /// What becomes of its objects when it leaves a cluster.
    #[serde(default, skip_serializing_if = "is_default")]
    pub delete_option: DeleteOption,
    /// Exceptions from how its objects are kept; the first that matches an object counts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub manifest_configs: Vec<ManifestConfig>,
    /// In whose name its objects are made, changed and deleted; the agent's own without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub executor: Option<Executor>,
    /// Kubernetes objects; left out where only an overview was asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub manifests: Vec<Value>,
}

/// Names a placement of the same home and project.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PlacementRef {
    /// Its name.
    pub name: String,
}

/// The specification of hubs and machines: there is nothing to specify.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Empty {}

impl From<Placement> for v1::PlacementSpec {
    fn from(placement: Placement) -> Self {
        let predicates = placement.predicates.into_iter().map(|predicate| v1::Predicate {
            label_selector: Some(predicate.required_cluster_selector.label_selector.into()),
        });
        let tolerations = placement.tolerations.into_iter().map(|it| v1::Toleration {
            key: it.key,
            operator: it.operator,
            value: it.value,
            effect: it.effect,
            toleration_seconds: it.toleration_seconds,
        });
        let tolerations = tolerations.collect();
        let number_of_clusters = placement.number_of_clusters;
        Self { predicates: predicates.collect(), number_of_clusters, tolerations }
    }
}

impl From<v1::PlacementSpec> for Placement {
    fn from(spec: v1::PlacementSpec) -> Self {
        let predicates = spec.predicates.into_iter().map(|predicate| Predicate {
            required_cluster_selector: ClusterSelector {
                label_selector: predicate.label_selector.unwrap_or_default().into(),
            },
        });
        let tolerations = spec.tolerations.into_iter().map(|it| Toleration {
            key: it.key,
            operator: it.operator,
            value: it.value,
            effect: it.effect,
            toleration_seconds: it.toleration_seconds,
        });
        let tolerations = tolerations.collect();
        let number_of_clusters = spec.number_of_clusters;
        Self { predicates: predicates.collect(), number_of_clusters, tolerations }
    }
}

impl From<Cluster> for v1::ClusterSpec {
    fn from(cluster: Cluster) -> Self {
        let taints = cluster.taints.into_iter().map(|it| v1::Taint {
            key: it.key,
            value: it.value,
            effect: it.effect,
            time_added_ms: it.time_added.map_or(0, milliseconds),
        });
        Self { taints: taints.collect() }
    }
}

impl From<v1::ClusterSpec> for Cluster {
    fn from(spec: v1::ClusterSpec) -> Self {
        let taints = spec.taints.into_iter().map(|it| Taint {
            key: it.key,
            value: it.value,
            effect: it.effect,
            time_added: timestamp(it.time_added_ms),
        });
        Self { taints: taints.collect() }
    }
}

impl From<LabelSelector> for v1::LabelSelector {
    fn from(selector: LabelSelector) -> Self {
        let requirements = selector.match_expressions.into_iter();
        Self {
            match_labels: selector.match_labels.into_iter().collect(),
            match_expressions: requirements
                .map(|Requirement { key, operator, values }| v1::Requirement { key, operator, values })
                .collect(),
        }
    }
}

impl From<v1::LabelSelector> for LabelSelector {
    fn from(selector: v1::LabelSelector) -> Self {
        let requirements = selector.match_expressions.into_iter();
        Self {
            match_labels: selector.match_labels.into_iter().collect(),
            match_expressions: requirements
                .map(|v1::Requirement { key, operator, values }| Requirement { key, operator, values })
                .collect(),
        }
    }
}

impl From<Workload> for v1::WorkloadSpec {
    fn from(workload: Workload) -> Self {
        let Workload { placements, delete_option, manifest_configs, executor, manifests } = workload;
        let upkeep = Upkeep { delete_option, manifest_configs, executor };
        Self {
            placements: placements.into_iter().map(|placement| placement.name).collect(),
            manifests: manifests.iter().map(Value::to_string).collect(),
            upkeep: if is_default(&upkeep) {
                String::new()
            } else {
                serde_json::to_string(&upkeep).expect("texts can be written as JSON")
            },
        }
    }
}

impl From<v1::WorkloadSpec> for Workload {
    /// A manifest that is no JSON, which no hub sends, is shown as a text.
    fn from(spec: v1::WorkloadSpec) -> Self {
        let Upkeep { delete_option, manifest_configs, executor } =
            serde_json::from_str(&spec.upkeep).unwrap_or_default();
        let manifest = |text: String| serde_json::from_str(&text).unwrap_or(Value::String(text));
        Self {
            placements: spec.placements.into_iter().map(|name| PlacementRef { name }).collect(),
            delete_option,
            manifest_configs,
            executor,
            manifests: spec.manifests.into_iter().map(manifest).collect(),
        }
    }
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}
