//! The nouns of Canopy: what a fleet consists of, as plain values.
//!
//! Everything here is data with its rules of validity; nothing here decides, waits, reads a clock
//! or knows how it is written to disk or wire. In reading order:
//!
//! - [`name`], [`path`], [`uid`], [`digest`], [`time`]: what things are called, where they stand in
//!   the tree, and when;
//! - [`labels`]: labels and the selectors over them; [`taint`]: what keeps work away from a cluster;
//! - [`object`]: what users write, with its metadata and home; its two specifications are
//!   [`placement`] and [`workload`];
//! - [`record`]: what a hub records about a child; [`claims`]: what an agent says of its cluster;
//! - [`machine`]: the machines of a cluster, and [`quantity`]: how much of something they have;
//! - [`status`]: what is observed, and the counts into which it is folded.

pub mod claims;
pub mod digest;
pub mod event;
pub mod labels;
pub mod machine;
pub mod name;
pub mod object;
pub mod path;
pub mod placement;
pub mod quantity;
pub mod record;
pub mod status;
pub mod taint;
pub mod time;
pub mod uid;
pub mod workload;

pub use claims::Claims;
pub use digest::Digest;
pub use event::Event;
pub use labels::{Labels, Requirement, Selector};
pub use machine::{Inventory, Machine, Machines, Resources};
pub use name::Name;
pub use object::{
    Boot, Cursor, Home, Incarnation, Kind, Metadata, Object, ObjectName, ResourceVersion, Spec,
};
pub use path::Path;
pub use placement::Placement;
pub use record::{Record, Role};
pub use status::{
    Condition, Counts, FEEDBACK_BYTES_MAX, FEEDBACK_MAX, Feedback, FeedbackValue, FieldValue, Fleet, Health,
    MESSAGE_BYTES_MAX, Readiness, Report, Stamp, Summary, Sync, Work,
};
pub use taint::{Fit, Taint, Toleration};
pub use time::{Now, Uptime, Wall};
pub use uid::Uid;
pub use workload::{Revision, Workload};
