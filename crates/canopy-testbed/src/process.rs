//! One program of a cluster, ended when it is dropped.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::place::Place;

/// How much of a log is shown when a program ends by itself.
const LOG_LINES_SHOWN: usize = 20;

/// A running program.
#[derive(Debug)]
pub(crate) struct Process {
    name: &'static str,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts a program at a place, with its output in a file of this folder.
    pub(crate) fn start(
        place: &Place,
        program: &Path,
        name: &'static str,
        folder: &Path,
        args: &[String],
    ) -> Result<Self> {
        let log = folder.join(format!("{name}.log"));
        let output = File::options().create(true).append(true).open(&log).context("opening a log")?;
        let mut command = Command::new(program);
        command
            .args(args)
            .stdin(Stdio::null())
            .stdout(output.try_clone().context("sharing a log")?)
            .stderr(output);
        let child = place.spawn(&mut command).with_context(|| format!("starting {}", program.display()))?;
        Ok(Self { name, child, log })
    }

    /// An error with the end of the log, if the program has ended by itself.
    pub(crate) fn check(&mut self) -> Result<()> {
        let Some(status) = self.child.try_wait().context("asking for a process")? else { return Ok(()) };
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<_> = log.lines().collect();
        let shown = &lines[lines.len().saturating_sub(LOG_LINES_SHOWN)..];
        bail!("{} ended with {status}:\n{}", self.name, shown.join("\n"))
    }
}

impl Drop for Process {
    /// Kills: a test's cluster has nothing worth a graceful end, and crashes are part of what is tested.
    fn drop(&mut self) {
        let ended = self.child.kill().and_then(|()| self.child.wait());
        if let Err(error) = ended {
            eprintln!("{} could not be ended: {error}", self.name);
        }
    }
}
