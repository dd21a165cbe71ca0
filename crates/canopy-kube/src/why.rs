//! Looks below an object that is not well for what keeps it: its pods, and what controllers and
//! kubelets have warned of.
//!
//! Only an object that speaks for a workload is looked at, ever more rarely as long as it is not well,
//! and nothing that is seen here is kept: whatever else runs in the cluster costs no memory. An agent
//! that may not list pods or events tells less, and no more than that.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::stream::{self, BoxStream};
use k8s_openapi::api::core::v1::{Event, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::api::{Api, DynamicObject, ListParams};
use kube::core::Selector;
use kube::{Client, ResourceExt};
use tokio::sync::Semaphore;

use crate::cluster::{RequestError, bounded};
use crate::health::shorten;
use crate::kinds::Kind;
use crate::object::ObjectName;
use crate::pods::{self, Trouble};

/// The wait before the first look: what an ordinary rollout takes needs no explanation.
const LOOK_FIRST: Duration = Duration::from_secs(2);
/// The longest wait between two looks; it doubles with each.
const LOOK_MAX: Duration = Duration::from_secs(60);
/// Objects that are looked below at once, of all workloads: a cluster where everything fails has
/// other things to do than to answer.
pub(crate) const LOOKS_MAX: usize = 2;
/// Pods of one object that are read: one that fails is enough to tell of.
const PODS_MAX: u32 = 50;
/// Warnings about one object that are read.
const EVENTS_MAX: u32 = 50;

/// What keeps an object, as it is found out from time to time. Ends never.
pub(crate) fn looks(
    client: Client,
    kind: Kind,
    name: ObjectName,
    places: Arc<Semaphore>,
) -> BoxStream<'static, Option<String>> {
    let below = Below { client, kind, name };
    stream::unfold((below, places, LOOK_FIRST), |(below, places, wait)| async move {
        tokio::time::sleep(wait).await;
        let place = places.acquire().await.expect("nobody closes it");
        let found = below.look().await.unwrap_or_else(|error| {
            tracing::debug!(object = %below.name, %error, "what keeps it was not found out");
            None
        });
        drop(place);
        Some((found, (below, places, (wait * 2).min(LOOK_MAX))))
    })
    .boxed()
}

/// One object that is not well.
struct Below {
    client: Client,
    kind: Kind,
    name: ObjectName,
}

impl Below {
    async fn look(&self) -> Result<Option<String>, RequestError> {
        let namespace = self.name.namespace.as_deref();
        let Some(object) = bounded(self.kind.api(&self.client, namespace).get_opt(&self.name.name)).await?
        else {
            return Ok(None);
        };
        let pods = match selector(&object) {
            Some(selector) if self.has_pods() => self.pods(&object, &selector).await?,
            _ => Vec::new(),
        };
        let found = match pods.into_iter().min_by_key(|(name, trouble)| (!trouble.is_cause(), name.clone())) {
            None => self.warned_of(&object).await?,
            Some((pod, trouble)) if trouble.is_cause() => Some(format!("pod {}: {trouble}", pod.name)),
            Some((pod, _)) => {
                self.warning(&pod.uid).await?.map(|warning| format!("pod {}: {warning}", pod.name))
            }
        };
        Ok(found.map(|found| shorten(&found)))
    }

    /// Whether its selector names pods that it makes.
    fn has_pods(&self) -> bool {
        let kind = &self.name.kind;
        match kind.group.as_str() {
            "apps" => matches!(kind.kind.as_str(), "Deployment" | "ReplicaSet" | "StatefulSet" | "DaemonSet"),
            "batch" => kind.kind == "Job",
            _ => false,
        }
    }

    /// Its pods that are not well.
    async fn pods(
        &self,
        object: &DynamicObject,
        selector: &Selector,
    ) -> Result<Vec<(Named, Trouble)>, RequestError> {
        let params = ListParams::default().labels_from(selector).limit(PODS_MAX);
        let pods = bounded(self.api::<Pod>().list(&params)).await?;
        let ours = pods.items.into_iter().filter(|pod| self.makes(object, pod));
        let named = |pod: &Pod| Named { name: pod.name_any(), uid: pod.uid().unwrap_or_default() };
        Ok(ours.filter_map(|pod| Some((named(&pod), pods::trouble(&pod)?))).collect())
    }

    /// Whether a pod is one that the object makes: those of a Deployment are made by its ReplicaSets.
    fn makes(&self, object: &DynamicObject, pod: &Pod) -> bool {
        pod.owner_references().iter().filter(|owner| owner.controller == Some(true)).any(|owner| {
            match self.name.kind.kind.as_str() {
                "Deployment" => owner.kind == "ReplicaSet",
                _ => Some(&owner.uid) == object.metadata.uid.as_ref(),
            }
        })
    }

    async fn warned_of(&self, object: &DynamicObject) -> Result<Option<String>, RequestError> {
        match &object.metadata.uid {
            Some(uid) => self.warning(uid).await,
            None => Ok(None),
        }
    }

    /// The newest warning about an object.
    async fn warning(&self, uid: &str) -> Result<Option<String>, RequestError> {
        let about = format!("involvedObject.uid={uid},type=Warning");
        let params = ListParams::default().fields(&about).limit(EVENTS_MAX);
        let events = bounded(self.api::<Event>().list(&params)).await?.items;
        let newest = events.into_iter().max_by_key(|event| (seen(event), event.resource_version()));
        let said =
            |event: Event| [event.reason, event.message].into_iter().flatten().collect::<Vec<_>>().join(": ");
        Ok(newest.map(said).filter(|said| !said.is_empty()))
    }

    fn api<K>(&self) -> Api<K>
    where
        K: kube::Resource<Scope = kube::core::NamespaceResourceScope, DynamicType = ()>,
    {
        // Events about objects of the whole cluster are kept in the namespace `default`.
        Api::namespaced(self.client.clone(), self.name.namespace.as_deref().unwrap_or("default"))
    }
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Named {
    name: String,
    uid: String,
}

/// When an event happened last, as far as it says.
fn seen(event: &Event) -> Option<String> {
    let series = event.series.as_ref().and_then(|series| series.last_observed_time.as_ref());
    let micro = series.or(event.event_time.as_ref()).map(|time| time.0);
    event.last_timestamp.as_ref().map(|time| time.0).max(micro).map(|time| time.to_string())
}

fn selector(object: &DynamicObject) -> Option<Selector> {
    let selector: LabelSelector =
        serde_json::from_value(object.data.pointer("/spec/selector")?.clone()).ok()?;
    selector.try_into().ok()
}
