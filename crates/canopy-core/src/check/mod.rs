//! The promises to users, judged from what stands on the nodes' disks and in their clusters.
//!
//! [`tree`] judges a whole tree at one moment, whichever of its nodes run; [`commit`] judges what one
//! commit of one node replaced. Each promise is one small function that returns what breaks it. A node
//! that lost its memory, or was restored from an old copy, cannot know better before a neighbour has
//! told it: promises between two nodes are judged while both remember the same history.
//!
//! Promises about what administrators wished or were answered need a witness of their own: see the
//! simulator.
//!
//! - [`view`]: a node as its store has it;
//! - [`decisions`]: what a hub decided, from its own state alone;
//! - [`tables`]: the two ends of an edge;
//! - [`numbers`]: what a child may hold, and what its parent counts;
//! - [`changes`]: what a commit grew, removed or dropped.

pub mod changes;
pub mod decisions;
pub mod numbers;
pub mod tables;
pub mod view;

use std::fmt;

use canopy_model::Path;

pub use changes::commit;
pub use view::{Node, Replaced, Slots, Tree};

/// A broken promise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Which node broke it.
    pub at: Path,
    /// How.
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.at, self.what)
    }
}

/// Every promise that a tree breaks now.
pub fn tree(tree: &Tree<'_>) -> Vec<Violation> {
    let mut broken = decisions::one_home(tree);
    for node in tree.nodes() {
        broken.extend(around(tree, node));
    }
    broken
}

/// The promises that a node breaks, by itself or together with its parent. A commit can break only
/// its own node's and those of the children.
pub fn around(tree: &Tree<'_>, node: &Node<'_>) -> Vec<Violation> {
    let mut broken = decisions::by_itself(node);
    let name = node.path.name();
    let parent = tree.parent(node).filter(|parent| name.is_some_and(|name| parent.record(&name).is_some()));
    if let Some(parent) = parent {
        broken.extend(tables::between(parent, node));
        broken.extend(numbers::between(parent, node));
    }
    broken
}
