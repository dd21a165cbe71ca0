//! Real Kubernetes control planes for tests: etcd, kube-apiserver and kube-controller-manager.
//!
//! [`ControlPlane::start`] runs them on loopback, on free ports, with everything in a temporary
//! folder; dropping it ends them. The programs come from the folder that `CANOPY_TOOLS` or
//! `KUBEBUILDER_ASSETS` names; [`tools`] says what to do when there is none. There are no nodes:
//! Deployments get ReplicaSets and Pods, and the Pods stay Pending.

mod plane;
mod process;
mod tools;

pub use plane::ControlPlane;
pub use tools::{Tools, tools};
