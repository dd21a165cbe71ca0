//! What an agent asks of a cluster: the one seam behind which a real cluster and the embedded one
//! are the same.
//!
//! Answers are what the machine's [`ClusterEvent`]s need; what hinders is a text for the status of
//! the workload, which an operator reads at the hub.

pub mod embedded;
pub mod real;

use canopy_core::effect::Apply;
use canopy_core::input::{ClusterEvent, Survey};
use canopy_model::{Claims, Uid};
use tokio::sync::mpsc;

pub use embedded::Embedded;
pub use real::Real;

/// A cluster.
pub trait Cluster: Send + Sync + 'static {
    /// Makes the cluster hold exactly `content`, bytes of a [`canopy_proto::revision::Content`], for the workload.
    fn apply(&self, order: &Apply, content: &[u8]) -> impl Future<Output = Result<(), String>> + Send;

    /// Asks for all that belongs to the workload to be deleted, and waits for nothing; returns whether
    /// nothing of it is left, or why something is.
    fn delete(&self, uid: Uid) -> impl Future<Output = Result<(), String>> + Send;

    /// Leaves everything of the workload running, as nobody's.
    fn orphan(&self, uid: Uid) -> impl Future<Output = Result<(), String>> + Send;

    /// All that the cluster holds.
    fn survey(&self) -> impl Future<Output = Result<Survey, String>> + Send;

    /// What the cluster says about itself.
    fn claims(&self) -> impl Future<Output = Result<Claims, String>> + Send;

    /// How workloads are doing, and which machines there are, whenever that changes. Asked for once.
    fn watch(&self) -> mpsc::Receiver<ClusterEvent>;
}
