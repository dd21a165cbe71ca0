//! The connection to one cluster, and the bounds of every request on it.
//!
//! Making a [`Cluster`] sends nothing: an edge cluster may be down when its agent starts. Requests
//! that the server turns away for a moment (429, 503, 504) are repeated by the client, at most a
//! few times; everything longer is for the caller, who decides when to try again.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use canopy_model::Uid;
use canopy_upkeep::Executor;
use http::{HeaderValue, Request};
use kube::client::Body;
use kube::config::{InClusterError, KubeConfigOptions, Kubeconfig, KubeconfigError};
use kube::core::Status;
use kube::{Client, Config};
use tokio::sync::Mutex;

use crate::applied::Applied;
use crate::inventory::Unreadable;
use crate::kinds::Kinds;
use crate::object::ObjectName;
use crate::rights::MissingRight;

/// The longest wait for one answer. An API server gives up on a request after 60 s itself; half of
/// that tells an agent of a hung server while the rest of its work is still fresh.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// The longest wait for a connection: edge networks lose packets, but a peer that needs longer is away.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Requests at once while a set is applied: hides the latency of a slow disk below etcd without
/// taking the API server's seats from the cluster's own controllers.
pub const CONCURRENCY: usize = 8;

/// A handle to one cluster; clones share connection, caches and the memory of what was applied.
#[derive(Clone)]
pub struct Cluster {
    pub(crate) client: Client,
    pub(crate) kinds: Arc<Kinds>,
    pub(crate) applied: Arc<Applied>,
    /// Held by whoever decides whose an object is: one at a time, so that two of them cannot both find
    /// one free.
    pub(crate) turn: Arc<Mutex<Taken>>,
}

/// What the applies under way take, by workload: it is not labelled yet.
pub(crate) type Taken = BTreeMap<Uid, BTreeSet<ObjectName>>;

/// Why no connection to a cluster can be made.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The kubeconfig cannot be used.
    #[error("kubeconfig {} cannot be used", path.as_ref().map_or("of the environment".into(), |path| path.display().to_string()))]
    Kubeconfig {
        /// The file; none when the environment's own was asked for.
        path: Option<PathBuf>,
        /// What is wrong with it.
        #[source]
        source: Box<KubeconfigError>,
    },
    /// There is no service account of a pod.
    #[error("not inside a cluster: give a kubeconfig, or run in a pod with a service account")]
    InCluster(#[source] InClusterError),
    /// The configuration names credentials or certificates that cannot be used.
    #[error("credentials or certificates of the cluster cannot be used")]
    Client(#[source] Box<kube::Error>),
}

/// Why a request has no good answer.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    /// The server said no, in its own words.
    #[error("{}", answered(.0))]
    Answer(Box<Status>),
    /// No answer came within [`REQUEST_TIMEOUT`].
    #[error("the API server did not answer within {} s", REQUEST_TIMEOUT.as_secs())]
    Timeout,
    /// No answer came, or none that can be read.
    #[error("the API server cannot be talked to")]
    Transport(#[source] Box<kube::Error>),
    /// The answer is an inventory that somebody spoilt.
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
}

/// A request that failed, and what it was for.
#[derive(Debug, thiserror::Error)]
#[error("{doing} failed")]
pub struct Failed {
    /// What was being done, as a gerund: `applying Deployment line-7/web`.
    pub doing: String,
    /// Why it failed.
    #[source]
    pub source: RequestError,
}

/// What a server answered, and what to do about it where that is clear.
fn answered(status: &Status) -> String {
    match MissingRight::read(&status.message).filter(|_| status.code == 403) {
        Some(missing) => missing.to_string(),
        None => format!("the API server answered {}: {}", status.reason, status.message),
    }
}

impl RequestError {
    /// Says what the request was for.
    pub(crate) fn while_doing(self, doing: impl Into<String>) -> Failed {
        Failed { doing: doing.into(), source: self }
    }

    /// Whether the server said that the agent may not.
    pub(crate) fn is_forbidden(&self) -> bool {
        matches!(self, Self::Answer(status) if status.code == 403)
    }

    /// Whether the server said that the object does not exist.
    pub(crate) fn is_not_found(&self) -> bool {
        matches!(self, Self::Answer(status) if status.code == 404)
    }
}

impl Cluster {
    /// Uses `context` of a kubeconfig: the file named, or that of the environment when only a context
    /// is given. Without both, the service account of the pod that this process runs in.
    pub async fn connect(kubeconfig: Option<&Path>, context: Option<&str>) -> Result<Self, ConnectError> {
        let mut config = if kubeconfig.is_none() && context.is_none() {
            Config::incluster().map_err(ConnectError::InCluster)?
        } else {
            let bad = |source| ConnectError::Kubeconfig {
                path: kubeconfig.map(Path::to_owned),
                source: Box::new(source),
            };
            let options = KubeConfigOptions { context: context.map(str::to_owned), ..Default::default() };
            let file = kubeconfig.map_or_else(Kubeconfig::read, Kubeconfig::read_from).map_err(bad)?;
            let named = file
                .clusters
                .iter()
                .any(|named| named.cluster.as_ref().is_some_and(|cluster| cluster.proxy_url.is_some()));
            let mut config = Config::from_custom_kubeconfig(file, &options).await.map_err(bad)?;
            // The environment's proxy leads out of the plant, and the API server is inside.
            config.proxy_url = config.proxy_url.filter(|_| named);
            config
        };
        config.connect_timeout = Some(CONNECT_TIMEOUT);
        let client = Client::try_from(config).map_err(|error| ConnectError::Client(Box::new(error)))?;
        Ok(Self::new(client))
    }

    /// A client whose requests count as those of a service account; with none, as the agent's own. It
    /// shares the agent's connection.
    pub(crate) fn acting(&self, executor: Option<&Executor>) -> Client {
        let Some(executor) = executor else { return self.client.clone() };
        // A name that is none comes from an inventory that somebody changed: nobody gave rights to that user.
        let user =
            HeaderValue::from_str(&executor.user()).unwrap_or(HeaderValue::from_static("system:anonymous"));
        let client = self.client.clone();
        let acting = tower::service_fn(move |mut request: Request<Body>| {
            request.headers_mut().insert("impersonate-user", user.clone());
            let client = client.clone();
            async move { client.send(request).await }
        });
        Client::new(acting, self.client.default_namespace().to_owned())
    }

    /// Uses a client that is already configured.
    pub fn new(client: Client) -> Self {
        Self {
            kinds: Arc::new(Kinds::new(client.clone())),
            applied: Arc::default(),
            turn: Arc::default(),
            client,
        }
    }
}

/// Waits for one answer, no longer than [`REQUEST_TIMEOUT`].
pub(crate) async fn bounded<T>(request: impl Future<Output = kube::Result<T>>) -> Result<T, RequestError> {
    match tokio::time::timeout(REQUEST_TIMEOUT, request).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(kube::Error::Api(status))) => Err(RequestError::Answer(status)),
        Ok(Err(error)) => Err(RequestError::Transport(Box::new(error))),
        Err(_) => Err(RequestError::Timeout),
    }
}
