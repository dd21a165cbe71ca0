//! The machine's orders, on their way to the cluster and back.
//!
//! Orders of one workload are carried out one after the other: each workload belongs to one of a few
//! lanes, so that one that is slow to delete holds up few others. The machine gives an order again
//! when its answer says that it failed; nothing here tries again by itself but the survey, which
//! waits for the cluster.

use std::sync::Arc;
use std::time::Duration;

use canopy_content::Pull;
use canopy_core::effect::{Apply, ClusterOrder};
use canopy_core::input::{ClusterEvent, Found};
use canopy_core::{Agent, Effect, Input};
use canopy_model::Uid;
use canopy_node::{Handle, Shell};
use canopy_proto::convert::one_line;
use tokio::sync::{Notify, mpsc};
use tokio::time::sleep;
use tracing::{debug, info, warn};

use crate::cluster::Cluster;
use crate::content;

/// Workloads that change at once. The API server's own work is parallel inside each.
const LANES: usize = 4;
/// Orders that wait in one lane: one per workload at most, far above any edge. One that finds no
/// place is answered as failed, and given again later.
const LANE_MAX: usize = 1024;
/// The longest wait between two attempts to survey a cluster that is down.
const SURVEY_RETRY_MAX: Duration = Duration::from_secs(30);
/// How often the cluster is asked what it says about itself: it changes with upgrades only.
const CLAIMS_EVERY: Duration = Duration::from_secs(300);

/// The shell of an agent's machine.
pub(crate) struct Orders {
    lanes: Vec<mpsc::Sender<ClusterOrder>>,
    survey: Arc<Notify>,
    pull: Pull,
    agent: Handle<Agent>,
}

impl Orders {
    /// Begins to listen to the cluster and to carry out orders.
    pub(crate) fn new<C: Cluster>(cluster: Arc<C>, pull: Pull, agent: Handle<Agent>) -> Self {
        let survey = Arc::new(Notify::new());
        tokio::spawn(observe(cluster.clone(), agent.clone()));
        tokio::spawn(surveys(cluster.clone(), survey.clone(), agent.clone()));
        tokio::spawn(claims(cluster.clone(), agent.clone()));
        let lanes = (0..LANES).map(|_| {
            let (lane, orders) = mpsc::channel(LANE_MAX);
            tokio::spawn(work(cluster.clone(), pull.clone(), orders, agent.clone()));
            lane
        });
        Self { lanes: lanes.collect(), survey, pull, agent }
    }

    fn order(&self, uid: Uid, order: ClusterOrder) {
        let lane = &self.lanes[(uid.0 % LANES as u128) as usize];
        if let Err(refused) = lane.try_send(order) {
            let busy = Err("the agent has too many orders waiting; it will be tried again".to_owned());
            let event = answer(refused.into_inner(), busy);
            let agent = self.agent.clone();
            tokio::spawn(async move { tell(&agent, event).await });
        }
    }
}

impl Shell for Orders {
    fn perform(&mut self, effect: Effect) {
        match effect {
            Effect::Cluster(ClusterOrder::Survey) => self.survey.notify_one(),
            Effect::Cluster(order @ ClusterOrder::Apply(Apply { uid, .. }))
            | Effect::Cluster(order @ ClusterOrder::Delete { uid, .. }) => self.order(uid, order),
            Effect::Fetch(digest) => {
                let (pull, agent) = (self.pull.clone(), self.agent.clone());
                tokio::spawn(async move {
                    let error = pull.ensure(digest).await.err().map(|error| one_line(&error));
                    // The agent is stopping: it asks again after its start.
                    let _ = agent.input(Input::Fetched { digest, error }).await;
                });
            }
            Effect::Alert(alert) => warn!(%alert, "attention"),
            Effect::Send { .. } | Effect::Disconnect { .. } | Effect::Reply { .. } | Effect::Revoke(_) => {}
        }
    }
}

/// Carries out the orders of one lane.
async fn work<C: Cluster>(
    cluster: Arc<C>,
    pull: Pull,
    mut orders: mpsc::Receiver<ClusterOrder>,
    agent: Handle<Agent>,
) {
    while let Some(order) = orders.recv().await {
        let outcome = match &order {
            ClusterOrder::Apply(apply) => match content::read(&pull, &apply.revision).await {
                Ok(content) => cluster.apply(apply, &content).await,
                Err(error) => Err(one_line(&error)),
            },
            ClusterOrder::Delete { uid, .. } => cluster.delete(*uid).await,
            ClusterOrder::Survey => continue,
        };
        tell(&agent, answer(order, outcome)).await;
    }
}

/// The event that answers an order.
fn answer(order: ClusterOrder, outcome: Result<(), String>) -> ClusterEvent {
    let error = outcome.err();
    match order {
        ClusterOrder::Apply(Apply { uid, attempt, revision, name, .. }) => {
            let digest = revision.digest;
            match &error {
                None => {
                    info!(%uid, project = %name.project, name = %name.name, revision = %digest.short(), "applied")
                }
                Some(error) => info!(%uid, project = %name.project, name = %name.name, error, "not applied"),
            }
            ClusterEvent::Applied { uid, revision: digest, attempt, error }
        }
        ClusterOrder::Delete { uid, attempt } => {
            match &error {
                None => info!(%uid, "deleted"),
                Some(error) => info!(%uid, error, "not deleted yet"),
            }
            ClusterEvent::Deleted { uid, attempt, error }
        }
        ClusterOrder::Survey => unreachable!("surveys have no lane"),
    }
}

async fn tell(agent: &Handle<Agent>, event: ClusterEvent) {
    // An error means that the agent is stopping; it looks at the cluster again after its start.
    let _ = agent.input(Input::Cluster(event)).await;
}

async fn observe<C: Cluster>(cluster: Arc<C>, agent: Handle<Agent>) {
    let mut events = cluster.watch();
    while let Some(event) = events.recv().await {
        tell(&agent, event).await;
    }
}

/// Answers each wish to survey, as soon as the cluster can be asked.
async fn surveys<C: Cluster>(cluster: Arc<C>, wanted: Arc<Notify>, agent: Handle<Agent>) {
    loop {
        wanted.notified().await;
        let found = surveyed(&*cluster).await;
        info!(workloads = found.len(), "surveyed the cluster");
        tell(&agent, ClusterEvent::Surveyed(found)).await;
    }
}

async fn surveyed<C: Cluster>(cluster: &C) -> Vec<Found> {
    let mut wait = Duration::from_millis(500);
    loop {
        match cluster.survey().await {
            Ok(found) => return found,
            Err(reason) => {
                info!(reason, wait_ms = wait.as_millis(), "the cluster was not surveyed; trying again")
            }
        }
        sleep(wait).await;
        wait = (wait * 2).min(SURVEY_RETRY_MAX);
    }
}

async fn claims<C: Cluster>(cluster: Arc<C>, agent: Handle<Agent>) {
    loop {
        let again = match cluster.claims().await {
            Ok(claims) => {
                tell(&agent, ClusterEvent::Claims(claims)).await;
                CLAIMS_EVERY
            }
            Err(reason) => {
                debug!(reason, "the cluster told no claims");
                SURVEY_RETRY_MAX
            }
        };
        sleep(again).await;
    }
}
