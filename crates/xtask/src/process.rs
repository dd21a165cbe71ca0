//! Running other programs: say what runs, and say how it failed.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

use anyhow::{Context as _, Result, ensure};

/// The folder of the workspace: that of the run, not that of the build, which a cache may have made
/// in another checkout.
pub(crate) fn root() -> PathBuf {
    let xtask = std::env::var_os("CARGO_MANIFEST_DIR").expect("chores are run by cargo");
    Path::new(&xtask).ancestors().nth(2).expect("xtask lies two folders below the workspace").to_owned()
}

/// The cargo that runs this chore, at the root of the workspace, with these words.
///
/// What cargo told us about our own package is taken away again: build scripts that watch those
/// variables would run anew each time.
pub(crate) fn cargo(words: &[&str]) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(words).current_dir(root());
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(|n| n.starts_with("CARGO_PKG_") || n.starts_with("CARGO_MANIFEST_")) {
            command.env_remove(&name);
        }
    }
    command
}

/// Runs a command with our own input and output; anything but success is an error.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let status = status(command)?;
    ensure!(status.success(), "{} ended with {status}", line(command));
    Ok(())
}

/// Runs a command with our own input and output and returns how it ended.
pub(crate) fn status(command: &mut Command) -> Result<ExitStatus> {
    eprintln!("$ {}", line(command));
    command.status().with_context(|| format!("starting {}", line(command)))
}

/// Runs a command and returns how it ended and what it printed, which is passed on too.
pub(crate) fn said(command: &mut Command) -> Result<(ExitStatus, String)> {
    eprintln!("$ {}", line(command));
    let mut child =
        command.stdout(Stdio::piped()).spawn().with_context(|| format!("starting {}", line(command)))?;
    let mut said = String::new();
    let lines = BufReader::new(child.stdout.take().expect("it is piped")).lines();
    for text in lines {
        let text = text.with_context(|| format!("reading what {} printed", line(command)))?;
        eprintln!("{text}");
        said.push_str(&text);
        said.push('\n');
    }
    Ok((child.wait()?, said))
}

/// Runs a command and returns what it printed; its errors go to ours.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let output =
        command.stderr(Stdio::inherit()).output().with_context(|| format!("starting {}", line(command)))?;
    ensure!(output.status.success(), "{} ended with {}", line(command), output.status);
    String::from_utf8(output.stdout).with_context(|| format!("reading what {} printed", line(command)))
}

/// The command as one would type it.
fn line(command: &Command) -> String {
    let program = Path::new(command.get_program()).file_name().unwrap_or(command.get_program());
    let words = std::iter::once(program).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}
