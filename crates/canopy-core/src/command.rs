//! Writes: what an administrator asks of the hub where an object is at home.
//!
//! A command may arrive more than once; within an hour the same id gets the same answer.

use std::collections::BTreeMap;
use std::time::Duration;

use canopy_model::{Kind, Labels, Name, Object, ObjectName, Path, Record, ResourceVersion, Spec, Uid};
use std::sync::Arc;

/// For how long the answer to a command is remembered.
pub const ANSWER_KEPT: Duration = Duration::from_secs(3600);
/// How many answers are remembered; the oldest go first.
pub const ANSWERS_MAX: usize = 10_000;

/// A write at one hub.
#[derive(Debug, Clone, PartialEq)]
pub struct Command {
    /// Drawn by whoever asks; a repetition carries the same.
    pub id: Uid,
    /// Who asks, for `createdBy` and `changedBy`.
    pub principal: String,
    /// What to do.
    pub verb: Verb,
}

/// What to do.
#[derive(Debug, Clone, PartialEq)]
pub enum Verb {
    /// Create an object, or change its specification and labels.
    Apply {
        /// Project and name.
        name: ObjectName,
        /// The object's own labels.
        labels: Labels,
        /// What is wanted.
        spec: Spec,
        /// The uid in case it is new: a fresh one, or that of the orphan that it adopts.
        uid: Uid,
        /// Refuse unless the object still has this version.
        expected: Option<ResourceVersion>,
    },
    /// Ask for the deletion of an object.
    Delete {
        /// Placement or workload.
        kind: Kind,
        /// Project and name.
        name: ObjectName,
        /// Do not wait for clusters that do not answer.
        forget: bool,
        /// Refuse unless the object still has this version.
        expected: Option<ResourceVersion>,
    },
    /// Record a child: it joined, or an administrator accepts it.
    Accept {
        /// Its name below this hub.
        name: Name,
        /// What to record.
        record: Record,
    },
    /// Set labels of a child (with a value) or remove them (without).
    Label {
        /// Its name below this hub.
        name: Name,
        /// Key to new value.
        changes: BTreeMap<String, Option<String>>,
        /// Replace values that are there.
        overwrite: bool,
    },
    /// Let a child go: its work is removed, then its record.
    Release {
        /// Its name below this hub.
        name: Name,
        /// Do not wait for it.
        forget: bool,
    },
    /// Declare that no cluster is missing after this hub lost its memory.
    ForgetMissing,
    /// Delete an orphan whose home is this hub.
    Drop(Uid),
}

/// What came of a command.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// The object is new.
    Created(Arc<Object>),
    /// The object was changed.
    Configured(Arc<Object>),
    /// The object is as asked already.
    Unchanged(Arc<Object>),
    /// The object is being deleted, or gone.
    Deleted,
    /// A child's record is as asked.
    Recorded(Record),
    /// Nothing to show.
    Done,
    /// Refused.
    Refused(Refusal),
}

/// Why a command was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// There is none of that name.
    #[error("{kind} {name:?} not found at hub {home}")]
    NotFound {
        /// Its kind's name.
        kind: &'static str,
        /// Its name.
        name: String,
        /// The hub that was asked.
        home: Path,
    },
    /// Somebody changed it since.
    #[error(
        "the object was changed since version {expected}: it is at {current} now; get it again and repeat the change"
    )]
    Conflict {
        /// The version that the caller knew.
        expected: u64,
        /// The present one.
        current: u64,
    },
    /// It is being deleted.
    #[error("{0} is being deleted; wait until it is gone, or delete it with --forget")]
    Terminating(String),
    /// A child of that name exists under another identity.
    #[error(
        "{name} is already recorded with uid {recorded}, not {offered}; release it first or choose another name"
    )]
    OtherIdentity {
        /// The child's name.
        name: Name,
        /// The recorded uid.
        recorded: Uid,
        /// The uid that wants to take its place.
        offered: Uid,
    },
    /// A label is there with another value.
    #[error("label {key:?} already has value {value:?}; use --overwrite to replace it")]
    LabelExists {
        /// Its key.
        key: String,
        /// Its present value.
        value: String,
    },
    /// A hub cannot go while clusters stand below it.
    #[error("hub {name} still has {children} clusters; release them first, or use --forget")]
    HasChildren {
        /// The hub's name.
        name: Name,
        /// Clusters below it.
        children: u32,
    },
    /// It is not valid.
    #[error("{0}")]
    Invalid(String),
}
