//! What keeps one pod from being ready, as its status tells it.
//!
//! What a kubelet counts and waits (restarts, back-off) stays out of the words: a report of the same
//! trouble is the same report.

use std::fmt;

use k8s_openapi::api::core::v1::{
    ContainerState, ContainerStateTerminated, ContainerStateWaiting, ContainerStatus, Pod, PodStatus,
};

/// Why a container is not started yet when nothing is wrong.
const STARTING: [&str; 2] = ["ContainerCreating", "PodInitializing"];

/// How kubelets say that an image is not there: they alternate between the two.
const IMAGE: [&str; 2] = ["ErrImagePull", "ImagePullBackOff"];

/// What comes before the cause, when a kubelet backs off from pulling an image.
const IMAGE_CAUSE: &str = "ErrImagePull: ";

/// What keeps a pod from being ready.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// No node takes it, in the scheduler's words.
    Unscheduled(String),
    /// The node let it go or it ended, in the kubelet's words.
    Ended(String),
    /// A container can't be started, or ends.
    Container {
        /// Its name.
        name: String,
        /// What is the matter with it.
        why: String,
    },
    /// It runs, and does not say that it is ready.
    NotReady,
    /// It is being started.
    Starting,
}

impl Trouble {
    /// Whether it tells a cause. Of a pod that is merely not there yet, events may.
    pub(crate) fn is_cause(&self) -> bool {
        matches!(self, Self::Unscheduled(_) | Self::Ended(_) | Self::Container { .. })
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unscheduled(why) => write!(f, "is not scheduled: {why}"),
            Self::Ended(why) => f.write_str(why),
            Self::Container { name, why } => write!(f, "container {name}: {why}"),
            Self::NotReady => f.write_str("runs and is not ready"),
            Self::Starting => f.write_str("is being started"),
        }
    }
}

/// What keeps a pod from being ready; none when it is ready, or has done its work.
pub(crate) fn trouble(pod: &Pod) -> Option<Trouble> {
    let Some(status) = &pod.status else { return Some(Trouble::Starting) };
    let is = |kind: &str, wanted: &str| {
        let conditions = status.conditions.as_deref().unwrap_or_default();
        conditions.iter().find(|condition| condition.type_ == kind && condition.status == wanted)
    };
    let phase = status.phase.as_deref().unwrap_or_default();
    if phase == "Succeeded" || (phase == "Running" && is("Ready", "True").is_some()) {
        return None;
    }
    if let Some(unscheduled) = is("PodScheduled", "False") {
        let said = [&unscheduled.message, &unscheduled.reason].into_iter().flatten().next();
        return Some(Trouble::Unscheduled(said.cloned().unwrap_or_default()));
    }
    if let Some(trouble) = statuses(status).find_map(container) {
        return Some(trouble);
    }
    let why = words([status.reason.as_deref(), status.message.as_deref()]);
    Some(match phase {
        "Failed" if why.is_empty() => Trouble::Ended("has ended".to_owned()),
        "Failed" => Trouble::Ended(why),
        "Running" => Trouble::NotReady,
        _ => Trouble::Starting,
    })
}

/// Of all containers, in the order in which they start.
fn statuses(status: &PodStatus) -> impl Iterator<Item = &ContainerStatus> {
    [&status.init_container_statuses, &status.container_statuses].into_iter().flatten().flatten()
}

fn container(status: &ContainerStatus) -> Option<Trouble> {
    let state = status.state.as_ref();
    let waiting = state.and_then(|state| state.waiting.as_ref());
    let why = waiting.and_then(|waiting| waits(status, waiting)).or_else(|| ended(status, state))?;
    Some(Trouble::Container { name: status.name.clone(), why })
}

fn waits(status: &ContainerStatus, waiting: &ContainerStateWaiting) -> Option<String> {
    let reason = waiting.reason.as_deref().unwrap_or_default();
    let message = waiting.message.as_deref().unwrap_or_default();
    if reason.is_empty() || reason == "CrashLoopBackOff" || STARTING.contains(&reason) {
        return None;
    }
    if !IMAGE.contains(&reason) {
        return Some(words([Some(reason), Some(message)]));
    }
    let cause = match message.split_once(IMAGE_CAUSE) {
        Some((_, cause)) => cause,
        None if reason == "ErrImagePull" => message,
        None => "",
    };
    let image = format!("ImagePullBackOff: image {} can't be pulled", status.image);
    Some(words([Some(image.as_str()), Some(cause)]))
}

/// A container that ended, and will be or was started again.
fn ended(status: &ContainerStatus, state: Option<&ContainerState>) -> Option<String> {
    let last = status.last_state.as_ref().filter(|_| !status.ready);
    let of = |state: &ContainerState| state.terminated.clone();
    let ContainerStateTerminated { exit_code, reason, message, .. } =
        state.and_then(of).filter(|ended| ended.exit_code != 0).or_else(|| last.and_then(of))?;
    let again = if status.restart_count > 0 { "CrashLoopBackOff: " } else { "" };
    let ended = format!("{again}it ended with exit code {exit_code}");
    Some(words([Some(ended.as_str()), reason.as_deref(), message.as_deref().map(str::trim)]))
}

/// What is said, one after the other.
fn words<const N: usize>(parts: [Option<&str>; N]) -> String {
    let said: Vec<_> = parts.into_iter().flatten().filter(|part| !part.is_empty()).collect();
    said.join(": ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn check(status: Value, expected: Option<&str>) {
        let pod = serde_json::from_value(json!({"metadata": {"name": "web"}, "status": status})).unwrap();
        assert_eq!(trouble(&pod).map(|trouble| trouble.to_string()).as_deref(), expected, "{status}");
    }

    fn waiting(reason: &str, message: &str, restarts: i32) -> Value {
        json!({"phase": "Pending", "containerStatuses": [{"name": "main", "image": "web:1", "imageID": "",
            "ready": false, "restartCount": restarts, "state": {"waiting": {"reason": reason, "message": message}}}]})
    }

    #[test]
    fn the_cause_is_told_in_words_that_do_not_change_by_themselves() {
        let pull = "container main: ImagePullBackOff: image web:1 can't be pulled: not found";
        check(waiting("ErrImagePull", "not found", 0), Some(pull));
        check(
            waiting("ImagePullBackOff", "Back-off pulling image \"web:1\": ErrImagePull: not found", 0),
            Some(pull),
        );
        let secret = "container main: CreateContainerConfigError: secret \"line\" not found";
        check(waiting("CreateContainerConfigError", "secret \"line\" not found", 0), Some(secret));
        check(waiting("ContainerCreating", "", 0), Some("is being started"));

        let ended = json!({"terminated": {"exitCode": 137, "reason": "OOMKilled"}});
        let crash = "container main: CrashLoopBackOff: it ended with exit code 137: OOMKilled";
        for back_off in [10, 20] {
            let mut status =
                waiting("CrashLoopBackOff", &format!("back-off {back_off}s restarting"), back_off);
            status["containerStatuses"][0]["lastState"] = ended.clone();
            check(status.clone(), Some(crash));
            status["phase"] = json!("Running");
            status["containerStatuses"][0]["state"] = json!({"running": {}});
            check(status, Some(crash));
        }
    }

    #[test]
    fn the_scheduler_and_the_node_are_heard() {
        let unscheduled = json!([{"type": "PodScheduled", "status": "False", "reason": "Unschedulable",
            "message": "0/3 nodes are available: 3 Insufficient memory."}]);
        let told = "is not scheduled: 0/3 nodes are available: 3 Insufficient memory.";
        check(json!({"phase": "Pending", "conditions": unscheduled}), Some(told));
        let evicted = json!({"phase": "Failed", "reason": "Evicted", "message": "low on memory"});
        check(evicted, Some("Evicted: low on memory"));
        check(
            json!({"phase": "Running", "conditions": [{"type": "Ready", "status": "False"}]}),
            Some("runs and is not ready"),
        );
        check(json!({"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}), None);
        check(json!({"phase": "Succeeded"}), None);
    }
}
