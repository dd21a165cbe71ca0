//! Admin objects as values of the model, and back.
//!
//! [`inbound`] checks all that can be checked without knowing the tree, so that a value of the model
//! is valid; its errors begin with the path of the field at fault. [`outbound`] cannot fail.

pub mod inbound;
pub mod outbound;

use canopy_model::{labels, name, path, placement, uid, workload};

/// The project of objects that name none.
pub const DEFAULT_PROJECT: &str = "default";

/// Why an admin object is refused.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// What is only observed cannot be written.
    #[error("a machine is what its cluster says: it can be listed, and not named or changed here")]
    Observed,
    /// A required message is absent.
    #[error("{0} is missing")]
    Missing(&'static str),
    /// Not a name.
    #[error("{field} is not valid")]
    Name {
        /// Where it stands.
        field: String,
        /// What is wrong with it.
        #[source]
        source: name::Error,
    },
    /// Not a path.
    #[error("{field} is not valid")]
    Path {
        /// Where it stands.
        field: &'static str,
        /// What is wrong with it.
        #[source]
        source: path::Error,
    },
    /// Not a uid.
    #[error("{field} is not valid")]
    Uid {
        /// Where it stands.
        field: &'static str,
        /// What is wrong with it.
        #[source]
        source: uid::Error,
    },
    /// A label's key or value is refused.
    #[error("metadata.labels is not valid")]
    Label(#[source] labels::Error),
    /// A version that no hub gave.
    #[error("resource version {0:?} was not given by a hub: leave it out, or get the object again")]
    ResourceVersion(String),
    /// An operator that does not exist.
    #[error("{field} is {operator:?}, expected In, NotIn, Exists or DoesNotExist")]
    Operator {
        /// Where it stands.
        field: String,
        /// What stands there.
        operator: String,
    },
    /// Values with an operator that takes none.
    #[error("{field} must be left out: operator {operator} takes no values")]
    NeedlessValues {
        /// Where they stand.
        field: String,
        /// The operator beside them.
        operator: String,
    },
    /// A toleration that cannot be.
    #[error("spec.tolerations[{at}] {problem}")]
    Toleration {
        /// Which one, from 0.
        at: usize,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// No effect of a taint.
    #[error("effect {0:?} is none of taints: expected NoSelect, PreferNoSelect or NoSelectIfNew")]
    Effect(String),
    /// The placement as a whole is refused.
    #[error(transparent)]
    Placement(placement::Error),
    /// The workload as a whole is refused.
    #[error(transparent)]
    Workload(workload::Error),
    /// The text of a workload's upkeep is none.
    #[error("spec.upkeep is no JSON text of deleteOption, manifestConfigs and executor: {0}")]
    UpkeepJson(String),
    /// How a workload's objects are to be kept is refused.
    #[error(transparent)]
    Upkeep(canopy_upkeep::Error),
    /// A workload without content.
    #[error("spec.manifests is empty: give at least one Kubernetes object")]
    NoManifests,
    /// Something in the place of a Kubernetes object.
    #[error("spec.manifests[{at}] {problem}")]
    Manifest {
        /// Which one, from 0.
        at: usize,
        /// What is wrong with it.
        problem: &'static str,
    },
}

/// An error and all its causes on one line, `what: why: why`.
pub fn one_line(error: &dyn std::error::Error) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        line = format!("{line}: {error}");
        cause = error.source();
    }
    line
}
