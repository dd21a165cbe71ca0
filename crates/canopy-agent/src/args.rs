//! The command line of the agent. Every flag can also be set in the environment.

use std::net::SocketAddr;
use std::path::PathBuf;

use canopy_identity::JoinToken;
use canopy_kube::SecretName;
use canopy_model::Name;
use canopy_node::flags::{Upward, secret};
use canopy_node::telemetry::Telemetry;
use clap::{Args, Parser, Subcommand};

/// The agent of one edge cluster: it dials its hub and runs what the hub assigns.
#[derive(Debug, Parser)]
#[command(name = "canopy-agent", version)]
pub struct Cli {
    /// What to log.
    #[command(flatten)]
    pub telemetry: Telemetry,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Where an agent keeps its data unless told otherwise.
const DATA: &str = "/var/lib/canopy-agent";

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Join a hub with a token from `canopy token create`
    Join(Join),
    /// Run the agent
    Run(Run),
    /// Show what the running agent of this machine holds; needs no hub
    Status(Machine),
    /// Have nothing changed on this machine's cluster until it is released
    Hold(Hold),
    /// Let changes go on
    Release(Machine),
    /// Leave the hub for good: forget it, and what it had run here
    Leave(Leave),
}

/// The agent of this machine.
#[derive(Debug, Args)]
pub struct Machine {
    /// The data folder of the running agent
    #[arg(long, env = "CANOPY_DATA", value_name = "DIR", default_value = DATA)]
    pub data: PathBuf,
}

/// Hold changes.
#[derive(Debug, Args)]
pub struct Hold {
    /// The agent
    #[command(flatten)]
    pub machine: Machine,
    /// Why; administrators of the fleet read it
    #[arg(long, env = "CANOPY_REASON", value_name = "TEXT", default_value = "maintenance")]
    pub reason: String,
}

/// Leave the hub.
#[derive(Debug, Args)]
#[group(id = "fate", required = true, multiple = false, args = ["keep", "remove"])]
pub struct Leave {
    /// The agent
    #[command(flatten)]
    pub machine: Machine,
    /// Leave everything running, as nobody's
    #[arg(long, env = "CANOPY_KEEP")]
    pub keep: bool,
    /// Delete everything that the hub had run here
    #[arg(long, env = "CANOPY_REMOVE")]
    pub remove: bool,
}

/// Join a hub.
#[derive(Debug, Args)]
pub struct Join {
    /// The token
    #[arg(
        long,
        env = "CANOPY_TOKEN",
        value_name = "TOKEN",
        hide_env_values = true,
        value_parser = secret::<JoinToken>(),
        required_unless_present = "once"
    )]
    pub token: Option<JoinToken>,
    /// The name of the cluster below the hub, if the token leaves it open
    #[arg(long, env = "CANOPY_NAME", value_name = "NAME")]
    pub name: Option<Name>,
    /// Where the agent keeps its identity and state
    #[arg(long, env = "CANOPY_DATA", value_name = "DIR", default_value = DATA)]
    pub data: PathBuf,
    /// How to reach the hub
    #[command(flatten)]
    pub upward: Upward,
    /// Where the agent has joined before, succeed and change nothing, as an installer wants
    #[arg(long, env = "CANOPY_ONCE")]
    pub once: bool,
    /// Where the identity is kept beside the data folder
    #[command(flatten)]
    pub kept: Kept,
    /// The cluster with that Secret
    #[command(flatten)]
    pub access: Access,
}

/// Where an identity is kept beside the data folder.
#[derive(Debug, Args)]
pub struct Kept {
    /// Keep the identity in this Secret too, and take it from there when the data folder has none
    #[arg(long, env = "CANOPY_IDENTITY_SECRET", value_name = "NAMESPACE/NAME")]
    pub identity_secret: Option<SecretName>,
}

/// Run the agent.
#[derive(Debug, Args)]
pub struct Run {
    /// Where the agent keeps its identity and state
    #[arg(long, env = "CANOPY_DATA", value_name = "DIR", default_value = DATA)]
    pub data: PathBuf,
    /// The cluster to work on
    #[command(flatten)]
    pub cluster: Cluster,
    /// How to reach the hub
    #[command(flatten)]
    pub upward: Upward,
    /// Say this about the cluster, NAME=VALUE; can be repeated, at most 20 times
    #[arg(long = "claim", env = "CANOPY_CLAIM", value_name = "NAME=VALUE", value_delimiter = ',')]
    pub claims: Vec<String>,
    /// Where the identity is kept beside the data folder
    #[command(flatten)]
    pub kept: Kept,
    /// Serve /livez, /readyz and /metrics here
    #[arg(long, env = "CANOPY_HEALTH", value_name = "ADDRESS")]
    pub health: Option<SocketAddr>,
}

/// How to reach a cluster.
#[derive(Debug, Args)]
pub struct Access {
    /// Kubeconfig of the cluster [default: the service account of the pod]
    #[arg(long, env = "CANOPY_KUBECONFIG", value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// Context of the kubeconfig [default: its current one]
    #[arg(long, env = "CANOPY_KUBE_CONTEXT", value_name = "NAME")]
    pub context: Option<String>,
}

/// The cluster to work on.
#[derive(Debug, Args)]
pub struct Cluster {
    /// How to reach it
    #[command(flatten)]
    pub access: Access,
    /// Work on a cluster inside the agent: nothing real runs; for demonstrations and tests
    #[arg(long, env = "CANOPY_EMBEDDED", conflicts_with_all = ["kubeconfig", "context"])]
    pub embedded: bool,
    /// Make the embedded cluster lie: it says that it applied, and does not
    #[arg(long, env = "CANOPY_EMBEDDED_LIES", hide = true, requires = "embedded")]
    pub embedded_lies: bool,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn every_flag_can_be_set_in_the_environment() {
        let mut cli = Cli::command();
        cli.build();
        for command in cli.get_subcommands() {
            for flag in command.get_arguments().filter(|flag| flag.get_id() != "help") {
                assert!(flag.get_env().is_some(), "{} --{}", command.get_name(), flag.get_id());
            }
        }
    }
}
