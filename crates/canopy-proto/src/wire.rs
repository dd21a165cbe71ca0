//! Frames and rows of the link between a parent and a child, as values of the core.
//!
//! What arrives is checked, so that a value of the model is valid. A frame that cannot be read is
//! an error, and the session's end. A row's value that cannot be read is none: it is kept as its
//! author's bytes and forwarded, because a newer version may have written it.
//!
//! - [`frame`]: what one message says;
//! - [`row`]: rows, their kinds and what becomes of an author's bytes;
//! - [`object`], [`status`], [`machine`]: the values that flow down, and those that flow up;
//! - [`part`]: uids, cursors, homes: what the others are made of.

pub mod frame;
pub mod machine;
pub mod object;
pub mod part;
pub mod row;
pub mod status;

use canopy_model::{labels, name, path, placement, taint, workload};

/// Why a message is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The bytes are no message of the expected type.
    #[error("the bytes cannot be read as {what}")]
    Bytes {
        /// The expected type.
        what: &'static str,
        /// What is wrong with them.
        #[source]
        source: prost::DecodeError,
    },
    /// A required field is absent, or holds what this version does not know.
    #[error("{0} is missing or of an unknown kind")]
    Missing(&'static str),
    /// An identifier or digest of another length.
    #[error("{field} has {actual} bytes, expected {expected}")]
    Length {
        /// Where it stands.
        field: &'static str,
        /// How long it is, in bytes.
        actual: usize,
        /// How long it must be, in bytes.
        expected: usize,
    },
    /// More bytes than may be stored.
    #[error("{field} has {actual} bytes, more than {max}")]
    TooLarge {
        /// Where it stands.
        field: &'static str,
        /// How long it is, in bytes.
        actual: usize,
        /// How long it may be, in bytes.
        max: usize,
    },
    /// Not a name.
    #[error("{field} is not valid")]
    Name {
        /// Where it stands.
        field: &'static str,
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
    /// A label's key or value is refused.
    #[error("a label is not valid")]
    Label(#[from] labels::Error),
    /// The taints of a cluster are refused.
    #[error("the taints are not valid")]
    Taints(#[from] taint::Error),
    /// The placement as a whole is refused.
    #[error("the placement is not valid")]
    Placement(#[from] placement::Error),
    /// The workload as a whole is refused.
    #[error("the workload is not valid")]
    Workload(#[from] workload::Error),
}

/// Reads a message of type `M`, called `what` in errors.
pub(crate) fn read<M: prost::Message + Default>(what: &'static str, bytes: &[u8]) -> Result<M, Error> {
    M::decode(bytes).map_err(|source| Error::Bytes { what, source })
}

pub(crate) fn required<T>(field: &'static str, value: Option<T>) -> Result<T, Error> {
    value.ok_or(Error::Missing(field))
}
