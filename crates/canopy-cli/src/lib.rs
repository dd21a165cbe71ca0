//! The command line of Canopy, in kubectl's manner: plain columns, warnings beside the answer,
//! errors that say what, where and what to do next.
//!
//! - [`args`]: the commands and the flags that all of them have;
//! - [`context`]: the file that says which hubs the caller may speak to, and as whom;
//! - [`connect`]: from a context to a client;
//! - [`complete`]: what shells offer;
//! - [`terminal`], [`session`]: where a command reads and writes, and whom it asks;
//! - `commands`: one module each;
//! - `demo`: a whole fleet on one machine, and what it survives;
//! - `until`: waiting for objects to be as they should be;
//! - `printer`, `table`, `age`, `show`, `redact`, `tree_view`: how answers are shown.

pub mod args;
pub mod complete;
pub mod connect;
pub mod error;
pub mod session;
pub mod terminal;

mod age;
mod commands;
mod demo;
mod printer;
mod redact;
mod show;
mod table;
mod tree_view;
mod until;

use std::process::ExitCode;

pub use args::{Cli, Global};
pub use canopy_context as context;
pub use terminal::Terminal;

use args::Command;
use connect::Client;
use context::Contexts;
use error::Error;
use session::Session;

/// The exit code of a command whose 1 is an answer, when there is none.
const UNDECIDED: u8 = 2;

/// A connection, and what its user should know about it.
pub struct Reached {
    /// How to speak to the hub.
    pub client: Client,
    /// Such as that the certificate is near its end.
    pub warning: Option<String>,
}

/// Runs one command. `dial` is called if the command needs a hub, and again when the connection broke
/// off in the midst of it; it is told the time, in milliseconds since 1970.
pub async fn run(
    cli: Cli,
    mut terminal: Terminal<'_>,
    dial: impl AsyncFn(&Global, u64) -> Result<Reached, Error>,
) -> ExitCode {
    match dispatch(cli, &mut terminal, dial).await {
        Ok(()) => ExitCode::SUCCESS,
        // As every filter: `canopy get clusters | head` is no failure.
        Err(Error::Write(error)) if error.kind() == std::io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(Error::Differs) => ExitCode::FAILURE,
        Err(error) => {
            terminal.error(&error);
            if matches!(error, Error::Undecided(_)) { ExitCode::from(UNDECIDED) } else { ExitCode::FAILURE }
        }
    }
}

async fn dispatch(
    cli: Cli,
    terminal: &mut Terminal<'_>,
    dial: impl AsyncFn(&Global, u64) -> Result<Reached, Error>,
) -> Result<(), Error> {
    let Cli { global, command } = cli;
    if let Command::Version(version) = &command
        && version.client
    {
        return commands::version::print_client(terminal);
    }
    let command = match command {
        Command::Demo(demo) => return demo.run(terminal).await,
        Command::DemoNode(node) => return node.run(),
        Command::Config(config) => return config.run(&global, terminal),
        Command::Completion(completion) => return completion.run(terminal),
        Command::Apply(apply) if apply.is_client_only() => return apply.check(&global.project, terminal),
        Command::Delete(delete) if delete.is_client_only() => return delete.check(&global.project, terminal),
        Command::Label(label) if label.is_client_only() => return label.check(&global.project, terminal),
        other => other,
    };
    let Reached { client, warning } = dial(&global, terminal.now_ms()).await?;
    if let Some(warning) = warning {
        terminal.beside("warning", &warning);
    }
    let now_ms = terminal.now_ms();
    let again = async || Ok(dial(&global, now_ms).await?.client);
    let mut session = Session { client, project: global.project.clone(), terminal, dial: &again };
    let session = &mut session;
    match command {
        Command::Apply(apply) => apply.run(session).await,
        Command::Diff(diff) => diff.run(session).await,
        Command::Get(get) => get.run(session).await,
        Command::Describe(describe) => describe.run(session).await,
        Command::Delete(delete) => delete.run(session).await,
        Command::Label(label) => label.run(session).await,
        Command::Taint(taint) => taint.run(session).await,
        Command::Cordon(cordon) => cordon.run(session).await,
        Command::Uncordon(uncordon) => uncordon.run(session).await,
        Command::Drain(drain) => drain.run(session).await,
        Command::Wait(wait) => wait.run(session).await,
        Command::Events(events) => events.run(session).await,
        Command::Tree(tree) => tree.run(session).await,
        Command::Status(status) => status.run(session).await,
        Command::Token(token) => token.run(session).await,
        Command::Hub(hub) => hub.run(session).await,
        Command::Orphans(orphans) => orphans.run(session).await,
        Command::Version(version) => version.run(session).await,
        Command::Config(_) | Command::Completion(_) | Command::Demo(_) | Command::DemoNode(_) => {
            unreachable!("they ask no hub, and ran above")
        }
    }
}

/// Connects as the context file and the flags say; it is this moment, in milliseconds since 1970.
pub async fn dial(global: &Global, now_ms: u64) -> Result<Reached, Error> {
    let contexts = Contexts::load(&global.file()?)?;
    let context = contexts.pick(global.context.as_deref())?;
    let warning = connect::check_life(context, now_ms / 1000)?;
    let client = connect::connect(context, global.server.as_deref()).await?;
    Ok(Reached { client, warning })
}
