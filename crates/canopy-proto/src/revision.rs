//! The content of a workload's revision: one JSON text.

use canopy_upkeep::Upkeep;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What a revision holds. The same content always is the same bytes.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Content {
    /// Kubernetes objects, their keys sorted.
    pub manifests: Vec<Value>,
    /// How they are kept.
    #[serde(default)]
    pub upkeep: Upkeep,
}

/// Bytes that are no content of a workload.
#[derive(Debug, thiserror::Error)]
#[error(
    "the content is not that of a workload: this program may be older than the hub, or the bytes are broken"
)]
pub struct NoContent(#[source] serde_json::Error);

impl Content {
    /// Reads [`Self::to_bytes`].
    ///
    /// # Errors
    /// The bytes are something else.
    pub fn read(bytes: &[u8]) -> Result<Self, NoContent> {
        serde_json::from_slice(bytes).map_err(NoContent)
    }

    /// The bytes that a revision is made of.
    pub fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("texts and values can be written as JSON")
    }
}
