//! The protocol between a parent and a child: one table each way over one connection.
//!
//! Both ends greet with [`Hello`], which says up to where the other's table was received. The
//! sender goes on from there, or sends a snapshot when it cannot. One batch is under way at a time;
//! what changes meanwhile is conflated, so a slow or broken line costs freshness and never memory.
//!
//! - [`history`]: incarnations, boots and cursors: how a node notices that it was restored;
//! - [`frame`]: what travels;
//! - [`outbox`], [`inbox`]: a table at its sender and at its receiver;
//! - [`edge`]: both tables of one neighbour, and the session that carries them.

pub mod edge;
pub mod frame;
pub mod history;
pub mod inbox;
pub mod outbox;
#[cfg(test)]
mod tests;

pub use edge::{Edge, EdgeId, Received};
pub use frame::{BATCH_BYTES_MAX, Frame, Hello, Message, Row, SessionId};
pub use history::{History, Resume};
pub use inbox::Inbox;
pub use outbox::Outbox;

/// How often a connected neighbour is told that the line is alive.
pub const HEARTBEAT_EVERY: std::time::Duration = std::time::Duration::from_secs(10);
