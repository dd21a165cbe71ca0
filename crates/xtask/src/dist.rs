//! The chore `dist`: an archive of each program with what a machine without Kubernetes needs, and the
//! digests of all.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use canopy_image::{Entry, pack};
use sha2::{Digest as _, Sha256};

use crate::image::{size, write};
use crate::programs::{Program, Release};
use crate::{process, sbom};

/// Makes the archives.
pub(crate) fn run(out: Option<PathBuf>) -> Result<()> {
    let release = Release::build(&Program::ALL)?;
    let out = out.unwrap_or_else(|| release.folder("dist"));
    fs::create_dir_all(&out).with_context(|| format!("making the folder {}", out.display()))?;
    let mut sums = String::new();
    for program in Program::ALL {
        let machine = release.target.split('-').next().unwrap_or_default();
        let stem = format!("{}-{}-linux-{machine}", program.name(), release.version);
        let list = sbom::of(&release, program)?;
        let archive = pack(&entries(program, &release, &stem, &list)?).context("packing")?;
        for (name, content) in [(format!("{stem}.tar.gz"), archive), (format!("{stem}.cdx.json"), list)] {
            write(&out.join(&name), &content)?;
            // As `sha256sum --check` reads it.
            sums.push_str(&format!("{:x}  {name}\n", Sha256::digest(&content)));
            eprintln!("{name}  {}", size(content.len()));
        }
    }
    write(&out.join("SHA256SUMS"), sums.as_bytes())?;
    eprintln!("in {}", out.display());
    Ok(())
}

/// What is in an archive, in one folder.
fn entries(program: Program, release: &Release, stem: &str, list: &[u8]) -> Result<Vec<Entry>> {
    let name = program.name();
    let mut entries = vec![
        Entry::program(format!("/{stem}/{name}"), release.read(program)?),
        Entry::file(format!("/{stem}/{name}.cdx.json"), list),
        Entry::file(format!("/{stem}/README.md"), readme(program, &source("README.md")?)?),
    ];
    let mut files = vec!["LICENSE".to_owned()];
    if program != Program::Cli {
        let kinds = ["service", "sysusers", "tmpfiles"];
        files.extend(kinds.map(|kind| format!("deploy/systemd/{name}.{kind}")));
        files.push("deploy/systemd/README.md".to_owned());
    }
    for file in files {
        let place = file.strip_prefix("deploy/").unwrap_or(&file);
        entries.push(Entry::file(format!("/{stem}/{place}"), source(&file)?));
    }
    Ok(entries)
}

/// A file of the workspace.
fn source(file: &str) -> Result<String> {
    let path = process::root().join(file);
    fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))
}

/// What the project's README says to those who have the program already: the tour.
fn readme(program: Program, whole: &str) -> Result<String> {
    let tour = whole.split_once("\n## A tour").context("README.md has no tour any more")?.1;
    let tour = tour.split("\n## ").next().unwrap_or_default();
    Ok(format!("# {}\n\n{}.\n\n## A tour{tour}", program.name(), program.about()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_readme_of_an_archive_is_the_tour() {
        let text = readme(Program::Hub, &source("README.md").unwrap()).unwrap();
        assert!(text.starts_with("# canopy-hub\n\nA hub of Canopy") && text.contains("canopy-hub init"));
        assert!(!text.contains("## Vocabulary"));
    }
}
