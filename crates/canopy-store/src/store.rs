//! A store that is open: load and commit.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use crate::batch::{Batch, KEY_BYTES_MAX, VALUE_BYTES_MAX};
use crate::engine::{self, Engine};
use crate::folder::{self, CreateError, Damage, OpenError};
use crate::record;

/// The durable state of one node. It belongs to one process at a time.
pub struct Store {
    folder: PathBuf,
    engine: Engine,
    /// Set by the first commit that fails.
    failed: AtomicBool,
    /// Released last, when the engine is closed.
    _lock: File,
}

/// Why a batch is not durable.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// A change exceeds a limit. Nothing was written, and the store goes on.
    #[error("{what} of {bytes} bytes for the key {key:?} is longer than {max}")]
    TooLarge {
        /// Key or value.
        what: &'static str,
        /// The key, escaped and shortened.
        key: String,
        /// How long it is.
        bytes: usize,
        /// How long it may be.
        max: usize,
    },
    /// The disk refused it. Whether the batch is there is known only after the store was opened again.
    #[error("writing to the store in {}: see that the disk works and has space, then restart", .folder.display())]
    Io {
        /// The store's folder.
        folder: PathBuf,
        /// What went wrong.
        source: io::Error,
    },
    /// The engine gave up.
    #[error("writing to the store in {}: {why}; restart to find out what it holds", .folder.display())]
    Engine {
        /// The store's folder.
        folder: PathBuf,
        /// What the engine said.
        why: String,
    },
    /// An earlier commit failed, so nothing more can be promised.
    #[error("the store in {} stopped at an earlier error: restart", .0.display())]
    Stopped(PathBuf),
}

/// Why the state can't be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// Some of it is not what was committed.
    #[error(transparent)]
    Damaged(#[from] Damage),
    /// A newer version of Canopy wrote some of it.
    #[error(
        "the store in {} holds a record of version {found}, this build reads {}: use the version of Canopy that \
         wrote it",
        .folder.display(), record::VERSION
    )]
    Version {
        /// The store's folder.
        folder: PathBuf,
        /// The version of the record.
        found: u8,
    },
    /// The disk.
    #[error("reading the store in {}", .folder.display())]
    Io {
        /// The store's folder.
        folder: PathBuf,
        /// What went wrong.
        source: io::Error,
    },
}

impl Store {
    /// Makes an empty store in a folder that holds none. It survives a power cut.
    pub fn create(folder: impl AsRef<Path>) -> Result<(), CreateError> {
        folder::create(folder.as_ref())
    }

    /// Opens the store of a folder for this process alone.
    pub fn open(folder: impl AsRef<Path>) -> Result<Self, OpenError> {
        let (engine, lock) = folder::open(folder.as_ref())?;
        Ok(Self { folder: folder.as_ref().to_owned(), engine, failed: AtomicBool::new(false), _lock: lock })
    }

    /// All keys with their values in the order of the keys, read as they are asked for.
    pub fn load(&self) -> impl Iterator<Item = Result<(Vec<u8>, Vec<u8>), LoadError>> {
        let folder = || self.folder.clone();
        self.engine.records().map(move |entry| {
            let (key, record) = entry.map_err(|error| match error {
                engine::Error::Io(source) => LoadError::Io { folder: folder(), source },
                engine::Error::Damaged(why) => Damage { folder: folder(), why }.into(),
            })?;
            let value = record::decode(&key, &record).map_err(|error| match error {
                record::Error::Version(found) => LoadError::Version { folder: folder(), found },
                record::Error::Checksum => {
                    let why = format!("the checksum of {} does not match", shown(&key));
                    Damage { folder: folder(), why }.into()
                }
            })?;
            Ok((key.to_vec(), value.to_vec()))
        })
    }

    /// Writes a batch and returns when all of it survives a power cut. Blocks for a sync of the disk.
    pub fn commit(&self, batch: &Batch) -> Result<(), CommitError> {
        if self.failed.load(Ordering::Acquire) {
            return Err(CommitError::Stopped(self.folder.clone()));
        }
        for (key, value) in &batch.changes {
            let value_bytes = value.as_ref().map_or(0, Vec::len);
            within("key", key, key.len(), KEY_BYTES_MAX)?;
            within("value", key, value_bytes, VALUE_BYTES_MAX)?;
        }
        let records = batch.changes.iter().map(|(key, value)| {
            let record = value.as_ref().map(|value| record::encode(key, value));
            (key.clone(), record)
        });
        self.engine.write(records).map_err(|error| {
            self.failed.store(true, Ordering::Release);
            match error {
                engine::Error::Io(source) => CommitError::Io { folder: self.folder.clone(), source },
                engine::Error::Damaged(why) => CommitError::Engine { folder: self.folder.clone(), why },
            }
        })
    }
}

fn within(what: &'static str, key: &[u8], bytes: usize, max: usize) -> Result<(), CommitError> {
    if bytes <= max { Ok(()) } else { Err(CommitError::TooLarge { what, key: shown(key), bytes, max }) }
}

/// A key as a message shows it.
fn shown(key: &[u8]) -> String {
    key[..key.len().min(64)].escape_ascii().to_string()
}
