//! What all objects share: their kind, their metadata and the hub where they are at home.

use crate::{Labels, Name, Path, Placement, Role, Uid, Wall, Workload};

/// What sort of thing a name speaks of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A hub below this one; its name is its path.
    Hub,
    /// An edge cluster with its agent; its name is its path.
    Cluster,
    /// A machine of an edge cluster; only its cluster tells of it.
    Machine,
    /// A policy that selects clusters.
    Placement,
    /// Manifests that run where its placements select.
    Workload,
}

impl Kind {
    /// The kind as written in YAML.
    pub fn name(self) -> &'static str {
        match self {
            Self::Hub => "Hub",
            Self::Cluster => "Cluster",
            Self::Machine => "Machine",
            Self::Placement => "Placement",
            Self::Workload => "Workload",
        }
    }

    /// The role of a child that users know under this kind; none for objects with a home.
    pub fn role(self) -> Option<Role> {
        match self {
            Self::Hub => Some(Role::Hub),
            Self::Cluster => Some(Role::Agent),
            Self::Machine | Self::Placement | Self::Workload => None,
        }
    }
}

/// Names one history of a hub's store. It compares for equality only; a hub that lost its memory,
/// or was restored from an old copy, lives on in a new one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Incarnation(pub u128);

/// Drawn at random at each opening of a store. Compares for equality only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Boot(pub u128);

/// A position in a node's history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cursor {
    /// The node's incarnation.
    pub incarnation: Incarnation,
    /// Its boot in which the position was reached.
    pub boot: Boot,
    /// The commit.
    pub version: u64,
}

impl Cursor {
    /// The same position, or a later one of the same boot.
    pub fn at_least(self, version: u64) -> Self {
        Self { version: self.version.max(version), ..self }
    }
}

/// The hub where an object was created, and when in that hub's history. So a hub that does not know
/// an object can tell whether it deleted it, or was itself restored from before its creation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Home {
    /// The hub's path; the object's scope is the subtree below it.
    pub path: Path,
    /// The commit of its creation, or adoption.
    pub born: Cursor,
}

/// How an object is called inside its home.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectName {
    /// The project it belongs to.
    pub project: Name,
    /// Its own name, unique per kind and project.
    pub name: Name,
}

/// The version of an object for compare-and-swap: the home's commit that last changed it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct ResourceVersion(pub u64);

/// What every object carries besides its specification.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Metadata {
    /// Project and name.
    pub name: ObjectName,
    /// Permanent; a name that is used again gets another.
    pub uid: Uid,
    /// Where it was created.
    pub home: Home,
    /// Counts the changes of its specification, from 1.
    pub generation: u64,
    /// The last change of any part.
    pub resource_version: ResourceVersion,
    /// Given by its owner.
    pub labels: Labels,
    /// Who created it.
    pub created_by: String,
    /// Who changed it last.
    pub changed_by: String,
    /// When it was created.
    pub created: Wall,
    /// When its deletion was asked for; it stays until the last cluster has reported it gone.
    pub deleted: Option<Wall>,
}

/// An object with a home: what users write and hubs hand down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    /// Name, uid, home and versions.
    pub metadata: Metadata,
    /// What is wanted.
    pub spec: Spec,
}

/// What is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Spec {
    /// Which clusters to select.
    Placement(Placement),
    /// What to run where.
    Workload(Workload),
}

impl Spec {
    /// The kind of the object that has this specification.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Placement(_) => Kind::Placement,
            Self::Workload(_) => Kind::Workload,
        }
    }
}

impl Object {
    /// The specification of a workload, if it is one.
    pub fn workload(&self) -> Option<&Workload> {
        match &self.spec {
            Spec::Workload(workload) => Some(workload),
            Spec::Placement(_) => None,
        }
    }

    /// The specification of a placement, if it is one.
    pub fn placement(&self) -> Option<&Placement> {
        match &self.spec {
            Spec::Placement(placement) => Some(placement),
            Spec::Workload(_) => None,
        }
    }
}
