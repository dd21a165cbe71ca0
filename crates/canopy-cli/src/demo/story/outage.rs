//! A region is cut off, its hub and agents are killed, both sides go on; then all comes together.

use canopy_proto::admin::v1::Kind;
use tonic::Code;

use super::{ALL, EXAMPLE, Story, example, placement, small};
use crate::demo::check::{Seen, Source};
use crate::error::{Asked, Error};

/// What the region itself has created: its home is the regional hub.
const REGIONAL: &str = "shift-plan";

impl Story<'_, '_> {
    pub(super) async fn cut_off(&mut self) -> Result<(), Error> {
        self.checks
            .tell("\nThe region eu creates a workload of its own; then its line to the root falls silent.")?;
        let region = self.fleet.hub("eu").clone();
        region.put(placement("shifts", "cnc", None)?).await?;
        region.put(small(REGIONAL, "shifts", "early")?).await?;
        let (early, _) = region.workload(REGIONAL).await?;
        let Self { clusters, checks, fleet } = self;
        checks
            .comes(Source::Cluster, "eu/line-1 runs it", async || {
                clusters.run(REGIONAL, &early, &["eu/line-1"])
            })
            .await?;
        let elsewhere = clusters.lack(REGIONAL, &["us/line-4", "us/line-6"]);
        checks.is(Source::Cluster, "the other region does not have it", elsewhere)?;
        let (before, _) = fleet.hub("/").workload(EXAMPLE).await?;
        fleet.wan("eu").cut();
        checks.tell("  The regional hub is killed and started again, and so is the agent of eu/line-1.")?;
        for node in ["eu", "eu/line-1"] {
            fleet.kill(node)?;
            fleet.restart(node)?;
        }
        fleet.answers("eu").await?;
        self.change_both_sides(&before).await?;
        self.come_together(&before).await
    }

    /// Changes at both sides of the cut.
    async fn change_both_sides(&mut self, before: &str) -> Result<(), Error> {
        self.checks.tell(
            "  Meanwhile the root updates one workload and deletes another; the region updates its own.",
        )?;
        let (tables, _) = self.root().workload("tool-tables").await?;
        self.root().put(example(3)?).await?;
        let (after, _) = self.root().workload(EXAMPLE).await?;
        self.root()
            .delete(Kind::Workload, "tool-tables", "")
            .await?
            .map_err(Error::refused(Asked::change("delete", Kind::Workload)))?;
        let region = self.fleet.hub("eu").clone();
        region.put(small(REGIONAL, "shifts", "late")?).await?;
        let (late, _) = region.workload(REGIONAL).await?;

        let Self { clusters, checks, .. } = self;
        let near = ["us/line-4", "us/line-6"];
        checks
            .comes(Source::Cluster, "us runs the root's update", async || {
                clusters.run(EXAMPLE, &after, &near)
            })
            .await?;
        checks
            .comes(Source::Cluster, "us no longer has what was deleted", async || {
                clusters.lack("tool-tables", &near)
            })
            .await?;
        let own = async || clusters.run(REGIONAL, &late, &["eu/line-1"]);
        checks.comes(Source::Cluster, "eu/line-1 runs the region's update, without the root", own).await?;
        let kept = clusters.run(EXAMPLE, before, &["eu/line-1"]);
        checks.is(Source::Cluster, "eu/line-1 still runs what it ran before the cut", kept)?;
        let silent = clusters.run("tool-tables", &tables, &["eu/line-1"]);
        checks.is(
            Source::Cluster,
            "silence has deleted nothing: eu/line-1 still has what the root deleted",
            silent,
        )?;
        let beyond = self.root().delete(Kind::Workload, REGIONAL, "eu").await?;
        let refused = match beyond {
            Err(status) if matches!(status.code(), Code::Unavailable | Code::DeadlineExceeded) => Ok(()),
            other => Err(format!("{other:?}")),
        };
        self.checks.is(
            Source::Hub,
            "a write at the root to what lives in eu says that eu cannot be reached",
            refused,
        )
    }

    /// The line is mended.
    async fn come_together(&mut self, before: &str) -> Result<(), Error> {
        self.checks.tell("  The line is mended.")?;
        self.fleet.wan("eu").mend();
        let (after, _) = self.root().workload(EXAMPLE).await?;
        let (late, _) = self.fleet.hub("eu").workload(REGIONAL).await?;
        let Self { clusters, checks, fleet } = self;
        let updated = async || clusters.run(EXAMPLE, &after, &["eu/line-1"]);
        checks.comes(Source::Cluster, "eu/line-1 runs the root's update", updated).await?;
        let differs = if before == after { Err("the update changed nothing".to_owned()) } else { Ok(()) };
        checks.is(Source::Hub, "that is another revision than before the cut", differs)?;
        let gone = async || clusters.lack("tool-tables", &ALL);
        checks.comes(Source::Cluster, "what the root deleted is gone everywhere", gone).await?;
        let own = clusters.run(REGIONAL, &late, &["eu/line-1"]);
        checks.is(
            Source::Cluster,
            "the region's own workload is still there, as the region changed it",
            own,
        )?;
        let two = clusters.holders("colour-check", &ALL);
        let two = two.and_then(|on| if on.len() == 2 { Ok(()) } else { Err(format!("it runs on {on:?}")) });
        checks.is(Source::Cluster, "two paint lines still run the colour check", two)?;
        checks.comes(Source::Hub, "the root sees all six clusters connected", connected(fleet)).await?;
        let orphans = async || -> Seen {
            let (root, eu) = (fleet.hub("/").orphans().await, fleet.hub("eu").orphans().await);
            match (root, eu) {
                (Ok(0), Ok(0)) => Ok(()),
                other => Err(format!("orphans at the root and at eu: {other:?}")),
            }
        };
        checks.comes(Source::Hub, "nothing is orphaned", orphans).await?;
        self.status_agrees(EXAMPLE).await
    }

    pub(super) async fn lose_an_agent(&mut self) -> Result<(), Error> {
        self.checks.tell("\nThe agent of us/line-4 is killed, and an update misses it.")?;
        let (before, _) = self.root().workload(EXAMPLE).await?;
        self.fleet.kill("us/line-4")?;
        self.root().put(example(4)?).await?;
        let (after, _) = self.root().workload(EXAMPLE).await?;
        let Self { clusters, checks, fleet } = self;
        let others = async || clusters.run(EXAMPLE, &after, &["eu/line-1", "us/line-6"]);
        checks.comes(Source::Cluster, "the others run the update", others).await?;
        let kept = clusters.run(EXAMPLE, &before, &["us/line-4"]);
        checks.is(Source::Cluster, "us/line-4 still runs what it ran", kept)?;
        checks.tell("  It is started again.")?;
        fleet.restart("us/line-4")?;
        let caught_up = async || clusters.run(EXAMPLE, &after, &["us/line-4"]);
        checks.comes(Source::Cluster, "us/line-4 runs the update", caught_up).await?;
        self.status_agrees(EXAMPLE).await
    }

    pub(super) async fn clear(&mut self) -> Result<(), Error> {
        self.checks.tell("\nEverything is deleted.")?;
        for workload in [EXAMPLE, "colour-check"] {
            self.root()
                .delete(Kind::Workload, workload, "")
                .await?
                .map_err(Error::refused(Asked::change("delete", Kind::Workload)))?;
        }
        self.root()
            .delete(Kind::Workload, REGIONAL, "eu")
            .await?
            .map_err(Error::refused(Asked::change("delete", Kind::Workload)))?;
        let Self { clusters, checks, fleet } = self;
        checks
            .comes(Source::Cluster, "nothing is left in any cluster", async || clusters.empty(&ALL))
            .await?;
        let root = fleet.hub("/");
        let freed = async || root.lacks(Kind::Workload, EXAMPLE).await;
        checks.comes(Source::Hub, "the name line-reconfiguration is free again", freed).await
    }
}

/// Whether all clusters are connected.
fn connected(fleet: &crate::demo::fleet::Fleet) -> impl AsyncFn() -> Seen {
    async || {
        let told = fleet.hub("/").fleet().await.map_err(|error| error.to_string())?;
        if told.connected == 6 { Ok(()) } else { Err(format!("{} are connected", told.connected)) }
    }
}
