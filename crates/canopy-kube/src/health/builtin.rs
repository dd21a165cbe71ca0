//! What the status of Kubernetes' own kinds means, field by field.

use kube::api::DynamicObject;
use serde_json::{Value, json};

use super::condition::{condition, conditions};
use super::{Status, Verdict, failed, in_progress};
use crate::pods;

/// The first thing that keeps an object of one kind from being current.
pub(super) type Rule = fn(&DynamicObject) -> Option<Verdict>;

/// The rule of a kind; none when its conditions are all that counts.
pub(super) fn rule(group: &str, kind: &str) -> Option<Rule> {
    Some(match (group, kind) {
        ("apps", "Deployment") => deployment,
        ("apps", "StatefulSet") => stateful_set,
        ("apps", "DaemonSet") => daemon_set,
        ("apps", "ReplicaSet") => replica_set,
        ("batch", "Job") => job,
        ("", "Pod") => pod,
        ("", "PersistentVolumeClaim") => volume_claim,
        ("", "Service") => service,
        ("apiextensions.k8s.io", "CustomResourceDefinition") => definition,
        ("", "ConfigMap" | "Secret") | ("batch", "CronJob") | ("policy", "PodDisruptionBudget") => |_| None,
        _ => return None,
    })
}

/// What a controller without a deadline is given: kstatus and Kubernetes treat it as none.
const NO_DEADLINE: i64 = i32::MAX as i64;

fn deployment(object: &DynamicObject) -> Option<Verdict> {
    let stuck = conditions(object)
        .find(|condition| condition.kind == "Progressing" && condition.reason == "ProgressDeadlineExceeded");
    if let Some(condition) = stuck.or_else(|| condition(object, "ReplicaFailure", "True")) {
        return failed(&condition);
    }
    let wanted = number(object, "/spec/replicas", 1);
    let [replicas, updated, ready, available] =
        ["replicas", "updatedReplicas", "readyReplicas", "availableReplicas"]
            .map(|field| count(object, field));
    let rolled_out = number(object, "/spec/progressDeadlineSeconds", NO_DEADLINE) == NO_DEADLINE
        || condition(object, "Progressing", "True")
            .is_some_and(|condition| condition.reason == "NewReplicaSetAvailable");
    if replicas < wanted {
        in_progress(format!("{replicas} of {wanted} replicas made"))
    } else if updated < wanted {
        in_progress(format!("{updated} of {wanted} replicas updated"))
    } else if replicas > wanted {
        in_progress(format!("{} old replicas are still there", replicas - wanted))
    } else if available < updated {
        in_progress(format!("{available} of {wanted} replicas available"))
    } else if ready < wanted {
        in_progress(format!("{ready} of {wanted} replicas ready"))
    } else if !rolled_out {
        in_progress("its controller has not said that the newest replicas are available")
    } else if condition(object, "Available", "True").is_none() {
        in_progress("its controller has not said that it is available")
    } else {
        None
    }
}

fn stateful_set(object: &DynamicObject) -> Option<Verdict> {
    let wanted = number(object, "/spec/replicas", 1);
    let [replicas, ready, current, updated] =
        ["replicas", "readyReplicas", "currentReplicas", "updatedReplicas"].map(|field| count(object, field));
    if replicas < wanted {
        return in_progress(format!("{replicas} of {wanted} replicas made"));
    } else if ready < wanted {
        return in_progress(format!("{ready} of {wanted} replicas ready"));
    } else if replicas > wanted {
        return in_progress(format!("{} replicas too many are still there", replicas - wanted));
    } else if text(object, "/spec/updateStrategy/type") == "OnDelete" {
        return None;
    }
    let partition =
        object.data.pointer("/spec/updateStrategy/rollingUpdate/partition").and_then(Value::as_i64);
    if let Some(partition) = partition {
        let to_update = (wanted - partition).max(0);
        return (updated < to_update)
            .then(|| (Status::InProgress, format!("{updated} of {to_update} replicas updated")));
    }
    if current < wanted {
        in_progress(format!("{updated} of {wanted} replicas updated"))
    } else if text(object, "/status/currentRevision") != text(object, "/status/updateRevision") {
        in_progress("its newest revision is not the current one yet")
    } else {
        None
    }
}

fn daemon_set(object: &DynamicObject) -> Option<Verdict> {
    let status = object.data.get("status").filter(|status| status.get("observedGeneration").is_some());
    if object.metadata.generation.is_none()
        || status.is_none_or(|status| status.get("desiredNumberScheduled").is_none())
    {
        return in_progress("its controller has not seen it yet");
    }
    let wanted = count(object, "desiredNumberScheduled");
    let steps = [
        ("currentNumberScheduled", "have its pod"),
        ("updatedNumberScheduled", "updated"),
        ("numberAvailable", "available"),
        ("numberReady", "ready"),
    ];
    steps.into_iter().find_map(|(field, done)| {
        let so_far = count(object, field);
        (so_far < wanted).then(|| (Status::InProgress, format!("{so_far} of {wanted} nodes {done}")))
    })
}

fn replica_set(object: &DynamicObject) -> Option<Verdict> {
    if let Some(condition) = condition(object, "ReplicaFailure", "True") {
        return failed(&condition);
    }
    let wanted = number(object, "/spec/replicas", 1);
    let steps =
        [("fullyLabeledReplicas", "made"), ("availableReplicas", "available"), ("readyReplicas", "ready")];
    let short = steps.into_iter().find_map(|(field, done)| {
        let so_far = count(object, field);
        (so_far < wanted).then(|| (Status::InProgress, format!("{so_far} of {wanted} replicas {done}")))
    });
    let over = count(object, "replicas") - wanted;
    short.or_else(|| {
        (over > 0).then(|| (Status::InProgress, format!("{over} replicas too many are still there")))
    })
}

/// A job that runs is as it is meant to be, however long it takes.
fn job(object: &DynamicObject) -> Option<Verdict> {
    for condition in conditions(object).filter(|condition| condition.status == "True") {
        match condition.kind {
            "Complete" => return None,
            "Failed" => return failed(&condition),
            _ => {}
        }
    }
    let suspended = object.data.pointer("/spec/suspend").and_then(Value::as_bool) == Some(true);
    match text(object, "/status/startTime") {
        "" if suspended => in_progress("is suspended"),
        "" => in_progress("has not started"),
        _ => None,
    }
}

fn pod(object: &DynamicObject) -> Option<Verdict> {
    let told = || {
        let trouble = object.clone().try_parse().ok().and_then(|pod| pods::trouble(&pod));
        trouble.map(|trouble| trouble.to_string()).unwrap_or_default()
    };
    let crashing = || {
        let containers = object.data.pointer("/status/containerStatuses").and_then(Value::as_array);
        let waiting = |container: &Value| {
            container.pointer("/state/waiting/reason") == Some(&json!("CrashLoopBackOff"))
        };
        containers.into_iter().flatten().any(waiting)
    };
    match text(object, "/status/phase") {
        "Succeeded" => None,
        "Failed" => Some((Status::Failed, told())),
        "Running" if condition(object, "Ready", "True").is_some() => None,
        "Running" if crashing() => Some((Status::Failed, told())),
        "Running" | "Pending" => in_progress(told()),
        "" => in_progress("no node has seen it yet"),
        phase => Some((Status::Unknown, format!("its phase is {phase}"))),
    }
}

fn volume_claim(object: &DynamicObject) -> Option<Verdict> {
    match text(object, "/status/phase") {
        "Bound" => None,
        "Lost" => Some((Status::Failed, "its volume is lost".to_owned())),
        _ => in_progress("is not bound to a volume"),
    }
}

fn service(object: &DynamicObject) -> Option<Verdict> {
    let waits = text(object, "/spec/type") == "LoadBalancer" && text(object, "/spec/clusterIP").is_empty();
    waits.then(|| (Status::InProgress, "has no address yet".to_owned()))
}

fn definition(object: &DynamicObject) -> Option<Verdict> {
    for condition in conditions(object) {
        match (condition.kind, condition.status) {
            ("NamesAccepted", "False") => return failed(&condition),
            ("Established", "True") => return None,
            ("Established", "False") if condition.reason != "Installing" => return failed(&condition),
            _ => {}
        }
    }
    in_progress("is not established yet")
}

fn text<'a>(object: &'a DynamicObject, pointer: &str) -> &'a str {
    object.data.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

fn number(object: &DynamicObject, pointer: &str, default: i64) -> i64 {
    object.data.pointer(pointer).and_then(Value::as_i64).unwrap_or(default)
}

/// A number of the status; 0 when it is not there.
fn count(object: &DynamicObject, field: &str) -> i64 {
    object.data.get("status").and_then(|status| status.get(field)).and_then(Value::as_i64).unwrap_or(0)
}
