//! A real Kubernetes cluster.

use canopy_core::effect::Apply;
use canopy_core::input::{ClusterEvent, Found, Survey};
use canopy_kube::{ApplyError, Bundle, ConnectError, Counted, Held, Observed};
use canopy_model::{Claims, Feedback, Uid};
use canopy_proto::convert::one_line;
use canopy_proto::revision::Content;
use tokio::sync::mpsc;

use super::Cluster;
use crate::args;

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
            name: name.clone(),
            revision: revision.digest,
            home: home.clone(),
            placements: placements.clone(),
            upkeep,
            manifests,
        };
        self.0.apply(&bundle).await.map_err(|error: ApplyError| one_line(&error))
    }

    async fn delete(&self, uid: Uid) -> Result<(), String> {
        let progress = self.0.delete(uid).await.map_err(|error| one_line(&error))?;
        match progress.remaining.first() {
            None => Ok(()),
            Some(first) => Err(format!("not gone yet: {first}, {} in all", progress.remaining.len())),
        }
    }

    async fn orphan(&self, uid: Uid) -> Result<(), String> {
        self.0.let_go_all(uid).await.map_err(|error| one_line(&error))
    }

    async fn survey(&self) -> Result<Survey, String> {
        let held = self.0.list().await.map_err(|error| one_line(&error))?;
        let mut survey = Survey::default();
        for held in held {
            match held {
                Ok(Held { uid, name, revision, home, placements }) => {
                    survey.found.push(Found { uid, name, home, placements, revision });
                }
                Err(unreadable) => survey.unreadable.push((unreadable.uid, unreadable.to_string())),
            }
        }
        Ok(survey)
    }

    async fn claims(&self) -> Result<Claims, String> {
        self.0.claims().await.map_err(|error| one_line(&error))
    }

    fn watch(&self) -> mpsc::Receiver<ClusterEvent> {
        let (events, receiver) = mpsc::channel(EVENTS_MAX);
        let mut counted = self.0.watch_machines();
        let machines = events.clone();
        tokio::spawn(async move {
            while let Some(Counted { machines: known, inventory }) = counted.recv().await {
                let event = ClusterEvent::Machines { machines: known, inventory };
                if machines.send(event).await.is_err() {
                    return;
                }
            }
        });
        let mut observed = self.0.watch();
        tokio::spawn(async move {
            while let Some(Observed { uid, drifted, health, message, feedback }) = observed.recv().await {
                let feedback = Feedback { values: feedback, left_out: 0 };
                let event = ClusterEvent::Observed { uid, drifted, health, message, feedback };
                if events.send(event).await.is_err() {
                    return;
                }
            }
        });
        receiver
    }
}
