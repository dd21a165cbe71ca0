//! Durable state: load everything at the start, then commit batch after batch.
//!
//! This is the only crate that sees a storage engine, and it sees nothing else: keys and values
//! are bytes. One promise carries the rest of Canopy: **when [`Store::commit`] returns, the whole
//! batch survives a power cut; when it does not return, all of the batch is there afterwards or
//! nothing of it.** One commit costs one sync of the disk, whatever its size, so callers put
//! what waits into one batch.
//!
//! The engine is sled. It keeps the promise only under these rules, which this crate keeps for it:
//!
//! - sled's `flush` waits for the operating system to write (`sync_file_range`) but not for the
//!   disk, and never syncs its file `conf`. So a new store syncs every file and folder
//!   before it gets its name ([`Store::create`]), and each commit syncs the log through a file
//!   handle of our own.
//! - What is larger than a quarter of a segment goes into files of their own that are never synced. A
//!   leaf of the tree, which holds up to twenty entries, is written as one piece. So segments are
//!   larger than sled's default, values end at [`VALUE_BYTES_MAX`], and each commit checks
//!   that no such file exists.
//! - sled makes an empty store where it finds none. An empty store looks like an order to forget everything, so
//!   [`Store::open`] never creates: a folder without a store, or one whose log is gone, is an error.
//! - After an abrupt stop or on a bad disk sled may panic instead of returning an error. Every call is
//!   guarded: a panic becomes [`OpenError::Damaged`] or [`LoadError::Damaged`].
//! - sled's own checksums cover the log, not the way from the log to the caller: every record has
//!   its own, over key and value, and a version (module `record`).
//!
//! A commit that failed has an unknown result, and a later sync that succeeds proves nothing about it. So the
//! first failure is final: every later commit is refused, and the process starts again from what
//! the disk holds.

mod batch;
mod engine;
mod folder;
mod record;
mod store;

pub use batch::{Batch, KEY_BYTES_MAX, VALUE_BYTES_MAX};
pub use folder::{CreateError, Damage, OpenError};
pub use store::{CommitError, LoadError, Store};
