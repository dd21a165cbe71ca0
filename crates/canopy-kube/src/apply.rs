//! Applies a bundle: everything that it names, and nothing else of its workload.
//!
//! The order is what keeps a crash at any point harmless: look for objects of other workloads, widen
//! the inventory, apply what others need (namespaces, definitions) and then the rest, delete what left
//! the bundle, narrow the inventory. What the server refuses is collected while the rest is applied; as
//! long as something is refused nothing is deleted, so a new revision that cannot start never takes
//! the old one away. An object that nobody's label claims is adopted; a namespace or definition that
//! was there already is used, never owned (see [`crate::foundation`]).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use canopy_model::Uid;
use canopy_upkeep::StrategyType;
use futures::{StreamExt, TryStreamExt, stream};
use kube::api::PropagationPolicy;
use kube::{Client, ResourceExt};
use tokio::sync::MutexGuard;

use crate::applied::Member;
use crate::applyset::LABEL_UID;
use crate::bundle::{self, Bundle, Manifest, ManifestProblem};
use crate::cluster::{CONCURRENCY, Cluster, Failed, RequestError, Taken, bounded};
use crate::foundation::defined_kind;
use crate::inventory::{Extent, Inventory};
use crate::object::{GroupKind, ObjectName};
use crate::update::{Obstacle, Reason, Task, reason};

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

/// What an apply found before it changes anything but the inventory.
struct Plan {
    manifests: Vec<Manifest>,
    /// Foundations that are used and not owned.
    used: BTreeMap<ObjectName, Owner>,
    /// Objects of which nobody can tell whose they are.
    unread: Vec<Refusal>,
    /// Where objects of the set may be.
    wide: Extent,
    /// Where they are to be.
    wanted: Extent,
}

/// Whether an apply makes an object the workload's own, if nobody has it.
fn takes(bundle: &Bundle, manifest: &Manifest) -> bool {
    !manifest.name.kind.is_foundation() && bundle.strategy(&manifest.name).kind != StrategyType::ReadOnly
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
    /// changes nothing. Several workloads may change at once, each by one caller.
    pub async fn apply(&self, bundle: &Bundle) -> Result<(), ApplyError> {
        let manifests = bundle::read(&bundle.manifests)
            .map_err(|(index, problem)| ApplyError::Manifest { index, problem })?;
        let mut turn = self.turn.lock().await;
        let plan = self.plan(bundle, manifests, &turn).await?;
        let taken = plan.manifests.iter().filter(|manifest| takes(bundle, manifest));
        turn.insert(bundle.uid, taken.map(|manifest| manifest.name.clone()).collect());
        self.applied.unsettle(bundle.uid);
        let mut members = self.applied.members(bundle.uid);
        let outcome = self.replace(bundle, plan, turn, &mut members).await;
        self.turn.lock().await.remove(&bundle.uid);
        // Last: what became of the workload is told from now on, whatever happened to it meanwhile.
        self.applied.settle(bundle.uid, members);
        outcome
    }

    /// Finds out whose everything is, and widens the inventory.
    async fn plan(
        &self,
        bundle: &Bundle,
        manifests: Vec<Manifest>,
        taken: &Taken,
    ) -> Result<Plan, ApplyError> {
        let (used, unread) = self.refuse_conflict(bundle, &manifests, taken).await?;
        let before = self.inventory(bundle.uid).await;
        let before = before.map_err(|error| error.while_doing("reading the inventory of the set"))?;
        let (revision, held) =
            before.map(|inventory| (inventory.held.revision, inventory.extent)).unwrap_or_default();
        let wanted = Extent::of(&manifests);
        let wide = wanted.union(&held);
        self.write(&Inventory::new(bundle, revision, wide.clone())).await?;
        Ok(Plan { manifests, used, unread, wide, wanted })
    }

    /// Applies what is in the bundle, deletes what is not, and narrows the inventory.
    async fn replace(
        &self,
        bundle: &Bundle,
        plan: Plan,
        turn: MutexGuard<'_, Taken>,
        members: &mut BTreeMap<ObjectName, Member>,
    ) -> Result<(), ApplyError> {
        let Plan { manifests, used, unread, wide, wanted } = plan;
        let writer = self.acting(bundle.upkeep.executor.as_ref());
        let names: BTreeSet<_> = manifests.iter().map(|manifest| manifest.name.clone()).collect();
        members.retain(|name, _| names.contains(name));
        self.apply_all(bundle, (manifests, unread), &used, turn, members, &writer).await?;

        let names = members.keys().cloned().collect();
        let leaving = self.prune(bundle, &wide, &names, &writer).await?;
        let narrow = if leaving.is_empty() {
            wanted
        } else {
            Extent { kinds: wanted.kinds.union(&leaving).cloned().collect(), namespaces: wide.namespaces }
        };
        self.write(&Inventory::new(bundle, Some(bundle.revision), narrow)).await?;
        tracing::debug!(uid = %bundle.uid, revision = %bundle.revision.short(), objects = names.len(), "applied");
        Ok(())
    }

    async fn write(&self, inventory: &Inventory) -> Result<(), Failed> {
        let written = self.write_inventory(inventory).await;
        written.map_err(|error| error.while_doing("writing the inventory of the set"))
    }

    /// Looks whether an object that exists already belongs to another workload. Returns the
    /// foundations that are used and not owned, and the objects that can't be looked at, which are not
    /// touched then.
    async fn refuse_conflict(
        &self,
        bundle: &Bundle,
        manifests: &[Manifest],
        taken: &Taken,
    ) -> Result<(BTreeMap<ObjectName, Owner>, Vec<Refusal>), ApplyError> {
        let changed = manifests
            .iter()
            .filter(|manifest| bundle.strategy(&manifest.name).kind != StrategyType::ReadOnly);
        let reading = changed.map(|manifest| async move {
            match self.owner(bundle.uid, manifest).await {
                // A right that is missing, or a conversion webhook that is not there yet.
                Err(RequestError::Answer(status)) if matches!(status.code, 403 | 500) => {
                    Ok((&manifest.name, Err(reason(&manifest.name, &status))))
                }
                Err(error) => Err(error.while_doing(format!("reading {}", manifest.name))),
                Ok(owner) => Ok((&manifest.name, Ok(owner))),
            }
        });
        let reading: Vec<_> = reading.collect();
        let (mut used, mut unread) = (BTreeMap::new(), Vec::new());
        let mut foreign = manifests.iter().filter(|manifest| takes(bundle, manifest)).find_map(|manifest| {
            let mut others = taken.iter().filter(|(other, _)| **other != bundle.uid);
            let (owner, _) = others.find(|(_, names)| names.contains(&manifest.name))?;
            Some((manifest.name.clone(), owner.to_string()))
        });
        let mut owners = stream::iter(reading).buffered(CONCURRENCY);
        while let Some((name, owner)) = owners.try_next().await? {
            match owner {
                Err(reason) => unread.push(Refusal { object: name.clone(), reason }),
                Ok(Some(owner)) if owner != Owner::Us && name.kind.is_foundation() => {
                    used.insert(name.clone(), owner);
                }
                Ok(Some(Owner::Other(owner))) => foreign = foreign.or_else(|| Some((name.clone(), owner))),
                Ok(Some(Owner::Us | Owner::Nobody) | None) => {}
            }
        }
        let Some((object, owner)) = foreign else { return Ok((used, unread)) };
        let inventory = match owner.parse() {
            Ok(uid) => match self.inventory(uid).await {
                // Only its name is wanted here; its own workload tells what is wrong with it.
                Err(RequestError::Unreadable(_)) => None,
                read => read.map_err(|error| error.while_doing("reading the inventory of a set"))?,
            },
            Err(_) => None,
        };
        let owner_name = inventory.map(|inventory| inventory.held.name.name.to_string());
        Err(ApplyError::Conflict { object, owner, owner_name })
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
        (mut manifests, unread): (Vec<Manifest>, Vec<Refusal>),
        used: &BTreeMap<ObjectName, Owner>,
        turn: MutexGuard<'_, Taken>,
        members: &mut BTreeMap<ObjectName, Member>,
        writer: &Client,
    ) -> Result<(), ApplyError> {
        let of = manifests.len();
        let defined: BTreeSet<_> =
            manifests.iter().filter_map(|manifest| defined_kind(&manifest.object)).collect();
        for Refusal { object, .. } in &unread {
            members.entry(object.clone()).or_default();
            manifests.retain(|manifest| manifest.name != *object);
        }
        let tasks = manifests
            .into_iter()
            // Two workloads that name one namespace would undo each other's fields for ever.
            .filter(|manifest| !matches!(used.get(&manifest.name), Some(Owner::Other(_))))
            .map(|manifest| Task {
                strategy: bundle.strategy(&manifest.name),
                feedback: bundle.feedback(&manifest.name),
                owned: !used.contains_key(&manifest.name),
                manifest,
            });
        let (first, rest): (Vec<_>, Vec<_>) = tasks.partition(|task| task.manifest.name.kind.is_foundation());
        members.retain(|name, _| !used.contains_key(name));
        for task in first.iter().chain(&rest).filter(|task| task.owned) {
            let member = members.entry(task.manifest.name.clone()).or_default();
            (member.strategy, member.feedback) = (task.strategy.kind, task.feedback.clone());
        }
        let mut refusals = unread;
        refusals.extend(self.bring_all(bundle.uid, first, &defined, members, writer).await?);
        // Whose the rest is has been decided, and others see it.
        drop(turn);
        refusals.extend(self.bring_all(bundle.uid, rest, &defined, members, writer).await?);
        refusals.sort_by(|left, right| left.object.cmp(&right.object));
        if refusals.is_empty() { Ok(()) } else { Err(ApplyError::Refused { refusals, of }) }
    }

    /// Brings objects to what their manifests say, several at once.
    async fn bring_all(
        &self,
        uid: Uid,
        tasks: Vec<Task>,
        defined: &BTreeSet<GroupKind>,
        members: &mut BTreeMap<ObjectName, Member>,
        writer: &Client,
    ) -> Result<Vec<Refusal>, Failed> {
        let mut refusals = Vec::new();
        let mut applied = stream::iter(tasks)
            .map(|task| async {
                let outcome = self.bring(uid, &task, defined, writer).await;
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
                    return Err(error.while_doing(format!("applying {object}")));
                }
            }
        }
        Ok(refusals)
    }

    /// Deletes what is in the set but not in `keep`; returns the kinds of what takes its time to go.
    async fn prune(
        &self,
        bundle: &Bundle,
        extent: &Extent,
        keep: &BTreeSet<ObjectName>,
        writer: &Client,
    ) -> Result<BTreeSet<GroupKind>, Failed> {
        let mut members = self.members(bundle.uid, extent).await?;
        members.retain(|member| !keep.contains(&member.name));
        let members = self.orphan(members, &bundle.upkeep.delete_option, writer).await?;
        // In the background: the object itself goes at once, and what it owns after it.
        let leaving = self.remove_all(bundle.uid, members, PropagationPolicy::Background, writer).await?;
        Ok(leaving.into_iter().map(|name| name.kind).collect())
    }
}
