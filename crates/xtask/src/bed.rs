//! The chores `bed` and `bench`: the program of the test bed, with the tools that it needs.

use anyhow::{Result, bail};

use crate::process::{self, cargo};
use crate::tools::{self, Tools};

/// Runs the program, built with these words to cargo, with these words of its own.
pub(crate) fn run(build: &[&str], words: &[String]) -> Result<()> {
    let folders = match tools::ensure()? {
        Tools::Ready(folders) => folders,
        Tools::Unavailable(why) => bail!("no test bed: {why}"),
    };
    let mut run = cargo(&["run", "--quiet", "--package", "canopy-testbed", "--bin", "bed"]);
    process::run(run.args(build).arg("--").args(words).env("CANOPY_TOOLS", folders))
}
