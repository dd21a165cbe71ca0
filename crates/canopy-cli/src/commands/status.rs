//! `canopy status`: the fleet on one page, and what is not well in it.

use std::collections::BTreeMap;

use canopy_model::Path;
use canopy_proto::admin::v1::{
    Kind, ListOrphansRequest, Object, TreeRequest, VersionRequest, status::Detail,
};
use clap::Args;

use crate::error::Error;
use crate::session::{Session, every, name_of};
use crate::show::{ready, summary};
use crate::table::printable;
use crate::{age, args};

/// The most lines on what is not well: the rest is counted.
const LINES_MAX: usize = 20;

/// Show the fleet on one page, and what is not well
#[derive(Debug, Args)]
pub struct Status {}

impl Status {
    pub(crate) async fn run(self, session: &mut Session<'_, '_>) -> Result<(), Error> {
        let version = session.client.version(VersionRequest {}).await;
        let version = version.map_err(Error::refused("ask the hub"))?.into_inner();
        let request = TreeRequest { path: String::new(), depth: 1 };
        let tree = session.client.tree(request).await.map_err(Error::refused("read the tree"))?.into_inner();
        let fleet = tree.nodes.first().and_then(|node| node.fleet).unwrap_or_default();

        let mut problems = hubs(session).await?;
        let mut counts = Vec::new();
        for kind in [Kind::Placement, Kind::Workload] {
            let mut count = 0_usize;
            let request = every(kind);
            let list = session.list(&request, |_, objects| {
                count += objects.len();
                problems.extend(objects.iter().filter_map(unwell));
                Ok(())
            });
            list.await?;
            counts.push((args::word(kind), count));
        }
        problems.extend(orphans(session).await?);

        let out = &mut *session.terminal;
        out.line(format_args!(
            "hub          {} of {}, version {}",
            version.path, version.trust_domain, version.version
        ))?;
        out.line(format_args!("hubs         {} below", fleet.hubs))?;
        out.line(format_args!("clusters     {}, {} connected", fleet.clusters, fleet.connected))?;
        for (kind, count) in counts {
            out.line(format_args!("{:<13}{count}", format!("{kind}s")))?;
        }
        if problems.is_empty() {
            return out.line("\nall is well");
        }
        out.line("\nnot well:")?;
        for problem in problems.iter().take(LINES_MAX) {
            out.line(format_args!("  {}", printable(problem)))?;
        }
        match problems.len().saturating_sub(LINES_MAX) {
            0 => Ok(()),
            more => out.line(format_args!("  and {more} more")),
        }
    }
}

/// Hubs out of reach, and hubs with clusters of their own out of reach.
async fn hubs(session: &mut Session<'_, '_>) -> Result<Vec<String>, Error> {
    let mut problems = Vec::new();
    let mut missing: BTreeMap<Path, i64> = BTreeMap::new();
    let request = every(Kind::Hub);
    let list = session.list(&request, |_, objects| {
        for object in objects {
            let Some(Detail::Hub(hub)) = object.status.as_ref().and_then(|status| status.detail.as_ref())
            else {
                continue;
            };
            if !hub.connected {
                problems.push(format!("{}: disconnected for {}", name_of(&object), age::text(hub.age_ms)));
            }
            let path = object.metadata.unwrap_or_default().name.parse().unwrap_or_default();
            let fleet = hub.fleet.unwrap_or_default();
            missing.insert(path, i64::from(fleet.clusters) - i64::from(fleet.connected));
        }
        Ok(())
    });
    list.await?;
    for (path, own) in own_part(&missing) {
        problems.push(format!(
            "hub/{path}: {own} of its clusters disconnected; `canopy get clusters --under {path}`"
        ));
    }
    Ok(problems)
}

/// A hub counts all below it: what its child hubs count is told at them.
fn own_part(missing: &BTreeMap<Path, i64>) -> Vec<(Path, i64)> {
    let own = missing.iter().map(|(path, count)| {
        let below = missing.iter().filter(|(child, _)| child.parent().as_ref() == Some(path));
        (path.clone(), count - below.map(|(_, count)| count).sum::<i64>())
    });
    own.filter(|(_, own)| *own > 0).collect()
}

fn unwell(object: &Object) -> Option<String> {
    let word = summary(object);
    if word == "Ready" {
        return None;
    }
    let message = object.status.as_ref().and_then(ready).map_or("", |ready| ready.message.as_str());
    let separator = if message.is_empty() { "" } else { ": " };
    Some(format!("{}: {word}{separator}{message}", name_of(object)))
}

async fn orphans(session: &mut Session<'_, '_>) -> Result<Option<String>, Error> {
    let answer = session.client.list_orphans(ListOrphansRequest::default()).await;
    let count = answer.map_err(Error::refused("list orphans"))?.into_inner().orphans.len();
    Ok((count > 0).then(|| format!("{count} orphans; `canopy orphans` lists them")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clusters_are_told_at_their_own_hub() {
        let path = |text: &str| text.parse::<Path>().unwrap();
        let missing =
            BTreeMap::from([(path("eu"), 3), (path("eu/a"), 2), (path("eu/b"), 0), (path("us"), 0)]);
        assert_eq!(own_part(&missing), [(path("eu"), 1), (path("eu/a"), 2)]);
    }
}
