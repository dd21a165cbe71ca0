//! Blobs in a folder, one file each, named by the hexadecimal digest.
//!
//! A blob appears by a rename after it is synced, so every file under its name was whole once.
//! One that no longer has its hash is moved to `damaged/` for someone to look at, and is missing
//! from then on: it will be fetched again.

use std::fs::{self, DirBuilder, File};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use canopy_model::Digest;
use tempfile::NamedTempFile;

/// The largest blob, in bytes. Larger content is cut into several blobs by whoever makes it.
pub const BLOB_BYTES_MAX: u64 = 64 << 20;

/// The most that is read at once, in bytes: what a reader holds in memory and what a message carries.
pub const CHUNK_BYTES_MAX: usize = 256 << 10;

/// The largest message of the service, in bytes: a piece and what says so.
pub(crate) const MESSAGE_BYTES_MAX: usize = CHUNK_BYTES_MAX + 64;

/// What files that are not finished begin with.
const UNFINISHED: &str = "unfinished-";

/// Why a blob can't be read or written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The disk or its permissions.
    #[error("using the blob folder at {}", .path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What went wrong.
        source: io::Error,
    },
    /// More bytes than [`BLOB_BYTES_MAX`].
    #[error("blob is longer than {BLOB_BYTES_MAX} bytes: cut it into smaller ones")]
    TooLarge,
    /// What arrived is not what was asked for. Nothing of it was kept.
    #[error("blob {expected} was asked for, but {found} arrived")]
    Mismatch {
        /// What was asked for.
        expected: Digest,
        /// The digest of what arrived.
        found: Digest,
    },
    /// The file had changed on disk. It was moved aside, so the blob is missing now.
    #[error("blob {0} was damaged on disk and has been moved aside: fetch it again")]
    Damaged(Digest),
}

/// A folder of blobs; clones share it. All methods block for the disk.
#[derive(Debug, Clone)]
pub struct Blobs {
    folder: Arc<Path>,
}

impl Blobs {
    /// Opens the folder, or makes it for its owner alone. Only one process may use it.
    pub fn open(folder: impl AsRef<Path>) -> Result<Self, Error> {
        let folder: Arc<Path> = folder.as_ref().into();
        for path in [folder.to_path_buf(), folder.join("damaged")] {
            DirBuilder::new().recursive(true).mode(0o700).create(&path).map_err(at(&path))?;
        }
        for entry in fs::read_dir(&folder).map_err(at(&folder))? {
            let entry = entry.map_err(at(&folder))?;
            if entry.file_name().to_string_lossy().starts_with(UNFINISHED) {
                fs::remove_file(entry.path()).map_err(at(&entry.path()))?;
            }
        }
        Ok(Self { folder })
    }

    /// Keeps these bytes; when it returns they survive a power cut. Keeping them twice is once.
    pub fn put(&self, bytes: &[u8]) -> Result<Digest, Error> {
        let digest = Digest(*blake3::hash(bytes).as_bytes());
        if self.get(&digest)?.is_none() {
            let mut incoming = self.incoming(digest)?;
            incoming.write(bytes)?;
            incoming.finish()?;
        }
        Ok(digest)
    }

    /// The blob, with its hash verified; none if it is missing or was found damaged.
    pub fn get(&self, digest: &Digest) -> Result<Option<Vec<u8>>, Error> {
        let Some(mut outgoing) = self.outgoing(digest)? else { return Ok(None) };
        let mut bytes = Vec::new();
        loop {
            match outgoing.chunk() {
                Ok(Some(chunk)) => bytes.extend(chunk),
                Ok(None) => return Ok(Some(bytes)),
                Err(Error::Damaged(_)) => return Ok(None),
                Err(error) => return Err(error),
            }
        }
    }

    /// Whether there is a file for the blob. Only reading tells whether it is still good.
    pub fn has(&self, digest: &Digest) -> Result<bool, Error> {
        let path = self.path(digest);
        path.try_exists().map_err(at(&path))
    }

    /// Begins to receive a blob piece by piece.
    pub fn incoming(&self, digest: Digest) -> Result<Incoming, Error> {
        let file = tempfile::Builder::new().prefix(UNFINISHED).tempfile_in(&self.folder);
        let file = file.map_err(at(&self.folder))?;
        Ok(Incoming { blobs: self.clone(), expected: digest, file, hasher: blake3::Hasher::new() })
    }

    /// Begins to read a blob piece by piece; none if it is missing.
    pub fn outgoing(&self, digest: &Digest) -> Result<Option<Outgoing>, Error> {
        let path = self.path(digest);
        match File::open(&path) {
            Ok(file) => {
                let hasher = blake3::Hasher::new();
                Ok(Some(Outgoing { blobs: self.clone(), digest: *digest, file, hasher }))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(at(&path)(error)),
        }
    }

    fn path(&self, digest: &Digest) -> PathBuf {
        self.folder.join(hex(digest))
    }
}

/// A blob that is arriving. Dropped before [`Incoming::finish`], nothing of it stays.
pub struct Incoming {
    blobs: Blobs,
    expected: Digest,
    file: NamedTempFile,
    hasher: blake3::Hasher,
}

impl Incoming {
    /// Takes the next piece.
    pub fn write(&mut self, piece: &[u8]) -> Result<(), Error> {
        if self.hasher.count() + piece.len() as u64 > BLOB_BYTES_MAX {
            return Err(Error::TooLarge);
        }
        self.hasher.update(piece);
        self.file.write_all(piece).map_err(at(self.file.path()))
    }

    /// Verifies the whole and gives it its name; when it returns the blob survives a power cut.
    pub fn finish(self) -> Result<(), Error> {
        let found = Digest(*self.hasher.finalize().as_bytes());
        if found != self.expected {
            return Err(Error::Mismatch { expected: self.expected, found });
        }
        let (path, folder) = (self.blobs.path(&found), &self.blobs.folder);
        self.file.as_file().sync_all().map_err(at(self.file.path()))?;
        self.file.persist(&path).map_err(|error| at(&path)(error.error))?;
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(at(folder))
    }
}

/// A blob that is being read. Its hash is known at the end: whoever uses pieces before that checks
/// the whole himself.
pub struct Outgoing {
    blobs: Blobs,
    digest: Digest,
    file: File,
    hasher: blake3::Hasher,
}

impl Outgoing {
    /// The next piece, of [`CHUNK_BYTES_MAX`] unless it is the last; none after a good end.
    pub fn chunk(&mut self) -> Result<Option<Vec<u8>>, Error> {
        let path = self.blobs.path(&self.digest);
        let mut piece = Vec::with_capacity(CHUNK_BYTES_MAX);
        (&self.file).take(CHUNK_BYTES_MAX as u64).read_to_end(&mut piece).map_err(at(&path))?;
        self.hasher.update(&piece);
        let ended = piece.is_empty();
        if self.hasher.count() > BLOB_BYTES_MAX || ended && self.hasher.finalize() != self.digest.0 {
            tracing::warn!(digest = %self.digest, "blob was damaged on disk, it is moved aside");
            let aside = self.blobs.folder.join("damaged").join(hex(&self.digest));
            fs::rename(&path, &aside).map_err(at(&path))?;
            return Err(Error::Damaged(self.digest));
        }
        Ok((!ended).then_some(piece))
    }
}

/// Runs work on blobs where it holds up nobody else.
pub(crate) async fn on_disk<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work).await.expect("work on blobs does not panic")
}

fn hex(digest: &Digest) -> String {
    blake3::Hash::from_bytes(digest.0).to_hex().to_string()
}

fn at(path: &Path) -> impl Fn(io::Error) -> Error {
    move |source| Error::Io { path: path.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_put_is_got_also_by_the_next_process() {
        let (folder, blobs) = folder();
        for bytes in [vec![], b"text".to_vec(), vec![7; CHUNK_BYTES_MAX], vec![8; CHUNK_BYTES_MAX * 2 + 1]] {
            let digest = blobs.put(&bytes).unwrap();
            assert_eq!(blobs.put(&bytes).unwrap(), digest);
            assert_eq!(Blobs::open(&folder).unwrap().get(&digest).unwrap(), Some(bytes));
        }
        let missing = Digest([0; 32]);
        assert_eq!((blobs.has(&missing).unwrap(), blobs.get(&missing).unwrap()), (false, None));
        assert_eq!(files(&folder), 4);
    }

    #[test]
    fn a_blob_that_changed_on_disk_is_missing_and_can_come_again() {
        let (folder, blobs) = folder();
        let digest = blobs.put(b"content").unwrap();
        for change in ["contenT", "content and more", ""] {
            fs::write(blobs.path(&digest), change).unwrap();
            assert_eq!(blobs.get(&digest).unwrap(), None, "{change:?}");
            assert!(!blobs.has(&digest).unwrap());
            assert_eq!(
                fs::read(folder.path().join("damaged").join(hex(&digest))).unwrap(),
                change.as_bytes()
            );
            blobs.put(b"content").unwrap();
            assert_eq!(blobs.get(&digest).unwrap().unwrap(), b"content");
        }
    }

    #[test]
    fn of_an_arrival_that_fails_nothing_stays() {
        let (folder, blobs) = folder();
        let mut wrong = blobs.incoming(Digest([1; 32])).unwrap();
        wrong.write(b"something else").unwrap();
        assert!(matches!(wrong.finish(), Err(Error::Mismatch { .. })));

        let mut endless = blobs.incoming(Digest([1; 32])).unwrap();
        let piece = vec![0; BLOB_BYTES_MAX as usize / 4];
        for _ in 0..4 {
            endless.write(&piece).unwrap();
        }
        assert!(matches!(endless.write(b"x"), Err(Error::TooLarge)));
        drop(endless);
        assert_eq!(files(&folder), 0);

        fs::write(folder.path().join("unfinished-by-a-crash"), "half").unwrap();
        Blobs::open(&folder).unwrap();
        assert_eq!(files(&folder), 0);
    }

    fn folder() -> (tempfile::TempDir, Blobs) {
        let folder = tempfile::tempdir().unwrap();
        let blobs = Blobs::open(&folder).unwrap();
        (folder, blobs)
    }

    fn files(folder: &tempfile::TempDir) -> usize {
        fs::read_dir(folder).unwrap().filter(|entry| entry.as_ref().unwrap().path().is_file()).count()
    }
}
