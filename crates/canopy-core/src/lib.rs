//! Pure decisions and the node state machine.
//!
//! A hub and an agent are [`Machine`]s: they turn one [`Input`] into one [`Step`] of durable changes
//! and effects, and never touch a clock, a disk, a socket or a source of randomness. In reading
//! order:
//!
//! - [`seam`], [`input`], [`effect`], [`durable`]: how a machine meets its shell;
//! - [`row`], [`link`]: the tables between a parent and a child, and the protocol that keeps them;
//! - [`command`]: what administrators ask of a hub;
//! - [`hub`]: the machine of every tier; [`agent`]: the machine of a leaf;
//! - [`cluster`]: the embedded cluster, for demonstrations and simulations;
//! - [`check`]: the promises, judged from the states of a whole tree.

#![deny(clippy::wildcard_enum_match_arm, reason = "a new variant is decided about everywhere")]

pub mod agent;
pub mod check;
pub mod cluster;
pub mod command;
pub mod durable;
pub mod effect;
pub mod hub;
pub mod input;
pub mod link;
pub mod row;
pub mod seam;

pub use agent::Agent;
pub use effect::Effect;
pub use hub::Hub;
pub use input::Input;
pub use seam::{Machine, Step};
