//! What a hub records about a child. It has one writer, that hub; what the child says about itself
//! are claims.

use std::collections::BTreeMap;

use crate::{Labels, Uid};

/// What an agent says about its cluster, such as `kubeversion`.
pub type Claims = BTreeMap<String, String>;

/// Whether a child is a hub or an agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// A hub with children of its own.
    Hub,
    /// A light agent on an edge cluster: a leaf.
    Agent,
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
    /// Its deletion was asked for: nothing is selected there, what runs is being removed.
    pub leaving: bool,
}
