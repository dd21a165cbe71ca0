//! Writes: what an administrator asks of the hub where an object is at home.
//!
//! A command may arrive more than once; within an hour the same id gets the same answer.

use std::collections::BTreeMap;
use std::time::Duration;

use canopy_model::{Kind, Labels, Name, ObjectName, Path, Record, ResourceVersion, Role, Spec, Uid, taint};

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
        /// Which object of that name is meant.
        uid: Meant,
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
    /// Set labels of a child (with a value) or remove them (without), and taints of a cluster.
    Amend {
        /// Hub or agent.
        role: Role,
        /// Its name below this hub.
        name: Name,
        /// What is changed of its record.
        amendment: Amendment,
        /// Refuse unless its record still has this version.
        expected: Option<ResourceVersion>,
    },
    /// Let a child go: its work is removed, then its record.
    Release {
        /// Hub or agent.
        role: Role,
        /// Its name below this hub.
        name: Name,
        /// Do not wait for it.
        forget: bool,
        /// Refuse unless its record still has this version.
        expected: Option<ResourceVersion>,
    },
    /// Declare that no cluster is missing after this hub lost its memory.
    ForgetMissing,
    /// Delete an orphan whose home is this hub.
    Drop(Uid),
}

/// What is changed of a child's record.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Amendment {
    /// Key to new value of labels, none to remove them.
    pub labels: BTreeMap<String, Option<String>>,
    /// Which taints are set and removed.
    pub taints: Vec<taint::Change>,
    /// Replace values that are there.
    pub overwrite: bool,
}

/// Which object the author of an object means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Meant {
    /// Whichever has the name; if there is none, a new one with this uid.
    Any {
        /// A fresh uid.
        fresh: Uid,
    },
    /// The one with this uid: it has the name, or is an orphan that takes it again.
    This(Uid),
}

/// What came of a command.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// The object, or the record of a child, is new.
    Created(Uid),
    /// It was changed.
    Configured(Uid),
    /// It is as asked already.
    Unchanged(Uid),
    /// The object is being deleted, or gone.
    Deleted,
    /// Nothing to show.
    Done,
    /// Refused.
    Refused(Refusal),
}

/// Why a command was refused. What to do about it is said in the words of the model; programs may
/// add how it is done with them.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// There is none of that name.
    #[error("{} {name:?} not found at hub {home}", .kind.name())]
    NotFound {
        /// What was looked for.
        kind: Kind,
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
    #[error("{0} is being deleted: wait until it is gone")]
    Terminating(String),
    /// The name belongs to another object than the one that is meant.
    #[error(
        "{name} has uid {present} here, not {named}: leave metadata.uid out to change it, or choose another name"
    )]
    OtherUid {
        /// Kind and name.
        name: String,
        /// Whose uid it is.
        present: Uid,
        /// The uid that was meant.
        named: Uid,
    },
    /// The orphan that is meant is called otherwise.
    #[error("uid {uid} is that of the orphan {present}: adopt it as what it is, or leave metadata.uid out")]
    OtherName {
        /// The orphan.
        uid: Uid,
        /// What it is called.
        present: String,
    },
    /// No orphan has this uid.
    #[error("nothing with uid {uid} is orphaned at hub {home}; an object that names no uid gets a new one")]
    NotOrphaned {
        /// The uid.
        uid: Uid,
        /// The hub that was asked.
        home: Path,
    },
    /// Another hub decides about this orphan.
    #[error("the orphan {uid} is at home at {home}: ask the hub there")]
    OtherHome {
        /// The orphan.
        uid: Uid,
        /// Its home.
        home: Path,
    },
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
    #[error("label {key:?} has the value {value:?} already")]
    LabelExists {
        /// Its key.
        key: String,
        /// Its present value.
        value: String,
    },
    /// A taint is there with another value.
    #[error("taint {0} is there already")]
    TaintExists(String),
    /// A hub cannot go while clusters stand below it.
    #[error("hub {name} still has {children} clusters: release them first")]
    HasChildren {
        /// The hub's name.
        name: Name,
        /// Clusters below it.
        children: u32,
    },
    /// A hub cannot go while nobody knows what stands below it.
    #[error("hub {0} has not told what stands below it: wait until it has reported")]
    ChildrenUnknown(Name),
    /// It is not valid.
    #[error("{0}")]
    Invalid(String),
}
