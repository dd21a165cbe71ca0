//! The data folder, and what becomes of a store that does not open.
//!
//! A root never starts empty by itself: nobody else knows its objects. A hub below another one
//! does: its parent tells it what is wanted, its children what runs.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use canopy_core::durable::{Slot, Value};
use canopy_model::Role;
use canopy_node::{data, ledger};
use canopy_store::Store;

use crate::args::Data;

impl Data {
    /// Keys and certificates, tokens and revocations.
    pub fn identity(&self) -> PathBuf {
        self.folder.join("identity")
    }

    /// Whether a hub was made here.
    pub fn has_identity(&self) -> bool {
        self.identity().join("identity.json").exists()
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
        data::make(folder).with_context(|| format!("cannot make {}", folder.display()))
    }

    /// Opens the store. That of a hub below another one is replaced if it is lost.
    pub fn open(&self, is_root: bool) -> anyhow::Result<(Vec<(Slot, Value)>, Store)> {
        let folder = self.store();
        match ledger::open(&folder, Role::Hub) {
            Err(lost) if lost.is_lost() && is_root => Err(lost).with_context(|| ways_back(&self.folder)),
            Err(lost) if lost.is_lost() => Ok(data::begin_anew(&folder, Role::Hub, &lost)?),
            opened => Ok(opened?),
        }
    }

    /// Refuses a folder in which a store is already.
    pub fn check_no_store(&self) -> anyhow::Result<()> {
        let folder = self.store();
        if folder.join("engine").exists() {
            bail!("{} holds a store already: move it away to begin another", folder.display());
        }
        Ok(())
    }

    /// Makes an empty store.
    pub fn create_store(&self) -> anyhow::Result<()> {
        self.check_no_store()?;
        Ok(Store::create(self.store())?)
    }
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

    #[test]
    fn the_data_folder_is_its_owners_alone() {
        use std::os::unix::fs::PermissionsExt as _;
        let place = tempfile::tempdir().unwrap();
        let data = Data { folder: place.path().join("var/hub") };
        data.create().unwrap();
        let mode = std::fs::metadata(&data.folder).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
    }

    #[test]
    fn a_store_of_another_version_is_left_as_it_is() {
        let (_place, data) = data();
        data.create_store().unwrap();
        let store = Store::open(data.store()).unwrap();
        let mut batch = canopy_store::Batch::default();
        batch.put(vec![255], vec![0]);
        store.commit(&batch).unwrap();
        drop(store);
        for is_root in [true, false] {
            let other = data.open(is_root).err().unwrap();
            assert!(format!("{other:#}").contains("run the version that wrote it"), "{other:#}");
        }
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
