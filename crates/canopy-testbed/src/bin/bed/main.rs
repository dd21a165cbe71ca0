//! A test bed for people, and measurements on one: `cargo xtask bed` and `cargo xtask bench`.

mod agent;
mod figures;
mod up;

use std::path::PathBuf;

use clap::Parser;

/// A fleet on a network of its own, with real Kubernetes clusters.
#[derive(Parser)]
enum Command {
    /// Start a root, a hub and clusters with agents, and stay until told to end
    Up(up::Up),
    /// End what `up` started
    Down,
    /// Measure
    #[command(subcommand)]
    Bench(Bench),
}

#[derive(clap::Subcommand)]
enum Bench {
    /// What an agent costs on a real cluster, and how fast it is
    Agent {
        /// Where to write the figures too, as JSON
        #[arg(long)]
        json: Option<PathBuf>,
    },
}

fn main() -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        match Command::parse() {
            Command::Up(up) => up::up(&up).await,
            Command::Down => up::down().await,
            Command::Bench(Bench::Agent { json }) => agent::bench(json.as_deref()).await,
        }
    })
}
