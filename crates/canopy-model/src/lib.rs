//! The nouns of Canopy: what a fleet consists of, as plain values.
//!
//! Everything here is data with its rules of validity; nothing here decides, waits, reads a clock
//! or knows how it is written to disk or wire. In reading order:
//!
//! - [`name`], [`path`], [`uid`]: what things are called and where they stand in the tree;
//! - [`labels`]: labels and the selectors over them.

pub mod labels;
pub mod name;
pub mod path;
pub mod uid;

pub use labels::{Labels, Requirement, Selector};
pub use name::Name;
pub use path::Path;
pub use uid::Uid;
