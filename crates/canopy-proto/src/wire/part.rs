//! Uids, names, cursors, homes, labels: what rows and frames are made of.
//!
//! Identifiers of 128 bits are 16 bytes, the highest first.

use canopy_model::{
    Boot, Cursor, Digest, Home, Incarnation, Labels, Name, ObjectName, Path, Revision, Stamp, Uid, labels,
    workload::INLINE_BYTES_MAX,
};

use super::{Error, required};
use crate::link::v1;

/// An identifier as it is written.
pub(crate) fn bytes(id: u128) -> Vec<u8> {
    id.to_be_bytes().to_vec()
}

pub(crate) fn uids(uids: &[Uid]) -> Vec<Vec<u8>> {
    uids.iter().map(|uid| bytes(uid.0)).collect()
}

fn array<const N: usize>(field: &'static str, bytes: &[u8]) -> Result<[u8; N], Error> {
    bytes.try_into().map_err(|_| Error::Length { field, actual: bytes.len(), expected: N })
}

fn read_id(field: &'static str, bytes: &[u8]) -> Result<u128, Error> {
    array(field, bytes).map(u128::from_be_bytes)
}

pub(crate) fn read_uid(field: &'static str, bytes: &[u8]) -> Result<Uid, Error> {
    read_id(field, bytes).map(Uid)
}

pub(crate) fn read_uids(field: &'static str, uids: &[Vec<u8>]) -> Result<Vec<Uid>, Error> {
    uids.iter().map(|uid| read_uid(field, uid)).collect()
}

pub(crate) fn read_incarnation(bytes: &[u8]) -> Result<Incarnation, Error> {
    read_id("incarnation", bytes).map(Incarnation)
}

pub(crate) fn read_boot(bytes: &[u8]) -> Result<Boot, Error> {
    read_id("boot", bytes).map(Boot)
}

pub(crate) fn read_digest(bytes: &[u8]) -> Result<Digest, Error> {
    array("digest", bytes).map(Digest)
}

pub(crate) fn read_name(field: &'static str, text: &str) -> Result<Name, Error> {
    text.parse().map_err(|source| Error::Name { field, source })
}

pub(crate) fn read_path(field: &'static str, text: &str) -> Result<Path, Error> {
    text.parse().map_err(|source| Error::Path { field, source })
}

pub(crate) fn read_labels(map: Labels) -> Result<Labels, Error> {
    labels::check_all(&map)?;
    Ok(map)
}

impl From<&ObjectName> for v1::ObjectName {
    fn from(name: &ObjectName) -> Self {
        Self { project: name.project.to_string(), name: name.name.to_string() }
    }
}

impl TryFrom<v1::ObjectName> for ObjectName {
    type Error = Error;

    fn try_from(name: v1::ObjectName) -> Result<Self, Error> {
        Ok(Self { project: read_name("project", &name.project)?, name: read_name("name", &name.name)? })
    }
}

impl From<Cursor> for v1::Cursor {
    fn from(cursor: Cursor) -> Self {
        Self { incarnation: bytes(cursor.incarnation.0), boot: bytes(cursor.boot.0), version: cursor.version }
    }
}

impl TryFrom<v1::Cursor> for Cursor {
    type Error = Error;

    fn try_from(cursor: v1::Cursor) -> Result<Self, Error> {
        Ok(Self {
            incarnation: read_incarnation(&cursor.incarnation)?,
            boot: read_boot(&cursor.boot)?,
            version: cursor.version,
        })
    }
}

impl From<&Home> for v1::Home {
    fn from(home: &Home) -> Self {
        Self { path: home.path.to_string(), born: Some(home.born.into()) }
    }
}

impl TryFrom<v1::Home> for Home {
    type Error = Error;

    fn try_from(home: v1::Home) -> Result<Self, Error> {
        Ok(Self {
            path: read_path("home.path", &home.path)?,
            born: required("home.born", home.born)?.try_into()?,
        })
    }
}

impl From<Stamp> for v1::Stamp {
    fn from(stamp: Stamp) -> Self {
        Self { incarnation: bytes(stamp.incarnation.0), version: stamp.version }
    }
}

impl TryFrom<v1::Stamp> for Stamp {
    type Error = Error;

    fn try_from(stamp: v1::Stamp) -> Result<Self, Error> {
        Ok(Self { incarnation: read_incarnation(&stamp.incarnation)?, version: stamp.version })
    }
}

impl From<&Revision> for v1::Revision {
    fn from(revision: &Revision) -> Self {
        Self {
            digest: revision.digest.0.to_vec(),
            size: revision.size,
            inline: revision.inline.as_ref().map(|content| content.to_vec()),
        }
    }
}

impl TryFrom<v1::Revision> for Revision {
    type Error = Error;

    fn try_from(revision: v1::Revision) -> Result<Self, Error> {
        let actual = revision.inline.as_ref().map_or(0, Vec::len);
        if actual > INLINE_BYTES_MAX {
            return Err(Error::TooLarge { field: "revision.inline", actual, max: INLINE_BYTES_MAX });
        }
        Ok(Self {
            digest: read_digest(&revision.digest)?,
            size: revision.size,
            inline: revision.inline.map(Into::into),
        })
    }
}
