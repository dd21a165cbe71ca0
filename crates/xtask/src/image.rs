//! The chore `image`: an OCI image of each program, in one file that `ctr images import` and
//! `podman load` read. No container engine takes part.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use canopy_image::{Entry, Image};

use crate::programs::{Program, Release};
use crate::{process, sbom};

/// Who runs in a container: nobody that a host knows.
const USER: u32 = 65532;

/// The registry in the names of images that no registry has: the charts' default.
pub(crate) const PREFIX: &str = "localhost";

/// Makes the images, with a list of what is in each beside it; returns their folder.
pub(crate) fn run(programs: &[Program], prefix: &str, out: Option<PathBuf>) -> Result<PathBuf> {
    let release = Release::build(programs)?;
    let out = out.unwrap_or_else(|| release.folder("images"));
    fs::create_dir_all(&out).with_context(|| format!("making the folder {}", out.display()))?;
    for program in programs {
        let list = sbom::of(&release, *program)?;
        let image = image(*program, &release, prefix, &list)?;
        let archive = image.archive().context("putting the image together")?;
        write(&out.join(format!("{}.cdx.json", program.name())), &list)?;
        let file = out.join(format!("{}.tar", program.name()));
        write(&file, &archive.bytes)?;
        eprintln!("{}  {}  {}  {}", image.name, archive.digest, size(archive.bytes.len()), file.display());
    }
    Ok(out)
}

fn image(program: Program, release: &Release, prefix: &str, list: &[u8]) -> Result<Image> {
    let name = program.name();
    let path = format!("/bin/{name}");
    let license = fs::read(process::root().join("LICENSE")).context("reading LICENSE")?;
    let mut entries = vec![
        Entry::program(&path, release.read(program)?),
        Entry::file("/usr/share/doc/canopy/LICENSE", license),
        Entry::file(format!("/usr/share/doc/canopy/{name}.cdx.json"), list),
    ];
    if program != Program::Cli {
        // A place to begin, for those who mount nothing there.
        entries.push(Entry::folder(format!("/var/lib/{name}"), USER));
    }
    let labels = [
        ("title", name),
        ("description", program.about()),
        ("version", &release.version),
        ("licenses", "Apache-2.0"),
    ];
    Ok(Image {
        name: format!("{prefix}/{name}:{}", release.version),
        entries,
        entrypoint: vec![path],
        user: format!("{USER}:{USER}"),
        labels: labels
            .map(|(key, value)| (format!("org.opencontainers.image.{key}"), value.to_owned()))
            .into(),
    })
}

/// Writes a product.
pub(crate) fn write(path: &Path, content: &[u8]) -> Result<()> {
    fs::write(path, content).with_context(|| format!("writing {}", path.display()))
}

/// A size for people.
#[allow(clippy::cast_precision_loss, reason = "one digit is shown")]
pub(crate) fn size(bytes: usize) -> String {
    format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20))
}
