//! Fleets on one machine, and real Kubernetes clusters, for the demonstration and for tests.
//!
//! - [`Nodes`]: processes that are killed and started again; [`Wan`]: a line that can fall silent;
//! - [`Fleet`]: a root, a region and agents, the real programs;
//! - [`ControlPlane`]: a real Kubernetes control plane: etcd, kube-apiserver and
//!   kube-controller-manager. It needs no rights: [`ControlPlane::start`] runs it on loopback;
//! - [`Bed`]: a network of its own with [`Site`]s, whose lines can be cut one way or both. The test's
//!   thread is on it too. It needs root on Linux;
//! - [`Cluster`]: a control plane at a site, with fake machines or a real node, whose pods are made of
//!   [`Images`];
//! - [`Load`]: requests at a steady rate, and what became of them.
//!
//! Everything ends when it is dropped, and when the test is killed. The programs come from the folders
//! that `CANOPY_TOOLS` or `KUBEBUILDER_ASSETS` names and, for real nodes, from the operating system.
//! [`tools`] and [`bed`] say what to do where there are none.
//!
//! ```no_run
//! # async fn test() -> anyhow::Result<()> {
//! use canopy_testbed::{Cluster, Cut, Machines, bed, tools};
//!
//! let (Some(tools), Some(mut bed)) = (tools(), bed()?) else { return Ok(()) };
//! let press = bed.site("press")?;
//! let cluster = Cluster::start(&tools, &press, Machines::Fake).await?;
//! let client = cluster.plane.client().await?;
//! press.cut(Cut::Up)?;
//! # Ok(())
//! # }
//! ```

mod bed;
mod cgroups;
mod cluster;
mod fleet;
mod images;
mod load;
mod nodes;
mod place;
mod plane;
mod process;
mod space;
mod tools;
mod wan;

pub use bed::{Bed, Cut, Site, bed, beds};
pub use cluster::{Cluster, Machines};
pub use fleet::{Fleet, STATE_MAX, until};
pub use images::{Images, POD_IMAGE};
pub use load::{Load, Outcome};
pub use nodes::{Nodes, free_address};
pub use place::Place;
pub use plane::ControlPlane;
pub use tools::{Tools, tools};
pub use wan::Wan;
