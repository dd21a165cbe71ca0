//! `canopy demo`: a whole fleet on one machine, and what it survives.
//!
//! A root, two regional hubs and six agents with embedded clusters, each a process of its own with
//! real sockets, mutual TLS and a store on disk. They are killed and cut off from each other, and
//! what came of it is read from the clusters' own files.
//!
//! - `fleet`: the processes and the lines between them;
//! - `desk`: what is asked of hubs; `clusters`: what really runs;
//! - `check`: what is expected; `story`: what happens.

mod check;
mod clusters;
mod desk;
mod fleet;
mod story;

use std::ffi::OsString;
use std::io::Read as _;
use std::pin::pin;
use std::process::ExitCode;
use std::time::Instant;

use clap::{Args, Parser as _, ValueEnum};

use check::Checks;
use clusters::Clusters;
use fleet::Fleet;
use story::Story;

use crate::error::Error;
use crate::terminal::Terminal;

/// The flag with which a node ends when its standard input does.
const ATTACHED: &str = "--attached";
/// Whose embedded cluster lies under `--sabotage`.
const LIAR: &str = "us/line-4";

/// Show a fleet of nine processes on this machine, and what it survives
#[derive(Debug, Args)]
pub struct Demo {
    /// Leave the fleet running and print commands to try, until Ctrl-C
    #[arg(long)]
    stay: bool,
    /// Make one cluster lie about what it applied: the checks must notice
    #[arg(long, hide = true)]
    sabotage: bool,
}

impl Demo {
    pub(crate) async fn run(self, terminal: &mut Terminal<'_>) -> Result<(), Error> {
        let mut interrupted = pin!(interrupted()?);
        let folder = tempfile::Builder::new().prefix("canopy-demo-").tempdir();
        let folder = folder.map_err(failed("make a folder"))?;
        let (fleet, verdict) = tokio::select! {
            told = self.tell(folder.path(), terminal) => told?,
            () = &mut interrupted => {
                return Err(Error::Usage("the demonstration was interrupted; nothing was left behind".to_owned()));
            }
        };
        if self.stay {
            terminal.line("\nThe fleet stays until Ctrl-C. Try, in another terminal:")?;
            terminal.line(format_args!("  export CANOPY_CONFIG={}", fleet.contexts().display()))?;
            let program = std::env::current_exe().unwrap_or_else(|_| "canopy".into());
            for line in ["tree", "status", "get clusters", "--context eu get workloads"] {
                terminal.line(format_args!("  {} {line}", program.display()))?;
            }
            interrupted.await;
        }
        drop(fleet);
        verdict
    }

    /// Tells the whole story and its end; gives the fleet, and whether all went as it should.
    async fn tell(
        &self,
        folder: &std::path::Path,
        terminal: &mut Terminal<'_>,
    ) -> Result<(Fleet, Result<(), Error>), Error> {
        let began = Instant::now();
        terminal.line(
            "Canopy's demonstration: everything is real but the clusters, which are embedded. A check marked \
             [cluster]\nis read from a cluster's own file, one marked [hub] from what hubs and programs say.",
        )?;
        let fleet = Fleet::start(folder, self.sabotage.then_some(LIAR)).await?;
        let clusters = Clusters::new(folder);
        let mut story = Story { fleet, clusters, checks: Checks::new(terminal) };
        story.tell().await?;
        let Story { mut checks, fleet, .. } = story;
        checks.tell_end(began.elapsed())?;
        Ok((fleet, checks.verdict()))
    }
}

/// A node of the demonstration
#[derive(Debug, Args)]
pub struct DemoNode {
    /// End when the standard input does
    #[arg(long)]
    attached: bool,
    /// Hub or agent
    role: Role,
    /// What the program `canopy-hub` or `canopy-agent` takes
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<OsString>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Role {
    Hub,
    Agent,
}

impl DemoNode {
    /// Runs the node on a thread of its own, since it brings its own runtime, and ends with it.
    pub(crate) fn run(self) -> Result<(), Error> {
        if self.attached {
            std::thread::spawn(|| {
                // Whatever ends the wait: whoever started this node is gone.
                let _ = std::io::stdin().read_to_end(&mut Vec::new());
                std::process::exit(1);
            });
        }
        let (role, arguments) = (self.role, self.arguments);
        let node = std::thread::spawn(move || match role {
            Role::Hub => canopy_hub::main(canopy_hub::args::Cli::parse_from(named("canopy-hub", arguments))),
            Role::Agent => {
                canopy_agent::main(canopy_agent::Cli::parse_from(named("canopy-agent", arguments)))
            }
        });
        match node.join() {
            Ok(code) if code == ExitCode::SUCCESS => Ok(()),
            _ => std::process::exit(1),
        }
    }
}

fn named(program: &str, arguments: Vec<OsString>) -> impl Iterator<Item = OsString> {
    std::iter::once(program.into()).chain(arguments)
}

/// Ends when somebody presses Ctrl-C or ends the process kindly.
fn interrupted() -> Result<impl Future<Output = ()>, Error> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed("listen to signals"))?;
    let mut terminate = signal(SignalKind::terminate()).map_err(failed("listen to signals"))?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}

fn failed(doing: &'static str) -> impl FnOnce(std::io::Error) -> Error {
    move |source| Error::Demo { doing, source }
}
