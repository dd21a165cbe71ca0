//! How observations are shown in a document: Kubernetes' conditions, and flat fields beside them.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use super::timestamp;
use crate::admin::v1;

/// What was observed of an object.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// The generation that the observations speak about.
    #[serde(skip_serializing_if = "super::is_zero")]
    pub observed_generation: u64,
    /// Observations, of which Ready sums up.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
    /// What only this kind of object has.
    #[serde(flatten)]
    pub detail: Option<Detail>,
}

/// A condition in Kubernetes' form.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs)] // the words are Kubernetes'
pub struct Condition {
    pub r#type: String,
    pub status: String,
    pub reason: String,
    pub message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_transition_time: Option<Timestamp>,
    #[serde(skip_serializing_if = "super::is_zero")]
    pub observed_generation: u64,
}

/// What only one kind of object has.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged, rename_all_fields = "camelCase")]
#[allow(missing_docs)] // told in admin.proto
pub enum Detail {
    Placement {
        selected: u32,
        #[serde(skip_serializing_if = "Option::is_none")]
        wanted: Option<u32>,
    },
    Workload {
        revision: String,
        clusters: Counts,
        #[serde(skip_serializing_if = "String::is_empty")]
        example: String,
    },
    Cluster {
        connected: bool,
        /// How long ago its hub heard it last, as ISO 8601 duration.
        age: SignedDuration,
        #[serde(skip_serializing_if = "BTreeMap::is_empty")]
        claims: BTreeMap<String, String>,
        #[serde(skip_serializing_if = "Vec::is_empty")]
        workloads: Vec<ClusterWorkload>,
        #[serde(skip_serializing_if = "Option::is_none")]
        inventory: Option<Inventory>,
    },
    Machine {
        cluster: String,
        /// How long ago its hub heard the cluster last, as ISO 8601 duration.
        age: SignedDuration,
        capacity: BTreeMap<String, String>,
        allocatable: BTreeMap<String, String>,
        kubelet: String,
        architecture: String,
        os_image: String,
        schedulable: bool,
    },
    Hub {
        connected: bool,
        age: SignedDuration,
        hubs: u32,
        clusters: u32,
        clusters_connected: u32,
    },
}

/// What a cluster has in all.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs)] // told in admin.proto
pub struct Inventory {
    pub machines: u32,
    pub ready: u32,
    #[serde(skip_serializing_if = "is_none")]
    pub left_out: u32,
    pub capacity: BTreeMap<String, String>,
    pub allocatable: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub problem: String,
}

fn is_none(count: &u32) -> bool {
    *count == 0
}

/// How many clusters are in which state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[allow(missing_docs)] // told in admin.proto
pub struct Counts {
    pub selected: u32,
    pub updated: u32,
    pub healthy: u32,
    pub degraded: u32,
    pub refused: u32,
    pub removing: u32,
}

/// One workload on one cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[allow(missing_docs)] // told in admin.proto
pub struct ClusterWorkload {
    pub project: String,
    pub name: String,
    pub home: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub revision: String,
    pub sync: String,
    pub health: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub message: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub wish: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub feedback: Vec<Feedback>,
    #[serde(rename = "feedbackLeftOut", skip_serializing_if = "super::is_zero")]
    pub feedback_left_out: u32,
}

/// The value of one field of one object: a number, a text or a boolean.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[allow(missing_docs)] // told in admin.proto
pub struct Feedback {
    pub object: String,
    pub name: String,
    pub value: Value,
}

/// Reads over a status, whatever it holds.
pub(super) fn ignore<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Status>, D::Error> {
    IgnoredAny::deserialize(deserializer).map(|_| None)
}

impl From<v1::Status> for Status {
    fn from(status: v1::Status) -> Self {
        Self {
            observed_generation: status.observed_generation,
            conditions: status.conditions.into_iter().map(Condition::from).collect(),
            detail: status.detail.map(Detail::from),
        }
    }
}

impl From<v1::Condition> for Condition {
    fn from(condition: v1::Condition) -> Self {
        Self {
            r#type: condition.r#type,
            status: condition.status,
            reason: condition.reason,
            message: condition.message,
            last_transition_time: timestamp(condition.last_transition_ms),
            observed_generation: condition.observed_generation,
        }
    }
}

impl From<v1::status::Detail> for Detail {
    fn from(detail: v1::status::Detail) -> Self {
        match detail {
            v1::status::Detail::Placement(v1::PlacementStatus { selected, wanted }) => {
                Self::Placement { selected, wanted }
            }
            v1::status::Detail::Workload(v1::WorkloadStatus { counts, revision, example }) => {
                Self::Workload { revision, clusters: counts.unwrap_or_default().into(), example }
            }
            v1::status::Detail::Cluster(cluster) => Self::Cluster {
                connected: cluster.connected,
                age: age(cluster.age_ms),
                claims: cluster.claims.into_iter().collect(),
                workloads: cluster.workloads.into_iter().map(ClusterWorkload::from).collect(),
                inventory: cluster.inventory.map(Inventory::from),
            },
            v1::status::Detail::Machine(machine) => Self::Machine {
                cluster: machine.cluster,
                age: age(machine.age_ms),
                capacity: machine.capacity.into_iter().collect(),
                allocatable: machine.allocatable.into_iter().collect(),
                kubelet: machine.kubelet,
                architecture: machine.architecture,
                os_image: machine.os_image,
                schedulable: machine.schedulable,
            },
            v1::status::Detail::Hub(hub) => {
                let fleet = hub.fleet.unwrap_or_default();
                Self::Hub {
                    connected: hub.connected,
                    age: age(hub.age_ms),
                    hubs: fleet.hubs,
                    clusters: fleet.clusters,
                    clusters_connected: fleet.connected,
                }
            }
        }
    }
}

fn age(milliseconds: u64) -> SignedDuration {
    SignedDuration::try_from(Duration::from_millis(milliseconds)).unwrap_or(SignedDuration::MAX)
}

impl From<v1::Counts> for Counts {
    fn from(counts: v1::Counts) -> Self {
        let v1::Counts { selected, updated, healthy, degraded, refused, removing } = counts;
        Self { selected, updated, healthy, degraded, refused, removing }
    }
}

impl From<v1::Inventory> for Inventory {
    fn from(inventory: v1::Inventory) -> Self {
        let v1::Inventory { machines, ready, left_out, capacity, allocatable, problem } = inventory;
        let (capacity, allocatable) = (capacity.into_iter().collect(), allocatable.into_iter().collect());
        Self { machines, ready, left_out, capacity, allocatable, problem }
    }
}

impl From<v1::ClusterWorkload> for ClusterWorkload {
    fn from(row: v1::ClusterWorkload) -> Self {
        let v1::ClusterWorkload { project, name, home, revision, sync, health, message, wish, .. } = row;
        let feedback = row.feedback.into_iter().map(Feedback::from).collect();
        let feedback_left_out = row.feedback_left_out;
        Self { project, name, home, revision, sync, health, message, wish, feedback, feedback_left_out }
    }
}

impl From<v1::FeedbackValue> for Feedback {
    fn from(v1::FeedbackValue { object, name, value }: v1::FeedbackValue) -> Self {
        let value = match value {
            Some(v1::feedback_value::Value::Integer(integer)) => integer.into(),
            Some(v1::feedback_value::Value::String(text)) => text.into(),
            Some(v1::feedback_value::Value::Boolean(boolean)) => boolean.into(),
            None => Value::Null,
        };
        Self { object, name, value }
    }
}
