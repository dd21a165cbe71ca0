//! `canopy status`: the fleet on one page, and what is not well in it.

mod by;

use std::collections::BTreeMap;

use canopy_model::Path;
use canopy_proto::admin::v1::{
    Condition, Fleet, Kind, ListOrphansRequest, ListRequest, Object, ObjectRef, TreeNode, TreeRequest,
    VersionRequest, status::Detail,
};
use canopy_proto::selector;
use clap::Args;

use crate::error::{Asked, Error};
use crate::session::{Session, every, name_of};
use crate::show::{ready, summary, word};
use crate::table::printable;
use crate::{age, args};

/// The most lines on what is not well: the rest is counted.
const LINES_MAX: usize = 20;
/// The hub that is asked; the root has no name.
const THIS: &str = "this hub";

/// Show the fleet on one page, and what is not well
///
/// With --by it shows instead how clusters fare by the values of one of their labels. Silent clusters are
/// counted as they were heard last; regions that do not answer are named, and their clusters are missing.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  canopy status
  canopy status --by line
  canopy status --by line --under eu -l tier=production")]
pub struct Status {
    /// Count clusters by the values of this label: line, plant, region or any other
    #[arg(long, value_name = "KEY")]
    by: Option<String>,
    /// Only clusters at this path or below
    #[arg(long, value_name = "PATH", requires = "by")]
    under: Option<String>,
    /// Only clusters with these labels: line=cnc,site!=graz,tier in (a,b),!spare
    #[arg(short = 'l', long, value_name = "SELECTOR", requires = "by")]
    selector: Option<String>,
}

impl Status {
    pub(crate) async fn run(self, session: &mut Session<'_, '_>) -> Result<(), Error> {
        match self.by {
            Some(key) => grouped(session, key, self.under, self.selector).await,
            None => Self::page(session).await,
        }
    }

    async fn page(session: &mut Session<'_, '_>) -> Result<(), Error> {
        let version = session.client.version(VersionRequest {}).await;
        let version = version.map_err(Error::refused(Asked::read("ask the hub", Kind::Hub)))?.into_inner();
        let request = TreeRequest { path: String::new(), depth: 1 };
        let tree = session
            .client
            .tree(request)
            .await
            .map_err(Error::refused(Asked::read("read the tree", Kind::Hub)))?
            .into_inner();
        let asked = tree.nodes.into_iter().next().unwrap_or_default();

        let mut hubs = Hubs::new(&asked);
        hubs.problems.extend(own_trouble(session, &version.path).await?);
        let request = every(Kind::Hub);
        let list = session.list(&request, |_, objects| {
            objects.iter().for_each(|object| hubs.add(object));
            Ok(())
        });
        list.await?;
        let (dark, mut problems) = (hubs.dark(), hubs.problems());
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

        let fleet = asked.fleet.unwrap_or_default();
        let out = &mut *session.terminal;
        out.line(format_args!(
            "hub          {} of {}, version {}",
            version.path, version.trust_domain, version.version
        ))?;
        out.line(format_args!("hubs         {} below", fleet.hubs))?;
        out.line(format_args!("clusters     {}, {} connected{dark}", fleet.clusters, fleet.connected))?;
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

async fn grouped(
    session: &mut Session<'_, '_>,
    key: String,
    under: Option<String>,
    selector: Option<String>,
) -> Result<(), Error> {
    let label_selector = selector::parse(selector.as_deref().unwrap_or_default())?.to_string();
    let request = ListRequest { label_selector, under: under.unwrap_or_default(), ..every(Kind::Cluster) };
    let mut groups = by::Groups::new(key);
    let list = session.list(&request, |_, clusters| {
        clusters.iter().for_each(|cluster| groups.add(cluster));
        Ok(())
    });
    list.await?;
    groups.print(session.terminal)
}

/// The hub that is asked, and those below it.
#[derive(Default)]
struct Hubs {
    this: Path,
    problems: Vec<String>,
    below: BTreeMap<Path, Below>,
}

/// What a hub told last of the clusters below it.
#[derive(Default)]
struct Below {
    clusters: i64,
    missing: i64,
    /// How old that is, in milliseconds; none while the hub is connected.
    silent_ms: Option<u64>,
}

impl Below {
    fn new(fleet: Option<Fleet>, silent_ms: Option<u64>) -> Self {
        let fleet = fleet.unwrap_or_default();
        let (clusters, connected) = (i64::from(fleet.clusters), i64::from(fleet.connected));
        Self { clusters, missing: clusters - connected, silent_ms }
    }
}

impl Hubs {
    /// The hub that is asked speaks for itself.
    fn new(asked: &TreeNode) -> Self {
        let mut hubs = Self::default();
        hubs.problems.extend(trouble(THIS, asked.ready.as_ref()));
        hubs.this = asked.path.parse().unwrap_or_default();
        hubs.below.insert(hubs.this.clone(), Below::new(asked.fleet, None));
        hubs
    }

    /// A hub below, of which the one above it tells.
    fn add(&mut self, object: &Object) {
        let status = object.status.as_ref();
        let Some(Detail::Hub(hub)) = status.and_then(|status| status.detail.as_ref()) else { return };
        let name = name_of(object);
        let silent_ms = (!hub.connected).then_some(hub.age_ms);
        match silent_ms {
            Some(age) => {
                let leaving = if summary(object) == "Terminating" { "Terminating, " } else { "" };
                self.problems.push(format!("{name}: {leaving}disconnected for {}", age::text(age)));
            }
            None => self.problems.extend(trouble(&name, status.and_then(ready))),
        }
        let path = object.metadata.as_ref().and_then(|metadata| metadata.name.parse().ok());
        self.below.insert(path.unwrap_or_default(), Below::new(hub.fleet, silent_ms));
    }

    /// How old the counts of clusters are below hubs that are out of reach; empty if none is.
    fn dark(&self) -> String {
        let mut tops: Vec<(&Path, i64, u64)> = Vec::new();
        for (path, below) in &self.below {
            let covered = tops.iter().any(|(top, ..)| top.contains(path));
            if let (Some(age), false) = (below.silent_ms, covered) {
                tops.push((path, below.clusters, age));
            }
        }
        match tops.iter().map(|(.., age)| *age).max() {
            None => String::new(),
            Some(age) => {
                let clusters: i64 = tops.iter().map(|(_, clusters, _)| clusters).sum();
                format!("; {clusters} of them below disconnected hubs, as of {} ago", age::text(age))
            }
        }
    }

    /// What is not well with hubs, and how many clusters are out of reach at each.
    fn problems(self) -> Vec<String> {
        let mut problems = self.problems;
        for (path, own) in own_part(&self.below) {
            let (name, place) = match path == self.this {
                true => (THIS.to_owned(), String::new()),
                false => (format!("hub/{path}"), format!(" {path}")),
            };
            let rest = match self.below.get(&path).and_then(|below| below.silent_ms) {
                Some(age) => format!(", as of {} ago", age::text(age)),
                None => format!("; `canopy tree{place} --depth 1` names them"),
            };
            problems.push(format!("{name}: {own} of its clusters disconnected{rest}"));
        }
        problems
    }
}

/// A hub counts all below it: what its child hubs count is told at them.
fn own_part(below: &BTreeMap<Path, Below>) -> Vec<(Path, i64)> {
    let own = below.iter().map(|(path, hub)| {
        let children = below.iter().filter(|(child, _)| child.parent().as_ref() == Some(path));
        (path.clone(), hub.missing - children.map(|(_, child)| child.missing).sum::<i64>())
    });
    own.filter(|(_, own)| *own > 0).collect()
}

fn trouble(name: &str, ready: Option<&Condition>) -> Option<String> {
    let word = word(ready);
    let message = ready.map_or("", |ready| ready.message.as_str());
    let separator = if message.is_empty() { "" } else { ": " };
    (word != "Ready").then(|| format!("{name}: {word}{separator}{message}"))
}

fn unwell(object: &Object) -> Option<String> {
    if summary(object) == "Terminating" {
        return Some(format!("{}: Terminating", name_of(object)));
    }
    trouble(&name_of(object), object.status.as_ref().and_then(ready))
}

/// What else than its readiness is not well with the hub that is asked, such as what keeps it from its
/// parent.
async fn own_trouble(session: &mut Session<'_, '_>, path: &str) -> Result<Vec<String>, Error> {
    let this = ObjectRef { kind: Kind::Hub.into(), name: path.to_owned(), ..ObjectRef::default() };
    let conditions = session.get(this).await?.status.unwrap_or_default().conditions;
    let bad = conditions.into_iter().filter(|it| it.r#type != "Ready" && it.status != "True");
    let told = bad.map(|Condition { r#type, status, reason, message, .. }| {
        let separator = if message.is_empty() { "" } else { ": " };
        format!("{THIS}: {} is {status} ({reason}){separator}{message}", r#type)
    });
    Ok(told.collect())
}

async fn orphans(session: &mut Session<'_, '_>) -> Result<Option<String>, Error> {
    let answer = session.client.list_orphans(ListOrphansRequest::default()).await;
    let answer = answer.map_err(Error::refused(Asked::read("list orphans", Kind::Hub)))?.into_inner();
    let count = answer.orphans.len() as u64 + u64::from(answer.left_out);
    Ok((count > 0).then(|| format!("{count} orphans; `canopy orphans` lists them")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use canopy_proto::admin::v1::{HubStatus, Metadata, Status, object::Spec};

    fn fleet(clusters: u32, connected: u32) -> Option<Fleet> {
        Some(Fleet { hubs: 0, clusters, connected })
    }

    fn told(reason: &str) -> Condition {
        let status = if reason.is_empty() { "True" } else { "False" }.to_owned();
        Condition { r#type: "Ready".into(), status, reason: reason.into(), ..Condition::default() }
    }

    fn asked(ready: &str, clusters: u32, connected: u32) -> Hubs {
        let node = TreeNode {
            path: "/".into(),
            fleet: fleet(clusters, connected),
            ready: Some(told(ready)),
            ..TreeNode::default()
        };
        Hubs::new(&node)
    }

    fn hub(path: &str, ready: &str, fleet: Option<Fleet>, silent_ms: Option<u64>) -> Object {
        let age_ms = silent_ms.unwrap_or_default();
        let detail = Detail::Hub(HubStatus { connected: silent_ms.is_none(), age_ms, fleet });
        Object {
            metadata: Some(Metadata { name: path.into(), ..Metadata::default() }),
            spec: Some(Spec::Hub(Default::default())),
            status: Some(Status { conditions: vec![told(ready)], detail: Some(detail), ..Status::default() }),
        }
    }

    #[test]
    fn a_dead_cluster_below_the_asked_hub_is_not_well() {
        assert_eq!(asked("", 2, 2).problems(), [""; 0]);
        let problems = asked("Recovering", 2, 1).problems();
        assert_eq!(problems[0], "this hub: Recovering");
        assert!(problems[1].starts_with("this hub: 1 of its clusters disconnected;"), "{problems:?}");
    }

    #[test]
    fn clusters_are_told_at_their_own_hub_with_their_age() {
        let mut hubs = asked("", 9, 5);
        hubs.add(&hub("eu", "NotReported", fleet(5, 2), None));
        hubs.add(&hub("eu/a", "", fleet(3, 1), None));
        hubs.add(&hub("us", "", fleet(4, 3), Some(120_000)));
        hubs.add(&hub("us/b", "Terminating", fleet(1, 1), Some(60_000)));
        assert_eq!(hubs.dark(), "; 4 of them below disconnected hubs, as of 2m ago");
        let problems = hubs.problems();
        let heads: Vec<_> = problems.iter().map(|line| line.split("; `").next().unwrap()).collect();
        assert_eq!(
            heads,
            [
                "hub/eu: NotReported",
                "hub/us: disconnected for 2m",
                "hub/us/b: Terminating, disconnected for 60s",
                "hub/eu: 1 of its clusters disconnected",
                "hub/eu/a: 2 of its clusters disconnected",
                "hub/us: 1 of its clusters disconnected, as of 2m ago",
            ]
        );
    }
}
