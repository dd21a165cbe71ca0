//! A real Kubernetes cluster.

use std::time::Duration;

use canopy_core::effect::Apply;
use canopy_core::input::{ClusterEvent, Found};
use canopy_kube::{ApplyError, Bundle, ConnectError, Held, Observed};
use canopy_model::{Claims, Health, Name, ObjectName, Uid};
use canopy_proto::convert::one_line;
use canopy_proto::revision::Content;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};

use super::Cluster;
use crate::args;

/// How long one order to delete waits for finalizers and graceful shutdowns. Longer, and the status
/// names what hinders; the order is given again.
const DELETE_MAX: Duration = Duration::from_secs(60);
/// Between two looks at a deletion.
const DELETE_POLL: Duration = Duration::from_secs(1);
/// Conclusions that wait for the agent.
const EVENTS_MAX: usize = 64;

/// A real Kubernetes cluster.
#[derive(Clone)]
pub struct Real(canopy_kube::Cluster);

impl Real {
    /// Prepares the connection; the cluster itself may be down.
    pub async fn connect(args: &args::Cluster) -> Result<Self, ConnectError> {
        let cluster = canopy_kube::Cluster::connect(args.kubeconfig.as_deref(), args.context.as_deref());
        Ok(Self(cluster.await?))
    }
}

impl Cluster for Real {
    async fn apply(&self, order: &Apply, content: &[u8]) -> Result<(), String> {
        let Content { manifests, upkeep } = Content::read(content).map_err(|error| one_line(&error))?;
        let Apply { uid, name, home, placements, revision, .. } = order;
        let bundle = Bundle {
            uid: *uid,
            project: name.project.to_string(),
            name: name.name.to_string(),
            revision: revision.digest.to_string(),
            home: home.clone(),
            placements: placements.clone(),
            upkeep,
            manifests,
        };
        self.0.apply(&bundle).await.map_err(|error: ApplyError| one_line(&error))
    }

    async fn delete(&self, uid: Uid) -> Result<(), String> {
        let until = Instant::now() + DELETE_MAX;
        loop {
            let progress = self.0.delete(uid).await.map_err(|error| one_line(&error))?;
            match progress.remaining.first() {
                None => return Ok(()),
                Some(first) if Instant::now() >= until => {
                    let count = progress.remaining.len();
                    return Err(format!("{count} objects are not gone yet, {first} first"));
                }
                Some(_) => sleep(DELETE_POLL).await,
            }
        }
    }

    async fn orphan(&self, uid: Uid) -> Result<(), String> {
        self.0.let_go_all(uid).await.map_err(|error| one_line(&error))
    }

    async fn survey(&self) -> Result<Vec<Found>, String> {
        let held = self.0.list().await.map_err(|error| one_line(&error))?;
        held.into_iter().map(found).collect()
    }

    async fn claims(&self) -> Result<Claims, String> {
        self.0.claims().await.map_err(|error| one_line(&error))
    }

    fn watch(&self) -> mpsc::Receiver<ClusterEvent> {
        let (events, receiver) = mpsc::channel(EVENTS_MAX);
        let mut observed = self.0.watch();
        tokio::spawn(async move {
            while let Some(next) = observed.recv().await {
                if events.send(event(next)).await.is_err() {
                    return;
                }
            }
        });
        receiver
    }
}

/// A record in the cluster, as the agent wrote it once. Leaving out one that cannot be read would
/// report its work as gone.
fn found(held: Held) -> Result<Found, String> {
    let Held { uid, project, name, revision, home, placements } = held;
    let unreadable = |what: &str| format!("the record of workload {uid} in the cluster has no valid {what}");
    let name = ObjectName {
        project: project.parse::<Name>().map_err(|_| unreadable("project"))?,
        name: name.parse::<Name>().map_err(|_| unreadable("name"))?,
    };
    let revision = revision.map(|digest| digest.parse()).transpose().map_err(|_| unreadable("revision"))?;
    Ok(Found { uid, name, home, placements, revision })
}

fn event(observed: Observed) -> ClusterEvent {
    let Observed { uid, drifted, health, message } = observed;
    let health = match health {
        canopy_kube::Health::Healthy => Health::Healthy,
        canopy_kube::Health::Progressing => Health::Progressing,
        canopy_kube::Health::Unknown => Health::Unknown,
        canopy_kube::Health::Degraded => Health::Degraded,
        canopy_kube::Health::Missing => Health::Missing,
    };
    ClusterEvent::Observed { uid, drifted, health, message }
}
