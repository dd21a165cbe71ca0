//! The file of an embedded cluster: what "runs" in it, by the workload's uid.

use std::collections::BTreeMap;

use canopy_core::cluster::Set;
use canopy_core::cluster::object::{Definition, Id, Kept, Template};
use canopy_core::cluster::pods::Pods;
use canopy_core::input::Found;
use canopy_model::{Boot, Cursor, Digest, Home, Incarnation, Now, ObjectName, Uid};
use serde::{Deserialize, Serialize};

/// What is in one embedded cluster.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Contents {
    /// By uid.
    pub workloads: BTreeMap<String, Running>,
    /// What stayed when its workload left.
    #[serde(default)]
    pub left: Vec<Object>,
}

/// What one workload has in the cluster.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Running {
    /// The workload's name.
    pub name: String,
    /// Its project.
    pub project: String,
    /// The digest that was applied last; none before the first apply was complete.
    pub revision: Option<String>,
    /// Healthy, Progressing or Degraded.
    pub health: String,
    /// Why; empty when it is healthy.
    pub message: String,
    /// Its objects.
    pub objects: Vec<Object>,
    /// Path of the workload's home.
    pub home: String,
    /// When in the home's history it was created: incarnation, boot and version in hexadecimal.
    pub born: (String, String, String),
    /// Uids of the placements for which it runs.
    pub placements: Vec<String>,
}

/// One object.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Object {
    /// The API group; empty for the core group.
    pub group: String,
    /// The kind.
    pub kind: String,
    /// The namespace; none for an object of the whole cluster.
    pub namespace: Option<String>,
    /// The name.
    pub name: String,
    /// Whether it never gets well.
    pub fails: bool,
    /// Its pods.
    pub pods: Option<PodCounts>,
    /// The kind that it defines.
    pub defines: Option<Defined>,
    /// Whether it stays when its workload leaves.
    #[serde(default)]
    pub stays: bool,
}

/// The pods of an object.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PodCounts {
    /// Digest of what they are made from.
    pub template: String,
    /// How many there should be.
    pub wanted: u32,
    /// How many are ready.
    pub ready: u32,
    /// How many of earlier templates are ready.
    pub old_ready: u32,
}

/// A kind that an object defines.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Defined {
    /// Its group.
    pub group: String,
    /// The kind.
    pub kind: String,
    /// The versions that are served.
    pub versions: Vec<String>,
    /// Whether its objects live in a namespace.
    pub namespaced: bool,
}

impl Running {
    /// What a workload has in the cluster now.
    pub(super) fn new(now: Now, set: &Set) -> Self {
        let Found { name, home, placements, revision, .. } = &set.found;
        let Cursor { incarnation, boot, version } = home.born;
        let (health, message) = set.health(now);
        Self {
            name: name.name.to_string(),
            project: name.project.to_string(),
            revision: revision.as_ref().map(Digest::to_string),
            health: health.to_string(),
            message,
            objects: objects(now, &set.objects),
            home: home.path.to_string(),
            born: (format!("{:x}", incarnation.0), format!("{:x}", boot.0), format!("{version:x}")),
            placements: placements.iter().map(Uid::to_string).collect(),
        }
    }

    /// As a survey finds it; none when a field is not valid.
    pub(super) fn found(&self, uid: &str) -> Option<Found> {
        let (incarnation, boot, version) = &self.born;
        let born = Cursor {
            incarnation: Incarnation(u128::from_str_radix(incarnation, 16).ok()?),
            boot: Boot(u128::from_str_radix(boot, 16).ok()?),
            version: u64::from_str_radix(version, 16).ok()?,
        };
        Some(Found {
            uid: uid.parse().ok()?,
            name: ObjectName { project: self.project.parse().ok()?, name: self.name.parse().ok()? },
            home: Home { path: self.home.parse().ok()?, born },
            placements: self.placements.iter().map(|uid| uid.parse().ok()).collect::<Option<_>>()?,
            revision: self.revision.as_deref().map(str::parse).transpose().ok()?,
        })
    }
}

/// Objects as they are written down.
pub(super) fn objects(now: Now, kept: &BTreeMap<Id, Kept>) -> Vec<Object> {
    kept.iter().map(|(id, kept)| Object::new(now, id, kept)).collect()
}

/// Objects that were written down, to be put back; none when a digest is not valid.
pub(super) fn kept(now: Now, objects: Vec<Object>) -> Option<BTreeMap<Id, Kept>> {
    objects.into_iter().map(|object| object.kept(now)).collect()
}

impl Object {
    fn new(now: Now, id: &Id, kept: &Kept) -> Self {
        let Id { group, kind, namespace, name } = id.clone();
        let pods = kept.pods.as_ref().map(|pods| PodCounts {
            template: pods.template().digest.to_string(),
            wanted: pods.template().replicas,
            ready: pods.ready(now),
            old_ready: pods.old_ready(now),
        });
        let defines = kept.defines.clone().map(|Definition { group, kind, versions, namespaced }| Defined {
            group,
            kind,
            versions,
            namespaced,
        });
        Self { group, kind, namespace, name, fails: kept.fails, pods, defines, stays: kept.stays }
    }

    fn kept(self, now: Now) -> Option<(Id, Kept)> {
        let Self { group, kind, namespace, name, fails, pods, defines, stays } = self;
        let pods = pods.map(|PodCounts { template, wanted, ready, old_ready }| {
            let template = Template { digest: template.parse().ok()?, replicas: wanted };
            Some(Pods::with(now, template, fails, ready, old_ready))
        });
        let pods = match pods {
            Some(pods) => Some(pods?),
            None => None,
        };
        let defines = defines.map(|Defined { group, kind, versions, namespaced }| Definition {
            group,
            kind,
            versions,
            namespaced,
        });
        Some((Id { group, kind, namespace, name }, Kept { fails, pods, defines, stays }))
    }
}
