//! The commands and their flags. Every flag can be given as an environment variable.

use std::net::SocketAddr;
use std::path::PathBuf;

use canopy_identity::{JoinToken, TrustDomain};
use canopy_model::Name;
use canopy_node::flags::{Upward, secret};
use canopy_node::telemetry::Telemetry;
use clap::{Args, Parser, Subcommand};

/// A hub of Canopy: stands over hubs and clusters.
#[derive(Debug, Parser)]
#[command(name = "canopy-hub", version, propagate_version = true)]
pub struct Cli {
    /// What to log.
    #[command(flatten)]
    pub telemetry: Telemetry,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Makes the root of a new fleet: its authority, its store and its first administrator.
    Init(InitArgs),
    /// Joins the hub that a token names, as a regional hub below it.
    Join(JoinArgs),
    /// Writes a context for an administrator of this hub, for the program `canopy`.
    Admin(AdminArgs),
    /// Runs the hub.
    Run(RunArgs),
}

/// Where a hub keeps what it knows.
#[derive(Debug, Clone, Args)]
pub struct Data {
    /// The folder of the hub's identity, store and content.
    #[arg(long = "data", env = "CANOPY_DATA", value_name = "DIR", default_value = "/var/lib/canopy-hub")]
    pub folder: PathBuf,
}

/// Where a hub can be reached.
#[derive(Debug, Clone, Args)]
pub struct Addresses {
    /// Where to listen for hubs and clusters below.
    #[arg(long, env = "CANOPY_LISTEN", value_name = "ADDR", default_value = "0.0.0.0:7443")]
    pub listen: SocketAddr,
    /// How hubs and clusters below reach this hub; can be repeated.
    #[arg(long, env = "CANOPY_ADVERTISE", value_name = "HOST:PORT", value_delimiter = ',')]
    pub advertise: Vec<String>,
    /// Where to listen for administrators.
    #[arg(long = "admin", env = "CANOPY_ADMIN", value_name = "ADDR", default_value = "127.0.0.1:7444")]
    pub admin: SocketAddr,
}

/// An administrator's context.
#[derive(Debug, Clone, Args)]
pub struct ContextArgs {
    /// The administrator's name, which every change carries.
    #[arg(long = "admin-name", env = "CANOPY_ADMIN_NAME", value_name = "NAME", default_value = "admin")]
    pub name: Name,
    /// How the administrator reaches the hub; where it listens for administrators when left out.
    #[arg(long = "admin-server", env = "CANOPY_ADMIN_SERVER", value_name = "HOST:PORT")]
    pub server: Option<String>,
    /// The context file to add to, or `-` to print one with this context alone; the file that `canopy`
    /// reads when left out.
    #[arg(long = "context-file", env = "CANOPY_CONFIG", value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// The context's name; the hub's path when left out, of the root `root`.
    #[arg(long = "context-name", env = "CANOPY_CONTEXT_NAME", value_name = "NAME")]
    pub context_name: Option<String>,
    /// Make it the current context, which the first one is anyway.
    #[arg(long = "use", env = "CANOPY_CONTEXT_USE")]
    pub use_it: bool,
}

/// Flags of `init`.
#[derive(Debug, Clone, Args)]
pub struct InitArgs {
    /// Where to keep it.
    #[command(flatten)]
    pub data: Data,
    /// The name of the fleet in all its certificates, such as `fleet.example.com`.
    #[arg(long, env = "CANOPY_TRUST_DOMAIN", value_name = "DOMAIN", default_value = "canopy.local")]
    pub trust_domain: TrustDomain,
    /// Where it will be reached.
    #[command(flatten)]
    pub addresses: Addresses,
    /// The first administrator.
    #[command(flatten)]
    pub context: ContextArgs,
    /// Make an empty store under the identity that is there: objects are adopted from the children.
    #[arg(long, env = "CANOPY_ADOPT")]
    pub adopt: bool,
    /// Make no administrator's context: `canopy-hub admin` does.
    #[arg(long, env = "CANOPY_NO_CONTEXT")]
    pub no_context: bool,
    /// Where a hub was made before, succeed and change nothing, as an installer wants.
    #[arg(long, env = "CANOPY_ONCE", conflicts_with = "adopt")]
    pub once: bool,
}

/// Flags of `join`.
#[derive(Debug, Clone, Args)]
pub struct JoinArgs {
    /// Where to keep what is joined.
    #[command(flatten)]
    pub data: Data,
    /// The token that `canopy token create` printed.
    #[arg(
        long,
        env = "CANOPY_TOKEN",
        value_name = "TOKEN",
        hide_env_values = true,
        value_parser = secret::<JoinToken>(),
        required_unless_present = "once"
    )]
    pub token: Option<JoinToken>,
    /// The name below the parent, if the token leaves it open.
    #[arg(long, env = "CANOPY_NAME", value_name = "NAME")]
    pub name: Option<Name>,
    /// How to reach the hub above.
    #[command(flatten)]
    pub upward: Upward,
    /// Where a hub has joined before, succeed and change nothing, as an installer wants.
    #[arg(long, env = "CANOPY_ONCE")]
    pub once: bool,
}

/// Flags of `admin`.
#[derive(Debug, Clone, Args)]
pub struct AdminArgs {
    /// Where the hub's identity is.
    #[command(flatten)]
    pub data: Data,
    /// Where the hub is reached.
    #[command(flatten)]
    pub addresses: Addresses,
    /// The administrator.
    #[command(flatten)]
    pub context: ContextArgs,
}

/// Flags of `run`.
#[derive(Debug, Clone, Args)]
pub struct RunArgs {
    /// Where the hub's data is.
    #[command(flatten)]
    pub data: Data,
    /// Where it is reached.
    #[command(flatten)]
    pub addresses: Addresses,
    /// How to reach the hub above.
    #[command(flatten)]
    pub upward: Upward,
    /// Where to serve probes and metrics, as plain HTTP.
    #[arg(long = "health", env = "CANOPY_HEALTH", value_name = "ADDR", default_value = "127.0.0.1:7445")]
    pub health: SocketAddr,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_that_cannot_be_read_is_not_repeated() {
        let error = Cli::try_parse_from(["canopy-hub", "join", "--token", "canopy-secret"]).unwrap_err();
        let error = error.to_string();
        assert!(error.contains("--token is not valid") && !error.contains("canopy-secret"), "{error}");
    }
}
