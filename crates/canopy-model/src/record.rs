//! What a hub records about a child. It has one writer, that hub; what the child says about itself
//! are claims.

use crate::{Kind, Labels, ResourceVersion, Taint, Uid, Wall};

/// Whether a child is a hub or an agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// A hub with children of its own.
    Hub,
    /// A light agent on an edge cluster: a leaf.
    Agent,
}

impl Role {
    /// The kind under which users know a child with this role.
    pub fn kind(self) -> Kind {
        match self {
            Self::Hub => Kind::Hub,
            Self::Agent => Kind::Cluster,
        }
    }
}

/// What a hub records about one child.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// The child's permanent identity, also in its certificate.
    pub uid: Uid,
    /// Hub or agent.
    pub role: Role,
    /// By these placements select.
    pub labels: Labels,
    /// What keeps work away from a cluster, in the order of keys and effects.
    pub taints: Vec<Taint>,
    /// Its deletion was asked for: nothing is selected there, what runs is being removed.
    pub leaving: bool,
    /// The last change of any part, by the hub that records it.
    pub version: ResourceVersion,
    /// Who admitted it.
    pub created_by: String,
    /// When it was admitted.
    pub created: Wall,
}

impl Record {
    /// The record of a child that nobody has admitted yet.
    pub fn new(uid: Uid, role: Role, labels: Labels) -> Self {
        Self {
            uid,
            role,
            labels,
            taints: Vec::new(),
            leaving: false,
            version: ResourceVersion::default(),
            created_by: String::new(),
            created: Wall::default(),
        }
    }
}
