//! `canopy wait`: until objects are as they should be.

use canopy_proto::admin::v1::ObjectRef;
use clap::Args;
use jiff::SignedDuration;

use crate::args;
use crate::complete;
use crate::error::Error;
use crate::session::{Session, named};
use crate::until::{Deadline, Until};

/// Wait until objects are as they should be
///
/// They may live anywhere in the tree. Ends with 0 when all are so, with 1 when the time is over or one
/// of them can never be so.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  canopy wait workload line-reconfiguration --for=condition=Ready
  canopy wait cluster eu/plant-7/press-3 --for=condition=Available=Unknown --timeout=5m
  canopy wait placement cnc-lines --for=jsonpath='{.status.selected}'=3
  canopy wait wl/line-reconfiguration wl/vision --for=delete --timeout=10m")]
pub struct Wait {
    /// placement, workload, cluster or hub; or KIND/NAME
    #[arg(value_name = "KIND", add = complete::kinds())]
    kind: String,
    /// Their names, of clusters and hubs their paths; after KIND/NAME further ones of that form
    #[arg(value_name = "NAME", add = complete::names())]
    names: Vec<String>,
    /// Path of the hub where they live [default: the hub that is asked]
    #[arg(long, value_name = "PATH")]
    home: Option<String>,
    /// condition=TYPE[=True|False|Unknown], delete, create, or jsonpath='{.field}'[=VALUE]
    #[arg(long = "for", value_name = "WHAT")]
    until: Until,
    /// How long, over all objects; 0 looks once
    #[arg(long, value_name = "DURATION", default_value = "30s")]
    timeout: SignedDuration,
}

impl Wait {
    pub(crate) async fn run(self, session: &mut Session<'_, '_>) -> Result<(), Error> {
        let home = self.home.unwrap_or_default();
        let objects = args::objects(&self.kind, &self.names, &home, &session.project)?;
        all(session, &objects, &self.until, self.timeout).await
    }
}

/// For commands after which one may want to wait.
#[derive(Debug, Args)]
pub(super) struct Patience {
    /// Wait until it is done: until what was applied is Ready, what was deleted is gone
    #[arg(long)]
    wait: bool,
    /// How long to wait, over all objects
    #[arg(long, value_name = "DURATION", default_value = "30s", requires = "wait")]
    timeout: SignedDuration,
}

impl Patience {
    /// Waits, if that was asked for.
    pub(super) async fn wait(
        &self,
        session: &mut Session<'_, '_>,
        objects: &[ObjectRef],
        until: &Until,
    ) -> Result<(), Error> {
        if self.wait { all(session, objects, until, self.timeout).await } else { Ok(()) }
    }
}

/// Waits for one after the other, and tells when each is so.
async fn all(
    session: &mut Session<'_, '_>,
    objects: &[ObjectRef],
    until: &Until,
    timeout: SignedDuration,
) -> Result<(), Error> {
    let deadline = Deadline::after(timeout);
    for object in objects {
        until.wait(session, object, deadline).await?;
        session.terminal.line(format_args!("{} {}", named(object), until.done()))?;
    }
    Ok(())
}
