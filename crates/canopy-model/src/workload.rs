//! Manifests that run wherever one of the workload's placements selects.

use std::sync::Arc;

use crate::{Digest, Name};

/// Content up to this size travels inside the row, in bytes; larger content is a blob.
pub const INLINE_BYTES_MAX: usize = 24 * 1024;
/// The most placements that one workload may name.
pub const PLACEMENTS_MAX: usize = 64;

/// What to run, and the placements that say where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Workload {
    /// Placements of the same home and project; a cluster that any of them selects runs it once.
    pub placements: Vec<Name>,
    /// What to run.
    pub revision: Revision,
}

/// One immutable content of a workload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revision {
    /// The digest of the content: manifests, and how a cluster keeps them.
    pub digest: Digest,
    /// The content's size in bytes.
    pub size: u64,
    /// The content itself, when it is no larger than [`INLINE_BYTES_MAX`].
    pub inline: Option<Arc<[u8]>>,
}

/// Why a workload is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// More than [`PLACEMENTS_MAX`].
    #[error("spec.placements has {0} entries, more than {PLACEMENTS_MAX}")]
    TooManyPlacements(usize),
    /// The same placement twice.
    #[error("spec.placements names {0} twice")]
    RepeatedPlacement(Name),
}

impl Workload {
    /// Checks all that can be checked without looking into the content.
    pub fn validate(&self) -> Result<(), Error> {
        if self.placements.len() > PLACEMENTS_MAX {
            return Err(Error::TooManyPlacements(self.placements.len()));
        }
        for (at, name) in self.placements.iter().enumerate() {
            if self.placements[..at].contains(name) {
                return Err(Error::RepeatedPlacement(name.clone()));
            }
        }
        Ok(())
    }
}
