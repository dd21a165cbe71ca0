//! A policy that selects clusters by their labels and taints.

use crate::taint::{self, TOLERATIONS_MAX};
use crate::{Fit, Labels, Selector, Taint, Toleration, labels};

/// The most predicates of one placement.
pub const PREDICATES_MAX: usize = 64;

/// Which clusters to select, and how many.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Placement {
    /// A cluster is feasible when any of these matches it; with none, every cluster is.
    pub predicates: Vec<Selector>,
    /// How many feasible clusters to take; all of them when absent.
    pub number_of_clusters: Option<u32>,
    /// Which taints do not keep it away.
    pub tolerations: Vec<Toleration>,
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
    /// More than [`TOLERATIONS_MAX`].
    #[error("spec.tolerations has {0} entries, more than {TOLERATIONS_MAX}")]
    TooManyTolerations(usize),
    /// One toleration is not valid.
    #[error("spec.tolerations[{at}] is not valid")]
    Toleration {
        /// Which one, from 0.
        at: usize,
        /// What is wrong with it.
        #[source]
        source: labels::Error,
    },
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
    /// Whether a cluster with these labels and taints is a place for it.
    pub fn fit(&self, labels: &Labels, taints: &[Taint]) -> Fit {
        let matches = self.predicates.is_empty() || self.predicates.iter().any(|it| it.matches(labels));
        if matches { taint::fit(taints, &self.tolerations) } else { Fit::Never }
    }

    /// Checks all that can be checked without knowing any cluster.
    pub fn validate(&self) -> Result<(), Error> {
        if self.predicates.len() > PREDICATES_MAX {
            return Err(Error::TooManyPredicates(self.predicates.len()));
        }
        for (at, selector) in self.predicates.iter().enumerate() {
            selector.validate().map_err(|source| Error::Selector { at, source })?;
        }
        if self.tolerations.len() > TOLERATIONS_MAX {
            return Err(Error::TooManyTolerations(self.tolerations.len()));
        }
        for (at, toleration) in self.tolerations.iter().enumerate() {
            taint::check(toleration).map_err(|source| Error::Toleration { at, source })?;
        }
        Ok(())
    }
}
