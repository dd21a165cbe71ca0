//! How a program tells what it does.

use std::io::{IsTerminal as _, stderr};

use clap::{Args, ValueEnum};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;

/// What to log, and how.
#[derive(Debug, Clone, Args)]
pub struct Telemetry {
    /// What to log, such as `info` or `info,canopy_link=debug`.
    #[arg(long = "log", env = "CANOPY_LOG", value_name = "FILTER", default_value = "info", global = true)]
    pub filter: String,
    /// How to write the log.
    #[arg(long = "log-format", env = "CANOPY_LOG_FORMAT", value_enum, default_value = "text", global = true)]
    pub format: Format,
}

/// How to write the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// A line for people.
    Text,
    /// A JSON object per line.
    Json,
}

/// The log cannot be set up.
#[derive(Debug, thiserror::Error)]
#[error("--log {filter:?} is no filter such as info or info,canopy_link=debug")]
pub struct Error {
    filter: String,
    #[source]
    source: ParseError,
}

impl Telemetry {
    /// Begins to log to standard error. The text form escapes control characters, so that a peer
    /// cannot write to the terminal.
    ///
    /// # Errors
    /// When the filter cannot be read.
    pub fn start(&self) -> Result<(), Error> {
        let filter = EnvFilter::try_new(&self.filter)
            .map_err(|source| Error { filter: self.filter.clone(), source })?;
        let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(stderr);
        // Colours are for people: a journal or a pod's log would show them as junk.
        let log = log.with_ansi(stderr().is_terminal());
        // Tests and embedding programs may log already; theirs stays.
        let _ = match self.format {
            Format::Text => log.try_init(),
            Format::Json => log.json().try_init(),
        };
        Ok(())
    }
}
