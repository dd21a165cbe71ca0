//! The fleet simulator: Canopy's real core in virtual time.
//!
//! [`chaos`] runs a small tree through faults that are drawn from a seed, and checks the promises of
//! the design after every event.

pub mod chaos;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Simulates fleets with Canopy's real core.
#[derive(Debug, Parser)]
#[command(name = "canopy-sim", version)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs trees through partitions, crashes, lost and restored disks, and checks every promise.
    Chaos(chaos::Args),
}

/// Runs the program with the process' arguments.
pub fn main() -> ExitCode {
    match Args::parse().command {
        Command::Chaos(args) => chaos::run(&args),
    }
}
