//! What one object says about its health.
//!
//! The rules are those of kstatus, in its order: what every object may say (that it is being deleted,
//! that its controller lags behind, that it is stalled), then what its kind means (`builtin`), then what
//! conditions mean anywhere. An object that says nothing is healthy by being there. A test compares
//! them with the Go implementation; where they differ on purpose, `compared` says why.
//!
//! Not yet ready is [`Status::InProgress`], however long it lasts: when to give up is for the rollout's
//! deadline, and nothing here looks at a clock. [`Status::Failed`] needs the object's own word that it
//! will not get there by itself.

mod builtin;
#[cfg(test)]
mod compared;
mod condition;

use canopy_model::Health;
use kube::api::DynamicObject;
use serde_json::Value;

use crate::object::kind_of;
use condition::{Condition, conditions};

/// The longest message about one object, in bytes: a report may speak of several.
pub const MESSAGE_BYTES_MAX: usize = 512;

/// What kstatus calls the state of an object that is there. Of one that is not, which it calls
/// NotFound, the health is [`Health::Missing`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// It is as its spec wants it.
    Current,
    /// It is on its way there.
    InProgress,
    /// It says that it will not get there by itself.
    Failed,
    /// It is being deleted.
    Terminating,
    /// It says nothing that can be understood.
    Unknown,
}

impl From<Status> for Health {
    fn from(status: Status) -> Self {
        match status {
            Status::Current => Self::Healthy,
            Status::InProgress | Status::Terminating => Self::Progressing,
            Status::Failed => Self::Degraded,
            Status::Unknown => Self::Unknown,
        }
    }
}

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

/// The status of a live object, and why in a few words; empty when it is current.
type Verdict = (Status, String);

/// The health of a live object, and why in a few words (empty when there is nothing to say).
pub fn health(object: &DynamicObject) -> (Health, String) {
    let (status, message) = status(object);
    (status.into(), message)
}

/// The status of a live object, and why in at most [`MESSAGE_BYTES_MAX`]; empty when it is current.
pub fn status(object: &DynamicObject) -> (Status, String) {
    let verdict = anything(object).or_else(|| {
        let kind = kind_of(object);
        match builtin::rule(&kind.group, &kind.kind) {
            Some(rule) => rule(object),
            None => other(object),
        }
    });
    let (status, message) = verdict.unwrap_or((Status::Current, String::new()));
    (status, shorten(&message))
}

/// What an object of any kind may say before its kind counts.
fn anything(object: &DynamicObject) -> Option<Verdict> {
    if object.metadata.deletion_timestamp.is_some() {
        return Some((Status::Terminating, "is being deleted".to_owned()));
    }
    let observed = object.data.pointer("/status/observedGeneration").and_then(Value::as_i64);
    if observed.zip(object.metadata.generation).is_some_and(|(observed, wanted)| observed != wanted) {
        return in_progress("its controller has not seen the newest spec");
    }
    conditions(object).find_map(|condition| match (condition.kind, condition.status) {
        ("Reconciling", "True") => in_progress(condition.to_string()),
        ("Stalled", "True") => failed(&condition),
        _ => None,
    })
}

/// What conditions mean on a kind without rules of its own.
fn other(object: &DynamicObject) -> Option<Verdict> {
    let failure = conditions(object)
        .find(|condition| matches!(condition.kind, "Failed" | "Degraded") && condition.status == "True");
    let unmet = conditions(object)
        .find(|condition| matches!(condition.kind, "Ready" | "Available") && condition.status != "True");
    failure.as_ref().and_then(failed).or_else(|| in_progress(unmet?.to_string()))
}

fn in_progress(message: impl Into<String>) -> Option<Verdict> {
    Some((Status::InProgress, message.into()))
}

fn failed(condition: &Condition<'_>) -> Option<Verdict> {
    Some((Status::Failed, condition.to_string()))
}

/// Cuts a text of others to [`MESSAGE_BYTES_MAX`].
pub(crate) fn shorten(text: &str) -> String {
    text[..text.floor_char_boundary(MESSAGE_BYTES_MAX)].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_of_others_are_cut_at_a_character() {
        let long = "ü".repeat(MESSAGE_BYTES_MAX);
        assert_eq!(shorten(&long).len(), MESSAGE_BYTES_MAX);
        assert_eq!(shorten(&format!("a{long}")).len(), MESSAGE_BYTES_MAX - 1);
    }
}
