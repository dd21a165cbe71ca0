//! The record of a set in the cluster: one ConfigMap per workload, the parent of an ApplySet.
//!
//! It names the kinds and namespaces that may hold objects of the set, so that they are found
//! without the agent's disk. It may name too many, never too few: it is widened before the first
//! apply and narrowed after the last delete. The revision that it names was applied completely.

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use canopy_model::{Boot, Cursor, Home, Incarnation, Uid};
use canopy_upkeep::DeleteOption;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use kube::ResourceExt;
use kube::api::{Api, ListParams, Patch, PatchParams};
use kube::core::ObjectMeta;
use sha2::{Digest, Sha256};

use crate::bundle::{Bundle, Manifest};
use crate::cluster::{Cluster, RequestError, bounded};
use crate::object::GroupKind;

/// Who owns the fields that Canopy applies.
pub(crate) const FIELD_MANAGER: &str = "canopy";
/// Where the records are kept.
pub(crate) const NAMESPACE: &str = "canopy-system";
/// On every object: the uid of its workload.
pub(crate) const LABEL_UID: &str = "canopy.dev/workload-uid";
/// On every object: the id of its set.
pub(crate) const LABEL_PART_OF: &str = "applyset.kubernetes.io/part-of";

const LABEL_ID: &str = "applyset.kubernetes.io/id";
const TOOLING: &str = "applyset.kubernetes.io/tooling";
const TOOLING_VALUE: &str = "canopy/v1";
const GROUP_KINDS: &str = "applyset.kubernetes.io/contains-group-kinds";
const NAMESPACES: &str = "applyset.kubernetes.io/additional-namespaces";
const UID: &str = "canopy.dev/workload-uid";
const PROJECT: &str = "canopy.dev/project";
const NAME: &str = "canopy.dev/name";
const REVISION: &str = "canopy.dev/revision";
const HOME: &str = "canopy.dev/home";
const BORN: &str = "canopy.dev/home-born";
const PLACEMENTS: &str = "canopy.dev/placements";
const DELETE_OPTION: &str = "canopy.dev/delete-option";

/// What the cluster remembers about one workload.
#[derive(Debug, Clone, PartialEq)]
pub struct Held {
    /// The workload's uid.
    pub uid: Uid,
    /// Its project.
    pub project: String,
    /// Its name.
    pub name: String,
    /// The last revision that was applied completely; none when the first has not been yet.
    pub revision: Option<String>,
    /// The hub where it was created, and when in that hub's history.
    pub home: Home,
    /// The placements for which it runs here.
    pub placements: Vec<Uid>,
}

/// Where objects of a set may be.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Inventory {
    pub(crate) kinds: BTreeSet<GroupKind>,
    pub(crate) namespaces: BTreeSet<String>,
}

impl Inventory {
    /// Where the objects of these manifests are.
    pub(crate) fn of(manifests: &[Manifest]) -> Self {
        Self {
            kinds: manifests.iter().map(|manifest| manifest.name.kind.clone()).collect(),
            namespaces: manifests.iter().filter_map(|manifest| manifest.name.namespace.clone()).collect(),
        }
    }

    /// Where the objects of either are.
    pub(crate) fn union(&self, other: &Self) -> Self {
        Self {
            kinds: self.kinds.union(&other.kinds).cloned().collect(),
            namespaces: self.namespaces.union(&other.namespaces).cloned().collect(),
        }
    }
}

/// A record as it stands in the cluster.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Parent {
    pub(crate) held: Held,
    pub(crate) inventory: Inventory,
    /// What becomes of its objects when the workload leaves.
    pub(crate) delete_option: DeleteOption,
}

/// The id of a workload's set, as the ApplySet specification computes it from its parent.
pub(crate) fn id(uid: Uid) -> String {
    let parent = format!("{}.{NAMESPACE}.ConfigMap.", parent_name(uid));
    format!("applyset-{}-v1", URL_SAFE_NO_PAD.encode(Sha256::digest(parent)))
}

/// Selects the objects of a workload's set that still carry its uid.
pub(crate) fn members(uid: Uid) -> ListParams {
    ListParams::default().labels(&format!("{LABEL_PART_OF}={},{LABEL_UID}={uid}", id(uid)))
}

/// The parameters for what is Canopy's own: take the fields, whoever holds them.
fn params() -> PatchParams {
    PatchParams::apply(FIELD_MANAGER).force()
}

fn parent_name(uid: Uid) -> String {
    format!("workload-{uid}")
}

/// A position as text: incarnation, boot and version in hexadecimal.
fn born_text(born: &Cursor) -> String {
    format!("{:032x}.{:032x}.{:x}", born.incarnation.0, born.boot.0, born.version)
}

/// Reads [`born_text`].
fn born(text: &str) -> Option<Cursor> {
    let mut parts = text.split('.');
    let mut wide = || u128::from_str_radix(parts.next()?, 16).ok();
    let (incarnation, boot) = (Incarnation(wide()?), Boot(wide()?));
    let version = u64::from_str_radix(parts.next()?, 16).ok()?;
    Some(Cursor { incarnation, boot, version })
}

impl Parent {
    /// The record of a bundle that was applied up to `revision`.
    pub(crate) fn new(bundle: &Bundle, revision: Option<String>, inventory: Inventory) -> Self {
        let held = Held {
            uid: bundle.uid,
            project: bundle.project.clone(),
            name: bundle.name.clone(),
            revision,
            home: bundle.home.clone(),
            placements: bundle.placements.clone(),
        };
        Self { held, inventory, delete_option: bundle.upkeep.delete_option.clone() }
    }

    fn to_config_map(&self) -> ConfigMap {
        let Held { uid, project, name, revision, home, placements } = &self.held;
        let join = |mut names: Vec<String>| {
            names.sort();
            names.join(",")
        };
        let kinds = join(self.inventory.kinds.iter().map(ToString::to_string).collect());
        let others = self.inventory.namespaces.iter().filter(|namespace| *namespace != NAMESPACE);
        let mut annotations = BTreeMap::from([
            (TOOLING, TOOLING_VALUE.to_owned()),
            (GROUP_KINDS, kinds),
            (NAMESPACES, join(others.cloned().collect())),
            (UID, uid.to_string()),
            (PROJECT, project.clone()),
            (NAME, name.clone()),
            (HOME, home.path.to_string()),
            (BORN, born_text(&home.born)),
            (PLACEMENTS, join(placements.iter().map(ToString::to_string).collect())),
        ]);
        if self.delete_option != DeleteOption::default() {
            annotations
                .extend(serde_json::to_string(&self.delete_option).map(|option| (DELETE_OPTION, option)));
        }
        annotations.extend(revision.clone().map(|revision| (REVISION, revision)));
        ConfigMap {
            metadata: ObjectMeta {
                name: Some(parent_name(*uid)),
                namespace: Some(NAMESPACE.to_owned()),
                labels: Some(BTreeMap::from([(LABEL_ID.to_owned(), id(*uid))])),
                annotations: Some(
                    annotations.into_iter().map(|(key, value)| (key.to_owned(), value)).collect(),
                ),
                ..ObjectMeta::default()
            },
            ..ConfigMap::default()
        }
    }

    /// Reads a record; none when it is not one of ours.
    fn read(config_map: &ConfigMap) -> Option<Self> {
        let text = |key: &str| config_map.annotations().get(key).cloned();
        let list = |key: &str| text(key).unwrap_or_default();
        let parts = |list: &str| {
            list.split(',').filter(|part| !part.is_empty()).map(str::to_owned).collect::<Vec<_>>()
        };
        if text(TOOLING)? != TOOLING_VALUE {
            return None;
        }
        let held = Held {
            uid: text(UID)?.parse().ok()?,
            project: text(PROJECT)?,
            name: text(NAME)?,
            revision: text(REVISION),
            home: Home { path: text(HOME)?.parse().ok()?, born: born(&text(BORN)?)? },
            placements: parts(&list(PLACEMENTS)).iter().filter_map(|uid| uid.parse().ok()).collect(),
        };
        let inventory = Inventory {
            kinds: parts(&list(GROUP_KINDS)).iter().map(|kind| GroupKind::read(kind)).collect(),
            namespaces: parts(&list(NAMESPACES)).into_iter().collect(),
        };
        let delete_option = match text(DELETE_OPTION) {
            Some(option) => serde_json::from_str(&option).ok()?,
            None => DeleteOption::default(),
        };
        Some(Self { held, inventory, delete_option })
    }
}

impl Cluster {
    /// What is in the cluster, whoever applied it and whenever: every record that Canopy left, by uid.
    pub async fn list(&self) -> Result<Vec<Held>, RequestError> {
        let mut held: Vec<_> = self.records().await?.into_iter().map(|parent| parent.held).collect();
        held.sort_by_key(|held| held.uid);
        Ok(held)
    }

    /// Every record that Canopy left in the cluster.
    pub(crate) async fn records(&self) -> Result<Vec<Parent>, RequestError> {
        let records = bounded(self.parents().list(&ListParams::default().labels(LABEL_ID))).await?;
        Ok(records.iter().filter_map(Parent::read).collect())
    }

    /// The record of one workload; none when there is none.
    pub(crate) async fn parent(&self, uid: Uid) -> Result<Option<Parent>, RequestError> {
        let found = bounded(self.parents().get_opt(&parent_name(uid))).await?;
        Ok(found.as_ref().and_then(Parent::read))
    }

    /// Writes a record, and the namespace of records before the first one.
    pub(crate) async fn write_parent(&self, parent: &Parent) -> Result<(), RequestError> {
        match self.try_write_parent(parent).await {
            Err(error) if error.is_not_found() => {
                let namespace = Namespace {
                    metadata: ObjectMeta { name: Some(NAMESPACE.to_owned()), ..ObjectMeta::default() },
                    ..Namespace::default()
                };
                let namespaces = Api::<Namespace>::all(self.client.clone());
                bounded(namespaces.patch(NAMESPACE, &params(), &Patch::Apply(&namespace))).await?;
                self.try_write_parent(parent).await
            }
            written => written,
        }
    }

    async fn try_write_parent(&self, parent: &Parent) -> Result<(), RequestError> {
        let name = parent_name(parent.held.uid);
        let patch = Patch::Apply(parent.to_config_map());
        bounded(self.parents().patch(&name, &params(), &patch)).await.map(drop)
    }

    /// Removes the record of one workload, if it is there.
    pub(crate) async fn remove_parent(&self, uid: Uid) -> Result<(), RequestError> {
        match bounded(self.parents().delete(&parent_name(uid), &Default::default())).await {
            Err(error) if !error.is_not_found() => Err(error),
            _ => Ok(()),
        }
    }

    fn parents(&self) -> Api<ConfigMap> {
        Api::namespaced(self.client.clone(), NAMESPACE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use canopy_upkeep::PropagationPolicy;

    fn parent() -> Parent {
        Parent {
            held: Held {
                uid: Uid(7),
                project: "default".into(),
                name: "web".into(),
                revision: Some("ab12".into()),
                home: Home {
                    path: "eu/plant-7".parse().unwrap(),
                    born: Cursor { incarnation: Incarnation(3), boot: Boot(u128::MAX), version: 41 },
                },
                placements: vec![Uid(8), Uid(9)],
            },
            inventory: Inventory {
                kinds: ["ConfigMap", "Deployment.apps"].map(GroupKind::read).into(),
                namespaces: ["line-7".to_owned()].into(),
            },
            delete_option: DeleteOption {
                propagation_policy: PropagationPolicy::Orphan,
                ..Default::default()
            },
        }
    }

    #[test]
    fn the_id_is_that_of_the_specification() {
        // printf %s workload-00000000-0000-0000-0000-000000000007.canopy-system.ConfigMap. | sha256sum, in base64url
        assert_eq!(id(Uid(7)), "applyset-7WPN300CWc-GeUQE3S1lPy2DlgkSLmFHbUYo7ZOqiVI-v1");
        assert!(id(Uid(7)).len() <= canopy_model::labels::LABEL_BYTES_MAX);
    }

    #[test]
    fn a_record_reads_back_and_foreign_ones_are_left_alone() {
        let parent = parent();
        let mut record = parent.to_config_map();
        assert_eq!(record.annotations()[GROUP_KINDS], "ConfigMap,Deployment.apps");
        assert_eq!(Parent::read(&record), Some(parent));
        record.annotations_mut().insert(TOOLING.into(), "kubectl/v1.27".into());
        assert_eq!(Parent::read(&record), None);
    }

    #[test]
    fn a_first_apply_names_no_revision() {
        let mut parent = parent();
        parent.held.revision = None;
        assert_eq!(Parent::read(&parent.to_config_map()), Some(parent));
    }
}
