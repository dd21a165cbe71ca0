//! Breaks the core's guards one at a time, on a copy, and sees that the simulator notices.
//!
//! Each patch in `simulator/guards` takes one guard away. A patch that no longer applies, or that the
//! simulator does not notice within [`SEEDS`] seeds, fails the chore. Build products stay in
//! `guards-target` in the cache folder (see [`tools`]), so that a fresh clone builds little.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail, ensure};

use crate::{process, tools};

/// Within how many seeds a broken guard must be noticed.
const SEEDS: &str = "100";
/// What the simulator is built from.
const SOURCES: [&str; 3] = ["crates/canopy-model", "crates/canopy-core", "simulator"];

/// Runs all guards, or those with `only` in their name. First the whole core: what fails unbroken
/// notices nothing.
pub(crate) fn run(only: Option<&str>) -> Result<()> {
    let mut patches = patches()?;
    patches.retain(|patch| only.is_none_or(|only| patch.to_string_lossy().contains(only)));
    ensure!(!patches.is_empty(), "no guard to break in {}", folder().display());
    ensure!(
        holds(None)?,
        "the simulator fails with the core as it is, within {SEEDS} seeds: mend that first"
    );
    eprintln!("holds     the core as it is");
    let mut unnoticed = Vec::new();
    for patch in &patches {
        let name = patch.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let noticed = !holds(Some(patch)).with_context(|| format!("guard {name}"))?;
        eprintln!("{} {name}", if noticed { "noticed  " } else { "UNNOTICED" });
        if !noticed {
            unnoticed.push(name);
        }
    }
    ensure!(unnoticed.is_empty(), "the simulator does not notice: {}", unnoticed.join(", "));
    eprintln!("guards: {} broken, all noticed", patches.len());
    Ok(())
}

/// Sees that every patch still applies to the core as it is.
pub(crate) fn check() -> Result<()> {
    for patch in patches()? {
        let mut apply = Command::new("git");
        apply.args(["apply", "--check"]).arg(&patch).current_dir(process::root());
        succeed(&mut apply, &format!("{} no longer applies: make it anew", patch.display()))?;
    }
    Ok(())
}

fn folder() -> PathBuf {
    process::root().join("simulator/guards")
}

fn patches() -> Result<Vec<PathBuf>> {
    let listed = fs::read_dir(folder()).with_context(|| format!("listing {}", folder().display()))?;
    let mut patches = listed.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    patches.retain(|path| path.extension().is_some_and(|extension| extension == "patch"));
    patches.sort();
    Ok(patches)
}

/// Whether the simulator is content with a copy of the core, with a guard broken or with none.
fn holds(broken: Option<&Path>) -> Result<bool> {
    let (root, copy) = (process::root(), tempfile::tempdir().context("making a folder for the copy")?);
    for source in SOURCES {
        copy_folder(&root.join(source), &copy.path().join(source))?;
    }
    fs::write(copy.path().join("Cargo.toml"), manifest(&root)?)?;
    fs::copy(root.join("Cargo.lock"), copy.path().join("Cargo.lock"))?;
    if let Some(patch) = broken {
        let mut apply = Command::new("git");
        apply.args(["apply", "--whitespace=nowarn"]).arg(patch).current_dir(&copy);
        succeed(&mut apply, "the patch no longer applies")?;
    }
    let target = tools::cache()?.join("guards-target");
    let mut build = Command::new("cargo");
    build.args(["build", "--quiet", "--release", "--bin", "canopy-sim"]).current_dir(&copy);
    succeed(
        build.env("CARGO_TARGET_DIR", &target).env("RUSTFLAGS", "-Awarnings"),
        "the copy does not build",
    )?;
    let mut chaos = Command::new(target.join("release/canopy-sim"));
    let status =
        chaos.args(["chaos", "--seeds", SEEDS]).stdout(Stdio::null()).stderr(Stdio::null()).status()?;
    // Whatever kills it, such as a lack of memory, judges nothing.
    ensure!(status.code().is_some(), "the simulator was killed: {status}");
    Ok(status.success())
}

/// The workspace's manifest with the copied members only.
fn manifest(root: &Path) -> Result<String> {
    let text = fs::read_to_string(root.join("Cargo.toml")).context("reading Cargo.toml")?;
    let members = |line: &str| line.starts_with("members") || line.starts_with("default-members");
    let kept: Vec<&str> = text.lines().filter(|line| !members(line)).collect();
    let listed = SOURCES.map(|source| format!("{source:?}")).join(", ");
    Ok(kept.join("\n").replacen("[workspace]", &format!("[workspace]\nmembers = [{listed}]"), 1))
}

fn copy_folder(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from).with_context(|| format!("listing {}", from.display()))? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_folder(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

fn succeed(command: &mut Command, failure: &str) -> Result<()> {
    if !command.status().with_context(|| format!("running {command:?}"))?.success() {
        bail!("{failure}");
    }
    Ok(())
}
