//! The data folder, and what becomes of a store that does not open.
//!
//! A root never starts empty by itself: nobody else knows its objects. A hub below another one
//! does: its parent tells it what is wanted, its children what runs.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use canopy_core::durable::{Slot, Value};
use canopy_node::ledger::{self, Error};
use canopy_store::{LoadError, OpenError, Store};
use tracing::warn;

use crate::args::Data;
use crate::registry::seconds;

impl Data {
    /// Keys and certificates, tokens and revocations.
    pub fn identity(&self) -> PathBuf {
        self.folder.join("identity")
    }

    /// The durable state.
    pub fn store(&self) -> PathBuf {
        self.folder.join("store")
    }

    /// Content that is too large for rows.
    pub fn content(&self) -> PathBuf {
        self.folder.join("content")
    }

    /// Makes the data folder, if it is not there.
    pub fn create(&self) -> anyhow::Result<()> {
        let folder = &self.folder;
        std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))
    }

    /// Opens the store. That of a hub below another one is replaced if it is lost.
    pub fn open(&self, is_root: bool) -> anyhow::Result<(Vec<(Slot, Value)>, Store)> {
        let folder = self.store();
        let error = match ledger::open(&folder) {
            Ok(opened) => return Ok(opened),
            Err(error) => error,
        };
        let missing = matches!(error, Error::Open(OpenError::Missing(_)));
        if !missing && !is_damaged(&error) {
            return Err(error.into());
        }
        if is_root {
            return Err(error).with_context(|| ways_back(&self.folder));
        }
        if missing {
            warn!(folder = %folder.display(), "there is no store; beginning with an empty one");
        } else {
            let aside = folder.with_file_name(format!("store.damaged-{}", seconds()));
            std::fs::rename(&folder, &aside).context("the damaged store cannot be moved aside")?;
            let why = format!("{:#}", anyhow::Error::from(error));
            warn!(aside = %aside.display(), why, "the store is damaged and was moved aside; beginning with an empty one");
        }
        Store::create(&folder)?;
        Ok(ledger::open(&folder)?)
    }

    /// Makes an empty store.
    pub fn create_store(&self) -> anyhow::Result<()> {
        let folder = self.store();
        if folder.join("engine").exists() {
            bail!("{} holds a store already: move it away to begin another", folder.display());
        }
        Ok(Store::create(&folder)?)
    }
}

fn is_damaged(error: &Error) -> bool {
    matches!(error, Error::Open(OpenError::Damaged(_)) | Error::Load(LoadError::Damaged(_)))
}

fn ways_back(folder: &Path) -> String {
    let store = folder.join("store");
    format!(
        "the root's store is lost, and only the root knows its objects: put a backup in the place of {0}, or \
         move {0} away and run `canopy-hub init --adopt --data {1}`, and adopt what the clusters still run",
        store.display(),
        folder.display()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn data() -> (tempfile::TempDir, Data) {
        let place = tempfile::tempdir().unwrap();
        let data = Data { folder: place.path().to_owned() };
        (place, data)
    }

    /// Makes a store that cannot be opened any more.
    fn damage(data: &Data) {
        data.create_store().unwrap();
        std::fs::remove_file(data.store().join("engine/db")).unwrap();
    }

    #[test]
    fn a_root_never_starts_empty_by_itself() {
        let (_place, data) = data();
        let missing = data.open(true).err().unwrap();
        assert!(format!("{missing:#}").contains("init --adopt"), "{missing:#}");
        damage(&data);
        let damaged = data.open(true).err().unwrap();
        assert!(format!("{damaged:#}").contains("put a backup"), "{damaged:#}");
    }

    #[test]
    fn a_regional_hub_moves_a_damaged_store_aside() {
        let (place, data) = data();
        damage(&data);
        let (slots, store) = data.open(false).unwrap();
        assert!(slots.is_empty());
        let kept = std::fs::read_dir(place.path()).unwrap().filter_map(Result::ok);
        let aside = kept.filter(|entry| entry.file_name().to_string_lossy().starts_with("store.damaged-"));
        assert_eq!(aside.count(), 1);
        let second = data.open(false).err().unwrap();
        assert!(format!("{second:#}").contains("in use by another process"), "{second:#}");
        drop(store);
    }
}
