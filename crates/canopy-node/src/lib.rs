//! The driver that hub and agent share.
//!
//! A program consists of a pure machine and of shells around it: connections, a cluster, an admin
//! API. This crate joins them. In reading order:
//!
//! - [`driver`]: the task that owns the machine, commits its changes and only then performs its
//!   effects; the only `select!` of a program;
//! - [`handle`]: how shells talk to that task;
//! - [`ledger`], [`clock`]: what the driver needs of the disk and of the time; [`data`]: the folder, and
//!   what takes the place of a store that is lost;
//! - [`flags`]: what both programs are told alike;
//! - [`shutdown`], [`telemetry`], [`health`]: how a program ends and how it tells what it does.

pub mod clock;
pub mod data;
pub mod driver;
pub mod flags;
pub mod handle;
pub mod health;
pub mod ledger;
mod sessions;
pub mod shutdown;
pub mod telemetry;

pub use driver::{Driver, Shell};
pub use handle::Handle;
pub use ledger::Ledger;
