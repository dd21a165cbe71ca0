//! What happened, told where it happened.

use crate::{Kind, Name, Path, Uid, Wall};

/// The longest message of an event, in bytes.
pub const MESSAGE_BYTES_MAX: usize = 512;

/// Something that happened once, or several times in the same way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// What it happened to.
    pub about: Subject,
    /// What else it concerns, such as the cluster on which a workload was started.
    pub related: Option<Subject>,
    /// Somebody may want to look.
    pub warning: bool,
    /// What happened.
    pub reason: Reason,
    /// More about it, in a sentence of at most [`MESSAGE_BYTES_MAX`].
    pub message: String,
    /// How often it happened.
    pub count: u64,
    /// When it happened first.
    pub first: Wall,
    /// When it happened last.
    pub last: Wall,
}

/// What an event is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject {
    /// Its kind.
    pub kind: Kind,
    /// Its uid; 0 is the hub that tells the event.
    pub uid: Uid,
    /// Its project; hubs and clusters have none.
    pub project: Option<Name>,
    /// Its name; of a hub or cluster its path.
    pub name: String,
    /// Its home; of a hub or cluster the hub that records it.
    pub home: Path,
}

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs, reason = "the words are told with what causes them")]
pub enum Reason {
    Created,
    Adopted,
    Changed,
    DeletionRequested,
    Deleted,
    ConditionChanged,
    Selected,
    Removing,
    Gone,
    Degraded,
    Refused,
    Recovered,
    Joined,
    Left,
    Connected,
    Disconnected,
    Orphaned,
    OrphanResolved,
    OrphanDropped,
    Started,
    ReadinessChanged,
    IncarnationRenewed,
    HistoryLost,
    MissingForgotten,
}

impl Reason {
    /// All of them.
    pub const ALL: [Self; 24] = [
        Self::Created,
        Self::Adopted,
        Self::Changed,
        Self::DeletionRequested,
        Self::Deleted,
        Self::ConditionChanged,
        Self::Selected,
        Self::Removing,
        Self::Gone,
        Self::Degraded,
        Self::Refused,
        Self::Recovered,
        Self::Joined,
        Self::Left,
        Self::Connected,
        Self::Disconnected,
        Self::Orphaned,
        Self::OrphanResolved,
        Self::OrphanDropped,
        Self::Started,
        Self::ReadinessChanged,
        Self::IncarnationRenewed,
        Self::HistoryLost,
        Self::MissingForgotten,
    ];

    /// One CamelCase word.
    pub fn name(self) -> &'static str {
        match self {
            Self::Created => "Created",
            Self::Adopted => "Adopted",
            Self::Changed => "Changed",
            Self::DeletionRequested => "DeletionRequested",
            Self::Deleted => "Deleted",
            Self::ConditionChanged => "ConditionChanged",
            Self::Selected => "Selected",
            Self::Removing => "Removing",
            Self::Gone => "Gone",
            Self::Degraded => "Degraded",
            Self::Refused => "Refused",
            Self::Recovered => "Recovered",
            Self::Joined => "Joined",
            Self::Left => "Left",
            Self::Connected => "Connected",
            Self::Disconnected => "Disconnected",
            Self::Orphaned => "Orphaned",
            Self::OrphanResolved => "OrphanResolved",
            Self::OrphanDropped => "OrphanDropped",
            Self::Started => "Started",
            Self::ReadinessChanged => "ReadinessChanged",
            Self::IncarnationRenewed => "IncarnationRenewed",
            Self::HistoryLost => "HistoryLost",
            Self::MissingForgotten => "MissingForgotten",
        }
    }

    /// The reason of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.name() == name)
    }

    /// Whether somebody may want to look, whatever the message says.
    pub fn is_warning(self) -> bool {
        matches!(
            self,
            Self::Degraded
                | Self::Refused
                | Self::Disconnected
                | Self::Orphaned
                | Self::IncarnationRenewed
                | Self::HistoryLost
        )
    }
}

/// Events that were dropped because there were too many.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Forgotten {
    /// How many, each counted as often as it happened.
    pub count: u64,
    /// When the newest of them happened.
    pub until: Wall,
}

impl Event {
    /// About how many bytes it takes: what it is made of, and its texts.
    pub fn bytes(&self) -> usize {
        const FIXED: usize = 64;
        let subject = |subject: &Subject| {
            let project = subject.project.as_ref().map_or(0, |project| project.as_str().len());
            FIXED + project + subject.name.len() + subject.home.to_string().len()
        };
        FIXED + subject(&self.about) + self.related.as_ref().map_or(0, subject) + self.message.len()
    }
}
