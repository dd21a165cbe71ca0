//! What is observed: an agent's report on one workload, and the counts into which hubs fold them.

use std::fmt;

use crate::{Digest, Home, Incarnation, ObjectName, Uid, Wall};

/// The longest message in a report, in bytes: several refusals of an API server in its own words,
/// and a small part of the 32 KiB that a store keeps of one value.
pub const MESSAGE_BYTES_MAX: usize = 2048;

/// The most values that a report carries of what a workload asks to be told: what a person reads of one
/// workload on one cluster.
pub const FEEDBACK_MAX: usize = 64;

/// The most bytes that these values and their names take: a quarter of what a store keeps of a report.
pub const FEEDBACK_BYTES_MAX: usize = 8 * 1024;

/// Names one state of one row: the author's incarnation and the row's version in it. Compares for
/// equality only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    /// The author's incarnation.
    pub incarnation: Incarnation,
    /// The row's version.
    pub version: u64,
}

/// Whether what runs is what is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Sync {
    /// The wanted revision is applied.
    Synced,
    /// It is not, or somebody changed it in the cluster.
    OutOfSync,
    /// Not known yet.
    #[default]
    Unknown,
}

impl fmt::Display for Sync {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Synced => "Synced",
            Self::OutOfSync => "OutOfSync",
            Self::Unknown => "Unknown",
        })
    }
}

/// How what runs is doing, in Argo's and kstatus' words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Health {
    /// Everything is up.
    Healthy,
    /// On the way.
    Progressing,
    /// It failed, or stopped making progress.
    Degraded,
    /// Something that should be there is not.
    Missing,
    /// Not known yet.
    #[default]
    Unknown,
}

impl fmt::Display for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Healthy => "Healthy",
            Self::Progressing => "Progressing",
            Self::Degraded => "Degraded",
            Self::Missing => "Missing",
            Self::Unknown => "Unknown",
        })
    }
}

/// What an agent reports on one workload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The assignment that it obeys; none for work found in the cluster without one.
    pub stamp: Option<Stamp>,
    /// What the cluster holds, or may hold, of it. None: it is gone.
    pub work: Option<Work>,
}

/// One workload in one cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Work {
    /// The workload's name, so that work whose object is lost can still be told.
    pub name: ObjectName,
    /// The workload's home, which decides about it.
    pub home: Home,
    /// The placements for which it runs here.
    pub placements: Vec<Uid>,
    /// The revision applied last with success.
    pub revision: Option<Digest>,
    /// Whether that is what is wanted.
    pub sync: Sync,
    /// How it is doing.
    pub health: Health,
    /// Why, in a sentence of at most [`MESSAGE_BYTES_MAX`]; empty when all is well.
    pub message: String,
    /// The cluster refused the wanted revision.
    pub refused: bool,
    /// What the workload asks to be told of its objects.
    pub feedback: Feedback,
}

/// What a workload asks to be told of its objects.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Feedback {
    /// In the order of objects, and of the rules that ask for them.
    pub values: Vec<FeedbackValue>,
    /// Further ones, for which a report has no room.
    pub left_out: u32,
}

/// One value of one object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeedbackValue {
    /// The object, such as `Deployment line-7/web`.
    pub object: String,
    /// What the rule calls the value.
    pub name: String,
    /// The value.
    pub value: FieldValue,
}

/// The value of a field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FieldValue {
    /// A whole number.
    Integer(i64),
    /// A text, or any other number as text.
    String(String),
    /// Yes or no.
    Boolean(bool),
}

impl Feedback {
    /// Leaves out what is beyond [`FEEDBACK_MAX`] or [`FEEDBACK_BYTES_MAX`].
    pub fn bound(&mut self) {
        let mut bytes = 0;
        let fits = |value: &FeedbackValue| {
            let text = if let FieldValue::String(text) = &value.value { text.len() } else { 0 };
            bytes += value.object.len() + value.name.len() + text;
            bytes <= FEEDBACK_BYTES_MAX
        };
        let room = self.values.iter().take(FEEDBACK_MAX).map(fits).take_while(|fits| *fits).count();
        let over = self.values.split_off(room).len();
        self.left_out = self.left_out.saturating_add(u32::try_from(over).unwrap_or(u32::MAX));
    }
}

/// How many clusters are in which state, for one workload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Selected to run it.
    pub selected: u32,
    /// Of these: the wanted revision is applied.
    pub updated: u32,
    /// Of these: healthy with the wanted revision.
    pub healthy: u32,
    /// Of the selected: degraded, or something is missing.
    pub degraded: u32,
    /// Of the selected: the cluster refused the wanted revision.
    pub refused: u32,
    /// No longer selected, and not yet reported gone.
    pub removing: u32,
}

impl Counts {
    /// Takes away the counts of a part that was added before.
    pub fn subtract(&mut self, other: &Counts) {
        self.selected = self.selected.saturating_sub(other.selected);
        self.updated = self.updated.saturating_sub(other.updated);
        self.healthy = self.healthy.saturating_sub(other.healthy);
        self.degraded = self.degraded.saturating_sub(other.degraded);
        self.refused = self.refused.saturating_sub(other.refused);
        self.removing = self.removing.saturating_sub(other.removing);
    }

    /// Adds the counts of a disjoint part.
    pub fn add(&mut self, other: &Counts) {
        self.selected = self.selected.saturating_add(other.selected);
        self.updated = self.updated.saturating_add(other.updated);
        self.healthy = self.healthy.saturating_add(other.healthy);
        self.degraded = self.degraded.saturating_add(other.degraded);
        self.refused = self.refused.saturating_add(other.refused);
        self.removing = self.removing.saturating_add(other.removing);
    }
}

/// What a hub reports upward on one workload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// Of the generation that the counts speak about.
    pub generation: u64,
    /// Over all clusters below.
    pub counts: Counts,
    /// One message of a cluster where it does not go well, with its path; empty when all is well.
    pub example: String,
    /// The workload is being deleted and nothing below holds it any more.
    pub gone: bool,
}

/// Whether a hub decides, and if not, what it waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Readiness {
    /// It decides.
    Ready,
    /// It has just been loaded.
    Starting,
    /// It does not know its parent's wishes in its present incarnation.
    WaitingForParent,
    /// It has not heard all its children since it lost its memory.
    WaitingForChildren,
    /// It decides, and starts nothing new: clusters may be missing.
    Recovering,
    /// It did not say, or in a word of a newer version.
    #[default]
    Unknown,
}

impl Readiness {
    /// One CamelCase word.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ready => "Ready",
            Self::Starting => "Starting",
            Self::WaitingForParent => "WaitingForParent",
            Self::WaitingForChildren => "WaitingForChildren",
            Self::Recovering => "Recovering",
            Self::Unknown => "Unknown",
        }
    }
}

/// What stands below a hub, and whether it decides about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Fleet {
    /// Hubs below, at any depth.
    pub hubs: u32,
    /// Accepted clusters.
    pub clusters: u32,
    /// Of these: connected to their own hub.
    pub connected: u32,
    /// Of the hub itself.
    pub readiness: Readiness,
}

impl Fleet {
    /// Adds the counts of a hub below.
    pub fn add(&mut self, other: &Fleet) {
        self.hubs = self.hubs.saturating_add(other.hubs);
        self.clusters = self.clusters.saturating_add(other.clusters);
        self.connected = self.connected.saturating_add(other.connected);
    }
}

/// A condition in Kubernetes' form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    /// What is observed, such as `Ready`.
    pub kind: &'static str,
    /// True, False, or none for Unknown.
    pub status: Option<bool>,
    /// One CamelCase word.
    pub reason: &'static str,
    /// For people.
    pub message: String,
    /// Since when it has had this status; 0 when that is not known.
    pub since: Wall,
}
