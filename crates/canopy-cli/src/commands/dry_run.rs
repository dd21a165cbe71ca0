//! Changes that are only tried.

use clap::{Args, ValueEnum};

/// For commands that change something.
#[derive(Debug, Args)]
pub(crate) struct DryRun {
    /// Change nothing: `server` lets the hub say what would come of it, `client` asks no hub and only
    /// checks what is given
    #[arg(
        long = "dry-run",
        value_name = "WHERE",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "server"
    )]
    at: Option<At>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum At {
    Client,
    Server,
}

impl DryRun {
    /// No hub is to be asked.
    pub(crate) fn is_client(&self) -> bool {
        self.at == Some(At::Client)
    }

    /// The hub is to be asked what would come of it.
    pub(crate) fn is_server(&self) -> bool {
        self.at == Some(At::Server)
    }

    /// What stands behind an outcome that is none.
    pub(crate) fn mark(&self) -> &'static str {
        match self.at {
            None => "",
            Some(At::Client) => " (client dry run)",
            Some(At::Server) => " (server dry run)",
        }
    }
}
