//! A real Kubernetes cluster.

use std::path::Path;
use std::pin::pin;

use canopy_core::effect::Apply;
use canopy_core::input::{ClusterEvent, Found, Survey};
use canopy_kube::{ApplyError, Bundle, ConnectError, Counted, Held, Observed};
use canopy_model::{Claims, Feedback, Uid};
use canopy_proto::convert::one_line;
use canopy_proto::revision::Content;
use futures::future::select;
use tokio::sync::mpsc;

use super::Cluster;
use crate::args;
use crate::known::Known;

/// Conclusions that wait for the agent.
const EVENTS_MAX: usize = 64;

/// A real Kubernetes cluster.
#[derive(Clone)]
pub struct Real(canopy_kube::Cluster, Known);

impl Real {
    /// Prepares the connection; the cluster itself may be down. The file tells, or will tell, which one it
    /// is.
    pub async fn connect(args: &args::Access, id: &Path) -> Result<Self, ConnectError> {
        let cluster = canopy_kube::Cluster::connect(args.kubeconfig.as_deref(), args.context.as_deref());
        Ok(Self(cluster.await?, Known::new(id)))
    }

    /// Refuses to go on when this is not the cluster that the agent works on.
    async fn check(&self) -> Result<(), String> {
        match self.0.id().await.map_err(|error| one_line(&error))? {
            Some(id) => self.1.check(&id).map_err(|error| one_line(&error)),
            None => Ok(()),
        }
    }
}

impl Cluster for Real {
    async fn apply(&self, order: &Apply, content: &[u8]) -> Result<(), String> {
        self.check().await?;
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
        self.check().await?;
        let progress = self.0.delete(uid).await.map_err(|error| one_line(&error))?;
        match progress.remaining.first() {
            None => Ok(()),
            Some(first) => Err(format!("not gone yet: {first}, {} in all", progress.remaining.len())),
        }
    }

    async fn orphan(&self, uid: Uid) -> Result<(), String> {
        self.check().await?;
        self.0.let_go_all(uid).await.map_err(|error| one_line(&error))
    }

    async fn survey(&self) -> Result<Survey, String> {
        self.check().await?;
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
        let (mut counted, mut observed) = (self.0.watch_machines(), self.0.watch());
        let machines = {
            let events = events.clone();
            async move {
                while let Some(Counted { machines, inventory }) = counted.recv().await {
                    let event = ClusterEvent::Machines { machines, inventory };
                    if events.send(event).await.is_err() {
                        return;
                    }
                }
            }
        };
        let workloads = async move {
            while let Some(Observed { uid, drifted, health, message, feedback }) = observed.recv().await {
                let feedback = Feedback { values: feedback, left_out: 0 };
                let event = ClusterEvent::Observed { uid, drifted, health, message, feedback };
                if events.send(event).await.is_err() {
                    return;
                }
            }
        };
        // The receiver ends when either does, and so whoever listens learns of it.
        tokio::spawn(async move {
            select(pin!(machines), pin!(workloads)).await;
        });
        receiver
    }
}
