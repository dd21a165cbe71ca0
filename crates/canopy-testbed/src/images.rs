//! The images of test pods, built from the program in `tests/pod.rs`. No registry takes part.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use canopy_image::{Entry, Image};

/// The image of every pod's first process, which the programs of a node ask for by this name.
pub(crate) const PAUSE_IMAGE: &str = "canopy.test/pause:1";

/// The image of a small server: it listens on port 8080 and answers `/` with its variable `VERSION`.
pub const POD_IMAGE: &str = "canopy.test/pod:1";

/// An image holds nothing but its program, the C library included.
const STATIC: &str = "-C target-feature=+crt-static -C strip=symbols";

/// The archives of images that test pods are made of.
#[derive(Debug)]
pub struct Images {
    /// [`POD_IMAGE`] and that of every pod's first process; more may be added.
    pub archives: Vec<PathBuf>,
}

impl Images {
    /// Builds the program and puts the images into this folder.
    ///
    /// # Errors
    /// The program does not build.
    pub fn build(folder: &Path) -> Result<Self> {
        let program = fs::read(program()?).context("reading the program of test pods")?;
        let archive = |(name, word): (&str, &str)| {
            let image = Image {
                name: name.to_owned(),
                entries: vec![Entry::program("/pod", program.clone())],
                entrypoint: vec!["/pod".to_owned(), word.to_owned()],
                user: "65532:65532".to_owned(),
                labels: [].into(),
            };
            let path = folder.join(format!("{word}.tar"));
            fs::write(&path, image.archive()?.bytes)
                .with_context(|| format!("writing {}", path.display()))?;
            anyhow::Ok(path)
        };
        let archives = [(PAUSE_IMAGE, "pause"), (POD_IMAGE, "serve")].into_iter().map(archive);
        Ok(Self { archives: archives.collect::<Result<_>>()? })
    }
}

/// Builds the program, and says where it is.
fn program() -> Result<PathBuf> {
    let about = Command::new("rustc").arg("-vV").output().context("asking rustc what machine this is")?;
    let about = String::from_utf8_lossy(&about.stdout).into_owned();
    let target =
        about.lines().find_map(|line| line.strip_prefix("host: ")).context("rustc knows its machine")?;
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let build = Command::new(cargo)
        .args([
            "build",
            "--quiet",
            "--release",
            "--target",
            target,
            "--package",
            "canopy-e2e",
            "--bin",
            "pod",
        ])
        .args(["--message-format", "json-render-diagnostics"])
        .env("RUSTFLAGS", STATIC)
        .stderr(Stdio::inherit())
        .output()
        .context("starting cargo")?;
    ensure!(build.status.success(), "the program of test pods does not build");
    let messages = String::from_utf8_lossy(&build.stdout).into_owned();
    let built = messages.lines().rev().find_map(|line| {
        let message: serde_json::Value = serde_json::from_str(line).ok()?;
        message["executable"].as_str().map(PathBuf::from)
    });
    built.context("cargo does not say where the program of test pods is")
}
