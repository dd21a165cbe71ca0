//! The chores by name. Each one is a module of its own.

use std::io::Write as _;

use crate::tools::Tools;
use crate::{bed, deps, guards, test, tools};

/// Chores of the project.
#[derive(clap::Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
pub(crate) enum Chore {
    /// Run every check that a change must pass, in order; stop at the first that fails
    Test,
    /// Check which crates may depend on what
    Deps,
    /// Break the core's guards one at a time, on a copy, and see that the simulator notices
    Guards {
        /// Only the guards with this in their name
        only: Option<String>,
    },
    /// A fleet with real clusters to try things on: up or down; 'bed up --help' says more
    Bed {
        /// What the test bed is told
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, required = true)]
        words: Vec<String>,
    },
    /// Measure, with release builds: agent; 'bench agent --json FILE' writes the figures too
    Bench {
        /// What is measured, and how
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, required = true)]
        words: Vec<String>,
    },
    /// Build the Kubernetes programs of the tests and print their folders, for CANOPY_TOOLS
    Tools,
}

impl Chore {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        match self {
            Self::Test => test::run(),
            Self::Guards { only } => guards::run(only.as_deref()),
            Self::Deps => deps::check(),
            Self::Bed { words } => bed::run(&[], &words),
            Self::Bench { words } => bed::run(&["--release"], &[vec!["bench".to_owned()], words].concat()),
            Self::Tools => match tools::ensure()? {
                Tools::Ready(folders) => Ok(writeln!(std::io::stdout(), "{}", folders.display())?),
                Tools::Unavailable(why) => anyhow::bail!("{why}"),
            },
        }
    }
}
