//! Files that survive a power cut whole, and secrets that nobody else can read.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// What others may do with a file that holds a secret: nothing.
const OTHERS_BITS: u32 = 0o077;

/// The largest file that is read, in bytes: the fullest book of join tokens is two thirds of it.
const FILE_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// Why a file was not read or written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no such file.
    #[error("{} is missing", .0.display())]
    Missing(PathBuf),
    /// The system failed.
    #[error("{} cannot be {action}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What was tried: "read", "written".
        action: &'static str,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// Others can read it.
    #[error(
        "{0} can be read or changed by others (mode {mode:o}): run `chmod {wanted:o} {0}`, and if others \
         had access to this machine, revoke this node and join it again",
        .path.display()
    )]
    Exposed {
        /// The file or folder.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
        /// What they should be.
        wanted: u32,
    },
    /// It is no file of ours.
    #[error("{} is larger than {FILE_BYTES_MAX} bytes, which no file of canopy's is", .0.display())]
    TooLarge(PathBuf),
}

/// Makes a folder for its owner only, with those above it, if it is not there. It survives a power cut.
pub(crate) fn make_folder(path: &Path) -> Result<(), Error> {
    if path.exists() {
        return Ok(());
    }
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.and_then(|()| sync_folder_of(path)).map_err(io_error(path, "made"))
}

/// Refuses a folder that others can look into.
pub(crate) fn check_folder(path: &Path) -> Result<(), Error> {
    let found = fs::metadata(path).map_err(io_error(path, "read"))?;
    check_mode(path, found.permissions().mode(), 0o700)
}

/// The names of the files in a folder; none if there is no such folder.
pub(crate) fn names(folder: &Path) -> Result<Vec<String>, Error> {
    let listed = || {
        let entries = fs::read_dir(folder)?;
        entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect::<io::Result<_>>()
    };
    match listed() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        listed => listed.map_err(io_error(folder, "read")),
    }
}

/// Reads a file that only its owner can read.
pub(crate) fn read(path: &Path) -> Result<String, Error> {
    let file = File::open(path).map_err(io_error(path, "read"))?;
    let mode = file.metadata().map_err(io_error(path, "read"))?.permissions().mode();
    check_mode(path, mode, 0o600)?;
    let mut text = String::new();
    file.take(FILE_BYTES_MAX + 1).read_to_string(&mut text).map_err(io_error(path, "read"))?;
    if text.len() as u64 > FILE_BYTES_MAX {
        return Err(Error::TooLarge(path.to_owned()));
    }
    Ok(text)
}

/// Replaces a file: after a power cut it holds either the old text or the new one. What could not be
/// read back is not written.
pub(crate) fn write(path: &Path, text: &str) -> Result<(), Error> {
    if text.len() as u64 > FILE_BYTES_MAX {
        return Err(Error::TooLarge(path.to_owned()));
    }
    let fresh = path.with_extension("new");
    let written = || {
        remove_if_there(&fresh)?;
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&fresh)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&fresh, path)?;
        sync_folder_of(path)
    };
    written().map_err(io_error(path, "written"))
}

/// Removes a file that may not be there.
pub(crate) fn remove(path: &Path) -> Result<(), Error> {
    remove_if_there(path).and_then(|()| sync_folder_of(path)).map_err(io_error(path, "removed"))
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn sync_folder_of(path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}

fn check_mode(path: &Path, mode: u32, wanted: u32) -> Result<(), Error> {
    if mode & OTHERS_BITS == 0 {
        return Ok(());
    }
    Err(Error::Exposed { path: path.to_owned(), mode: mode & 0o777, wanted })
}

fn io_error(path: &Path, action: &'static str) -> impl FnOnce(io::Error) -> Error {
    move |source| match source.kind() {
        io::ErrorKind::NotFound if action == "read" => Error::Missing(path.to_owned()),
        _ => Error::Io { path: path.to_owned(), action, source },
    }
}
