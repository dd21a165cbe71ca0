//! The program `canopy-agent`; see the library `canopy_agent`.

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    canopy_agent::main(canopy_agent::Cli::parse())
}
