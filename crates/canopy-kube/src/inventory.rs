//! The inventory of a set in the cluster: one ConfigMap per workload, which stands for its ApplySet.
//!
//! It names the kinds and namespaces that may hold objects of the set, so that they are found
//! without the agent's disk. It may name too many, never too few: it is widened before the first
//! apply and narrowed after the last delete. The revision that it names was applied completely. One
//! that can't be read is an error and never counts as absent: what it speaks of runs on.

use std::collections::{BTreeMap, BTreeSet};
use std::str::FromStr;

use canopy_model::{Boot, Cursor, Digest, Home, Incarnation, ObjectName, Uid};
use canopy_upkeep::{DeleteOption, Executor, Upkeep};
use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use kube::ResourceExt;
use kube::api::{Api, ListParams, Patch, PatchParams};
use kube::core::ObjectMeta;

use crate::applyset::{FIELD_MANAGER, NAMESPACE, id, inventory_name, inventory_of};
use crate::bundle::{Bundle, Manifest};
use crate::cluster::{Cluster, RequestError, bounded};
use crate::object::GroupKind;

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
const EXECUTOR: &str = "canopy.dev/executor";

/// What the cluster remembers about one workload.
#[derive(Debug, Clone, PartialEq)]
pub struct Held {
    /// The workload's uid.
    pub uid: Uid,
    /// Its name.
    pub name: ObjectName,
    /// The last revision that was applied completely; none when the first has not been yet.
    pub revision: Option<Digest>,
    /// The hub where it was created, and when in that hub's history.
    pub home: Home,
    /// The placements for which it runs here.
    pub placements: Vec<Uid>,
}

/// Why an inventory can't be read: somebody changed it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "annotation {annotation} of ConfigMap {NAMESPACE}/{} {}: put it right, or delete the ConfigMap to \
     have it written anew; what the workload no longer names then stays",
    inventory_name(*uid),
    value.as_ref().map_or("is missing".to_owned(), |value| format!("is {value:?}, which can't be read"))
)]
pub struct Unreadable {
    /// The workload.
    pub uid: Uid,
    /// What is wrong with it.
    pub annotation: &'static str,
    /// What stands there; none when it is missing.
    pub value: Option<String>,
}

/// Where objects of a set may be.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Extent {
    pub(crate) kinds: BTreeSet<GroupKind>,
    pub(crate) namespaces: BTreeSet<String>,
}

impl Extent {
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

/// An inventory as it stands in the cluster.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Inventory {
    pub(crate) held: Held,
    pub(crate) extent: Extent,
    /// What becomes of its objects when the workload leaves.
    pub(crate) delete_option: DeleteOption,
    /// In whose name they are deleted then.
    pub(crate) executor: Option<Executor>,
}

/// The parameters for what is Canopy's own: take the fields, whoever holds them.
fn params() -> PatchParams {
    PatchParams::apply(FIELD_MANAGER).force()
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

/// Reads names that are separated by commas.
fn list<T>(text: &str, read: impl Fn(&str) -> Option<T>) -> Option<Vec<T>> {
    text.split(',').filter(|part| !part.is_empty()).map(read).collect()
}

fn parsed<T: FromStr>(text: &str) -> Option<T> {
    text.parse().ok()
}

impl Inventory {
    /// The inventory of a bundle that was applied up to `revision`.
    pub(crate) fn new(bundle: &Bundle, revision: Option<Digest>, extent: Extent) -> Self {
        let held = Held {
            uid: bundle.uid,
            name: bundle.name.clone(),
            revision,
            home: bundle.home.clone(),
            placements: bundle.placements.clone(),
        };
        let Upkeep { delete_option, executor, .. } = bundle.upkeep.clone();
        Self { held, extent, delete_option, executor }
    }

    fn to_config_map(&self) -> ConfigMap {
        let Held { uid, name, revision, home, placements } = &self.held;
        let join = |mut names: Vec<String>| {
            names.sort();
            names.join(",")
        };
        let kinds = join(self.extent.kinds.iter().map(ToString::to_string).collect());
        let mut annotations = BTreeMap::from([
            (TOOLING, TOOLING_VALUE.to_owned()),
            (GROUP_KINDS, kinds),
            (NAMESPACES, join(self.extent.namespaces.iter().cloned().collect())),
            (UID, uid.to_string()),
            (PROJECT, name.project.to_string()),
            (NAME, name.name.to_string()),
            (HOME, home.path.to_string()),
            (BORN, born_text(&home.born)),
            (PLACEMENTS, join(placements.iter().map(ToString::to_string).collect())),
        ]);
        if self.delete_option != DeleteOption::default() {
            annotations
                .extend(serde_json::to_string(&self.delete_option).map(|option| (DELETE_OPTION, option)));
        }
        let executor = self.executor.as_ref().and_then(|executor| serde_json::to_string(executor).ok());
        annotations.extend(executor.map(|executor| (EXECUTOR, executor)));
        annotations.extend(revision.map(|revision| (REVISION, revision.to_string())));
        ConfigMap {
            metadata: ObjectMeta {
                name: Some(inventory_name(*uid)),
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

    /// Reads an inventory; none when it is another tool's.
    fn read(config_map: &ConfigMap) -> Result<Option<Self>, Unreadable> {
        let Some(fields) = Fields::of(config_map) else { return Ok(None) };
        fields.required(TOOLING, |tooling| (tooling == TOOLING_VALUE).then_some(()))?;
        let name =
            ObjectName { project: fields.required(PROJECT, parsed)?, name: fields.required(NAME, parsed)? };
        let held = Held {
            uid: fields.uid,
            name,
            revision: fields.optional(REVISION, parsed)?,
            home: Home { path: fields.required(HOME, parsed)?, born: fields.required(BORN, born)? },
            placements: fields.required(PLACEMENTS, |text| list(text, parsed))?,
        };
        let extent = fields.extent()?;
        let delete_option = fields.optional(DELETE_OPTION, |option| serde_json::from_str(option).ok())?;
        let executor = fields.optional(EXECUTOR, |executor| serde_json::from_str(executor).ok())?;
        Ok(Some(Self { held, extent, delete_option: delete_option.unwrap_or_default(), executor }))
    }
}

/// The annotations of an inventory.
struct Fields<'a> {
    uid: Uid,
    annotations: &'a BTreeMap<String, String>,
}

impl<'a> Fields<'a> {
    /// None when the inventory is another tool's.
    fn of(config_map: &'a ConfigMap) -> Option<Self> {
        let annotations = config_map.annotations();
        let tooling = annotations.get(TOOLING).map(String::as_str);
        let foreign = tooling.is_some_and(|tooling| !tooling.starts_with("canopy/"));
        let uid = inventory_of(&config_map.name_any()).filter(|_| !foreign)?;
        Some(Self { uid, annotations })
    }

    fn extent(&self) -> Result<Extent, Unreadable> {
        let kinds = self.required(GROUP_KINDS, |text| list(text, |kind| Some(GroupKind::read(kind))))?;
        let namespaces = self.required(NAMESPACES, |text| list(text, parsed))?;
        Ok(Extent { kinds: kinds.into_iter().collect(), namespaces: namespaces.into_iter().collect() })
    }

    fn required<T>(
        &self,
        annotation: &'static str,
        read: impl Fn(&str) -> Option<T>,
    ) -> Result<T, Unreadable> {
        let missing = Unreadable { uid: self.uid, annotation, value: None };
        self.optional(annotation, read)?.ok_or(missing)
    }

    fn optional<T>(
        &self,
        annotation: &'static str,
        read: impl Fn(&str) -> Option<T>,
    ) -> Result<Option<T>, Unreadable> {
        let Some(text) = self.annotations.get(annotation) else { return Ok(None) };
        let unreadable = || Unreadable { uid: self.uid, annotation, value: Some(text.clone()) };
        read(text).map(Some).ok_or_else(unreadable)
    }
}

impl Cluster {
    /// What is in the cluster, whoever applied it and whenever: every inventory that Canopy left, by uid.
    pub async fn list(&self) -> Result<Vec<Result<Held, Unreadable>>, RequestError> {
        let inventories = self.inventories().await?;
        let read = inventories.iter().filter_map(|config_map| Inventory::read(config_map).transpose());
        let mut held: Vec<_> = read.map(|read| read.map(|inventory| inventory.held)).collect();
        held.sort_by_key(|read| match read {
            Ok(held) => held.uid,
            Err(unreadable) => unreadable.uid,
        });
        Ok(held)
    }

    /// Where other workloads may have objects. One that can't be told is an error.
    pub(crate) async fn extents_of_others(&self, uid: Uid) -> Result<Vec<Extent>, RequestError> {
        let inventories = self.inventories().await?;
        let others = inventories.iter().filter_map(Fields::of).filter(|fields| fields.uid != uid);
        Ok(others.map(|fields| fields.extent()).collect::<Result<_, _>>()?)
    }

    async fn inventories(&self) -> Result<Vec<ConfigMap>, RequestError> {
        let labelled = ListParams::default().labels(LABEL_ID);
        Ok(bounded(self.config_maps().list(&labelled)).await?.items)
    }

    /// The inventory of one workload; none when there is none.
    pub(crate) async fn inventory(&self, uid: Uid) -> Result<Option<Inventory>, RequestError> {
        let found = bounded(self.config_maps().get_opt(&inventory_name(uid))).await?;
        Ok(found.as_ref().map(Inventory::read).transpose()?.flatten())
    }

    /// Writes an inventory, and the namespace of inventories before the first one.
    pub(crate) async fn write_inventory(&self, inventory: &Inventory) -> Result<(), RequestError> {
        match self.try_write_inventory(inventory).await {
            Err(error) if error.is_not_found() => {
                let namespace = Namespace {
                    metadata: ObjectMeta { name: Some(NAMESPACE.to_owned()), ..ObjectMeta::default() },
                    ..Namespace::default()
                };
                let namespaces = Api::<Namespace>::all(self.client.clone());
                bounded(namespaces.patch(NAMESPACE, &params(), &Patch::Apply(&namespace))).await?;
                self.try_write_inventory(inventory).await
            }
            written => written,
        }
    }

    async fn try_write_inventory(&self, inventory: &Inventory) -> Result<(), RequestError> {
        let name = inventory_name(inventory.held.uid);
        let patch = Patch::Apply(inventory.to_config_map());
        bounded(self.config_maps().patch(&name, &params(), &patch)).await.map(drop)
    }

    /// Removes the inventory of one workload, if it is there.
    pub(crate) async fn remove_inventory(&self, uid: Uid) -> Result<(), RequestError> {
        match bounded(self.config_maps().delete(&inventory_name(uid), &Default::default())).await {
            Err(error) if !error.is_not_found() => Err(error),
            _ => Ok(()),
        }
    }

    fn config_maps(&self) -> Api<ConfigMap> {
        Api::namespaced(self.client.clone(), NAMESPACE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use canopy_upkeep::PropagationPolicy;

    fn inventory() -> Inventory {
        Inventory {
            held: Held {
                uid: Uid(7),
                name: ObjectName { project: "default".parse().unwrap(), name: "web".parse().unwrap() },
                revision: Some(Digest([4; 32])),
                home: Home {
                    path: "eu/plant-7".parse().unwrap(),
                    born: Cursor { incarnation: Incarnation(3), boot: Boot(u128::MAX), version: 41 },
                },
                placements: vec![Uid(8), Uid(9)],
            },
            extent: Extent {
                kinds: ["ConfigMap", "Deployment.apps"].map(GroupKind::read).into(),
                namespaces: ["line-7".to_owned()].into(),
            },
            delete_option: DeleteOption {
                propagation_policy: PropagationPolicy::Orphan,
                ..Default::default()
            },
            executor: serde_json::from_str(
                r#"{"subject": {"serviceAccount": {"namespace": "line-7", "name": "installer"}}}"#,
            )
            .ok(),
        }
    }

    #[test]
    fn an_inventory_reads_back_and_foreign_ones_are_left_alone() {
        let inventory = inventory();
        let mut written = inventory.to_config_map();
        assert_eq!(written.annotations()[GROUP_KINDS], "ConfigMap,Deployment.apps");
        assert_eq!(Inventory::read(&written), Ok(Some(inventory)));
        written.annotations_mut().insert(TOOLING.into(), "kubectl/v1.27".into());
        assert_eq!(Inventory::read(&written), Ok(None));
    }

    #[test]
    fn a_first_apply_names_no_revision() {
        let mut inventory = inventory();
        inventory.held.revision = None;
        assert_eq!(Inventory::read(&inventory.to_config_map()), Ok(Some(inventory)));
    }

    #[test]
    fn what_somebody_spoilt_is_an_error_that_says_what_to_put_right() {
        let read = |annotation: &'static str, value: Option<&str>| {
            let mut written = inventory().to_config_map();
            written.annotations_mut().remove(annotation);
            written.annotations_mut().extend(value.map(|value| (annotation.to_owned(), value.to_owned())));
            Inventory::read(&written).map(drop)
        };
        let placements = read(PLACEMENTS, Some("8,nine")).unwrap_err().to_string();
        let said = "annotation canopy.dev/placements of ConfigMap canopy-system/workload-\
                    00000000-0000-0000-0000-000000000007 is \"8,nine\", which can't be read: put it right";
        assert!(placements.starts_with(said), "{placements}");
        for annotation in [TOOLING, GROUP_KINDS, NAMESPACES, PROJECT, NAME, HOME, BORN, PLACEMENTS] {
            assert!(read(annotation, None).unwrap_err().to_string().contains("is missing"), "{annotation}");
        }
        for annotation in [TOOLING, PROJECT, HOME, BORN, REVISION, DELETE_OPTION, EXECUTOR] {
            assert!(read(annotation, Some("canopy/ ?")).is_err(), "{annotation}");
        }
    }
}
