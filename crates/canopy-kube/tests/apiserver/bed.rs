//! The control plane that tests share, and what they ask of it.

use std::sync::{Arc, Weak};
use std::time::Duration;

use anyhow::{Context, Result};
use canopy_kube::{Bundle, Cluster, Held, Observed, Unreadable};
use canopy_model::{Boot, Cursor, Digest, Home, Incarnation, ObjectName, Uid};
use canopy_testbed::{ControlPlane, tools};
use canopy_upkeep::Upkeep;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use kube::api::{Api, Patch, PatchParams};
use kube::config::Kubeconfig;
use kube::core::NamespaceResourceScope;
use kube::{Client, Config, Resource, ResourceExt};
use serde_json::{Value, json};
use tokio::sync::{Mutex, mpsc};

/// The longest wait for a state: controllers need a second, a busy machine far longer.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Whoever comes first starts the control plane, whoever leaves last ends it.
static PLANE: Mutex<Weak<ControlPlane>> = Mutex::const_new(Weak::new());

pub(crate) struct Bed {
    pub(crate) plane: Arc<ControlPlane>,
    pub(crate) cluster: Cluster,
    pub(crate) client: Client,
    namespace: String,
}

impl Bed {
    /// A namespace of nobody's workload on the shared control plane; none where there is no control plane.
    pub(crate) async fn new(namespace: &str) -> Result<Option<Self>> {
        let Some(tools) = tools() else { return Ok(None) };
        let plane = {
            let mut shared = PLANE.lock().await;
            match shared.upgrade() {
                Some(plane) => plane,
                None => {
                    let plane = Arc::new(ControlPlane::start(&tools, "kube").await?);
                    *shared = Arc::downgrade(&plane);
                    plane
                }
            }
        };
        let client = plane.client().await?;
        let object = serde_json::from_value(json!({"metadata": {"name": namespace}}))?;
        Api::<Namespace>::all(client.clone()).create(&Default::default(), &object).await?;
        let cluster = Cluster::connect(Some(&plane.kubeconfig()), None).await?;
        Ok(Some(Self { plane, cluster, client, namespace: namespace.to_owned() }))
    }

    /// The cluster as somebody else sees it.
    pub(crate) async fn as_user(&self, user: &str) -> Result<Cluster> {
        let kubeconfig = Kubeconfig::read_from(self.plane.kubeconfig())?;
        let mut config = Config::from_custom_kubeconfig(kubeconfig, &Default::default()).await?;
        config.auth_info.impersonate = Some(user.to_owned());
        Ok(Cluster::new(Client::try_from(config)?))
    }

    pub(crate) fn api<K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>>(&self) -> Api<K> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    pub(crate) async fn inventory(&self, uid: u128) -> Result<Option<ConfigMap>> {
        let inventories = Api::<ConfigMap>::namespaced(self.client.clone(), "canopy-system");
        Ok(inventories.get_opt(&format!("workload-{}", Uid(uid))).await?)
    }

    /// Changes an object as somebody does who edits by hand.
    pub(crate) async fn edit<K>(&self, name: &str, patch: Value) -> Result<()>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
            + Clone
            + std::fmt::Debug
            + serde::de::DeserializeOwned,
    {
        let by_hand = PatchParams { field_manager: Some("by-hand".into()), ..PatchParams::default() };
        self.api::<K>().patch(name, &by_hand, &Patch::Merge(patch)).await?;
        Ok(())
    }

    pub(crate) fn config_map(&self, name: &str, value: &str) -> Value {
        json!({"apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": name, "namespace": self.namespace}, "data": {"speed": value}})
    }

    pub(crate) fn service(&self, name: &str) -> Value {
        json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": self.namespace},
            "spec": {"selector": {"app": name}, "ports": [{"port": 80}]}})
    }

    pub(crate) fn deployment(&self, name: &str, replicas: u32, image: &str) -> Value {
        json!({"apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"name": name, "namespace": self.namespace},
            "spec": {"replicas": replicas, "selector": {"matchLabels": {"app": name}}, "template": {
                "metadata": {"labels": {"app": name}},
                "spec": {"containers": [{"name": "main", "image": image}]}}}})
    }
}

pub(crate) fn home() -> Home {
    let born = Cursor { incarnation: Incarnation(1), boot: Boot(2), version: 3 };
    Home { path: "eu/plant-7".parse().expect("a valid path"), born }
}

pub(crate) fn bundle(uid: u128, revision: &str, manifests: Vec<Value>) -> Bundle {
    Bundle {
        uid: Uid(uid),
        name: ObjectName {
            project: "default".parse().expect("a valid name"),
            name: format!("workload-{uid:x}").parse().expect("a valid name"),
        },
        revision: self::revision(revision),
        home: home(),
        placements: vec![Uid(0x91)],
        upkeep: Upkeep::default(),
        manifests,
    }
}

/// The digest of a revision that a test calls `r1`.
pub(crate) fn revision(name: &str) -> Digest {
    let number = name.strip_prefix('r').and_then(|number| number.parse().ok());
    Digest([number.expect("a revision such as r1"); 32])
}

/// What the cluster remembers of a workload, as a new process finds it.
pub(crate) async fn held(cluster: &Cluster, uid: u128) -> Result<Option<Result<Held, Unreadable>>> {
    let uid = Uid(uid);
    Ok(cluster.list().await?.into_iter().find(|held| match held {
        Ok(held) => held.uid == uid,
        Err(unreadable) => unreadable.uid == uid,
    }))
}

/// Reads what is observed until it is as wanted.
pub(crate) async fn until(
    observed: &mut mpsc::Receiver<Observed>,
    wanted: impl Fn(&Observed) -> bool,
) -> Result<Observed> {
    let mut last = None;
    let found = async {
        while let Some(next) = observed.recv().await {
            if wanted(&next) {
                return Some(next);
            }
            last = Some(next);
        }
        None
    };
    let found = tokio::time::timeout(PATIENCE, found).await;
    found.ok().flatten().with_context(|| format!("the state never came; the last was {last:?}"))
}

pub(crate) async fn delete_completely(cluster: &Cluster, uid: u128) -> Result<()> {
    let done = async {
        while !cluster.delete(Uid(uid)).await?.is_done() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        anyhow::Ok(())
    };
    tokio::time::timeout(PATIENCE, done).await.context("never deleted completely")?
}

pub(crate) fn kinds(inventory: &ConfigMap) -> &str {
    &inventory.annotations()["applyset.kubernetes.io/contains-group-kinds"]
}

/// A bundle whose objects are kept as this document says.
pub(crate) fn kept(uid: u128, revision: &str, manifests: Vec<Value>, upkeep: Value) -> Result<Bundle> {
    Ok(Bundle { upkeep: serde_json::from_value(upkeep)?, ..bundle(uid, revision, manifests) })
}
