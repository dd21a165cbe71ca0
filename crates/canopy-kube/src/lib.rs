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
//! - `applyset` and `inventory`: what the cluster itself remembers of a set;
//! - [`apply`] and [`delete`]: how sets change; `update` and `ignored`: one object, by the strategy
//!   that its workload chose; `foundation`: namespaces and definitions, which workloads share; `rights`: what
//!   an administrator has to grant;
//! - [`health`], `pods`, `feedback` and `ownership`: what one live object says, and whether it drifted;
//! - `applied`: the sets that this process applied; `view`: what became of them, concluded; [`watch`]:
//!   how it is told; `why`: what is below an object that is not well;
//! - `claims`: what the cluster says about itself; [`machines`]: its nodes, and what they have;
//! - `secret`: what an agent keeps of its own.
//!
//! Invariants: an object is deleted only in a state in which its label names the workload's uid and no
//! controller made it; what stands on a deleted namespace or definition goes along, so one that other
//! workloads use stays; an object of another workload is never changed; the inventory of a set is
//! widened before its objects are applied and narrowed only after what left the set is deleted.

mod applied;
pub mod apply;
mod applyset;
pub mod bundle;
mod claims;
pub mod cluster;
pub mod delete;
mod feedback;
mod foundation;
pub mod health;
mod ignored;
mod inventory;
mod kinds;
pub mod machines;
pub mod object;
mod ownership;
mod pods;
mod rights;
mod secret;
mod update;
mod view;
pub mod watch;
mod why;

pub use apply::{ApplyError, Refusal};
pub use bundle::Bundle;
pub use cluster::{Cluster, ConnectError, Failed, RequestError};
pub use delete::Progress;
pub use inventory::{Held, Unreadable};
pub use machines::Counted;
pub use object::ObjectName;
pub use rights::MissingRight;
pub use secret::{NoSecretName, SecretName};
pub use update::Reason;
pub use watch::Observed;
