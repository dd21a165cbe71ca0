//! Deletes what is in a set and still says so.
//!
//! An object is found by the set's label and the workload's uid on it, and deleted only in exactly
//! the state in which that label was read: whoever takes the label off in between keeps the object.
//! Deleting a namespace or a definition takes along what others put under it, as Kubernetes does;
//! therefore both go last, when the rest of the set is gone, and only if no other workload uses them.

use std::collections::BTreeSet;

use canopy_model::Uid;
use canopy_upkeep::{DeleteOption, PropagationPolicy};
use futures::{StreamExt, TryStreamExt, stream};
use kube::api::{self, DeleteParams, DynamicObject, PartialObjectMeta, Preconditions};
use kube::{Client, ResourceExt};

use crate::applyset;
use crate::cluster::{CONCURRENCY, Cluster, Failed, RequestError, bounded};
use crate::inventory::Extent;
use crate::kinds::Kind;
use crate::object::{GroupKind, ObjectName};

/// How often a delete is tried while a controller keeps changing the object under it.
pub(crate) const ATTEMPTS_MAX: usize = 5;

/// How far a delete has come.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Progress {
    /// What is still there, in order of name.
    pub remaining: Vec<ObjectName>,
}

impl Progress {
    /// Whether nothing is left, not even the inventory of the set.
    pub fn is_done(&self) -> bool {
        self.remaining.is_empty()
    }
}

/// What the cluster remembers of a set that is to go.
struct Kept {
    extent: Extent,
    option: DeleteOption,
    /// In whose name it goes.
    writer: Client,
}

/// A live object of a set.
pub(crate) struct Found {
    pub(crate) name: ObjectName,
    kind: Kind,
    metadata: PartialObjectMeta<DynamicObject>,
}

impl Cluster {
    /// Deletes everything of a workload, dependents first, and says what is not gone yet. Call it
    /// until it is done; a workload that is not there is done.
    pub async fn delete(&self, uid: Uid) -> Result<Progress, Failed> {
        let Kept { mut extent, option, writer } = self.kept(uid).await?;
        for name in self.applied.members(uid).into_keys() {
            extent.kinds.insert(name.kind);
            extent.namespaces.extend(name.namespace);
        }
        if !extent.kinds.is_empty() {
            self.applied.unsettle(uid);
        }

        let members = self.orphan(self.members(uid, &extent).await?, &option, &writer).await?;
        let (last, first): (Vec<_>, Vec<_>) =
            members.into_iter().partition(|found| found.name.kind.is_foundation());
        let mut remaining = self.remove_all(uid, first, api::PropagationPolicy::Foreground, &writer).await?;
        if remaining.is_empty() {
            remaining = self.remove_all(uid, last, api::PropagationPolicy::Foreground, &writer).await?;
        } else {
            remaining.extend(last.into_iter().map(|found| found.name));
        }
        if remaining.is_empty() {
            self.forget(uid).await?;
        }
        remaining.sort();
        Ok(Progress { remaining })
    }

    /// Leaves everything of a workload where it is, as nobody's, and forgets it.
    pub async fn let_go_all(&self, uid: Uid) -> Result<(), Failed> {
        let Kept { extent, writer, .. } = self.kept(uid).await?;
        self.applied.unsettle(uid);
        let all = DeleteOption { propagation_policy: PropagationPolicy::Orphan, ..DeleteOption::default() };
        self.orphan(self.members(uid, &extent).await?, &all, &writer).await?;
        self.forget(uid).await
    }

    /// What the cluster remembers of a set; nothing when it is not there.
    async fn kept(&self, uid: Uid) -> Result<Kept, Failed> {
        let inventory = self.inventory(uid).await;
        let inventory = inventory.map_err(|error| error.while_doing("reading the inventory of the set"))?;
        let executor = inventory.as_ref().and_then(|inventory| inventory.executor.as_ref());
        let writer = self.acting(executor);
        let (extent, option) =
            inventory.map(|inventory| (inventory.extent, inventory.delete_option)).unwrap_or_default();
        Ok(Kept { extent, option, writer })
    }

    /// Nothing is left of a set.
    async fn forget(&self, uid: Uid) -> Result<(), Failed> {
        let removed = self.remove_inventory(uid).await;
        removed.map_err(|error| error.while_doing("deleting the inventory of the set"))?;
        self.applied.remove(uid);
        Ok(())
    }

    /// The live objects of a set, where it may have any. A kind that is no longer served has none.
    pub(crate) async fn members(&self, uid: Uid, extent: &Extent) -> Result<Vec<Found>, Failed> {
        let listing = extent.kinds.iter().map(|kind| async move {
            self.members_of(uid, kind, &extent.namespaces)
                .await
                .map_err(|error| error.while_doing(format!("listing {kind}")))
        });
        let listing: Vec<_> = listing.collect();
        let found: Vec<Vec<Found>> = stream::iter(listing).buffered(CONCURRENCY).try_collect().await?;
        Ok(found.into_iter().flatten().collect())
    }

    async fn members_of(
        &self,
        uid: Uid,
        group_kind: &GroupKind,
        namespaces: &BTreeSet<String>,
    ) -> Result<Vec<Found>, RequestError> {
        let Some(kind) = self.kinds.find_any(group_kind).await? else { return Ok(Vec::new()) };
        let listed = match self.list_members(uid, &kind, None).await {
            // An agent with rights in its namespaces alone looks into each of them.
            Err(error) if error.is_forbidden() && kind.namespaced => {
                let each = namespaces.iter().map(|namespace| self.list_members(uid, &kind, Some(namespace)));
                let each: Vec<_> = each.collect();
                let listed: Result<Vec<_>, _> = stream::iter(each).buffered(CONCURRENCY).try_collect().await;
                listed.map(|listed| listed.into_iter().flatten().collect())
            }
            listed => listed,
        };
        let found = |metadata: PartialObjectMeta<DynamicObject>| Found {
            name: ObjectName::of(group_kind, &metadata),
            kind: kind.clone(),
            metadata,
        };
        match listed {
            Ok(items) => Ok(items.into_iter().filter(|item| !is_controlled(item)).map(found).collect()),
            Err(error) if error.is_not_found() => {
                self.kinds.forget(&kind);
                Ok(Vec::new())
            }
            Err(error) => Err(error),
        }
    }

    async fn list_members(
        &self,
        uid: Uid,
        kind: &Kind,
        namespace: Option<&str>,
    ) -> Result<Vec<PartialObjectMeta<DynamicObject>>, RequestError> {
        let listed = kind.api(&self.client, namespace);
        Ok(bounded(listed.list_metadata(&applyset::members(uid))).await?.items)
    }

    /// Lets go of what is to stay; returns the others.
    pub(crate) async fn orphan(
        &self,
        members: Vec<Found>,
        option: &DeleteOption,
        writer: &Client,
    ) -> Result<Vec<Found>, Failed> {
        let (stay, leave): (Vec<_>, Vec<_>) = members.into_iter().partition(|Found { name, .. }| {
            option.orphans(&name.kind.group, &name.kind.kind, name.namespace.as_deref(), &name.name)
        });
        for Found { name, kind, .. } in stay {
            match self.let_go(&name, &kind, writer).await {
                Err(error) if !error.is_not_found() => {
                    return Err(error.while_doing(format!("letting go of {name}")));
                }
                _ => tracing::info!(object = %name, "orphaned, as its workload asks"),
            }
        }
        Ok(leave)
    }

    /// Deletes these objects and returns those that take their time. One that cannot be deleted keeps
    /// no other from being deleted.
    pub(crate) async fn remove_all(
        &self,
        uid: Uid,
        found: Vec<Found>,
        propagation: api::PropagationPolicy,
        writer: &Client,
    ) -> Result<Vec<ObjectName>, Failed> {
        let outcomes: Vec<_> = stream::iter(found)
            .map(|found| {
                let propagation = propagation.clone();
                async move {
                    let name = found.name.clone();
                    let doing = format!("deleting {name}");
                    let gone = self.remove(uid, found, propagation, writer).await;
                    gone.map(|gone| (!gone).then_some(name)).map_err(|error| error.while_doing(doing))
                }
            })
            .buffer_unordered(CONCURRENCY)
            .collect()
            .await;
        outcomes.into_iter().filter_map(Result::transpose).collect()
    }

    /// Deletes one object as long as its label names the workload. True: it is gone, or not ours.
    async fn remove(
        &self,
        uid: Uid,
        found: Found,
        propagation: api::PropagationPolicy,
        writer: &Client,
    ) -> Result<bool, RequestError> {
        let Found { name, kind, mut metadata } = found;
        // Nobody may begin to use a foundation between the look and the deletion.
        let _turn = if name.kind.is_foundation() { Some(self.turn.lock().await) } else { None };
        let propagation =
            if name.kind.stands_alone() { api::PropagationPolicy::Background } else { propagation };
        let of = |client| kind.api(client, name.namespace.as_deref());
        let (api, written) = (of(&self.client), of(writer));
        for attempt in 1.. {
            if metadata.labels().get(applyset::LABEL_UID) != Some(&uid.to_string()) {
                return Ok(true);
            }
            if metadata.metadata.deletion_timestamp.is_some() {
                return Ok(false);
            }
            if name.kind.is_foundation() && self.let_go_if_used(uid, &name, &kind, writer).await? {
                return Ok(true);
            }
            let exactly_this =
                Preconditions { uid: metadata.uid(), resource_version: metadata.resource_version() };
            let params = DeleteParams {
                propagation_policy: Some(propagation.clone()),
                preconditions: Some(exactly_this),
                ..DeleteParams::default()
            };
            match bounded(written.delete(&name.name, &params)).await {
                Ok(answer) => return Ok(answer.is_right()),
                Err(error) if error.is_not_found() => return Ok(true),
                Err(RequestError::Answer(status)) if status.code == 409 && attempt < ATTEMPTS_MAX => {
                    let Some(newer) = bounded(api.get_metadata_opt(&name.name)).await? else {
                        return Ok(true);
                    };
                    metadata = newer;
                }
                Err(error) => return Err(error),
            }
        }
        unreachable!("the last attempt returns")
    }
}

/// Whether a controller made it: some give what they make the labels of what they make it for, as for
/// the EndpointSlices of a Service. It goes with that, and comes back without.
fn is_controlled(object: &impl ResourceExt) -> bool {
    object.owner_references().iter().any(|owner| owner.controller == Some(true))
}
