//! Immutable content, named by its BLAKE3 digest, and its way down the tree.
//!
//! The rule that everything here keeps: **bytes count only while their hash is their name**. It is checked when
//! they arrive, whoever sent them, and again each time they are read from disk.
//!
//! - [`blobs`]: the folder that keeps them;
//! - [`pull`]: getting what is missing from the parent, each blob once however many ask;
//! - [`client`] and [`service`]: both ends of `canopy.content.v1`.
//!
//! What is not here: which blobs are needed, who may have them, and when one may go. Rows of desired
//! state say that; the service asks its [`Access`].

pub mod blobs;
pub mod client;
pub mod pull;
pub mod service;

pub use blobs::{BLOB_BYTES_MAX, Blobs};
pub use client::fetch;
pub use pull::{Fetch, FetchError, Pull};
pub use service::{Access, ContentService, Permit};
