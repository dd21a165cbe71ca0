//! The program `canopy-hub`; see the library `canopy_hub`.

use std::process::ExitCode;

use canopy_hub::args::Cli;
use clap::Parser;

fn main() -> ExitCode {
    canopy_hub::main(Cli::parse())
}
