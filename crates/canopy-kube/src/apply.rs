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
use std::time::Duration;

use canopy_model::Uid;
use futures::{StreamExt, TryStreamExt, stream};
use kube::ResourceExt;
use kube::api::{Patch, PropagationPolicy};
use kube::core::Status;
use tokio::time::Instant;

use crate::applyset::{self, Inventory, LABEL_PART_OF, LABEL_UID, Parent, params};
use crate::bundle::{self, Bundle, Manifest, ManifestProblem};
use crate::cluster::{CONCURRENCY, Cluster, Failed, RequestError, bounded};
use crate::foundation::defined_kind;
use crate::health::shorten;
use crate::kinds::Kind;
use crate::object::{GroupKind, ObjectName};
use crate::ownership::Seen;
use crate::registry::Member;

/// The longest wait for a kind whose definition is in the same bundle. API servers serve a new
/// definition within a second or two; a definition that needs longer is broken.
pub const DEFINITION_WAIT: Duration = Duration::from_secs(15);

/// Between two looks for such a kind.
const DEFINITION_POLL: Duration = Duration::from_millis(250);

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

/// Why the cluster does not take an object.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    /// No such kind is served.
    #[error("the cluster serves no kind {kind} in {api_version}: install its definition first")]
    UnknownKind {
        /// The manifest's `apiVersion`.
        api_version: String,
        /// The manifest's `kind`.
        kind: String,
    },
    /// Objects of this kind live in a namespace, and the manifest names none.
    #[error("names no namespace: set metadata.namespace")]
    NoNamespace,
    /// The namespace does not exist.
    #[error("namespace {0} does not exist: add it to the workload's manifests or create it")]
    NamespaceNotFound(String),
    /// The API server said no.
    #[error("{reason}: {message}")]
    Rejected {
        /// The server's reason in one word, such as `Invalid` or `Forbidden`.
        reason: String,
        /// The server's own words, cut to [`crate::health::MESSAGE_BYTES_MAX`].
        message: String,
    },
}

/// Whose an object is, by its label.
#[derive(Debug, Clone, PartialEq)]
enum Owner {
    Us,
    Nobody,
    /// The uid of another workload.
    Other(String),
}

/// What keeps one object from being applied.
enum Obstacle {
    Refused(Reason),
    Failed(RequestError),
}

impl From<RequestError> for Obstacle {
    fn from(error: RequestError) -> Self {
        Self::Failed(error)
    }
}

impl Cluster {
    /// Makes the cluster hold exactly the objects of this bundle for its workload. Applying it again
    /// changes nothing.
    pub async fn apply(&self, bundle: &Bundle) -> Result<(), ApplyError> {
        let manifests = bundle::read(&bundle.manifests)
            .map_err(|(index, problem)| ApplyError::Manifest { index, problem })?;
        let _turn = self.turn.lock().await;
        let used = self.refuse_conflict(bundle.uid, &manifests).await?;

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
        let names: BTreeSet<_> = manifests.iter().map(|manifest| manifest.name.clone()).collect();
        members.retain(|name, _| names.contains(name));
        let outcome = self.apply_all(bundle.uid, manifests, &used, &mut members).await;
        let names = members.keys().cloned().collect();
        self.registry.settle(bundle.uid, members);
        outcome?;

        let leaving = self.prune(bundle.uid, &wide.kinds, &names).await?;
        let narrow = if leaving.is_empty() {
            wanted
        } else {
            Inventory { kinds: wanted.kinds.union(&leaving).cloned().collect(), namespaces: wide.namespaces }
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
        uid: Uid,
        manifests: &[Manifest],
    ) -> Result<BTreeMap<ObjectName, Owner>, ApplyError> {
        let reading = manifests.iter().map(|manifest| async move {
            let owner = self.owner(uid, manifest).await;
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
        uid: Uid,
        manifests: Vec<Manifest>,
        used: &BTreeMap<ObjectName, Owner>,
        members: &mut BTreeMap<ObjectName, Member>,
    ) -> Result<(), ApplyError> {
        let of = manifests.len();
        let defined: BTreeSet<_> =
            manifests.iter().filter_map(|manifest| defined_kind(&manifest.object)).collect();
        // Two workloads that name one namespace would undo each other's fields for ever.
        let ours = manifests
            .into_iter()
            .filter(|manifest| !matches!(used.get(&manifest.name), Some(Owner::Other(_))));
        let (first, rest): (Vec<_>, Vec<_>) = ours.partition(|manifest| manifest.name.kind.is_foundation());
        members.retain(|name, _| !used.contains_key(name));
        for manifest in first.iter().chain(&rest).filter(|manifest| !used.contains_key(&manifest.name)) {
            members.entry(manifest.name.clone()).or_default();
        }
        let mut refusals = Vec::new();
        for phase in [first, rest] {
            let mut applied = stream::iter(phase)
                .map(|manifest| {
                    let owned = !used.contains_key(&manifest.name);
                    self.apply_one(uid, manifest, owned, &defined)
                })
                .buffer_unordered(CONCURRENCY);
            while let Some((object, outcome)) = applied.next().await {
                match outcome {
                    Ok(_) if used.contains_key(&object) => {}
                    Ok((kind, seen)) => {
                        let name = ObjectName {
                            namespace: object.namespace.clone().filter(|_| kind.namespaced),
                            ..object.clone()
                        };
                        members.remove(&object);
                        members.insert(name, Member { kind: Some(kind), accepted: Some(seen) });
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

    async fn apply_one(
        &self,
        uid: Uid,
        manifest: Manifest,
        owned: bool,
        defined: &BTreeSet<GroupKind>,
    ) -> (ObjectName, Result<(Kind, Seen), Obstacle>) {
        let name = manifest.name.clone();
        let outcome = async {
            let kind = self.served_kind(&manifest, defined).await?;
            if kind.namespaced && manifest.name.namespace.is_none() {
                return Err(Obstacle::Refused(Reason::NoNamespace));
            }
            let mut object = manifest.object;
            object.metadata.namespace = object.metadata.namespace.filter(|_| kind.namespaced);
            if owned {
                object.labels_mut().insert(LABEL_UID.to_owned(), uid.to_string());
                object.labels_mut().insert(LABEL_PART_OF.to_owned(), applyset::id(uid));
            }
            let api = kind.api(&self.client, manifest.name.namespace.as_deref());
            match bounded(api.patch(&manifest.name.name, &params(), &Patch::Apply(&object))).await {
                Ok(live) => Ok((kind, Seen::of(&live))),
                Err(RequestError::Answer(status)) if status.code != 401 => {
                    if status.code == 404 {
                        self.kinds.forget(&kind);
                    }
                    Err(Obstacle::Refused(reason(&manifest.name, &status)))
                }
                Err(error) => Err(error.into()),
            }
        };
        (name, outcome.await)
    }

    /// The kind of a manifest; waits for it while its definition in the same bundle takes effect.
    async fn served_kind(
        &self,
        manifest: &Manifest,
        defined: &BTreeSet<GroupKind>,
    ) -> Result<Kind, Obstacle> {
        let kind = &manifest.name.kind;
        let patience = if defined.contains(kind) { DEFINITION_WAIT } else { Duration::ZERO };
        let deadline = Instant::now() + patience;
        loop {
            if let Some(found) = self.kinds.find(&manifest.api_version, &kind.kind).await? {
                return Ok(found);
            }
            if Instant::now() >= deadline {
                let api_version = manifest.api_version.clone();
                return Err(Obstacle::Refused(Reason::UnknownKind { api_version, kind: kind.kind.clone() }));
            }
            tokio::time::sleep(DEFINITION_POLL).await;
        }
    }

    /// Deletes what is in the set but not in `keep`; returns the kinds of what takes its time to go.
    async fn prune(
        &self,
        uid: Uid,
        kinds: &BTreeSet<GroupKind>,
        keep: &BTreeSet<ObjectName>,
    ) -> Result<BTreeSet<GroupKind>, Failed> {
        let mut members = self.members(uid, kinds).await?;
        members.retain(|member| !keep.contains(&member.name));
        // In the background: the object itself goes at once, and its record with it.
        let leaving = self.remove_all(uid, members, PropagationPolicy::Background).await?;
        Ok(leaving.into_iter().map(|name| name.kind).collect())
    }
}

fn reason(name: &ObjectName, status: &Status) -> Reason {
    let missing =
        status.details.as_ref().filter(|details| status.code == 404 && details.kind == "namespaces");
    match (missing, &name.namespace) {
        (Some(_), Some(namespace)) => Reason::NamespaceNotFound(namespace.clone()),
        _ => Reason::Rejected { reason: status.reason.clone(), message: shorten(&status.message) },
    }
}
