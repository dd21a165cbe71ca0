//! Values of the model as admin objects.

use std::collections::HashMap;

use canopy_model::labels::Operator;
use canopy_model::{
    Condition, Counts, FeedbackValue, FieldValue, Fleet, Inventory, Machine, Metadata, Object, Path,
    Placement, Requirement, ResourceVersion, Resources, Role, Selector, Spec, Taint, Toleration, Uid, Wall,
    Work, Workload, quantity,
};
use canopy_upkeep::Upkeep;
use serde_json::Value;

use crate::admin::v1;
use crate::revision::{Content, NoContent};

/// The object without its status and, for a workload, without its manifests.
pub fn object(object: &Object) -> v1::Object {
    let spec = match &object.spec {
        Spec::Placement(placement) => v1::object::Spec::Placement(self::placement(placement)),
        Spec::Workload(workload) => v1::object::Spec::Workload(self::workload(workload)),
    };
    v1::Object { metadata: Some(metadata(&object.metadata)), spec: Some(spec), status: None }
}

/// All metadata.
pub fn metadata(metadata: &Metadata) -> v1::Metadata {
    v1::Metadata {
        project: metadata.name.project.to_string(),
        name: metadata.name.name.to_string(),
        uid: metadata.uid.to_string(),
        home: metadata.home.path.to_string(),
        generation: metadata.generation,
        resource_version: resource_version(metadata.resource_version),
        labels: metadata.labels.clone().into_iter().collect(),
        created_by: metadata.created_by.clone(),
        changed_by: metadata.changed_by.clone(),
        created_ms: metadata.created.0,
        deletion_timestamp_ms: metadata.deleted.map(|deleted| deleted.0),
    }
}

/// The version as clients hand it back.
pub fn resource_version(version: ResourceVersion) -> String {
    version.0.to_string()
}

/// The placement as its author may have written it.
pub fn placement(placement: &Placement) -> v1::PlacementSpec {
    let predicates = placement.predicates.iter();
    v1::PlacementSpec {
        predicates: predicates
            .map(|selector| v1::Predicate { label_selector: Some(self::selector(selector)) })
            .collect(),
        number_of_clusters: placement.number_of_clusters,
        tolerations: placement.tolerations.iter().map(toleration).collect(),
    }
}

fn toleration(toleration: &Toleration) -> v1::Toleration {
    let Toleration { key, value, effect } = toleration;
    v1::Toleration {
        key: key.clone(),
        operator: if value.is_some() { "Equal" } else { "Exists" }.to_owned(),
        value: value.clone().unwrap_or_default(),
        effect: effect.map(|effect| effect.name().to_owned()).unwrap_or_default(),
        toleration_seconds: None,
    }
}

/// A taint of a cluster.
pub fn taint(taint: &Taint) -> v1::Taint {
    v1::Taint {
        key: taint.key.clone(),
        value: taint.value.clone(),
        effect: taint.effect.name().to_owned(),
        time_added_ms: taint.added.0,
    }
}

/// What leads and is in order becomes matchLabels, so that reading it back gives the same order.
fn selector(selector: &Selector) -> v1::LabelSelector {
    let mut given = v1::LabelSelector::default();
    let mut last: Option<&str> = None;
    for Requirement { key, operator } in &selector.0 {
        match operator {
            Operator::In(values)
                if values.len() == 1
                    && given.match_expressions.is_empty()
                    && last.is_none_or(|last| last < key.as_str()) =>
            {
                given.match_labels.insert(key.clone(), values[0].clone());
                last = Some(key);
            }
            Operator::In(values) | Operator::NotIn(values) => {
                given.match_expressions.push(requirement(key, operator, values));
            }
            Operator::Exists | Operator::DoesNotExist => {
                given.match_expressions.push(requirement(key, operator, &[]));
            }
        }
    }
    given
}

fn requirement(key: &str, operator: &Operator, values: &[String]) -> v1::Requirement {
    v1::Requirement { key: key.to_owned(), operator: operator.name().to_owned(), values: values.to_vec() }
}

fn workload(workload: &Workload) -> v1::WorkloadSpec {
    v1::WorkloadSpec {
        placements: workload.placements.iter().map(ToString::to_string).collect(),
        manifests: Vec::new(),
        upkeep: String::new(),
    }
}

/// Adds what a workload's content says to its specification.
///
/// # Errors
/// The bytes are no content.
pub fn fill(spec: &mut v1::WorkloadSpec, content: &[u8]) -> Result<(), NoContent> {
    let Content { manifests, upkeep } = Content::read(content)?;
    spec.manifests = manifests.iter().map(Value::to_string).collect();
    spec.upkeep = if upkeep == Upkeep::default() {
        String::new()
    } else {
        serde_json::to_string(&upkeep).expect("texts can be written as JSON")
    };
    Ok(())
}

/// One workload on one cluster, and what its hub wants of it.
pub fn work(work: &Work, wish: &str) -> v1::ClusterWorkload {
    v1::ClusterWorkload {
        project: work.name.project.to_string(),
        name: work.name.name.to_string(),
        home: work.home.path.to_string(),
        revision: work.revision.map(|digest| digest.to_string()).unwrap_or_default(),
        sync: work.sync.to_string(),
        health: work.health.to_string(),
        message: work.message.clone(),
        feedback: work.feedback.values.iter().map(feedback).collect(),
        feedback_left_out: work.feedback.left_out,
        wish: wish.to_owned(),
    }
}

fn feedback(FeedbackValue { object, name, value }: &FeedbackValue) -> v1::FeedbackValue {
    let value = match value {
        FieldValue::Integer(integer) => v1::feedback_value::Value::Integer(*integer),
        FieldValue::String(text) => v1::feedback_value::Value::String(text.clone()),
        FieldValue::Boolean(boolean) => v1::feedback_value::Value::Boolean(*boolean),
    };
    v1::FeedbackValue { object: object.clone(), name: name.clone(), value: Some(value) }
}

/// A machine of the cluster at `path`, which was heard `age_ms` ago.
pub fn machine(uid: Uid, machine: &Machine, path: &Path, age_ms: u64) -> v1::Object {
    let metadata = v1::Metadata {
        name: machine.name.clone(),
        uid: uid.to_string(),
        home: path.to_string(),
        created_ms: machine.created.0,
        ..v1::Metadata::default()
    };
    let status = v1::MachineStatus {
        cluster: path.to_string(),
        capacity: quantities(&machine.capacity),
        allocatable: quantities(&machine.allocatable),
        kubelet: machine.kubelet.clone(),
        architecture: machine.architecture.clone(),
        os_image: machine.os_image.clone(),
        schedulable: machine.schedulable,
        age_ms,
    };
    let (reason, message) = match machine.ready {
        Some(true) => ("Ready", ""),
        Some(false) => ("NotReady", "its kubelet says that it cannot run pods"),
        None => ("Unknown", "its cluster has not heard its kubelet"),
    };
    let (kind, message, since) = ("Ready", message.to_owned(), Wall(0));
    let ready = Condition { kind, status: machine.ready, reason, message, since };
    v1::Object {
        metadata: Some(metadata),
        spec: Some(v1::object::Spec::Machine(v1::MachineSpec {})),
        status: Some(v1::Status {
            observed_generation: 0,
            conditions: vec![condition(&ready, 0)],
            detail: Some(v1::status::Detail::Machine(status)),
        }),
    }
}

/// What a cluster has in all.
pub fn inventory(inventory: &Inventory) -> v1::Inventory {
    let Inventory { machines, ready, left_out, capacity, allocatable, problem } = inventory;
    v1::Inventory {
        machines: *machines,
        ready: *ready,
        left_out: *left_out,
        capacity: quantities(capacity),
        allocatable: quantities(allocatable),
        problem: problem.clone(),
    }
}

fn quantities(resources: &Resources) -> HashMap<String, String> {
    resources.iter().map(|(name, amount)| (name.clone(), quantity::text(name, *amount))).collect()
}

/// How many clusters are in which state.
pub fn counts(counts: &Counts) -> v1::Counts {
    let &Counts { selected, updated, healthy, degraded, refused, removing } = counts;
    v1::Counts { selected, updated, healthy, degraded, refused, removing }
}

/// How many nodes stand below a hub.
pub fn fleet(fleet: &Fleet) -> v1::Fleet {
    let &Fleet { hubs, clusters, connected, readiness: _ } = fleet;
    v1::Fleet { hubs, clusters, connected }
}

/// A condition that was observed of that generation.
pub fn condition(condition: &Condition, generation: u64) -> v1::Condition {
    let status = match condition.status {
        Some(true) => "True",
        Some(false) => "False",
        None => "Unknown",
    };
    v1::Condition {
        r#type: condition.kind.to_owned(),
        status: status.to_owned(),
        reason: condition.reason.to_owned(),
        message: condition.message.clone(),
        last_transition_ms: condition.since.0,
        observed_generation: generation,
    }
}

/// What a node is.
pub fn role(role: Role) -> v1::Role {
    match role {
        Role::Hub => v1::Role::Hub,
        Role::Agent => v1::Role::Agent,
    }
}
