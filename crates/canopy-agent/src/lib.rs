//! The agent: the leaf of the tree, beside one cluster.
//!
//! What to do is decided by the machine of `canopy-core`; this crate gives it a disk, a line to its
//! hub and a cluster. It goes on without its hub: what runs keeps running, and what the cluster
//! tells is reported when the line is back. In reading order:
//!
//! - [`args`]: the command line;
//! - `join`: how an agent gets its identity; `renewal` and `secret`: how it keeps it;
//! - `run`: the agent at work;
//! - `folder`: what lies in the data folder, and what happens to a damaged store;
//! - [`cluster`]: what an agent asks of a cluster; the real one and the embedded one; `known`: which one it is;
//! - `orders`: the machine's orders, on their way to the cluster and back;
//! - `content`: content that does not travel inside a row;
//! - `machine`: what people at the machine ask of the running agent, without any hub.

pub mod args;
pub mod cluster;
mod content;
mod folder;
mod join;
mod known;
mod machine;
mod orders;
mod renewal;
mod run;
mod secret;

use std::process::ExitCode;

use anyhow::Context as _;
use canopy_node::shutdown;
use tokio::runtime;

pub use args::Cli;
use args::Command;

/// Threads of the runtime: one may wait for the disk while the other serves the line.
const THREADS: usize = 2;

/// Runs the program to its end, on a runtime of its own. Errors are printed with their causes.
pub fn main(cli: Cli) -> ExitCode {
    match begin(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn begin(cli: Cli) -> anyhow::Result<()> {
    cli.telemetry.start()?;
    let runtime = runtime::Builder::new_multi_thread().worker_threads(THREADS).enable_all().build();
    runtime.context("starting the runtime")?.block_on(async {
        match cli.command {
            Command::Join(args) => {
                let stop = shutdown::on_signal().context("listening to signals")?;
                stop.run_until_cancelled(join::join(args)).await.unwrap_or(Ok(()))
            }
            Command::Run(args) => run::run(args).await,
            Command::Status(machine) => machine::ask(&machine, machine::Wish::Status).await,
            Command::Hold(args::Hold { machine, reason }) => {
                machine::ask(&machine, machine::Wish::Hold { reason }).await
            }
            Command::Release(machine) => machine::ask(&machine, machine::Wish::Release).await,
            Command::Leave(args::Leave { machine, keep, .. }) => {
                machine::ask(&machine, machine::Wish::Leave { keep }).await
            }
        }
    })
}
