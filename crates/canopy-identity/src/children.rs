//! Which identity a hub has accepted for the name of each child.
//!
//! A certificate says that this hub once issued it; this says that it is still the one. Two nodes
//! that hold good certificates for one name (a cluster that was rebuilt, and the old one that comes
//! back) are told apart by it, also after the store with the children's records was lost. One file
//! for each child, so that accepting one costs the same however many there are.

use std::collections::BTreeMap;

use canopy_model::{Name, Uid};
use serde::{Deserialize, Serialize};

use crate::certificate::Fingerprint;
use crate::file;
use crate::folder::{Error, Folder};
use crate::text;

/// The identity that is accepted for a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Accepted {
    /// The child's uid.
    #[serde(with = "text")]
    pub uid: Uid,
    /// The hash of its key: an agent's own, or that of a hub's authority.
    #[serde(with = "text")]
    pub key: Fingerprint,
}

impl Folder {
    /// The identities that are accepted.
    pub fn children(&self) -> Result<BTreeMap<Name, Accepted>, Error> {
        let files = file::names(&self.file(FOLDER)).map_err(Error::File)?;
        let named = files.iter().filter_map(|file| file.strip_suffix(SUFFIX)?.parse::<Name>().ok());
        named.map(|name| Ok((name.clone(), self.read_json(&file_of(&name))?))).collect()
    }

    /// Keeps the identity that is accepted for a name. Durable when it returns.
    pub fn save_child(&self, name: &Name, accepted: &Accepted) -> Result<(), Error> {
        file::make_folder(&self.file(FOLDER)).map_err(Error::File)?;
        self.write_json(&file_of(name), accepted)
    }

    /// Frees a name.
    pub fn remove_child(&self, name: &Name) -> Result<(), Error> {
        file::remove(&self.file(&file_of(name))).map_err(Error::File)
    }
}

const FOLDER: &str = "children";
const SUFFIX: &str = ".json";

fn file_of(name: &Name) -> String {
    format!("{FOLDER}/{name}{SUFFIX}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_accepted_is_read_back_until_the_name_is_freed() {
        let place = tempfile::tempdir().unwrap();
        let folder = Folder::open(place.path().join("identity")).unwrap();
        assert!(folder.children().unwrap().is_empty());
        let [press_3, press_4]: [Name; 2] = ["press-3", "press-4"].map(|name| name.parse().unwrap());
        let accepted = |uid| Accepted { uid: Uid(uid), key: Fingerprint::of(b"key") };
        folder.save_child(&press_3, &accepted(1)).unwrap();
        folder.save_child(&press_4, &accepted(2)).unwrap();
        folder.save_child(&press_4, &accepted(3)).unwrap();
        let all = [(press_3.clone(), accepted(1)), (press_4.clone(), accepted(3))].into();
        assert_eq!(folder.children().unwrap(), all);
        folder.remove_child(&press_3).unwrap();
        assert_eq!(folder.children().unwrap(), [(press_4, accepted(3))].into());
    }
}
