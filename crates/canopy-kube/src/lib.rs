//! Apply, prune, watch and health on a Kubernetes cluster.
//!
//! An agent holds one [`Cluster`] and hands it [`Bundle`]s: the manifests of one workload at one
//! revision. Everything that a bundle brought into the cluster is one
//! [ApplySet](https://git.k8s.io/enhancements/keps/sig-cli/3659-kubectl-apply-prune), so that the
//! cluster itself remembers what Canopy put there, even when the agent's disk is lost.
//!
//! In reading order:
//!
//! - [`object`]: what the objects of a bundle are called; [`bundle`]: what an agent applies;
//! - [`cluster`]: the connection and its bounds; `kinds`: discovery, cached;
//! - `applyset`: the record of a set in the cluster; [`apply`] and [`delete`]: how sets change;
//!   `update` and `ignored`: one object, by the strategy its workload chose; `foundation`: namespaces and definitions, which workloads share;
//! - [`health`] and `ownership`: what one live object says about itself, and whether it drifted;
//! - `registry`: the sets that this process applied; `view`: what became of them, concluded; [`watch`]:
//!   how it is told;
//! - `claims`: what the cluster says about itself.
//!
//! Invariants: an object is deleted only if its label names the workload's uid; an object of another
//! workload is never changed; the record of a set is widened before its objects are applied and
//! narrowed only after what left the set is deleted.

pub mod apply;
mod applyset;
pub mod bundle;
mod claims;
pub mod cluster;
pub mod delete;
mod foundation;
pub mod health;
mod ignored;
mod kinds;
pub mod object;
mod ownership;
mod registry;
mod update;
mod view;
pub mod watch;

pub use apply::{ApplyError, Refusal};
pub use applyset::Held;
pub use bundle::Bundle;
pub use cluster::{Cluster, ConnectError, Failed, RequestError};
pub use delete::Progress;
pub use health::Health;
pub use object::ObjectName;
pub use update::Reason;
pub use watch::Observed;
