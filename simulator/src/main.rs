//! The program `canopy-sim`; see the library `canopy_sim`.

use std::process::ExitCode;

fn main() -> ExitCode {
    canopy_sim::main()
}
