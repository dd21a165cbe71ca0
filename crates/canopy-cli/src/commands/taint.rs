//! `canopy taint`, and what is built on it: `cordon`, `uncordon`, `drain`.

use std::time::Duration;

use canopy_model::taint::{CORDONED, DRAINED, Effect};
use canopy_proto::admin::v1::{
    self, Kind, ListRequest, Object, ObjectRef, TaintRequest, object::Spec, status::Detail,
};
use canopy_proto::selector;
use clap::Args;
use jiff::SignedDuration;
use tokio::time::sleep;

use crate::args::{self, target};
use crate::error::{Asked, Error};
use crate::session::{Session, every, named, reference};
use crate::until::Deadline;

/// Between two looks at a cluster that is drained.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// The most workloads that are named as what a drain waits for: the rest is counted.
const NAMED_MAX: usize = 5;

/// Set and remove taints of a cluster: KEY[=VALUE]:EFFECT sets, KEY[:EFFECT]- removes
///
/// A taint keeps away the work of placements that do not tolerate it. NoSelect removes what runs there,
/// NoSelectIfNew only keeps new work away, PreferNoSelect comes last where a placement has a number.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  canopy taint cluster eu/plant-7/press-3 maintenance=gearbox:NoSelectIfNew
  canopy taint cluster eu/plant-7/press-3 maintenance-")]
pub struct Taint {
    /// cluster PATH or cluster/PATH, then KEY[=VALUE]:EFFECT to set and KEY[:EFFECT]- to remove
    #[arg(value_name = "CLUSTER AND TAINTS", num_args = 2.., required = true)]
    words: Vec<String>,
    /// Replace other values
    #[arg(long)]
    overwrite: bool,
}

impl Taint {
    pub(crate) async fn run(self, session: &mut Session<'_, '_>) -> Result<(), Error> {
        let (first, mut rest) = self.words.split_first().expect("clap asks for two words");
        let mut second = None;
        if !first.contains('/') {
            (second, rest) =
                rest.split_first().map_or((None, rest), |(name, rest)| (Some(name.as_str()), rest));
        }
        let (kind, name) = target(first, second)?;
        let name = name.ok_or(args::Error::NoName(kind))?;
        if rest.is_empty() {
            return Err(Error::Usage("no taints given: KEY=VALUE:EFFECT sets, KEY- removes".to_owned()));
        }
        let (mut set, mut remove) = (Vec::new(), Vec::new());
        for word in rest {
            match word.strip_suffix('-') {
                Some(word) => remove.push(split(word)),
                None => set.push(split(word)),
            }
        }
        if let Some(taint) = set.iter().find(|taint| taint.effect.is_empty()) {
            let key = &taint.key;
            return Err(Error::Usage(format!("{key:?} has no effect: KEY=VALUE:EFFECT sets, KEY- removes")));
        }
        let object = ObjectRef { kind: kind.into(), name, ..ObjectRef::default() };
        let change = Change { done: "tainted", set, remove, overwrite: self.overwrite };
        change.carry_out(session, object).await.map(drop)
    }
}

/// `KEY[=VALUE][:EFFECT]`.
fn split(word: &str) -> v1::Taint {
    let (label, effect) = word.rsplit_once(':').unwrap_or((word, ""));
    let (key, value) = label.split_once('=').unwrap_or((label, ""));
    v1::Taint { key: key.to_owned(), value: value.to_owned(), effect: effect.to_owned(), time_added_ms: 0 }
}

/// One or several clusters.
#[derive(Debug, Args)]
struct Clusters {
    /// cluster, or cluster/PATH
    #[arg(value_name = "KIND")]
    kind: String,
    /// The cluster's path
    #[arg(conflicts_with_all = ["selector", "under"])]
    name: Option<String>,
    /// All clusters with these labels: line=cnc,site!=graz
    #[arg(short = 'l', long, value_name = "SELECTOR")]
    selector: Option<String>,
    /// All clusters at this path or below
    #[arg(long, value_name = "PATH")]
    under: Option<String>,
}

impl Clusters {
    /// Those that are meant.
    async fn find(&self, session: &mut Session<'_, '_>) -> Result<Vec<ObjectRef>, Error> {
        let (kind, name) = target(&self.kind, self.name.as_deref())?;
        if kind != Kind::Cluster {
            let text = "only clusters have taints: name one, or those of a hub with --under PATH";
            return Err(Error::Usage(text.to_owned()));
        }
        if let Some(name) = name {
            return Ok(vec![ObjectRef { kind: kind.into(), name, ..ObjectRef::default() }]);
        }
        if self.selector.is_none() && self.under.is_none() {
            return Err(args::Error::NoName(kind).into());
        }
        let request = ListRequest {
            label_selector: selector::parse(self.selector.as_deref().unwrap_or_default())?.to_string(),
            under: self.under.clone().unwrap_or_default(),
            ..every(kind)
        };
        let mut found = Vec::new();
        let list = session.list(&request, |_, objects| {
            found.extend(objects.iter().map(|object| reference(object, "")));
            Ok(())
        });
        list.await?;
        if found.is_empty() {
            session.terminal.beside("note", "no clusters found");
        }
        Ok(found)
    }

    /// Changes each, and says what failed; those that were changed, as they are.
    async fn change(&self, session: &mut Session<'_, '_>, change: &Change) -> Result<Vec<Object>, Error> {
        let all = self.find(session).await?;
        if let [only] = all.as_slice() {
            return Ok(vec![change.carry_out(session, only.clone()).await?]);
        }
        let (mut changed, mut failed) = (Vec::new(), 0);
        for cluster in &all {
            match change.carry_out(session, cluster.clone()).await {
                Ok(object) => changed.push(object),
                Err(error @ Error::Write(_)) => return Err(error),
                Err(error) => {
                    session.terminal.error(&error);
                    failed += 1;
                }
            }
        }
        if failed > 0 { Err(Error::Some(failed, all.len())) } else { Ok(changed) }
    }
}

/// Keep new work away from clusters; what runs there goes on
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  canopy cordon cluster eu/plant-7/press-3
  canopy cordon clusters --under eu/plant-7 -l line=cnc")]
pub struct Cordon {
    #[command(flatten)]
    clusters: Clusters,
}

impl Cordon {
    pub(crate) async fn run(self, session: &mut Session<'_, '_>) -> Result<(), Error> {
        let set = vec![own(CORDONED, Effect::NoSelectIfNew)];
        let change = Change { done: "cordoned", set, remove: Vec::new(), overwrite: true };
        self.clusters.change(session, &change).await.map(drop)
    }
}

/// Let work come to clusters again, after cordon or drain
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  canopy uncordon cluster eu/plant-7/press-3
  canopy uncordon clusters --under eu/plant-7")]
pub struct Uncordon {
    #[command(flatten)]
    clusters: Clusters,
}

impl Uncordon {
    pub(crate) async fn run(self, session: &mut Session<'_, '_>) -> Result<(), Error> {
        let key = |key: &str| v1::Taint { key: key.to_owned(), ..v1::Taint::default() };
        let remove = vec![key(CORDONED), key(DRAINED)];
        let change = Change { done: "uncordoned", set: Vec::new(), remove, overwrite: false };
        self.clusters.change(session, &change).await.map(drop)
    }
}

/// Remove all work from clusters and keep it away, and wait until it is gone
///
/// What a placement tolerates stays. A number of clusters is filled elsewhere. `canopy uncordon` lets
/// work come again.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  canopy drain cluster eu/plant-7/press-3
  canopy drain clusters -l rack=4 --timeout 10m")]
pub struct Drain {
    #[command(flatten)]
    clusters: Clusters,
    /// How long to wait; 0 does not wait
    #[arg(long, value_name = "DURATION", default_value = "5m")]
    timeout: SignedDuration,
}

impl Drain {
    pub(crate) async fn run(self, session: &mut Session<'_, '_>) -> Result<(), Error> {
        let set = vec![own(CORDONED, Effect::NoSelectIfNew), own(DRAINED, Effect::NoSelect)];
        let change = Change { done: "cordoned", set, remove: Vec::new(), overwrite: true };
        let clusters = self.clusters.change(session, &change).await?;
        if self.timeout.is_zero() {
            return Ok(());
        }
        let deadline = Deadline::after(self.timeout);
        for cluster in clusters {
            empty(session, reference(&cluster, ""), deadline).await?;
        }
        Ok(())
    }
}

/// Waits until nothing is on a cluster but what is to run there.
async fn empty(session: &mut Session<'_, '_>, cluster: ObjectRef, deadline: Deadline) -> Result<(), Error> {
    let name = named(&cluster);
    let mut said = Vec::new();
    loop {
        let object = session.get(cluster.clone()).await?;
        let status = object.status.unwrap_or_default();
        let Some(Detail::Cluster(detail)) = status.detail else {
            return Err(Error::Usage(format!("{name} does not tell what runs on it")));
        };
        let shown = |row: &v1::ClusterWorkload| format!("{}/{}", row.project, row.name);
        let (stays, leaves): (Vec<_>, Vec<_>) = detail.workloads.iter().partition(|row| row.wish == "Run");
        if leaves.is_empty() {
            let stays: Vec<_> = stays.into_iter().map(shown).collect();
            let tolerated = match stays.as_slice() {
                [] => String::new(),
                stays => format!("; {} stays, it is tolerated", stays.join(", ")),
            };
            return session.terminal.line(format_args!("{name} drained{tolerated}"));
        }
        let mut waits: Vec<_> = leaves
            .into_iter()
            .map(|row| match row.wish.as_str() {
                "Remove" if row.message.is_empty() => shown(row),
                "Remove" => format!("{} ({})", shown(row), row.message),
                _ => format!("{} (its hub may not decide about it now)", shown(row)),
            })
            .collect();
        let more = waits.len().saturating_sub(NAMED_MAX);
        waits.truncate(NAMED_MAX);
        if more > 0 {
            waits.push(format!("{more} more"));
        }
        let away = if detail.connected { "" } else { ", which is not connected" };
        if deadline.is_over() {
            let waits = waits.join(", ");
            return Err(Error::Usage(format!(
                "{name}{away} is not drained yet: {waits}; it goes on, `canopy drain` waits again"
            )));
        }
        if waits != said {
            session.terminal.beside("waiting", &format!("{name}{away}: {}", waits.join(", ")));
            said = waits;
        }
        sleep(LOOK_EVERY).await;
    }
}

fn own(key: &str, effect: Effect) -> v1::Taint {
    v1::Taint { key: key.to_owned(), effect: effect.name().to_owned(), ..v1::Taint::default() }
}

/// What becomes of the taints of a cluster.
struct Change {
    /// What the cluster is afterwards.
    done: &'static str,
    set: Vec<v1::Taint>,
    remove: Vec<v1::Taint>,
    overwrite: bool,
}

impl Change {
    async fn carry_out(&self, session: &mut Session<'_, '_>, object: ObjectRef) -> Result<Object, Error> {
        let name = named(&object);
        let asked = Asked::change(format!("taint {name}"), object.kind());
        let before = session.get(object.clone()).await?;
        let (set, remove, overwrite) = (self.set.clone(), self.remove.clone(), self.overwrite);
        let request = TaintRequest { object: Some(object), set, remove, overwrite, dry_run: false };
        let answer = session.client.taint(request).await.map_err(Error::refused(asked))?.into_inner();
        let taints = |object: &Object| match &object.spec {
            Some(Spec::Cluster(spec)) => spec.taints.clone(),
            _ => Vec::new(),
        };
        let outcome = if taints(&before) == taints(&answer) { "is so already: " } else { "" };
        session.terminal.line(format_args!("{name} {outcome}{}", self.done))?;
        Ok(answer)
    }
}
