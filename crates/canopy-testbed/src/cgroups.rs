//! The control groups of a bed's containers, in both versions of the interface.

use std::path::{Path, PathBuf};
use std::{fs, io};

const ROOT: &str = "/sys/fs/cgroup";

/// The roots of all hierarchies: one, or in the first version one for each controller.
fn hierarchies() -> io::Result<Vec<PathBuf>> {
    if Path::new(ROOT).join("cgroup.controllers").exists() {
        return Ok(vec![ROOT.into()]);
    }
    folders(Path::new(ROOT))
}

/// The folders in a folder; without symbolic links, of which a hierarchy has some.
fn folders(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut folders = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            folders.push(entry.path());
        }
    }
    Ok(folders)
}

/// Makes a group in every hierarchy.
pub(crate) fn make(group: &str) -> io::Result<()> {
    hierarchies()?.iter().try_for_each(|hierarchy| fs::create_dir_all(hierarchy.join(group)))
}

/// Removes a group and those in it, whose processes have ended.
pub(crate) fn remove(group: &str) -> io::Result<()> {
    for hierarchy in hierarchies()? {
        let group = hierarchy.join(group);
        if group.exists() {
            remove_below(&group)?;
        }
    }
    Ok(())
}

fn remove_below(group: &Path) -> io::Result<()> {
    folders(group)?.iter().try_for_each(|below| remove_below(below))?;
    fs::remove_dir(group)
}
