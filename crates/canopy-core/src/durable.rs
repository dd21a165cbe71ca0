//! What a node keeps on disk: slots, each holding one value.
//!
//! The shell writes [`Change`]s and hands all slots back when the node starts; it need not know
//! what they mean.

use std::collections::BTreeMap;
use std::sync::Arc;

use canopy_model::event::{Event, Forgotten};
use canopy_model::{
    Cursor, Digest, Home, Incarnation, Inventory, Machine, Name, Object, Record, Report, Role, Uid, Uptime,
    Wall,
};

use crate::command::Outcome;
use crate::link::{EdgeId, History};
use crate::row::{Key, Payload};

/// One change to what is durable.
#[derive(Debug, Clone, PartialEq)]
#[allow(clippy::large_enum_variant, reason = "nearly all changes are puts")]
pub enum Change {
    /// The slot now holds this value.
    Put(Slot, Value),
    /// The slot is empty.
    Delete(Slot),
}

/// Names one durable value.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Slot {
    /// This node's own history.
    History,
    /// An object that is at home here.
    Object(Uid),
    /// What this hub records about a child.
    Child(Name),
    /// Up to where a table was received.
    Position(EdgeId),
    /// A received row. Two generations of a table exist while a snapshot is coming in.
    Received(EdgeId, Generation, Key),
    /// When a row of a table to send changed last.
    Sent(EdgeId, Key),
    /// Below which version a table to send no longer knows what was removed.
    Floor(EdgeId),
    /// What an agent was told to do about a workload.
    Assigned(Name, Uid),
    /// What a child may select of a placement.
    Share(Uid, Name),
    /// The answer to a command, kept so that its repetition gets the same.
    Answer(Uid),
    /// An orphan that an administrator dropped.
    Dropped(Uid),
    /// The identity of a child that was let go.
    Released(Uid),
    /// Since when the conditions of an object that is at home here have had their status.
    Since(Uid),
    /// Something that happened here, by the order in which it did.
    Event(u64),
    /// How much of what happened here was dropped.
    Forgotten,
    /// Work that an agent has in its cluster.
    Held(Uid),
    /// A machine of the agent's cluster, as it was told last.
    Machine(Uid),
    /// What the agent's cluster has in all, as it was told last.
    Inventory,
    /// The incarnation in which the agent has looked at what its cluster holds.
    Surveyed,
    /// Why people at an agent's machine want nothing changed.
    Hold,
}

impl Slot {
    /// Whether the machine of this role has such a slot. Another one it would leave out.
    pub fn is_of(&self, role: Role) -> bool {
        match self {
            Self::History => true,
            Self::Position(edge) | Self::Received(edge, ..) | Self::Sent(edge, _) | Self::Floor(edge) => {
                role == Role::Hub || *edge == EdgeId::Parent
            }
            Self::Object(_)
            | Self::Since(_)
            | Self::Event(_)
            | Self::Forgotten
            | Self::Child(_)
            | Self::Assigned(..)
            | Self::Share(..)
            | Self::Answer(_)
            | Self::Dropped(_)
            | Self::Released(_) => role == Role::Hub,
            Self::Held(_) | Self::Machine(_) | Self::Inventory | Self::Surveyed | Self::Hold => {
                role == Role::Agent
            }
        }
    }
}

/// The generation of a received table.
pub type Generation = bool;

/// What a slot holds.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs, reason = "each variant is the value of the slot of the same name")]
pub enum Value {
    History(History),
    Object(Arc<Object>),
    Child(Record),
    Position(Position),
    Received(ReceivedRow),
    Sent(SentRow),
    Floor(u64),
    Assigned(Assigned),
    Share(Share),
    Answer(Answer),
    Dropped,
    Released,
    Since(Since),
    Event(Event),
    Forgotten(Forgotten),
    Held(Held),
    Machine(Machine),
    Inventory(Inventory),
    Surveyed(Incarnation),
    Hold(String),
}

/// Up to where a table was received, and which generation of its rows is current.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// Up to where it is complete, in the sender's history.
    pub cursor: Cursor,
    /// The sender's last version when it told what led there: what changed again until then is left
    /// out or shown as it was then. Of the same boot.
    pub seen: u64,
    /// This node's incarnation at that time.
    pub into: Incarnation,
    /// The current generation.
    pub generation: Generation,
}

/// A received row.
#[derive(Debug, Clone, PartialEq)]
pub struct ReceivedRow {
    /// Its version in the sender's table.
    pub version: u64,
    /// The sender's incarnation from which it was learned.
    pub learned: Incarnation,
    /// It was missing from the snapshot of another incarnation: kept and shown.
    pub orphaned: bool,
    /// Its value.
    pub payload: Payload,
}

/// When a row to send changed last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SentRow {
    /// The commit of its last change.
    pub version: u64,
    /// False: it was removed, and the receiver may not know yet.
    pub live: bool,
}

/// What an agent was told to do about a workload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assigned {
    /// Run it, or remove it.
    pub run: bool,
    /// For which placements.
    pub placements: Vec<Uid>,
    /// In which form; none if that is not known, because this hub learned it from the agent.
    pub form: Option<Form>,
}

/// The form of a workload that an agent was told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Form {
    /// Its home, and since when it is at home there.
    pub home: Home,
    /// Its content.
    pub revision: Digest,
}

/// What a child may select of a placement with a number. For an agent both are 0 or 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Share {
    /// What it was granted last.
    pub grant: u32,
    /// What it may hold, by every grant that it may still follow.
    pub ceiling: u32,
}

/// The answer to a command.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// What came of it.
    pub outcome: Outcome,
    /// When it was given.
    pub at: Uptime,
}

/// The last change of each condition's status, by the condition's kind.
pub type Since = BTreeMap<String, Turn>;

/// When a condition got the status that it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Turn {
    /// True, False, or none for Unknown.
    pub status: Option<bool>,
    /// As the hub's clock told.
    pub at: Wall,
}

/// Work that an agent has, or may have, in its cluster.
#[derive(Debug, Clone, PartialEq)]
pub struct Held {
    /// What was reported last.
    pub report: Report,
    /// The parent withdrew the assignment: it is to be removed.
    pub withdrawn: bool,
}
