//! The machine's orders, on their way to the cluster and back.
//!
//! The machine gives one order at a time for a workload, and gives it again when its answer says that
//! it failed. So each order is a task of its own; only so many are carried out at once, and none waits
//! for the cluster to get anything done. Nothing here tries again by itself but the survey, which
//! waits for a cluster that is down.

use std::sync::Arc;
use std::time::Duration;

use canopy_content::Pull;
use canopy_core::effect::{Apply, ClusterOrder};
use canopy_core::input::{ClusterEvent, Survey};
use canopy_core::{Agent, Effect, Input};
use canopy_model::Claims;
use canopy_node::{Handle, Shell};
use canopy_proto::convert::one_line;
use futures::FutureExt as _;
use tokio::sync::{Notify, Semaphore};
use tokio::time::sleep;
use tracing::{Instrument as _, info, warn};

use crate::cluster::Cluster;
use crate::content;

/// Orders that are carried out at once. The API server's own work is parallel inside each.
const ORDERS_MAX: usize = 4;
/// The longest wait between two attempts to survey a cluster that is down.
const SURVEY_RETRY_MAX: Duration = Duration::from_secs(30);
/// How often the cluster is asked what it says about itself: it changes with upgrades only.
const CLAIMS_EVERY: Duration = Duration::from_secs(300);

/// The shell of an agent's machine.
pub(crate) struct Orders {
    /// Begins to carry out an order.
    begin: Box<dyn Fn(ClusterOrder) + Send>,
    survey: Arc<Notify>,
    pull: Pull,
    agent: Handle<Agent>,
}

impl Orders {
    /// Begins to carry out orders; one to survey is passed on.
    pub(crate) fn new<C: Cluster>(
        cluster: Arc<C>,
        survey: Arc<Notify>,
        pull: Pull,
        agent: Handle<Agent>,
    ) -> Self {
        let begin = {
            let (pull, agent) = (pull.clone(), agent.clone());
            let places = Arc::new(Semaphore::new(ORDERS_MAX));
            move |order: ClusterOrder| {
                let (cluster, pull, agent) = (cluster.clone(), pull.clone(), agent.clone());
                let places = places.clone();
                tokio::spawn(async move {
                    let place = places.acquire().await.expect("nobody closes it");
                    let outcome = {
                        let order = order.clone();
                        guarded(async move { carry_out(&*cluster, &pull, &order).await }).await
                    };
                    drop(place);
                    tell(&agent, answer(order, outcome)).await;
                });
            }
        };
        Self { begin: Box::new(begin), survey, pull, agent }
    }
}

impl Shell for Orders {
    fn perform(&mut self, effect: Effect) {
        match effect {
            Effect::Cluster(ClusterOrder::Survey) => self.survey.notify_one(),
            Effect::Cluster(order) => (self.begin)(order),
            Effect::Fetch(digest) => {
                let (pull, agent) = (self.pull.clone(), self.agent.clone());
                tokio::spawn(async move {
                    let fetched = async move { pull.ensure(digest).await.map_err(|error| one_line(&error)) };
                    let error = guarded(fetched.map(|fetched| fetched.map(drop))).await.err();
                    // The agent is stopping: it asks again after its start.
                    let _ = agent.input(Input::Fetched { digest, error }).await;
                });
            }
            Effect::Alert(alert) => warn!(%alert, "attention"),
            Effect::Send { .. } | Effect::Disconnect { .. } | Effect::Reply { .. } | Effect::Revoke(_) => {}
        }
    }
}

/// Does something in a task of its own: a fault of the agent fails that alone, and is told and tried again
/// as any other failure.
async fn guarded(doing: impl Future<Output = Result<(), String>> + Send + 'static) -> Result<(), String> {
    let done = tokio::spawn(doing.in_current_span()).await;
    done.unwrap_or_else(|fault| Err(format!("a fault of the agent, please report it: {fault}")))
}

async fn carry_out<C: Cluster>(cluster: &C, pull: &Pull, order: &ClusterOrder) -> Result<(), String> {
    match order {
        ClusterOrder::Apply(apply) => match content::read(pull, &apply.revision).await {
            Ok(content) => cluster.apply(apply, &content).await,
            Err(error) => Err(one_line(&error)),
        },
        ClusterOrder::Delete { uid, .. } => cluster.delete(*uid).await,
        ClusterOrder::Survey => unreachable!("a survey is no order of a workload"),
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
        ClusterOrder::Survey => unreachable!("a survey is no order of a workload"),
    }
}

async fn tell(agent: &Handle<Agent>, event: ClusterEvent) {
    // An error means that the agent is stopping; it looks at the cluster again after its start.
    let _ = agent.input(Input::Cluster(event)).await;
}

/// Tells the machine what the cluster tells. Ends only when the cluster is no longer watched.
pub(crate) async fn observe<C: Cluster>(cluster: Arc<C>, agent: Handle<Agent>) {
    let mut events = cluster.watch();
    while let Some(event) = events.recv().await {
        tell(&agent, event).await;
    }
}

/// Answers each wish to survey, as soon as the cluster can be asked.
pub(crate) async fn surveys<C: Cluster>(cluster: Arc<C>, wanted: Arc<Notify>, agent: Handle<Agent>) {
    loop {
        wanted.notified().await;
        let survey = surveyed(&*cluster).await;
        info!(workloads = survey.found.len(), "surveyed the cluster");
        for (uid, reason) in &survey.unreadable {
            warn!(%uid, reason, "the cluster holds a workload of which it can't tell what");
        }
        tell(&agent, ClusterEvent::Surveyed(survey)).await;
    }
}

async fn surveyed<C: Cluster>(cluster: &C) -> Survey {
    let mut wait = Duration::from_millis(500);
    loop {
        match cluster.survey().await {
            Ok(survey) => return survey,
            Err(reason) => {
                info!(reason, wait_ms = wait.as_millis(), "the cluster was not surveyed; trying again")
            }
        }
        sleep(wait).await;
        wait = (wait * 2).min(SURVEY_RETRY_MAX);
    }
}

pub(crate) async fn claims<C: Cluster>(cluster: Arc<C>, own: Claims, agent: Handle<Agent>) {
    let mut said = None;
    loop {
        let again = match cluster.claims().await {
            Ok(mut claims) => {
                said = None;
                claims.extend(own.clone());
                tell(&agent, ClusterEvent::Claims(claims)).await;
                CLAIMS_EVERY
            }
            Err(reason) => {
                if said.as_ref() != Some(&reason) {
                    warn!(reason, "the cluster does not say what it is; trying again");
                    said = Some(reason);
                }
                SURVEY_RETRY_MAX
            }
        };
        sleep(again).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_fault_in_one_order_is_its_answer() {
        let fault = guarded(async { panic!("broken") }).await.unwrap_err();
        assert!(fault.contains("a fault of the agent") && fault.contains("broken"), "{fault}");
        assert_eq!(guarded(async { Ok(()) }).await, Ok(()));
    }
}
