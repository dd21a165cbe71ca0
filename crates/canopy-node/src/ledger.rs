//! What the driver needs of the disk, and the store that gives it.

use std::error::Error as StdError;
use std::path::Path;

use canopy_core::durable::{Change, Slot, Value};
use canopy_model::Role;
use canopy_proto::store_codec;
use canopy_store::{Batch, LoadError, OpenError, Store};

/// Makes changes durable.
pub trait Ledger: Send {
    /// Writes all the changes or none, in order, and returns when they survive the loss of power.
    /// May block.
    ///
    /// # Errors
    /// Whatever hinders that. The driver ends then: the machine is ahead of its disk.
    fn commit(&mut self, changes: &[Change]) -> Result<(), Box<dyn StdError + Send + Sync>>;
}

/// Why a node's state cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The store does not open.
    #[error("the store cannot be opened")]
    Open(#[source] OpenError),
    /// The store opens, and not all of it can be read.
    #[error("the store cannot be read")]
    Load(#[source] LoadError),
    /// What was read makes no sense to this version.
    #[error(
        "the store holds what this version cannot read: run the version that wrote it, or move the store away to \
         begin anew"
    )]
    Decode(#[source] store_codec::Error),
    /// What was read is another program's.
    #[error("the store holds {0}, which this program does not keep: give this node's own folder as --data")]
    Foreign(String),
}

/// Opens the store of a hub's or an agent's folder: what it holds, and where to commit further changes.
pub fn open(folder: &Path, role: Role) -> Result<(Vec<(Slot, Value)>, Store), Error> {
    let store = Store::open(folder).map_err(Error::Open)?;
    let slots = store.load().map(|entry| {
        let (key, value) = entry.map_err(Error::Load)?;
        let (slot, value) = store_codec::decode(&key, &value).map_err(Error::Decode)?;
        if !slot.is_of(role) {
            return Err(Error::Foreign(format!("{slot:?}")));
        }
        Ok((slot, value))
    });
    let slots = slots.collect::<Result<_, Error>>()?;
    Ok((slots, store))
}

impl Error {
    /// Whether there is nothing to begin with: no store, or one that cannot be read any more.
    pub fn is_lost(&self) -> bool {
        match self {
            Self::Open(OpenError::Missing(_) | OpenError::Damaged(_)) => true,
            Self::Load(LoadError::Damaged(_)) => true,
            // Another version wrote it, and that one can still read it.
            Self::Open(_) | Self::Load(_) | Self::Decode(_) | Self::Foreign(_) => false,
        }
    }
}

impl Ledger for Store {
    fn commit(&mut self, changes: &[Change]) -> Result<(), Box<dyn StdError + Send + Sync>> {
        let mut batch = Batch::default();
        for change in changes {
            match store_codec::encode(change) {
                (key, Some(value)) => batch.put(key, value),
                (key, None) => batch.delete(key),
            }
        }
        Store::commit(self, &batch).map_err(Into::into)
    }
}

#[cfg(test)]
mod tests {
    use canopy_core::{Hub, Input, Machine};
    use canopy_model::{Boot, Now};

    use super::*;

    #[test]
    fn what_was_committed_is_there_after_opening_again() {
        let place = tempfile::tempdir().unwrap();
        assert!(matches!(open(place.path(), Role::Hub), Err(Error::Open(OpenError::Missing(_)))));
        Store::create(place.path()).unwrap();
        let mut committed = Vec::new();
        {
            let (slots, mut store) = open(place.path(), Role::Hub).unwrap();
            let mut hub = Hub::load(canopy_model::Path::root(), slots);
            let step = hub.handle(Now::default(), Input::Started { boot: Boot(1) });
            step.commit(|changes| {
                committed = changes.to_vec();
                Ledger::commit(&mut store, changes)
            })
            .unwrap();
        }
        let (slots, _store) = open(place.path(), Role::Hub).unwrap();
        let read: Vec<Change> = slots.into_iter().map(|(slot, value)| Change::Put(slot, value)).collect();
        assert!(!read.is_empty());
        assert_eq!(read, committed);
    }

    #[test]
    fn a_store_of_another_program_is_refused_and_not_read_in_part() {
        let place = tempfile::tempdir().unwrap();
        Store::create(place.path()).unwrap();
        let mut store = Store::open(place.path()).unwrap();
        let hold = Change::Put(Slot::Hold, Value::Hold("maintenance".to_owned()));
        Ledger::commit(&mut store, &[hold]).unwrap();
        drop(store);
        let error = open(place.path(), Role::Hub).err().unwrap();
        assert!(error.to_string().starts_with("the store holds Hold, which"), "{error:?}");
        assert!(!error.is_lost());
        assert!(open(place.path(), Role::Agent).is_ok());
    }
}
