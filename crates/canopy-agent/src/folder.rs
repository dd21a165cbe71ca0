//! What lies in an agent's data folder.
//!
//! | name | holds |
//! |---|---|
//! | `identity/` | certificates and keys |
//! | `store/` | what the agent was told and has reported |
//! | `content/` | manifests that are too large for a row |
//! | `embedded-cluster.json` | what "runs" in the embedded cluster |
//! | `cluster-id` | which cluster the agent works on |
//! | `machine.sock` | where a running agent listens to people at the machine |
//!
//! The store of an agent may be lost: the cluster tells what it holds and the hub what it wants. So
//! a damaged one is moved aside and an empty one takes its place.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use canopy_core::durable::{Slot, Value};
use canopy_identity::Folder as Identities;
use canopy_model::Role;
use canopy_node::{data, ledger};
use canopy_store::Store;

/// An agent's data folder.
#[derive(Debug, Clone)]
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new(path: &Path) -> Self {
        Self(path.to_owned())
    }

    /// The identity folder; it is made if there is none.
    pub(crate) fn identity(&self) -> anyhow::Result<Identities> {
        data::make(&self.0).with_context(|| format!("making {}", self.0.display()))?;
        Ok(Identities::open(self.0.join("identity"))?)
    }

    pub(crate) fn content(&self) -> PathBuf {
        self.0.join("content")
    }

    pub(crate) fn embedded_cluster(&self) -> PathBuf {
        self.0.join("embedded-cluster.json")
    }

    pub(crate) fn cluster_id(&self) -> PathBuf {
        self.0.join("cluster-id")
    }

    /// Where a running agent listens to people at the machine.
    pub(crate) fn socket(&self) -> PathBuf {
        self.0.join("machine.sock")
    }

    /// Forgets the hub and all that it told. What "runs" in the embedded cluster stays.
    pub(crate) fn leave(&self) -> anyhow::Result<()> {
        for name in ["store", "content", "identity"] {
            let path = self.0.join(name);
            fs::remove_dir_all(&path).with_context(|| format!("removing {}", path.display()))?;
        }
        for path in [self.cluster_id(), self.socket()] {
            match fs::remove_file(&path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                removed => removed.with_context(|| format!("removing {}", path.display()))?,
            }
        }
        Ok(())
    }

    /// Opens the store for this process alone. None yet, or a damaged one: an empty one.
    pub(crate) fn store(&self) -> anyhow::Result<(Vec<(Slot, Value)>, Store)> {
        let path = self.0.join("store");
        match ledger::open(&path, Role::Agent) {
            Err(lost) if lost.is_lost() => Ok(data::begin_anew(&path, Role::Agent, &lost)?),
            opened => Ok(opened?),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_damaged_store_is_moved_aside_and_an_empty_one_takes_its_place() {
        let place = tempfile::tempdir().unwrap();
        let folder = Folder::new(place.path());
        drop(folder.store().unwrap());
        fs::write(place.path().join("store/engine/format"), "").unwrap();
        let (slots, _store) = folder.store().unwrap();
        assert!(slots.is_empty());
        let names = fs::read_dir(place.path()).unwrap().map(|entry| entry.unwrap().file_name());
        let aside: Vec<_> =
            names.filter(|name| name.to_string_lossy().starts_with("store.damaged-")).collect();
        assert_eq!(aside.len(), 1, "what was damaged is kept for someone to look at");
    }

    #[test]
    fn a_store_in_use_is_an_error_and_stays_where_it_is() {
        let place = tempfile::tempdir().unwrap();
        let folder = Folder::new(place.path());
        let _held = folder.store().unwrap();
        let error = format!("{:#}", folder.store().err().unwrap());
        assert!(error.contains("in use by another process"), "{error}");
        assert_eq!(fs::read_dir(place.path()).unwrap().count(), 1);
    }
}
