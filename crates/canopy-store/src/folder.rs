//! The folder of a store: who may use it, and in which format it is.
//!
//! `lock` is held by the process that has the store open. `engine/` holds the engine's files and the file `format`;
//! it appears by a rename when everything in it is synced, so half a store is never seen.

use std::fs::{self, DirBuilder, File, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use crate::engine::{self, Engine};

/// The layout and the engine; another one would need a conversion.
const FORMAT: &str = "canopy store 1\n";

/// State holds what a cluster runs, so only its owner may look.
const MODE: u32 = 0o700;

/// Why no store was made. Nothing that existed was changed.
#[derive(Debug, thiserror::Error)]
pub enum CreateError {
    /// There is one already.
    #[error("{} already holds a store: open it, or move it aside first", .0.display())]
    Exists(PathBuf),
    /// Another process works here.
    #[error("{} is in use by another process: stop that one first", .0.display())]
    Locked(PathBuf),
    /// The disk or its permissions.
    #[error("making a store in {}", .folder.display())]
    Io {
        /// Where it was to be.
        folder: PathBuf,
        /// What went wrong.
        source: io::Error,
    },
}

/// Why a store was not opened. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// There is none. None is made: an empty store would look like an order to forget everything.
    #[error("there is no store in {}: give the right folder, or make a store there first", .0.display())]
    Missing(PathBuf),
    /// Another process has it open.
    #[error("the store in {} is in use by another process: stop that one, or give each its own folder", .0.display())]
    Locked(PathBuf),
    /// It was written by another version of Canopy.
    #[error("the store in {} has the format {found:?}, this build reads {FORMAT:?}: use the version of Canopy that wrote it", .folder.display())]
    Format {
        /// Where it is.
        folder: PathBuf,
        /// What its file `format` says.
        found: String,
    },
    /// It can't be read any more.
    #[error(transparent)]
    Damaged(#[from] Damage),
    /// The disk or its permissions.
    #[error("opening the store in {}", .folder.display())]
    Io {
        /// Where it is.
        folder: PathBuf,
        /// What went wrong.
        source: io::Error,
    },
}

/// What was committed can't be read back.
#[derive(Debug, thiserror::Error)]
#[error(
    "the store in {} is damaged ({why}): move the folder aside, then put a backup in its place, or make a new \
     store and let it learn its state from its parent and children",
    .folder.display()
)]
pub struct Damage {
    /// The store's folder.
    pub folder: PathBuf,
    /// What was found.
    pub why: String,
}

/// Makes an empty store; the folder is made if it does not exist.
pub(crate) fn create(folder: &Path) -> Result<(), CreateError> {
    let io = |source| CreateError::Io { folder: folder.to_owned(), source };
    let made = |path: &Path| DirBuilder::new().recursive(true).mode(MODE).create(path).map_err(io);
    made(folder)?;
    fs::set_permissions(folder, fs::Permissions::from_mode(MODE)).map_err(io)?;
    let _lock = lock(folder).map_err(io)?.ok_or_else(|| CreateError::Locked(folder.to_owned()))?;
    let engine = folder.join("engine");
    if engine.exists() {
        return Err(CreateError::Exists(folder.to_owned()));
    }
    let unfinished = folder.join("engine.unfinished");
    if unfinished.exists() {
        fs::remove_dir_all(&unfinished).map_err(io)?;
    }
    made(&unfinished)?;
    fs::write(unfinished.join("format"), FORMAT).map_err(io)?;
    Engine::create(&unfinished).map_err(|error| match error {
        engine::Error::Io(source) => io(source),
        engine::Error::Damaged(why) => io(io::Error::other(why)),
    })?;
    fs::rename(&unfinished, &engine).map_err(io)?;
    let above = folder.canonicalize().map_err(io)?.parent().map(Path::to_owned);
    [Some(folder.to_owned()), above].into_iter().flatten().try_for_each(|path| sync(&path)).map_err(io)
}

/// Opens the engine; the lock is held as long as the file lives.
pub(crate) fn open(folder: &Path) -> Result<(Engine, File), OpenError> {
    let io = |source| OpenError::Io { folder: folder.to_owned(), source };
    let path = folder.join("engine");
    if !path.try_exists().map_err(io)? {
        return Err(OpenError::Missing(folder.to_owned()));
    }
    let lock = lock(folder).map_err(io)?.ok_or_else(|| OpenError::Locked(folder.to_owned()))?;
    let damaged = |why: String| OpenError::Damaged(Damage { folder: folder.to_owned(), why });
    let format = match fs::read(path.join("format")) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(damaged("the file format is missing".to_owned()));
        }
        read => String::from_utf8_lossy(&read.map_err(io)?).into_owned(),
    };
    if format.is_empty() {
        return Err(damaged("the file format is empty".to_owned()));
    }
    if format != FORMAT {
        return Err(OpenError::Format { folder: folder.to_owned(), found: format });
    }
    let engine = Engine::open(&path).map_err(|error| match error {
        engine::Error::Io(source) => io(source),
        engine::Error::Damaged(why) => damaged(why),
    })?;
    Ok((engine, lock))
}

/// The lock of the folder, or none while another process holds it.
fn lock(folder: &Path) -> io::Result<Option<File>> {
    let file = File::options().create(true).truncate(false).write(true).open(folder.join("lock"))?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

fn sync(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}
