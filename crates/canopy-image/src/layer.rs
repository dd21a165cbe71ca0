//! The files of an image, as the tar of its one layer.

use std::collections::BTreeMap;
use std::io::{self, Write as _};
use std::path::{Component, Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;
use tar::{Builder, EntryType, Header};

/// Folders above the files that were asked for.
const FOLDER_MODE: u32 = 0o755;

/// A file or folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Where, from the root: `/bin/canopy-hub`.
    pub path: PathBuf,
    /// Its permissions.
    pub mode: u32,
    /// Its owner, as user and group alike.
    pub owner: u32,
    /// What it holds; none for a folder.
    pub content: Option<Vec<u8>>,
}

/// Why a value is no image.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A path that would leave the image.
    #[error("{} is no place in an image: write an absolute path without `..`", .0.display())]
    Path(PathBuf),
    /// Two entries for one path.
    #[error("{} is there twice", .0.display())]
    Twice(PathBuf),
    /// A file where another entry needs a folder.
    #[error("{} is a file, and something is to be put below it", .0.display())]
    Below(PathBuf),
    /// A path longer than the format takes.
    #[error("{} cannot be written into the layer", .0.display())]
    Write(PathBuf, #[source] io::Error),
}

impl Entry {
    /// A program that everybody may run.
    pub fn program(path: impl Into<PathBuf>, content: Vec<u8>) -> Self {
        Self { path: path.into(), mode: 0o755, owner: 0, content: Some(content) }
    }

    /// A file that everybody may read.
    pub fn file(path: impl Into<PathBuf>, content: impl Into<Vec<u8>>) -> Self {
        Self { path: path.into(), mode: 0o644, owner: 0, content: Some(content.into()) }
    }

    /// A folder of its owner alone.
    pub fn folder(path: impl Into<PathBuf>, owner: u32) -> Self {
        Self { path: path.into(), mode: 0o700, owner, content: None }
    }

    /// The path below the root.
    fn place(&self) -> Result<&Path, Error> {
        let refused = || Error::Path(self.path.clone());
        let place = self.path.strip_prefix("/").map_err(|_| refused())?;
        let is_plain = place.components().all(|part| matches!(part, Component::Normal(_)));
        if is_plain && place != Path::new("") { Ok(place) } else { Err(refused()) }
    }
}

/// The entries as a `.tar.gz`, whose bytes follow from them alone as those of a layer do.
///
/// # Errors
/// They don't make a file system.
pub fn pack(entries: &[Entry]) -> Result<Vec<u8>, Error> {
    tar(entries).map(|tar| gzip(&tar))
}

pub(crate) fn gzip(content: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    let written = encoder.write_all(content).and_then(|()| encoder.finish());
    written.expect("memory takes every write")
}

/// The layer, not compressed.
pub(crate) fn tar(entries: &[Entry]) -> Result<Vec<u8>, Error> {
    let mut builder = Builder::new(Vec::new());
    for (place, entry) in &arrange(entries)? {
        append(&mut builder, place, entry).map_err(|error| Error::Write(place.clone(), error))?;
    }
    Ok(builder.into_inner().expect("memory takes every write"))
}

/// All entries in the order of their paths, with the folders that they need.
fn arrange(entries: &[Entry]) -> Result<BTreeMap<PathBuf, Entry>, Error> {
    let mut arranged = BTreeMap::new();
    for entry in entries {
        if arranged.insert(entry.place()?.to_owned(), entry.clone()).is_some() {
            return Err(Error::Twice(entry.path.clone()));
        }
    }
    for entry in entries {
        for folder in entry.place()?.ancestors().skip(1).filter(|folder| *folder != Path::new("")) {
            let path = Path::new("/").join(folder);
            let made = Entry { path: path.clone(), mode: FOLDER_MODE, owner: 0, content: None };
            if arranged.entry(folder.to_owned()).or_insert(made).content.is_some() {
                return Err(Error::Below(path));
            }
        }
    }
    Ok(arranged)
}

fn append(builder: &mut Builder<Vec<u8>>, place: &Path, entry: &Entry) -> io::Result<()> {
    let mut header = Header::new_gnu();
    let content = entry.content.as_deref();
    header.set_entry_type(if content.is_some() { EntryType::Regular } else { EntryType::Directory });
    header.set_mode(entry.mode);
    header.set_uid(entry.owner.into());
    header.set_gid(entry.owner.into());
    header.set_mtime(0);
    let content = content.unwrap_or_default();
    header.set_size(content.len() as u64);
    builder.append_data(&mut header, place, content)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(entries: &[Entry]) -> Vec<(String, u32, u64)> {
        let layer = tar(entries).unwrap();
        let mut archive = tar::Archive::new(layer.as_slice());
        let listed = archive.entries().unwrap().map(|entry| {
            let entry = entry.unwrap();
            let header = entry.header();
            assert_eq!(header.mtime().unwrap(), 0);
            let path = entry.path().unwrap().display().to_string();
            (path, header.mode().unwrap(), header.uid().unwrap())
        });
        listed.collect()
    }

    #[test]
    fn entries_are_sorted_and_have_their_folders() {
        let entries = [
            Entry::folder("/var/lib/hub", 65532),
            Entry::program("/bin/hub", b"hub".to_vec()),
            Entry::file("/bin/a", "a"),
        ];
        let expected = [
            ("bin", 0o755, 0),
            ("bin/a", 0o644, 0),
            ("bin/hub", 0o755, 0),
            ("var", 0o755, 0),
            ("var/lib", 0o755, 0),
            ("var/lib/hub", 0o700, 65532),
        ];
        let found = listed(&entries);
        let found: Vec<_> = found.iter().map(|(path, mode, uid)| (path.as_str(), *mode, *uid)).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn what_is_no_image_is_refused() {
        let said = |entries: &[Entry]| tar(entries).unwrap_err().to_string();
        for path in ["bin/hub", "/../hub", "/", "/bin/../hub"] {
            assert!(said(&[Entry::file(path, "")]).contains("absolute path"), "{path}");
        }
        let a = Entry::file("/a", "");
        assert_eq!(said(&[a.clone(), a.clone()]), "/a is there twice");
        let below = said(&[a, Entry::file("/a/b", "")]);
        assert_eq!(below, "/a is a file, and something is to be put below it");
    }
}
