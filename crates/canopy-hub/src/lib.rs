//! The hub program: the shells around the machine of a hub.
//!
//! In reading order:
//!
//! - [`args`]: the commands and their flags;
//! - [`data`]: the data folder, and what becomes of a store that does not open;
//! - [`init`], [`join`]: how a hub comes to be;
//! - [`run`]: how its parts are joined;
//! - [`registry`]: who may join it; [`door`]: who of them still belongs to it, and what they may have;
//! - [`parent`]: the hub above; [`shell`]: the core's effects;
//! - [`admin`]: the API for administrators and for the hub above.

pub mod admin;
pub mod args;
pub mod data;
pub mod door;
pub mod init;
pub mod join;
pub mod parent;
pub mod registry;
pub mod run;
pub mod shell;

use std::io::Write;
use std::process::ExitCode;

use args::{Cli, Command};
use canopy_node::shutdown;

/// Runs one command to its end.
pub fn main(cli: Cli) -> ExitCode {
    match dispatch(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // There is nowhere to tell that standard error is closed.
            let _ = writeln!(std::io::stderr(), "error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn dispatch(cli: Cli) -> anyhow::Result<()> {
    cli.telemetry.start()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let stop = shutdown::on_signal()?;
        match cli.command {
            Command::Init(args) => say(&init::init(&args)?),
            Command::Join(args) => tokio::select! {
                said = join::join(&args) => say(&said?),
                () = stop.cancelled() => Ok(()),
            },
            Command::Admin(args) => say(&init::admin(&args)?),
            Command::Run(args) => run::Server::bind(&args).await?.run(stop).await,
        }
    })
}

/// Writes what the command has to say.
fn say(text: &str) -> anyhow::Result<()> {
    Ok(writeln!(std::io::stdout(), "{text}")?)
}
