//! What the demonstration shows, in order. What runs where is read from the clusters themselves.
//!
//! - [`placing`]: clusters are selected by labels and numbers, and updates reach all of them;
//! - [`failing`]: an update is bad;
//! - [`outage`]: a region is cut off, its hub and agents are killed, both sides go on.

mod failing;
mod outage;
mod placing;

use canopy_proto::admin::v1::{Object, object::Spec};
use canopy_proto::document;

use super::check::{Checks, Seen, Source};
use super::clusters::Clusters;
use super::desk::Desk;
use super::fleet::Fleet;
use crate::error::Error;

/// The worked example, as it is in the repository.
const PLACEMENT: &str = include_str!("../../../../deploy/examples/line-reconfiguration/placement.yaml");
const WORKLOAD: &str = include_str!("../../../../deploy/examples/line-reconfiguration/workload.yaml");

/// The line of the example that makes its pods new ones.
const RULES: &str = "line-reconfiguration.example/rules: \"1\"";

/// The example's workload.
pub(super) const EXAMPLE: &str = "line-reconfiguration";

/// All clusters of the fleet.
pub(super) const ALL: [&str; 6] =
    ["eu/line-1", "eu/line-2", "eu/line-3", "us/line-4", "us/line-5", "us/line-6"];

/// What the chapters have in common.
pub(super) struct Story<'a, 'b> {
    pub(super) fleet: Fleet,
    pub(super) clusters: Clusters,
    pub(super) checks: Checks<'a, 'b>,
}

impl Story<'_, '_> {
    /// Tells the whole story.
    pub(super) async fn tell(&mut self) -> Result<(), Error> {
        self.gather().await?;
        self.place().await?;
        self.relabel().await?;
        self.update().await?;
        self.carry_much().await?;
        self.spoil().await?;
        self.choose_some().await?;
        self.cut_off().await?;
        self.lose_an_agent().await?;
        self.clear().await
    }

    fn root(&self) -> &Desk {
        self.fleet.hub("/")
    }

    /// Expects the hub's own counts of a workload to be what the clusters show, and all healthy.
    async fn status_agrees(&mut self, workload: &str) -> Result<(), Error> {
        let Self { fleet, clusters, checks } = self;
        let look = async || -> Seen {
            let (_, counts) = fleet.hub("/").workload(workload).await.map_err(|error| error.to_string())?;
            let told = (counts.selected, counts.healthy);
            let (all, healthy) = clusters.count(workload, &ALL)?;
            if told == (all, healthy) && all == healthy {
                return Ok(());
            }
            Err(format!(
                "the root tells {told:?} selected and healthy, the clusters have {:?}",
                (all, healthy)
            ))
        };
        checks
            .comes(Source::Hub, &format!("the root counts {workload} as the clusters do, all healthy"), look)
            .await
    }
}

/// The example with these rules: another number is another revision.
fn example(rules: u32) -> Result<Object, Error> {
    let text = WORKLOAD.replace(RULES, &format!("line-reconfiguration.example/rules: \"{rules}\""));
    read(&text)
}

/// A workload of one ConfigMap with this content.
fn small(name: &str, placement: &str, content: &str) -> Result<Object, Error> {
    read(&format!(
        "{{apiVersion: canopy.dev/v1alpha1, kind: Workload, metadata: {{name: {name}}}, spec: {{\
         placements: [{{name: {placement}}}], manifests: [{{apiVersion: v1, kind: ConfigMap, \
         metadata: {{name: {name}, namespace: default}}, data: {{content: {content:?}}}}}]}}}}"
    ))
}

/// A placement that takes clusters with the label `line`; all of them, or a number.
fn placement(name: &str, line: &str, number: Option<u32>) -> Result<Object, Error> {
    let number = number.map_or(String::new(), |number| format!("numberOfClusters: {number}, "));
    read(&format!(
        "{{apiVersion: canopy.dev/v1alpha1, kind: Placement, metadata: {{name: {name}}}, spec: {{{number}\
         predicates: [{{requiredClusterSelector: {{labelSelector: {{matchLabels: {{line: {line}}}}}}}}}]}}}}"
    ))
}

/// The one document of a text.
fn read(text: &str) -> Result<Object, Error> {
    let first = document::read(text).into_iter().next();
    let first = first.ok_or_else(|| Error::Usage("no document in the demonstration's text".to_owned()))?;
    first.map_err(|error| Error::Usage(canopy_proto::convert::one_line(&error)))
}

/// How many manifests a workload has.
fn manifests(object: &Object) -> usize {
    match &object.spec {
        Some(Spec::Workload(spec)) => spec.manifests.len(),
        _ => 0,
    }
}
