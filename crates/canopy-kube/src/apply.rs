//! Applies a bundle: everything that it names, and nothing else of its workload.
//!
//! The order is what keeps a crash at any point harmless: look for objects of other workloads, widen
//! the record, apply what others need (namespaces, definitions) and then the rest, delete what left
//! the bundle, narrow the record. What the server refuses is collected while the rest is applied; as
//! long as something is refused nothing is deleted, so a new revision that cannot start never takes
//! the old one away. An object that nobody's label claims is adopted; a namespace or definition that
//! was there already is used, never owned (see [`crate::foundation`]).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use canopy_model::Uid;
use canopy_upkeep::{DeleteOption, StrategyType};
use futures::{StreamExt, TryStreamExt, stream};
use kube::ResourceExt;
use kube::api::PropagationPolicy;

use crate::applyset::{Inventory, LABEL_UID, Parent};
use crate::bundle::{self, Bundle, Manifest, ManifestProblem};
use crate::cluster::{CONCURRENCY, Cluster, Failed, RequestError, bounded};
use crate::foundation::defined_kind;
use crate::object::{GroupKind, ObjectName};
use crate::registry::Member;
use crate::update::{Obstacle, Reason, Task};

/// Why a bundle is not applied, or not completely.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// A manifest is no object. Nothing was changed.
    #[error("manifest {index} {problem}")]
    Manifest {
        /// Its position, counted from 0.
        index: usize,
        /// What is wrong with it.
        problem: ManifestProblem,
    },
    /// An object belongs to another workload. Nothing was changed.
    #[error(
        "{object} belongs to workload {}: remove it from one of the two workloads",
        owner_name.as_ref().unwrap_or(owner)
    )]
    Conflict {
        /// The object.
        object: ObjectName,
        /// The uid on its label.
        owner: String,
        /// The owner's name, if the cluster still knows it.
        owner_name: Option<String>,
    },
    /// The cluster refused objects; all others are applied, and nothing was pruned.
    #[error("{} of {of} objects refused: {}", refusals.len(), refusals.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Refused {
        /// What was refused, in order of name.
        refusals: Vec<Refusal>,
        /// How many objects the bundle has.
        of: usize,
    },
    /// The API server could not be asked. What was applied stays; apply again.
    #[error(transparent)]
    Failed(#[from] Failed),
}

/// An object that the cluster does not take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The object.
    pub object: ObjectName,
    /// Why.
    pub reason: Reason,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.object, self.reason)
    }
}

/// Whose an object is, by its label.
#[derive(Debug, Clone, PartialEq)]
enum Owner {
    Us,
    Nobody,
    /// The uid of another workload.
    Other(String),
}

impl Cluster {
    /// Makes the cluster hold exactly the objects of this bundle for its workload. Applying it again
    /// changes nothing.
    pub async fn apply(&self, bundle: &Bundle) -> Result<(), ApplyError> {
        let manifests = bundle::read(&bundle.manifests)
            .map_err(|(index, problem)| ApplyError::Manifest { index, problem })?;
        let _turn = self.turn.lock().await;
        let used = self.refuse_conflict(bundle, &manifests).await?;

        let before = self
            .parent(bundle.uid)
            .await
            .map_err(|error| error.while_doing("reading the record of the set"))?;
        let (revision, held) =
            before.map(|parent| (parent.held.revision, parent.inventory)).unwrap_or_default();
        let wanted = Inventory::of(&manifests);
        let wide = wanted.union(&held);
        self.record(&Parent::new(bundle, revision, wide.clone())).await?;

        self.registry.unsettle(bundle.uid);
        let mut members = self.registry.members(bundle.uid);
        let outcome = self.replace(bundle, manifests, &used, &wide, wanted, &mut members).await;
        // Last: what became of the workload is told from now on, whatever happened to it meanwhile.
        self.registry.settle(bundle.uid, members);
        outcome
    }

    /// Applies what is in the bundle, deletes what is not, and narrows the record.
    async fn replace(
        &self,
        bundle: &Bundle,
        manifests: Vec<Manifest>,
        used: &BTreeMap<ObjectName, Owner>,
        wide: &Inventory,
        wanted: Inventory,
        members: &mut BTreeMap<ObjectName, Member>,
    ) -> Result<(), ApplyError> {
        let names: BTreeSet<_> = manifests.iter().map(|manifest| manifest.name.clone()).collect();
        members.retain(|name, _| names.contains(name));
        self.apply_all(bundle, manifests, used, members).await?;

        let names = members.keys().cloned().collect();
        let leaving = self.prune(bundle.uid, &wide.kinds, &names, &bundle.upkeep.delete_option).await?;
        let narrow = if leaving.is_empty() {
            wanted
        } else {
            let kinds = wanted.kinds.union(&leaving).cloned().collect();
            Inventory { kinds, namespaces: wide.namespaces.clone() }
        };
        self.record(&Parent::new(bundle, Some(bundle.revision.clone()), narrow)).await?;
        tracing::debug!(uid = %bundle.uid, revision = %bundle.revision, objects = names.len(), "applied");
        Ok(())
    }

    async fn record(&self, parent: &Parent) -> Result<(), Failed> {
        self.write_parent(parent).await.map_err(|error| error.while_doing("writing the record of the set"))
    }

    /// Looks whether an object that exists already belongs to another workload. Returns the
    /// foundations that are used and not owned.
    async fn refuse_conflict(
        &self,
        bundle: &Bundle,
        manifests: &[Manifest],
    ) -> Result<BTreeMap<ObjectName, Owner>, ApplyError> {
        let changed = manifests
            .iter()
            .filter(|manifest| bundle.strategy(&manifest.name).kind != StrategyType::ReadOnly);
        let reading = changed.map(|manifest| async move {
            let owner = self.owner(bundle.uid, manifest).await;
            owner
                .map_err(|error| error.while_doing(format!("reading {}", manifest.name)))
                .map(|owner| (&manifest.name, owner))
        });
        let reading: Vec<_> = reading.collect();
        let mut used = BTreeMap::new();
        let mut foreign = None;
        let mut owners = stream::iter(reading).buffered(CONCURRENCY);
        while let Some((name, owner)) = owners.try_next().await? {
            match owner {
                Some(owner) if owner != Owner::Us && name.kind.is_foundation() => {
                    used.insert(name.clone(), owner);
                }
                Some(Owner::Other(owner)) => foreign = foreign.or_else(|| Some((name.clone(), owner))),
                Some(Owner::Us | Owner::Nobody) | None => {}
            }
        }
        let Some((object, owner)) = foreign else { return Ok(used) };
        let parent = match owner.parse() {
            Ok(uid) => {
                self.parent(uid).await.map_err(|error| error.while_doing("reading the record of a set"))?
            }
            Err(_) => None,
        };
        Err(ApplyError::Conflict { object, owner, owner_name: parent.map(|parent| parent.held.name) })
    }

    /// Whose the live object is; none when there is none.
    async fn owner(&self, uid: Uid, manifest: &Manifest) -> Result<Option<Owner>, RequestError> {
        let Some(kind) = self.kinds.find(&manifest.api_version, &manifest.name.kind.kind).await? else {
            return Ok(None);
        };
        let namespace = manifest.name.namespace.as_deref();
        if kind.namespaced && namespace.is_none() {
            return Ok(None);
        }
        let api = kind.api(&self.client, namespace);
        let live = bounded(api.get_metadata_opt(&manifest.name.name)).await?;
        Ok(live.map(|live| match live.labels().get(LABEL_UID) {
            None => Owner::Nobody,
            Some(owner) if *owner == uid.to_string() => Owner::Us,
            Some(owner) => Owner::Other(owner.clone()),
        }))
    }

    /// Applies every manifest, and notes in `members` what the server answered.
    async fn apply_all(
        &self,
        bundle: &Bundle,
        manifests: Vec<Manifest>,
        used: &BTreeMap<ObjectName, Owner>,
        members: &mut BTreeMap<ObjectName, Member>,
    ) -> Result<(), ApplyError> {
        let of = manifests.len();
        let defined: BTreeSet<_> =
            manifests.iter().filter_map(|manifest| defined_kind(&manifest.object)).collect();
        let tasks = manifests
            .into_iter()
            // Two workloads that name one namespace would undo each other's fields for ever.
            .filter(|manifest| !matches!(used.get(&manifest.name), Some(Owner::Other(_))))
            .map(|manifest| Task {
                strategy: bundle.strategy(&manifest.name),
                owned: !used.contains_key(&manifest.name),
                manifest,
            });
        let (first, rest): (Vec<_>, Vec<_>) = tasks.partition(|task| task.manifest.name.kind.is_foundation());
        members.retain(|name, _| !used.contains_key(name));
        for task in first.iter().chain(&rest).filter(|task| task.owned) {
            members.entry(task.manifest.name.clone()).or_default().strategy = task.strategy.kind;
        }
        let mut refusals = Vec::new();
        for phase in [first, rest] {
            let mut applied = stream::iter(phase)
                .map(|task| async {
                    let outcome = self.bring(bundle.uid, &task, &defined).await;
                    (task, outcome)
                })
                .buffer_unordered(CONCURRENCY);
            while let Some((task, outcome)) = applied.next().await {
                let object = task.manifest.name;
                match outcome {
                    Ok(_) if !task.owned => {}
                    Ok(member) => {
                        let namespaced = member.kind.as_ref().is_some_and(|kind| kind.namespaced);
                        let namespace = object.namespace.clone().filter(|_| namespaced);
                        members.remove(&object);
                        members.insert(ObjectName { namespace, ..object }, member);
                    }
                    Err(Obstacle::Refused(reason)) => refusals.push(Refusal { object, reason }),
                    Err(Obstacle::Failed(error)) => {
                        return Err(error.while_doing(format!("applying {object}")).into());
                    }
                }
            }
        }
        refusals.sort_by(|left, right| left.object.cmp(&right.object));
        if refusals.is_empty() { Ok(()) } else { Err(ApplyError::Refused { refusals, of }) }
    }

    /// Deletes what is in the set but not in `keep`; returns the kinds of what takes its time to go.
    async fn prune(
        &self,
        uid: Uid,
        kinds: &BTreeSet<GroupKind>,
        keep: &BTreeSet<ObjectName>,
        option: &DeleteOption,
    ) -> Result<BTreeSet<GroupKind>, Failed> {
        let mut members = self.members(uid, kinds).await?;
        members.retain(|member| !keep.contains(&member.name));
        let members = self.orphan(members, option).await?;
        // In the background: the object itself goes at once, and its record with it.
        let leaving = self.remove_all(uid, members, PropagationPolicy::Background).await?;
        Ok(leaving.into_iter().map(|name| name.kind).collect())
    }
}
