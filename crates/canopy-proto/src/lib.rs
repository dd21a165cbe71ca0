//! Generated protobuf and the conversions to and from the model.
//!
//! The packages below `proto/canopy` are modules here: [`admin::v1`] and its siblings. Around them,
//! in reading order:
//!
//! - [`document`]: the YAML and JSON that users write and read, as admin objects;
//! - [`selector`]: label selectors as text;
//! - [`revision`]: what a workload's revision consists of;
//! - [`convert`]: admin objects as values of the model, checked on the way in;
//! - [`wire`]: frames and rows of the link as values of the core;
//! - [`store_codec`]: durable values as a store keeps them.

pub mod convert;
pub mod document;
pub mod revision;
pub mod selector;
pub mod store_codec;
pub mod wire;

#[cfg(test)]
mod arbitrary;

#[allow(missing_docs, unreachable_pub, clippy::all)]
mod generated {
    include!(concat!(env!("OUT_DIR"), "/packages.rs"));
}

pub use generated::canopy::*;

/// The encoded descriptors of all packages, for gRPC reflection.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
