//! Clusters are selected by labels and numbers, and updates reach all of them.

use canopy_proto::admin::v1::Kind;
use tonic::Code;

use super::{ALL, EXAMPLE, PLACEMENT, Story, example, manifests, placement, read, small};
use crate::demo::check::{Seen, Source};
use crate::error::Error;

/// The content of the large workload, in bytes: more than a row carries.
const LARGE_BYTES: usize = 100_000;

impl Story<'_, '_> {
    pub(super) async fn gather(&mut self) -> Result<(), Error> {
        self.checks.tell("\nA root, two regional hubs, six agents: nine processes, joined with tokens.")?;
        let Self { fleet, clusters, checks } = self;
        let whole = async || -> Seen {
            let told = fleet.hub("/").fleet().await.map_err(|error| error.to_string())?;
            let found = (told.hubs, told.clusters, told.connected);
            if found == (2, 6, 6) { Ok(()) } else { Err(format!("hubs, clusters, connected: {found:?}")) }
        };
        checks.comes(Source::Hub, "the root sees 2 hubs and 6 connected clusters", whole).await?;
        checks.comes(Source::Cluster, "nothing runs in any cluster", async || clusters.empty(&ALL)).await?;
        let stolen = fleet.join_again().await?;
        let refused = match stolen {
            Err(said) if said.contains("used") => Ok(()),
            Err(said) => Err(format!("it was refused with other words: {said}")),
            Ok(()) => Err("it was accepted".to_owned()),
        };
        checks.is(Source::Hub, "a token that was used admits nobody else", refused)
    }

    pub(super) async fn place(&mut self) -> Result<(), Error> {
        self.checks
            .tell("\nThe example line-reconfiguration goes to every cluster with the label line=cnc.")?;
        self.root().put(read(PLACEMENT)?).await?;
        let workload = example(1)?;
        let objects = manifests(&workload);
        self.root().put(workload).await?;
        let (revision, _) = self.root().workload(EXAMPLE).await?;
        let Self { clusters, checks, .. } = self;
        for cluster in ["eu/line-1", "eu/line-2", "us/line-4"] {
            let runs = async || clusters.run(EXAMPLE, &revision, &[cluster]);
            checks.comes(Source::Cluster, &format!("{cluster} runs it"), runs).await?;
        }
        let whole = match clusters.running("eu/line-1", EXAMPLE) {
            Ok(Some(running)) if running.objects.len() == objects => Ok(()),
            other => Err(format!("{other:?}")),
        };
        checks.is(Source::Cluster, &format!("eu/line-1 has all {objects} of its objects"), whole)?;
        let rest = clusters.lack(EXAMPLE, &["eu/line-3", "us/line-5", "us/line-6"]);
        checks.is(Source::Cluster, "the paint lines do not have it", rest)?;
        self.status_agrees(EXAMPLE).await
    }

    pub(super) async fn relabel(&mut self) -> Result<(), Error> {
        self.checks.tell("\nTwo labels change: line-2 paints from now on, line-6 mills.")?;
        let (revision, _) = self.root().workload(EXAMPLE).await?;
        self.root().set_line("eu/line-2", "paint").await?;
        self.root().set_line("us/line-6", "cnc").await?;
        let Self { clusters, checks, .. } = self;
        checks
            .comes(Source::Cluster, "it is removed from eu/line-2", async || {
                clusters.lack(EXAMPLE, &["eu/line-2"])
            })
            .await?;
        let runs = async || clusters.run(EXAMPLE, &revision, &["us/line-6"]);
        checks.comes(Source::Cluster, "it runs on us/line-6", runs).await?;
        let kept = clusters.run(EXAMPLE, &revision, &["eu/line-1", "us/line-4"]);
        checks.is(Source::Cluster, "eu/line-1 and us/line-4 were left alone", kept)
    }

    pub(super) async fn update(&mut self) -> Result<(), Error> {
        self.checks.tell("\nNew rules for the lines: an update, and one that comes too late.")?;
        let selected = ["eu/line-1", "us/line-4", "us/line-6"];
        let seen = self.root().get(Kind::Workload, EXAMPLE).await?.metadata.unwrap_or_default();
        let (old, _) = self.root().workload(EXAMPLE).await?;
        self.root().put(example(2)?).await?;
        let (new, _) = self.root().workload(EXAMPLE).await?;
        let late = self.root().apply(example(9)?, &seen.resource_version).await?;
        let Self { clusters, checks, .. } = self;
        let differs = if old == new { Err(format!("both are {new}")) } else { Ok(()) };
        checks.is(Source::Hub, "the update is another revision", differs)?;
        checks
            .comes(Source::Cluster, "all three clusters run it", async || {
                clusters.run(EXAMPLE, &new, &selected)
            })
            .await?;
        let refused = match late {
            Err(status) if status.code() == Code::Aborted => Ok(()),
            other => Err(format!("{other:?}")),
        };
        checks.is(Source::Hub, "a change of what somebody else has changed since is refused", refused)?;
        checks.is(
            Source::Cluster,
            "the refused change reached no cluster",
            clusters.run(EXAMPLE, &new, &selected),
        )?;
        self.status_agrees(EXAMPLE).await
    }

    pub(super) async fn carry_much(&mut self) -> Result<(), Error> {
        self.checks
            .tell("\nA workload of 100 KB: its content travels apart from the rows, once per region.")?;
        let content = "0123456789".repeat(LARGE_BYTES / 10);
        self.root().put(small("tool-tables", "cnc-lines", &content)?).await?;
        let (revision, _) = self.root().workload("tool-tables").await?;
        let Self { clusters, checks, .. } = self;
        for cluster in ["eu/line-1", "us/line-4", "us/line-6"] {
            let runs = async || clusters.run("tool-tables", &revision, &[cluster]);
            checks.comes(Source::Cluster, &format!("{cluster} runs it"), runs).await?;
        }
        Ok(())
    }

    pub(super) async fn choose_some(&mut self) -> Result<(), Error> {
        self.checks.tell("\nTwo of the three paint lines, wherever they are.")?;
        let paint = ["eu/line-2", "eu/line-3", "us/line-5"];
        self.root().put(placement("some-paint-lines", "paint", Some(2))?).await?;
        self.root().put(small("colour-check", "some-paint-lines", "1")?).await?;
        let two = |clusters: &super::Clusters| -> Result<Vec<&str>, String> {
            let holders = clusters.holders("colour-check", &ALL)?;
            match holders.len() {
                2 => Ok(holders),
                _ => Err(format!("it runs on {holders:?}")),
            }
        };
        let Self { fleet, clusters, checks } = self;
        checks
            .comes(Source::Cluster, "exactly two clusters run it", async || two(clusters).map(drop))
            .await?;
        let before = two(clusters).unwrap_or_default();
        let all_paint = before.iter().all(|cluster| paint.contains(cluster));
        checks.is(
            Source::Cluster,
            "both are paint lines",
            if all_paint { Ok(()) } else { Err(format!("{before:?}")) },
        )?;
        let Some(leaving) = before.first().copied() else { return Ok(()) };
        checks.tell(&format!("  {leaving} stops painting."))?;
        fleet.hub("/").set_line(leaving, "spare").await?;
        let replaced = async || {
            let holders = two(clusters)?;
            let fit = holders.iter().all(|cluster| paint.contains(cluster) && *cluster != leaving);
            if fit { Ok(()) } else { Err(format!("it runs on {holders:?}")) }
        };
        checks
            .comes(Source::Cluster, "the third line has taken its place, so two run it again", replaced)
            .await
    }
}
