//! Why an apply is not done, in the words with which the agent of a real cluster tells it.

use std::fmt;

use canopy_model::Name;

use super::object::Id;

/// Why an apply is not done, or not completely.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// An object belongs to another workload. Nothing was changed.
    #[error("{object} belongs to workload {owner}: remove it from one of the two workloads")]
    Conflict {
        /// The object.
        object: Id,
        /// The other workload.
        owner: Name,
    },
    /// Objects were refused; all others are applied, and nothing was deleted.
    #[error("{} of {of} objects refused: {}", refusals.len(), refusals.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Objects {
        /// What was refused, in order of name.
        refusals: Vec<Refusal>,
        /// How many objects there were.
        of: usize,
    },
}

/// An object that the cluster does not take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The object.
    pub object: Id,
    /// Why.
    pub reason: Reason,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.object, self.reason)
    }
}

/// Why the cluster does not take an object.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    /// No such kind is served.
    #[error("the cluster serves no kind {kind} in {api_version}: install its definition first")]
    UnknownKind {
        /// As the manifest writes it.
        api_version: String,
        /// The kind.
        kind: String,
    },
    /// Objects of this kind live in a namespace, and the manifest names none.
    #[error("names no namespace: set metadata.namespace")]
    NoNamespace,
    /// The namespace does not exist.
    #[error("namespace {0} does not exist: add it to the workload's manifests or create it")]
    NamespaceNotFound(String),
    /// It is not valid, or not wanted.
    #[error("{0}")]
    Rejected(String),
}
