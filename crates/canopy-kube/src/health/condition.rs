//! The conditions of an object, as every kind writes them.

use std::fmt;

use kube::api::DynamicObject;
use serde_json::Value;

/// One condition; what it lacks is empty.
pub(crate) struct Condition<'a> {
    pub(crate) kind: &'a str,
    pub(crate) status: &'a str,
    pub(crate) reason: &'a str,
    pub(crate) message: &'a str,
}

impl fmt::Display for Condition<'_> {
    /// Writes `Ready=False: Waiting: no volume yet`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.kind, self.status)?;
        for part in [self.reason, self.message].into_iter().filter(|part| !part.is_empty()) {
            write!(f, ": {part}")?;
        }
        Ok(())
    }
}

/// The conditions of an object, in its order.
pub(crate) fn conditions(object: &DynamicObject) -> impl Iterator<Item = Condition<'_>> {
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

/// The condition of one type, if it has this status.
pub(crate) fn condition<'a>(object: &'a DynamicObject, kind: &str, status: &str) -> Option<Condition<'a>> {
    conditions(object).find(|condition| condition.kind == kind && condition.status == status)
}
