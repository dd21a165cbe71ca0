//! sled behind a guard: its panics become errors, its flush reaches the disk.

use std::any::Any;
use std::fs::{self, File, TryLockError};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

/// The unit of sled's log. Whatever is larger than a quarter is written outside of the log without a
/// sync, so a quarter must hold a leaf: twenty entries of the largest key and value.
const SEGMENT_BYTES: usize = 4 << 20;
const LEAF_ENTRIES_MAX: usize = 20;
const _: () = assert!(
    LEAF_ENTRIES_MAX * (crate::KEY_BYTES_MAX + crate::VALUE_BYTES_MAX) < SEGMENT_BYTES / 4,
    "a leaf would leave the log"
);

/// Callers load once and then hold their state themselves: the cache only serves leaves that are
/// written again.
const CACHE_BYTES: u64 = 8 << 20;

/// A tree of ours beside the data. Its entry is the proof that the engine opened the log that was created,
/// not a new one.
const MARK: &[u8] = b"mark";

/// How long sled may keep the lock of its file when its last handle is gone: a thread of its own may
/// be the last to let go, right after it has written.
const RELEASE_MAX: Duration = Duration::from_secs(5);
/// Between two looks.
const RELEASE_POLL: Duration = Duration::from_millis(5);

/// Why the engine failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("reading or writing the log")]
    Io(#[source] io::Error),
    #[error("{0}")]
    Damaged(String),
}

pub(crate) struct Engine {
    db: sled::Db,
    /// Our own handle: sled does not give out its own.
    log: File,
    blobs: PathBuf,
}

impl Engine {
    /// Makes the engine's files in a folder that exists, and syncs each of them.
    pub(crate) fn create(folder: &Path) -> Result<(), Error> {
        let engine = Self::start(folder)?;
        guarded(|| engine.db.open_tree(MARK)?.insert(MARK, MARK))?;
        engine.sync()?;
        drop(engine);
        // Whatever else sled wrote while it started and stopped is synced too, the folders last.
        for entry in fs::read_dir(folder).map_err(Error::Io)? {
            sync(&entry.map_err(Error::Io)?.path())?;
        }
        sync(folder)
    }

    /// Opens what [`Engine::create`] made.
    pub(crate) fn open(folder: &Path) -> Result<Self, Error> {
        for name in ["conf", "db"] {
            let length = fs::metadata(folder.join(name)).map(|file| file.len());
            if length.is_err() || length.is_ok_and(|bytes| bytes == 0) {
                return Err(Error::Damaged(format!("the file {name} is missing or empty")));
            }
        }
        await_release(&folder.join("db")).map_err(Error::Io)?;
        let engine = Self::start(folder)?;
        match guarded(|| engine.db.open_tree(MARK)?.get(MARK))? {
            Some(_) => Ok(engine),
            None => Err(Error::Damaged("the log is not the one that was created here".to_owned())),
        }
    }

    fn start(folder: &Path) -> Result<Self, Error> {
        let config = sled::Config::new()
            .path(folder)
            .segment_size(SEGMENT_BYTES)
            .cache_capacity(CACHE_BYTES)
            .flush_every_ms(None);
        let db = guarded(|| config.open())?;
        let log = File::open(folder.join("db")).map_err(Error::Io)?;
        Ok(Self { db, log, blobs: folder.join("blobs") })
    }

    /// Writes all changes, records or deletions, and returns when they survive a power cut.
    pub(crate) fn write(
        &self,
        changes: impl Iterator<Item = (Vec<u8>, Option<Vec<u8>>)>,
    ) -> Result<(), Error> {
        let mut batch = sled::Batch::default();
        for (key, record) in changes {
            match record {
                Some(record) => batch.insert(key, record),
                None => batch.remove(key),
            }
        }
        guarded(|| self.db.apply_batch(batch))?;
        self.sync()?;
        let outside = fs::read_dir(&self.blobs).map_err(Error::Io)?.count();
        assert_eq!(outside, 0, "the engine wrote {outside} files outside of its log, which it does not sync");
        Ok(())
    }

    /// All records in the order of their keys, read as they are asked for.
    pub(crate) fn records(&self) -> impl Iterator<Item = Result<(sled::IVec, sled::IVec), Error>> {
        let mut records = self.db.iter();
        std::iter::from_fn(move || guarded(|| records.next().transpose()).transpose())
    }

    fn sync(&self) -> Result<(), Error> {
        guarded(|| self.db.flush())?;
        self.log.sync_data().map_err(Error::Io)
    }
}

/// Waits until nobody holds the file: no other process does, for the store has a lock of its own, but
/// the same process may have closed it just now.
fn await_release(db: &Path) -> io::Result<()> {
    let file = File::open(db)?;
    let until = Instant::now() + RELEASE_MAX;
    while matches!(file.try_lock(), Err(TryLockError::WouldBlock)) && Instant::now() < until {
        thread::sleep(RELEASE_POLL);
    }
    file.unlock()
}

/// Runs a call into sled. After a panic its state is unknown, but every caller gives up then.
fn guarded<T>(call: impl FnOnce() -> sled::Result<T>) -> Result<T, Error> {
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(sled::Error::Io(error))) if !tells_of_content(&error) => Err(Error::Io(error)),
        Ok(Err(error)) => Err(Error::Damaged(error.to_string())),
        Err(panic) => Err(Error::Damaged(format!("the engine panicked: {}", text(&*panic)))),
    }
}

/// Whether the disk did its part and only what it returned makes no sense.
fn tells_of_content(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidData)
}

fn text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message")
}

/// Syncs a file or a folder.
fn sync(path: &Path) -> Result<(), Error> {
    File::open(path).and_then(|file| file.sync_all()).map_err(Error::Io)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_of_the_engine_is_damage_and_a_full_disk_is_not() {
        let panicked = guarded::<()>(|| panic!("page {} is gone", 7)).unwrap_err().to_string();
        assert_eq!(panicked, "the engine panicked: page 7 is gone");
        let full = guarded::<()>(|| Err(sled::Error::Io(io::ErrorKind::StorageFull.into())));
        assert!(matches!(full, Err(Error::Io(_))));
        let cut = guarded::<()>(|| Err(sled::Error::Io(io::ErrorKind::UnexpectedEof.into())));
        assert!(matches!(cut, Err(Error::Damaged(_))));
    }
}
