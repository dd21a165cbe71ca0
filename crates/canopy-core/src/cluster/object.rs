//! What an embedded cluster looks at in an object: enough to refuse it, to give it to one workload
//! only, and to say how it is doing.

use std::fmt;

use canopy_model::{Digest, Now};

use super::pods::Pods;

/// Names an object in its cluster, whatever version it is written in.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Id {
    /// The API group; empty for the core group.
    pub group: String,
    /// The kind.
    pub kind: String,
    /// The namespace; none for an object of the whole cluster.
    pub namespace: Option<String>,
    /// The name.
    pub name: String,
}

impl Id {
    /// Whether other objects need this one to exist before they can be applied.
    pub(super) fn is_foundation(&self) -> bool {
        matches!(
            (self.group.as_str(), self.kind.as_str()),
            ("", "Namespace") | ("apiextensions.k8s.io", "CustomResourceDefinition")
        )
    }
}

impl fmt::Display for Id {
    /// Writes `Deployment line-7/web`, or `Namespace line-7` for an object of the whole cluster.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ", self.kind)?;
        if let Some(namespace) = &self.namespace {
            write!(f, "{namespace}/")?;
        }
        f.write_str(&self.name)
    }
}

/// An object that is to be applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    /// Which one.
    pub id: Id,
    /// The version of its group that it is written in.
    pub version: String,
    /// Why no API server takes it, beginning with the reason in one word; none when it is fine.
    pub rejected: Option<String>,
    /// Whether it, or its pods, never get well.
    pub fails: bool,
    /// The pods that it wants; none for an object without any.
    pub pods: Option<Template>,
    /// The kind that it defines.
    pub defines: Option<Definition>,
    /// Whether it is made when it is absent, and never changed.
    pub create_only: bool,
    /// Whether it stays, as nobody's, when its workload leaves or no longer names it.
    pub stays: bool,
}

/// Pods that an object wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Template {
    /// Stands for what they are made from: pods of another template are old ones.
    pub digest: Digest,
    /// How many.
    pub replicas: u32,
}

/// A kind that the cluster serves because of a definition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Definition {
    /// Its group.
    pub group: String,
    /// The kind.
    pub kind: String,
    /// The versions that are served.
    pub versions: Vec<String>,
    /// Whether its objects live in a namespace.
    pub namespaced: bool,
}

/// An object that is in the cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// Whether it never gets well.
    pub fails: bool,
    /// Its pods; none for an object without any.
    pub pods: Option<Pods>,
    /// The kind that it defines.
    pub defines: Option<Definition>,
    /// Whether it stays, as nobody's, when its workload leaves or no longer names it.
    pub stays: bool,
}

impl Kept {
    /// The object as it is after an apply; `old` is what it was before.
    pub(super) fn new(now: Now, object: Object, old: Option<&Self>) -> Self {
        let Object { fails, pods, defines, stays, .. } = object;
        let pods = pods.map(|template| match old.and_then(|old| old.pods.as_ref()) {
            Some(old) => old.changed(now, template, fails),
            None => Pods::start(now, template, fails),
        });
        Self { fails, pods, defines, stays }
    }
}
