//! The programs as others get them: static, so that they run in an empty image and on any Linux.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};
use cargo_metadata::{Metadata, MetadataCommand};

use crate::process;

/// The C library is linked in, of which the build machine needs the static one (Debian: libc6-dev).
/// It finds names in files and by DNS without any file of an installation. Symbols stay out: a panic
/// names its place in the source by itself.
const STATIC: &str = "-C target-feature=+crt-static -C strip=symbols";

/// What is given to others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Program {
    /// canopy-hub
    Hub,
    /// canopy-agent
    Agent,
    /// canopy, the command line
    Cli,
}

impl Program {
    pub(crate) const ALL: [Self; 3] = [Self::Hub, Self::Agent, Self::Cli];

    /// What its file is called.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Hub => "canopy-hub",
            Self::Agent => "canopy-agent",
            Self::Cli => "canopy",
        }
    }

    /// The package that it is built from.
    pub(crate) fn package(self) -> &'static str {
        match self {
            Self::Hub => "canopy-hub",
            Self::Agent => "canopy-agent",
            Self::Cli => "canopy-cli",
        }
    }

    pub(crate) fn about(self) -> &'static str {
        match self {
            Self::Hub => "A hub of Canopy: stands over hubs and clusters",
            Self::Agent => "The agent of Canopy at one edge cluster",
            Self::Cli => "The command line of Canopy",
        }
    }
}

/// A release of the workspace as it is: what was built, and from what.
pub(crate) struct Release {
    pub(crate) version: String,
    /// The kind of machine, as Rust calls it.
    pub(crate) target: String,
    pub(crate) metadata: Metadata,
    folder: PathBuf,
}

impl Release {
    /// Builds these programs for machines like this one.
    pub(crate) fn build(programs: &[Program]) -> Result<Self> {
        let target = host()?;
        ensure!(
            target.contains("-linux-"),
            "images and archives hold programs for Linux, and this machine is {target}: run this on Linux"
        );
        let mut build = process::cargo(&["build", "--locked", "--release", "--target", &target]);
        for program in programs {
            build.args(["--package", program.package()]);
        }
        process::run(build.env("RUSTFLAGS", STATIC))?;
        let metadata = MetadataCommand::new()
            .current_dir(process::root())
            .other_options(["--locked".to_owned(), "--filter-platform".to_owned(), target.clone()])
            .exec()
            .context("asking cargo what the programs are made of")?;
        let folder = metadata.target_directory.join(&target).join("release").into_std_path_buf();
        Ok(Self { version: env!("CARGO_PKG_VERSION").to_owned(), target, metadata, folder })
    }

    /// The program's bytes.
    pub(crate) fn read(&self, program: Program) -> Result<Vec<u8>> {
        let path = self.folder.join(program.name());
        fs::read(&path).with_context(|| format!("reading {}", path.display()))
    }

    /// Where products go unless told otherwise.
    pub(crate) fn folder(&self, name: &str) -> PathBuf {
        self.metadata.target_directory.join(name).into_std_path_buf()
    }
}

/// The kind of this machine.
fn host() -> Result<String> {
    let mut rustc = std::process::Command::new("rustc");
    let said = process::output(rustc.arg("-vV").current_dir(process::root()))?;
    let host = said.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(host.context("rustc does not tell the kind of this machine")?.to_owned())
}
