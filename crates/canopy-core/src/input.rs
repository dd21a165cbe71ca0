//! Everything that can happen to a node.

use canopy_model::{Boot, Claims, Digest, Feedback, Health, Home, Inventory, Machines, ObjectName, Uid};

use crate::command::Command;
use crate::link::{EdgeId, Frame, SessionId};

/// One thing that happened.
#[derive(Debug, Clone, PartialEq)]
pub enum Input {
    /// The process started and its durable state was loaded.
    Started {
        /// Drawn at random for this opening of the store.
        boot: Boot,
    },
    /// A connection to a peer, whose identity the shell has verified, is open.
    Connected {
        /// To whom.
        edge: EdgeId,
        /// Which connection; never used again.
        session: SessionId,
    },
    /// A connection has ended.
    Disconnected {
        /// To whom.
        edge: EdgeId,
        /// Which connection.
        session: SessionId,
    },
    /// A frame arrived.
    Received {
        /// From whom.
        edge: EdgeId,
        /// On which connection.
        session: SessionId,
        /// What it says.
        frame: Frame,
    },
    /// An administrator asks a hub for a write.
    Command(Command),
    /// The cluster answers or changes (agents only).
    Cluster(ClusterEvent),
    /// A blob is here now, or could not be had.
    Fetched {
        /// Which blob.
        digest: Digest,
        /// Why not.
        error: Option<String>,
    },
    /// People at the machine want nothing changed, for this reason; none: go on (agents only).
    Hold(Option<String>),
    /// A wait has ended.
    Wake,
}

/// What an agent hears from its cluster.
#[derive(Debug, Clone, PartialEq)]
pub enum ClusterEvent {
    /// The answer to an apply.
    Applied {
        /// The workload.
        uid: Uid,
        /// The revision that was to be applied.
        revision: Digest,
        /// The attempt that is answered.
        attempt: u64,
        /// Why it failed or was refused.
        error: Option<String>,
    },
    /// The answer to a delete: nothing of the workload is left.
    Deleted {
        /// The workload.
        uid: Uid,
        /// The attempt that is answered.
        attempt: u64,
        /// What hinders the deletion.
        error: Option<String>,
    },
    /// How a workload is doing.
    Observed {
        /// The workload.
        uid: Uid,
        /// Somebody changed what was applied.
        drifted: bool,
        /// How it is doing.
        health: Health,
        /// Why.
        message: String,
        /// What the workload asks to be told.
        feedback: Feedback,
    },
    /// All that the cluster holds.
    Surveyed(Survey),
    /// What the cluster says about itself.
    Claims(Claims),
    /// The cluster's machines.
    Machines {
        /// One by one, as many as are told; none: what was told last stays.
        machines: Option<Machines>,
        /// What they have in all, or why that is not known.
        inventory: Inventory,
    },
}

/// All that a cluster holds.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Survey {
    /// Its work.
    pub found: Vec<Found>,
    /// Work of which it holds something that can't be told, and why.
    pub unreadable: Vec<(Uid, String)>,
}

impl From<Vec<Found>> for Survey {
    fn from(found: Vec<Found>) -> Self {
        Self { found, unreadable: Vec::new() }
    }
}

/// Work that was found in the cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The workload.
    pub uid: Uid,
    /// Its name.
    pub name: ObjectName,
    /// Its home.
    pub home: Home,
    /// For which placements it runs.
    pub placements: Vec<Uid>,
    /// Its revision, if it was applied completely.
    pub revision: Option<Digest>,
}
