//! A policy that selects clusters by their labels.

use crate::{Labels, Selector, labels};

/// The most predicates of one placement.
pub const PREDICATES_MAX: usize = 64;

/// Which clusters to select, and how many.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Placement {
    /// A cluster is feasible when any of these matches it; with none, every cluster is.
    pub predicates: Vec<Selector>,
    /// How many feasible clusters to take; all of them when absent.
    pub number_of_clusters: Option<u32>,
    /// Set by its home: the generation since which it has had a number without a break. Before, it
    /// may have run anywhere.
    pub numbered_since: u64,
}

/// Why a placement is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// More than [`PREDICATES_MAX`].
    #[error("spec.predicates has {0} entries, more than {PREDICATES_MAX}")]
    TooManyPredicates(usize),
    /// One predicate's selector is not valid.
    #[error("spec.predicates[{at}].requiredClusterSelector.labelSelector is not valid")]
    Selector {
        /// Which predicate, from 0.
        at: usize,
        /// What is wrong with it.
        #[source]
        source: labels::Error,
    },
}

impl Placement {
    /// Whether a cluster with these labels may be selected.
    pub fn is_feasible(&self, labels: &Labels) -> bool {
        self.predicates.is_empty() || self.predicates.iter().any(|selector| selector.matches(labels))
    }

    /// Checks all that can be checked without knowing any cluster.
    pub fn validate(&self) -> Result<(), Error> {
        if self.predicates.len() > PREDICATES_MAX {
            return Err(Error::TooManyPredicates(self.predicates.len()));
        }
        for (at, selector) in self.predicates.iter().enumerate() {
            selector.validate().map_err(|source| Error::Selector { at, source })?;
        }
        Ok(())
    }
}
