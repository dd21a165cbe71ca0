//! OCI images of static programs and files, made without a container engine or a registry.
//!
//! An [`Image`] says what is in it; [`Image::archive`] makes the bytes of one file that `ctr images
//! import`, `podman load` and `skopeo copy oci-archive:` read. In reading order:
//!
//! - [`layer`]: the files, as the one layer of an image; [`pack`] makes of them what others unpack;
//! - [`archive`]: configuration, manifest and index around the layer.
//!
//! Invariant: the bytes follow from the value alone. Entries are sorted, times are zero, and the only
//! folders are those that files need or that are asked for, so that equal programs give equal digests
//! wherever they are built.

pub mod archive;
pub mod layer;

use std::collections::BTreeMap;

pub use archive::Archive;
pub use layer::{Entry, Error, pack};

/// What an image holds and how a container of it starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// The full reference, registry and tag included, such as `localhost/canopy-hub:0.1.0`: that is
    /// how a container runtime finds it after the import.
    pub name: String,
    /// Files and folders. Folders above them are made, with mode 755 and root as their owner.
    pub entries: Vec<Entry>,
    /// The program and its first words, which a pod's `args` are added to.
    pub entrypoint: Vec<String>,
    /// Who runs it: `UID` or `UID:GID`. Numbers, so that `runAsNonRoot` can be checked.
    pub user: String,
    /// Labels, such as `org.opencontainers.image.version`.
    pub labels: BTreeMap<String, String>,
}
