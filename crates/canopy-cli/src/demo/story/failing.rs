//! An update is bad: its pods never become ready.

use canopy_proto::admin::v1::Kind;

use super::{EXAMPLE, RULES, Story, WORKLOAD, example, read};
use crate::demo::check::{Seen, Source};
use crate::error::Error;

/// Asks the embedded clusters to fail the pods.
const FAIL: &str = "canopy.dev/embedded: fail";

impl Story<'_, '_> {
    pub(super) async fn spoil(&mut self) -> Result<(), Error> {
        self.checks.tell("\nA bad update: its pods never become ready.")?;
        let on = ["eu/line-1", "us/line-4", "us/line-6"];
        self.root().put(read(&WORKLOAD.replace(RULES, FAIL))?).await?;
        let Self { fleet, clusters, checks } = self;
        let root = fleet.hub("/");
        let degraded = async || -> Seen {
            let (_, counts) = root.workload(EXAMPLE).await.map_err(|error| error.to_string())?;
            if counts.degraded == 3 { Ok(()) } else { Err(format!("it counts {counts:?}")) }
        };
        checks.comes(Source::Hub, "the root counts it as degraded on all three clusters", degraded).await?;
        let told = root.get(Kind::Workload, EXAMPLE).await?.status.unwrap_or_default();
        let why = told.conditions.into_iter().find(|condition| condition.r#type == "Degraded");
        let named = match why {
            Some(why) if why.message.contains("ProgressDeadlineExceeded") => Ok(()),
            other => Err(format!("{other:?}")),
        };
        checks.is(Source::Hub, "its condition Degraded says why", named)?;
        checks.is(Source::Cluster, "its old pods go on in each of them", clusters.serve_old(EXAMPLE, &on))?;
        let (_, other) = root.workload("tool-tables").await?;
        let fine = (other.selected, other.healthy, other.degraded) == (3, 3, 0);
        let fine = if fine { Ok(()) } else { Err(format!("{other:?}")) };
        checks.is(Source::Hub, "the root counts tool-tables beside it as healthy as before", fine)?;
        checks.tell("  The update before it is applied again.")?;
        self.root().put(example(2)?).await?;
        self.status_agrees(EXAMPLE).await
    }
}
