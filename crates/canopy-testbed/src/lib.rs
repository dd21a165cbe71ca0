//! Fleets on one machine, for the demonstration and for tests.
//!
//! - [`Nodes`]: processes that are killed and started again; [`Wan`]: a line that can fall silent;
//! - [`ControlPlane`]: a real Kubernetes control plane: etcd, kube-apiserver and
//!   kube-controller-manager.
//!
//! [`ControlPlane::start`] runs them on loopback, on free ports, with everything in a temporary
//! folder; dropping it ends them. The programs come from the folders that `CANOPY_TOOLS` or
//! `KUBEBUILDER_ASSETS` names; [`tools`] says what to do when there is none. There are no nodes:
//! Deployments get ReplicaSets and Pods, and the Pods stay Pending.

mod nodes;
mod plane;
mod process;
mod tools;
mod wan;

pub use nodes::{Nodes, free_address};
pub use plane::ControlPlane;
pub use tools::{Tools, tools};
pub use wan::Wan;
