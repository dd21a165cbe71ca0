//! The chores by name. Each one is a module of its own.

use std::io::Write as _;
use std::path::PathBuf;

use crate::programs::Program;
use crate::tools::Tools;
use crate::{bed, deps, dist, guards, image, test, tools};

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
    /// Make OCI images of the programs, static and not root, without a container engine
    Image {
        /// Which ones [default: all]
        programs: Vec<Program>,
        /// The registry and folder in their names
        #[arg(long, default_value = image::PREFIX)]
        prefix: String,
        /// Where to put them [default: images in the target folder]
        #[arg(long)]
        out: Option<PathBuf>,
    },
    /// Make an archive of each program, for machines without Kubernetes, and SHA256SUMS
    Dist {
        /// Where to put them [default: dist in the target folder]
        #[arg(long)]
        out: Option<PathBuf>,
    },
}

impl Chore {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        match self {
            Self::Test => test::run(),
            Self::Guards { only } => guards::run(only.as_deref()),
            Self::Image { programs, prefix, out } => match programs.as_slice() {
                [] => image::run(&Program::ALL, &prefix, out).map(drop),
                some => image::run(some, &prefix, out).map(drop),
            },
            Self::Dist { out } => dist::run(out),
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
