//! What one object says about its health.
//!
//! The rules are those of kstatus: the controllers of workloads are read field by field, any other
//! kind by its conditions, and an object without conditions is healthy by being there. Not yet ready
//! is [`Health::Progressing`], however long it lasts: when to give up is for the rollout's deadline.
//! [`Health::Degraded`] needs the object's own word that it will not get there.

use std::fmt;

use canopy_model::Health;
use kube::api::DynamicObject;
use serde_json::Value;

use crate::object::kind_of;

/// The longest message about one object, in bytes: a report may speak of several.
pub const MESSAGE_BYTES_MAX: usize = 512;

/// The place of a health from best to worst: the worst object of a workload speaks for it.
pub(crate) fn severity(health: Health) -> u8 {
    match health {
        Health::Healthy => 0,
        Health::Progressing => 1,
        Health::Unknown => 2,
        Health::Degraded => 3,
        Health::Missing => 4,
    }
}

type Verdict = (Health, String);

/// The health of a live object, and why in a few words (empty when there is nothing to say).
pub fn health(object: &DynamicObject) -> (Health, String) {
    let (health, message) = verdict(object).unwrap_or((Health::Healthy, String::new()));
    (health, shorten(&message))
}

/// The first rule that keeps the object from being healthy.
fn verdict(object: &DynamicObject) -> Option<Verdict> {
    if object.metadata.deletion_timestamp.is_some() {
        return progressing("is being deleted");
    }
    let kind = kind_of(object);
    stale_status(object).or_else(|| failure(object)).or_else(|| {
        match (kind.group.as_str(), kind.kind.as_str()) {
            ("apps", "Deployment") => deployment(object),
            ("apps", "StatefulSet") => stateful_set(object),
            ("apps", "DaemonSet") => daemon_set(object),
            _ => unmet_condition(object),
        }
    })
}

/// Its controller has not looked at the newest spec yet.
fn stale_status(object: &DynamicObject) -> Option<Verdict> {
    let observed = object.data.pointer("/status/observedGeneration").and_then(Value::as_i64)?;
    (observed < object.metadata.generation?)
        .then(|| (Health::Progressing, "its controller has not seen the newest spec".to_owned()))
}

/// It says that it failed.
fn failure(object: &DynamicObject) -> Option<Verdict> {
    conditions(object).find_map(|condition| {
        let failed = match (condition.kind, condition.status) {
            ("Stalled" | "Failed" | "ReplicaFailure" | "Degraded", "True") => true,
            ("Progressing", "False") => condition.reason == "ProgressDeadlineExceeded",
            _ => false,
        };
        failed.then(|| (Health::Degraded, condition.to_string()))
    })
}

/// It says that it is not ready.
fn unmet_condition(object: &DynamicObject) -> Option<Verdict> {
    conditions(object).find_map(|condition| {
        let unmet = match condition.kind {
            "Ready" | "Available" => condition.status != "True",
            "Reconciling" => condition.status == "True",
            _ => false,
        };
        unmet.then(|| (Health::Progressing, condition.to_string()))
    })
}

fn deployment(object: &DynamicObject) -> Option<Verdict> {
    let Some(status) = controller_status(object) else { return not_seen() };
    let wanted = wanted_replicas(object);
    let [replicas, updated, available] =
        ["replicas", "updatedReplicas", "availableReplicas"].map(|field| count(status, field));
    if updated < wanted {
        progressing(format!("{updated} of {wanted} replicas updated"))
    } else if replicas > updated {
        progressing(format!("{} old replicas are still there", replicas - updated))
    } else if available < wanted {
        progressing(format!("{available} of {wanted} replicas available"))
    } else {
        unmet_condition(object)
    }
}

fn stateful_set(object: &DynamicObject) -> Option<Verdict> {
    let Some(status) = controller_status(object) else { return not_seen() };
    let wanted = wanted_replicas(object);
    let [replicas, updated, ready] =
        ["replicas", "updatedReplicas", "readyReplicas"].map(|field| count(status, field));
    let partition =
        object.data.pointer("/spec/updateStrategy/rollingUpdate/partition").and_then(Value::as_i64);
    let to_update = (wanted - partition.unwrap_or(0)).max(0);
    let by_hand =
        object.data.pointer("/spec/updateStrategy/type").and_then(Value::as_str) == Some("OnDelete");
    if ready < wanted {
        progressing(format!("{ready} of {wanted} replicas ready"))
    } else if replicas > wanted {
        progressing(format!("{} replicas too many are still there", replicas - wanted))
    } else if !by_hand && status.get("currentRevision") != status.get("updateRevision") && updated < to_update
    {
        progressing(format!("{updated} of {to_update} replicas updated"))
    } else {
        None
    }
}

fn daemon_set(object: &DynamicObject) -> Option<Verdict> {
    let Some(status) = controller_status(object) else { return not_seen() };
    let wanted = count(status, "desiredNumberScheduled");
    let [updated, available] =
        ["updatedNumberScheduled", "numberAvailable"].map(|field| count(status, field));
    if updated < wanted {
        progressing(format!("{updated} of {wanted} nodes updated"))
    } else if available < wanted {
        progressing(format!("{available} of {wanted} nodes available"))
    } else {
        None
    }
}

fn progressing(message: impl Into<String>) -> Option<Verdict> {
    Some((Health::Progressing, message.into()))
}

fn not_seen() -> Option<Verdict> {
    progressing("its controller has not seen it yet")
}

/// The status, once the controller has written it.
fn controller_status(object: &DynamicObject) -> Option<&Value> {
    object.data.get("status").filter(|status| status.get("observedGeneration").is_some())
}

fn wanted_replicas(object: &DynamicObject) -> i64 {
    object.data.pointer("/spec/replicas").and_then(Value::as_i64).unwrap_or(1)
}

fn count(status: &Value, field: &str) -> i64 {
    status.get(field).and_then(Value::as_i64).unwrap_or(0)
}

struct Condition<'a> {
    kind: &'a str,
    status: &'a str,
    reason: &'a str,
    message: &'a str,
}

impl fmt::Display for Condition<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.kind, self.status)?;
        for part in [self.reason, self.message].into_iter().filter(|part| !part.is_empty()) {
            write!(f, ": {part}")?;
        }
        Ok(())
    }
}

fn conditions(object: &DynamicObject) -> impl Iterator<Item = Condition<'_>> {
    let listed = object.data.pointer("/status/conditions").and_then(Value::as_array);
    listed.into_iter().flatten().map(|condition| {
        let text = |field: &str| condition.get(field).and_then(Value::as_str).unwrap_or_default();
        Condition {
            kind: text("type"),
            status: text("status"),
            reason: text("reason"),
            message: text("message"),
        }
    })
}

/// Cuts a text of others to [`MESSAGE_BYTES_MAX`].
pub(crate) fn shorten(text: &str) -> String {
    text[..text.floor_char_boundary(MESSAGE_BYTES_MAX)].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use Health::{Degraded, Healthy, Progressing};
    use serde_json::json;

    fn check(api_version: &str, kind: &str, rest: Value, expected: Health, message: &str) {
        let mut object =
            json!({"apiVersion": api_version, "kind": kind, "metadata": {"name": "a", "generation": 2}});
        object.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
        let found = health(&serde_json::from_value(object).unwrap());
        assert_eq!(found, (expected, message.to_owned()), "{kind} {rest}");
    }

    #[test]
    fn deployments_are_judged_as_by_kstatus() {
        let failed =
            json!([{"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"}]);
        let quota = json!([{"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": "quota"}]);
        for (status, expected, message) in [
            (json!({}), Progressing, "its controller has not seen it yet"),
            (json!({"observedGeneration": 1}), Progressing, "its controller has not seen the newest spec"),
            (
                json!({"observedGeneration": 2, "replicas": 3, "updatedReplicas": 2}),
                Progressing,
                "2 of 3 replicas updated",
            ),
            (
                json!({"observedGeneration": 2, "replicas": 4, "updatedReplicas": 3}),
                Progressing,
                "1 old replicas are still there",
            ),
            (
                json!({"observedGeneration": 2, "replicas": 3, "updatedReplicas": 3, "availableReplicas": 1}),
                Progressing,
                "1 of 3 replicas available",
            ),
            (
                json!({"observedGeneration": 2, "replicas": 3, "updatedReplicas": 3, "availableReplicas": 3}),
                Healthy,
                "",
            ),
            (
                json!({"observedGeneration": 2, "replicas": 3, "updatedReplicas": 1, "conditions": failed}),
                Degraded,
                "Progressing=False: ProgressDeadlineExceeded",
            ),
            (
                json!({"observedGeneration": 2, "conditions": quota}),
                Degraded,
                "ReplicaFailure=True: FailedCreate: quota",
            ),
        ] {
            check(
                "apps/v1",
                "Deployment",
                json!({"spec": {"replicas": 3}, "status": status}),
                expected,
                message,
            );
        }
        let to_zero = json!({"spec": {"replicas": 0}, "status": {"observedGeneration": 2}});
        check("apps/v1", "Deployment", to_zero, Healthy, "");
    }

    #[test]
    fn stateful_sets_and_daemon_sets_are_judged_by_their_counts() {
        for (spec, status, expected, message) in [
            (json!({"replicas": 2}), json!({"readyReplicas": 1}), Progressing, "1 of 2 replicas ready"),
            (
                json!({"replicas": 2}),
                json!({"readyReplicas": 2, "updatedReplicas": 1, "currentRevision": "a", "updateRevision": "b"}),
                Progressing,
                "1 of 2 replicas updated",
            ),
            (
                json!({"replicas": 2, "updateStrategy": {"rollingUpdate": {"partition": 1}}}),
                json!({"readyReplicas": 2, "updatedReplicas": 1, "currentRevision": "a", "updateRevision": "b"}),
                Healthy,
                "",
            ),
            (
                json!({"replicas": 1}),
                json!({"readyReplicas": 1, "replicas": 2}),
                Progressing,
                "1 replicas too many are still there",
            ),
        ] {
            let mut status = status;
            status["observedGeneration"] = json!(2);
            check("apps/v1", "StatefulSet", json!({"spec": spec, "status": status}), expected, message);
        }
        for (updated, available, expected, message) in [
            (1, 2, Progressing, "1 of 2 nodes updated"),
            (2, 1, Progressing, "1 of 2 nodes available"),
            (2, 2, Healthy, ""),
        ] {
            let status = json!({"observedGeneration": 2, "desiredNumberScheduled": 2,
                "updatedNumberScheduled": updated, "numberAvailable": available});
            check("apps/v1", "DaemonSet", json!({"status": status}), expected, message);
        }
    }

    #[test]
    fn any_other_kind_is_judged_by_its_conditions() {
        let with =
            |kind: &str, status: &str| json!({"status": {"conditions": [{"type": kind, "status": status}]}});
        for (status, expected, message) in [
            (json!({}), Healthy, ""),
            (with("Ready", "True"), Healthy, ""),
            (with("Ready", "False"), Progressing, "Ready=False"),
            (with("Available", "Unknown"), Progressing, "Available=Unknown"),
            (with("Stalled", "True"), Degraded, "Stalled=True"),
            (with("Stalled", "False"), Healthy, ""),
            (with("Reconciling", "True"), Progressing, "Reconciling=True"),
        ] {
            check("example.dev/v1", "Robot", status, expected, message);
        }
        let leaving = json!({"metadata": {"name": "a", "deletionTimestamp": "2026-11-01T00:00:00Z"}});
        check("v1", "ConfigMap", leaving, Progressing, "is being deleted");
    }

    #[test]
    fn messages_of_others_are_cut_at_a_character() {
        let long = "ü".repeat(MESSAGE_BYTES_MAX);
        assert_eq!(shorten(&long).len(), MESSAGE_BYTES_MAX);
        assert_eq!(shorten(&format!("a{long}")).len(), MESSAGE_BYTES_MAX - 1);
    }
}
