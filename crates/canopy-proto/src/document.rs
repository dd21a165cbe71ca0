//! The YAML and JSON that users write and read.
//!
//! A document has the form of a Kubernetes object: apiVersion, kind, metadata, spec, status; a
//! placement has Open Cluster Management's fields. What is misspelt is refused, never ignored.
//! Status and the metadata that a hub fills in may be present on the way in, so that what was read
//! can be edited and applied; the hub ignores them.
//!
//! - [`mod@read`]: text, with any number of documents, into admin objects;
//! - [`mod@write`]: an admin object into a document;
//! - [`spec`]: what the two kinds of written objects specify;
//! - [`status`]: how observations are shown.

pub mod read;
pub mod spec;
pub mod status;
pub mod write;

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::admin::v1;
use status::Status;

pub use read::read;
pub use write::document;

/// The version of all documents.
pub const API_VERSION: &str = "canopy.dev/v1alpha1";

/// One object as written; `S` is its specification.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Document<S> {
    /// Always [`API_VERSION`].
    pub api_version: String,
    /// Placement, Workload, Cluster or Hub.
    pub kind: String,
    /// Name, labels and what the hub fills in.
    pub metadata: Metadata,
    /// What is wanted.
    pub spec: S,
    /// What was observed; dropped on the way in.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "status::ignore")]
    pub status: Option<Status>,
}

/// What all documents carry besides their specification.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Metadata {
    /// Unique per kind, project and home; of a hub or cluster its path.
    pub name: String,
    /// Empty means the project of the caller.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub project: String,
    /// Path of the hub where it lives; empty means the hub that is asked.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub home: String,
    /// By these selectors select.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Permanent identity.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub uid: String,
    /// Counts the changes of the specification.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub generation: u64,
    /// When given, the object is changed only if it still has this version.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub resource_version: String,
    /// Who created it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub created_by: String,
    /// Who changed it last.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub changed_by: String,
    /// When it was created.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub creation_timestamp: Option<Timestamp>,
    /// When its deletion was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deletion_timestamp: Option<Timestamp>,
}

fn is_zero<N: Default + PartialEq>(number: &N) -> bool {
    *number == N::default()
}

impl From<Metadata> for v1::Metadata {
    fn from(metadata: Metadata) -> Self {
        Self {
            project: metadata.project,
            name: metadata.name,
            uid: metadata.uid,
            home: metadata.home,
            generation: metadata.generation,
            resource_version: metadata.resource_version,
            labels: metadata.labels.into_iter().collect(),
            created_by: metadata.created_by,
            changed_by: metadata.changed_by,
            created_ms: metadata.creation_timestamp.map_or(0, milliseconds),
            deletion_timestamp_ms: metadata.deletion_timestamp.map(milliseconds),
        }
    }
}

impl From<v1::Metadata> for Metadata {
    fn from(metadata: v1::Metadata) -> Self {
        Self {
            name: metadata.name,
            project: metadata.project,
            home: metadata.home,
            labels: metadata.labels.into_iter().collect(),
            uid: metadata.uid,
            generation: metadata.generation,
            resource_version: metadata.resource_version,
            created_by: metadata.created_by,
            changed_by: metadata.changed_by,
            creation_timestamp: timestamp(metadata.created_ms),
            deletion_timestamp: metadata.deletion_timestamp_ms.and_then(timestamp),
        }
    }
}

/// The moment, none for 0 (not set) and for what lies beyond the calendar.
fn timestamp(milliseconds: u64) -> Option<Timestamp> {
    let milliseconds = i64::try_from(milliseconds).ok().filter(|value| *value > 0)?;
    Timestamp::from_millisecond(milliseconds).ok()
}

fn milliseconds(moment: Timestamp) -> u64 {
    u64::try_from(moment.as_millisecond()).unwrap_or(0)
}

#[cfg(test)]
mod tests;
