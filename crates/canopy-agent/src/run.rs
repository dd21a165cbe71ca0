//! The agent at work: its parts, joined.

use std::future::pending;
use std::sync::Arc;

use anyhow::{Context as _, anyhow, ensure};
use canopy_content::{Blobs, Pull};
use canopy_core::Agent;
use canopy_identity::{Folder as Identities, Identity, Role, Trust, key, tls};
use canopy_link::limits::KeepAlive;
use canopy_link::{Answer, Contact, Dialer, Query, Responder, uplink};
use canopy_model::{Boot, Claims};
use canopy_node::health::{self, PrometheusHandle};
use canopy_node::{Driver, Handle, clock, shutdown};
use canopy_store::Store;
use futures::FutureExt as _;
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tracing::{Instrument as _, info, info_span, warn};

use crate::args;
use crate::cluster::{Cluster, Embedded, Real};
use crate::folder::Folder;
use crate::machine::Desk;
use crate::orders::{self, Orders};
use crate::renewal::renew;
use crate::secret::Kept;

/// Runs the agent until it is told to stop, or its disk fails.
pub(crate) async fn run(args: args::Run) -> anyhow::Result<()> {
    let folder = Folder::new(&args.data);
    let identities = folder.identity()?;
    let kept = Kept::connect(args.kept.identity_secret.clone(), &args.cluster.access).await?;
    if let Some(kept) = &kept {
        kept.restore(&identities).await?;
    }
    let identity = identities.load(clock::seconds())?;
    let peer = identity.peer();
    ensure!(
        peer.role == Role::Agent,
        "{} holds the identity of {peer}: give this agent's own folder as --data",
        args.data.display()
    );
    let span = info_span!("node", path = %identity.peer().path);
    work(args, folder, identities, identity, kept).instrument(span).await
}

async fn work(
    args: args::Run,
    folder: Folder,
    identities: Identities,
    identity: Identity,
    kept: Option<Kept>,
) -> anyhow::Result<()> {
    let stop = shutdown::on_signal().context("listening to signals")?;
    let (slots, store) = folder.store()?;
    let agent = Agent::load(identity.peer().path.clone(), slots);

    let trust = Trust::new(identity.anchor().clone(), identities.revocations()?);
    let leaf = identity.leaf()?;
    let parent = identity.parent().context("an agent has a hub above it")?;
    let tls = Arc::new(tls::client_config(trust.clone(), parent, &leaf)?);
    let way = args.upward.way(identity.parents());
    let dialer = Dialer { way: way.clone(), tls, keep_alive: KeepAlive::default() };
    let pull = Pull::from_parent(Blobs::open(folder.content())?, dialer.clone());

    let claims = canopy_model::claims::custom(&args.claims).context("--claim")?;
    let contact = Contact::default();
    let desk = Desk::new(folder.clone(), stop.clone(), contact.clone());
    let left = desk.left();
    let (driver, handle, mut parts) = if args.cluster.embedded {
        let cluster = Embedded::open(&folder.embedded_cluster(), args.cluster.embedded_lies)?;
        warn!(file = %folder.embedded_cluster().display(), "embedded cluster, nothing real runs here");
        begin(agent, store, cluster, claims, pull, desk)?
    } else {
        let cluster = Real::connect(&args.cluster.access, &folder.cluster_id()).await?;
        begin(agent, store, cluster, claims, pull, desk)?
    };
    if let Some(address) = args.health {
        let listener = TcpListener::bind(address).await;
        let listener = listener.with_context(|| format!("listening on {address} (--health)"))?;
        let metrics = health::metrics().context("collecting metrics")?;
        parts.spawn(serve_probes(listener, handle.clone(), metrics.clone()).in_current_span());
        parts.spawn(health::upkeep(metrics).map(Ok).in_current_span());
    }
    parts.spawn(renew(identity, way, trust, identities, leaf, kept.clone()).map(Ok).in_current_span());
    // It ends with the driver, and the driver's end is the one that counts.
    let linked = uplink(dialer, contact, handle.links(), Silent).then(|()| pending());
    parts.spawn(linked.in_current_span());
    let boot = Boot(u128::from_be_bytes(key::random()));
    let driving = async move { driver.run(boot, stop).await.context("the agent cannot go on") };
    parts.spawn(driving.in_current_span());
    info!(version = env!("CARGO_PKG_VERSION"), "the agent is running");
    // The driver ends when it is asked to; any other part never ends unless it fails, and an agent
    // without one of them would be alive and deaf. The rest ends with the set.
    parts.join_next().await.expect("there are parts")??;
    if left.is_cancelled() {
        folder.leave()?;
        if let Some(kept) = &kept {
            kept.forget().await?;
        }
        info!("left the hub");
    }
    info!("stopped");
    Ok(())
}

/// A part of the agent: none ends before the agent does.
type Parts = JoinSet<anyhow::Result<()>>;

/// Joins the machine with its disk, its cluster and the people beside it.
fn begin<C: Cluster>(
    agent: Agent,
    store: Store,
    cluster: C,
    claims: Claims,
    pull: Pull,
    desk: Desk,
) -> anyhow::Result<(Driver<Agent, Orders>, Handle<Agent>, Parts)> {
    let cluster = Arc::new(cluster);
    let survey = Arc::new(Notify::new());
    let (driver, handle) = {
        let (cluster, survey) = (cluster.clone(), survey.clone());
        Driver::new(agent, store, |handle: &Handle<Agent>| Orders::new(cluster, survey, pull, handle.clone()))
    };
    let mut parts = Parts::new();
    let observing = orders::observe(cluster.clone(), handle.clone());
    let unseen = || Err(anyhow!("the cluster is no longer watched, which is a fault of the agent"));
    parts.spawn(observing.map(move |()| unseen()).in_current_span());
    parts.spawn(orders::surveys(cluster.clone(), survey, handle.clone()).map(Ok).in_current_span());
    parts.spawn(orders::claims(cluster.clone(), claims, handle.clone()).map(Ok).in_current_span());
    if let Some(serving) = desk.open(cluster, handle.clone())? {
        parts.spawn(serving.map(Ok).in_current_span());
    }
    Ok((driver, handle, parts))
}

/// The port for probes and metrics. Ready means that the cluster has told what it holds; a hub that is
/// away does not make an agent unready, for restarting it would help nobody.
async fn serve_probes(
    listener: TcpListener,
    agent: Handle<Agent>,
    metrics: PrometheusHandle,
) -> anyhow::Result<()> {
    let ready = |agent: &Agent| {
        agent
            .is_surveyed()
            .then_some(())
            .ok_or_else(|| "the cluster has not told yet what it holds".to_owned())
    };
    health::serve(listener, agent, metrics, ready).await.context("serving probes and metrics")
}

/// A leaf: there is nothing below to ask about.
struct Silent;

impl Responder for Silent {
    async fn answer(&self, query: Query) -> Answer {
        Answer { id: query.id, as_of: clock::wall(), partial: true, next: String::new(), body: Vec::new() }
    }
}
