//! Breaks the core's guards one at a time, on a copy, and sees that the simulator notices.
//!
//! Each patch in `simulator/guards` takes one guard away. A patch that no longer applies, or that the
//! simulator does not notice within [`SEEDS`] seeds, fails the chore. Build products stay in
//! `guards-target` in the cache folder (see [`tools`]), so that a fresh clone builds little.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail, ensure};

use crate::tools;

/// Within how many seeds a broken guard must be noticed.
const SEEDS: &str = "100";
/// What the simulator is built from.
const SOURCES: [&str; 3] = ["crates/canopy-model", "crates/canopy-core", "simulator"];

/// Runs all guards, or those with `only` in their name.
pub(crate) fn run(only: Option<&str>) -> Result<()> {
    let guards = Path::new("simulator/guards");
    let listed = fs::read_dir(guards).with_context(|| format!("listing {}", guards.display()))?;
    let mut patches: Vec<PathBuf> = listed.filter_map(|entry| Some(entry.ok()?.path())).collect();
    patches.retain(|patch| only.is_none_or(|only| patch.to_string_lossy().contains(only)));
    patches.sort();
    ensure!(!patches.is_empty(), "no guard to break in {}", guards.display());
    let mut unnoticed = Vec::new();
    for patch in &patches {
        let name = patch.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let noticed = is_noticed(patch).with_context(|| format!("guard {name}"))?;
        eprintln!("{} {name}", if noticed { "noticed  " } else { "UNNOTICED" });
        if !noticed {
            unnoticed.push(name);
        }
    }
    ensure!(unnoticed.is_empty(), "the simulator does not notice: {}", unnoticed.join(", "));
    eprintln!("guards: {} broken, all noticed", patches.len());
    Ok(())
}

fn is_noticed(patch: &Path) -> Result<bool> {
    let copy = tempfile::tempdir().context("making a folder for the copy")?;
    for source in SOURCES {
        copy_folder(Path::new(source), &copy.path().join(source))?;
    }
    fs::write(copy.path().join("Cargo.toml"), manifest()?)?;
    fs::copy("Cargo.lock", copy.path().join("Cargo.lock"))?;
    let patch = patch.canonicalize()?;
    let mut apply = Command::new("git");
    succeed(
        apply.args(["apply", "--whitespace=nowarn"]).arg(patch).current_dir(&copy),
        "the patch no longer applies",
    )?;
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
    Ok(!status.success())
}

/// The workspace's manifest with the copied members only.
fn manifest() -> Result<String> {
    let text = fs::read_to_string("Cargo.toml").context("reading Cargo.toml")?;
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
