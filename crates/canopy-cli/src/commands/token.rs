//! `canopy token`: invitations to join.

use canopy_proto::admin::v1::{CreateTokenRequest, Kind, Role};
use clap::{Args, Subcommand};
use jiff::SignedDuration;

use super::label::pair;
use crate::error::{Asked, Error};
use crate::session::Session;

/// Make tokens with which hubs and agents join
#[derive(Debug, Args)]
pub struct Token {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Create(Create),
}

/// Make a token and print the whole line to run on the new machine
#[derive(Debug, Args)]
struct Create {
    /// Path of the hub to join
    #[arg(long, value_name = "PATH")]
    parent: String,
    /// For the agent of a cluster (this is the default)
    #[arg(long, conflicts_with = "hub")]
    agent: bool,
    /// For a hub
    #[arg(long)]
    hub: bool,
    /// The name that it must take [default: it chooses]
    #[arg(long)]
    name: Option<String>,
    /// A label that it begins with; may be repeated
    #[arg(long = "label", value_name = "KEY=VALUE", value_parser = pair)]
    labels: Vec<(String, String)>,
    /// How long the token may be used
    #[arg(long, value_name = "DURATION", default_value = "1h")]
    ttl: SignedDuration,
}

impl Token {
    pub(crate) async fn run(self, session: &mut Session<'_, '_>) -> Result<(), Error> {
        let Command::Create(create) = self.command;
        create.run(session).await
    }
}

impl Create {
    async fn run(self, session: &mut Session<'_, '_>) -> Result<(), Error> {
        let ttl_seconds = u64::try_from(self.ttl.as_secs()).ok().filter(|seconds| *seconds > 0);
        let request = CreateTokenRequest {
            parent: self.parent,
            role: if self.hub { Role::Hub } else { Role::Agent }.into(),
            name: self.name.clone().unwrap_or_default(),
            labels: self.labels.into_iter().collect(),
            ttl_seconds: ttl_seconds
                .ok_or_else(|| Error::Usage("--ttl must be a second or more".to_owned()))?,
        };
        let answer = session.client.create_token(request).await;
        let answer = answer.map_err(Error::refused(Asked::change("create a token", Kind::Hub)))?.into_inner();
        if !is_pastable(&answer.token) {
            let what =
                "a hub answered with what is no token; nothing of it is shown, as it could be a command";
            return Err(Error::Usage(what.to_owned()));
        }
        let program = if self.hub { "canopy-hub" } else { "canopy-agent" };
        if self.name.is_none() {
            session.terminal.beside("note", "the token fixes no name: add --name NAME to the line");
        }
        session.terminal.line(format_args!("{program} join --token {}", answer.token))
    }
}

/// Whether a text is harmless on a command line: it may come from any hub of the fleet.
fn is_pastable(token: &str) -> bool {
    token.chars().all(|character| character.is_ascii_alphanumeric() || "-_".contains(character))
}
