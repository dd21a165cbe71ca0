//! The data folder of a node, and what takes the place of a store that is lost.

use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use canopy_core::durable::{Slot, Value};
use canopy_model::Role;
use canopy_proto::convert::one_line;
use canopy_store::{CreateError, Store};
use tracing::warn;

use crate::{clock, ledger};

/// Why there is no store to begin with.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The damaged store stays where it is.
    #[error("the damaged store {} cannot be moved aside", .0.display())]
    Aside(PathBuf, #[source] io::Error),
    /// No new store was made.
    #[error("no new store was made")]
    Create(#[source] CreateError),
    /// The new store does not open.
    #[error("the new store does not open")]
    Open(#[source] ledger::Error),
}

/// Makes the data folder for its owner alone, with those above it, if it is not there.
pub fn make(folder: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

/// Begins with an empty store in the place of the one that was lost; a damaged one is moved aside.
pub fn begin_anew(
    store: &Path,
    role: Role,
    lost: &ledger::Error,
) -> Result<(Vec<(Slot, Value)>, Store), Error> {
    let why = one_line(lost);
    if store.join("engine").exists() {
        let aside = store.with_file_name(format!("store.damaged-{}", clock::wall().0));
        std::fs::rename(store, &aside).map_err(|error| Error::Aside(store.to_owned(), error))?;
        warn!(why, aside = %aside.display(),
            "the store is damaged and was moved aside; this node begins with an empty one and learns again \
             from those above and below it");
    } else {
        warn!(why, "there is no store; this node begins with an empty one");
    }
    Store::create(store).map_err(Error::Create)?;
    ledger::open(store, role).map_err(Error::Open)
}
