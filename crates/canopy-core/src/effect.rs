//! Everything that a node can ask of its shell.

use canopy_model::{Digest, Home, ObjectName, Revision, Uid};

use crate::command::Outcome;
use crate::link::{EdgeId, Frame, SessionId};

/// One thing to do, after the step's changes are durable.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// Send a frame. The shell may lose it only together with the connection.
    Send {
        /// To whom.
        edge: EdgeId,
        /// On which connection.
        session: SessionId,
        /// What to send.
        frame: Frame,
    },
    /// End a connection; the child dials again.
    Disconnect {
        /// To whom.
        edge: EdgeId,
        /// Which connection.
        session: SessionId,
        /// For the log.
        reason: &'static str,
    },
    /// Answer a command.
    Reply {
        /// The command's id.
        id: Uid,
        /// What came of it.
        outcome: Outcome,
    },
    /// See that this blob is here, and say [`Input::Fetched`](crate::Input::Fetched).
    Fetch(Digest),
    /// Ask the cluster for something (agents only).
    Cluster(ClusterOrder),
    /// The identity of this child is no longer accepted. Asked again at every start.
    Revoke(Uid),
    /// Something an operator should be told.
    Alert(Alert),
}

/// What an agent asks of its cluster.
#[derive(Debug, Clone, PartialEq)]
pub enum ClusterOrder {
    /// Make the cluster hold exactly this for the workload.
    Apply(Apply),
    /// Delete all that belongs to the workload.
    Delete {
        /// The workload.
        uid: Uid,
        /// To be named in the answer.
        attempt: u64,
    },
    /// Tell all that the cluster holds.
    Survey,
}

/// An order to apply one revision of a workload.
#[derive(Debug, Clone, PartialEq)]
pub struct Apply {
    /// The workload.
    pub uid: Uid,
    /// To be named in the answer.
    pub attempt: u64,
    /// The workload's name.
    pub name: ObjectName,
    /// The workload's home.
    pub home: Home,
    /// For which placements.
    pub placements: Vec<Uid>,
    /// The revision; content that is not inline is a blob that was fetched before.
    pub revision: Revision,
}

/// Something an operator should be told.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Alert {
    /// A peer knows a later state of this node's tables than this node itself.
    #[error("this store is an old copy: {peer} has already seen a later state; starting a new incarnation")]
    Restored {
        /// Who proved it.
        peer: EdgeId,
    },
    /// A peer knows a history of this node that this node does not.
    #[error(
        "this store has lost its history: {peer} knows an incarnation that is not here; clusters may be missing until `canopy hub forget-missing`"
    )]
    LostHistory {
        /// Who proved it.
        peer: EdgeId,
    },
}
