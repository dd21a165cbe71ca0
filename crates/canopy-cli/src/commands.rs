//! One module for each command: its flags, what it asks, how it shows the answer.

pub(crate) mod apply;
pub(crate) mod completion;
pub(crate) mod config;
pub(crate) mod delete;
pub(crate) mod describe;
pub(crate) mod diff;
pub(crate) mod events;
pub(crate) mod get;
pub(crate) mod hub;
pub(crate) mod label;
pub(crate) mod orphans;
pub(crate) mod status;
pub(crate) mod taint;
pub(crate) mod token;
pub(crate) mod tree;
pub(crate) mod version;
pub(crate) mod wait;

mod dry_run;
mod files;
mod watch;
