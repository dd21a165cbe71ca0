//! How the parts of a hub are joined.

use std::future::pending;
use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context, ensure};
use canopy_content::{Blobs, ContentService, Pull};
use canopy_core::Hub;
use canopy_identity::{Accept, Folder, Role, key, tls};
use canopy_link::limits::{Admission, KeepAlive};
use canopy_link::{Children, Contact, Dialer, Way, downlink, enroll, listen, uplink};
use canopy_model::Boot;
use canopy_node::clock::seconds;
use canopy_node::health::PrometheusHandle;
use canopy_node::{Driver, Handle, health};
use canopy_proto::DESCRIPTORS;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::info;

use crate::admin::{self, Api};
use crate::args::RunArgs;
use crate::door::Door;
use crate::parent::{self, stay_certified};
use crate::registry::{Gate, Registry};
use crate::shell::HubShell;

/// A hub that listens and does not run yet.
pub struct Server {
    driver: Driver<Hub, HubShell>,
    api: Api,
    way: Way,
    dialer: Option<Dialer>,
    below: TcpListener,
    admins: TcpListener,
    probes: TcpListener,
    metrics: PrometheusHandle,
}

impl Server {
    /// Opens the hub's data and its ports.
    pub async fn bind(args: &RunArgs) -> anyhow::Result<Self> {
        let identity = Folder::open(args.data.identity())?.load(seconds())?;
        let peer = identity.peer().clone();
        ensure!(
            peer.role == Role::Hub,
            "{} holds the identity of {peer}: give this hub's own folder as --data",
            args.data.folder.display()
        );
        let domain = identity.anchor().domain().clone();
        let (slots, store) = args.data.open(peer.path.is_root())?;
        let below = listen_at(args.addresses.listen, "--listen").await?;
        let admins = listen_at(args.addresses.admin, "--admin").await?;
        let probes = listen_at(args.health, "--health").await?;

        let registry = Arc::new(Registry::open(Folder::open(args.data.identity())?, identity)?);
        let way = args.upward.way(registry.identity().parents());
        let dialer = parent::dialer(&registry, way.clone())?;
        let blobs = Blobs::open(args.data.content())?;
        let content = match &dialer {
            Some(dialer) => Pull::from_parent(blobs, dialer.clone()),
            None => Pull::root(blobs),
        };
        let shell = |_: &Handle<Hub>| HubShell { registry: registry.clone(), content: content.clone() };
        let machine = Hub::load(peer.path.clone(), slots);
        let (driver, hub) = Driver::new(machine, store, shell);
        let (children, advertised) = (Children::default(), args.addresses.advertise.clone());
        let contact = Contact::default();
        let api = Api { hub, peer, domain, registry, children, contact, content, advertised };
        Ok(Self { driver, api, way, dialer, below, admins, probes, metrics: health::metrics()? })
    }

    /// Where it listens: for children, for administrators, for probes.
    pub fn addresses(&self) -> anyhow::Result<[SocketAddr; 3]> {
        Ok([self.below.local_addr()?, self.admins.local_addr()?, self.probes.local_addr()?])
    }

    /// Tells children another address than the flags say.
    pub fn advertise(&mut self, address: String) {
        self.api.advertised = vec![address];
    }

    /// Runs until `stop` is cancelled, or something fails that only a new start can heal.
    pub async fn run(self, stop: CancellationToken) -> anyhow::Result<()> {
        let [below, admins, probes] = self.addresses()?;
        info!(hub = %self.api.peer.path, %below, %admins, %probes, "running");
        let Self { driver, api, way, dialer, metrics, .. } = self;
        let contact = api.contact.clone();
        let boot = Boot(u128::from_be_bytes(key::random()));
        let mut parts = JoinSet::new();
        parts.spawn(async move { driver.run(boot, stop).await.context("the hub cannot go on") });
        parts.spawn(serve_children(self.below, api.clone()));
        parts.spawn(serve_administrators(self.admins, api.clone()));
        parts.spawn(serve_probes(self.probes, api.hub.clone(), metrics.clone(), contact.clone()));
        parts.spawn(stay_certified(api.registry.clone(), way));
        parts.spawn(async move {
            health::upkeep(metrics).await;
            Ok(())
        });
        if let Some(dialer) = dialer {
            parts.spawn(async move {
                uplink(dialer, contact, api.hub.links(), api).await;
                // It ends with the driver, and the driver's end is the one that counts.
                pending().await
            });
        }
        // The driver ends when it is asked to; any other part never ends unless it fails. The
        // rest ends with the set.
        parts.join_next().await.expect("there are parts")?
    }
}

async fn listen_at(address: SocketAddr, flag: &str) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| {
        format!("cannot listen at {address}: is another program there? Choose another address with {flag}")
    })
}

/// The port for hubs and clusters below, and for those who want to become one.
async fn serve_children(listener: TcpListener, api: Api) -> anyhow::Result<()> {
    let (path, registry) = (api.peer.path.clone(), api.registry.clone());
    let accept = Accept::Children(path.clone());
    let tls = tls::server_config(registry.trust().clone(), accept, registry.leaf())?;
    let door = Door { registry, hub: api.hub.clone() };
    let content = ContentService::server(api.content.clone(), door.clone());
    let served = listen::server(KeepAlive::default())
        .add_service(enroll::service(Gate(door.clone())))
        .add_service(downlink(path, api.hub.links(), api.children.clone(), door))
        .add_service(content)
        .serve_with_incoming(listen::incoming(listener, tls, Admission::default()));
    served.await.context("serving hubs and clusters failed")
}

/// The port for administrators.
async fn serve_administrators(listener: TcpListener, api: Api) -> anyhow::Result<()> {
    let accept = Accept::Admins(api.peer.path.clone());
    let tls = tls::server_config(api.registry.trust().clone(), accept, api.registry.leaf())?;
    let reflection = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(DESCRIPTORS)
        .build_v1()?;
    let (reporter, health) = tonic_health::server::health_reporter();
    reporter.set_service_status("canopy.admin.v1.Admin", tonic_health::ServingStatus::Serving).await;
    let served = listen::server(KeepAlive::default())
        .add_service(admin::service(api))
        .add_service(health)
        .add_service(reflection)
        .serve_with_incoming(listen::incoming(listener, tls, Admission::default()));
    served.await.context("serving administrators failed")
}

/// The port for probes and metrics. A hub is ready when its core decides; until then it says what it
/// waits for, and why that does not come.
async fn serve_probes(
    listener: TcpListener,
    hub: Handle<Hub>,
    metrics: PrometheusHandle,
    contact: Contact,
) -> anyhow::Result<()> {
    let ready = move |hub: &Hub| {
        if hub.is_ready() {
            return Ok(());
        }
        let why = hub.ready();
        let trouble = contact.trouble().map(|trouble| format!("; {trouble}")).unwrap_or_default();
        Err(format!("{}: {}{trouble}", why.reason, why.message))
    };
    health::serve(listener, hub, metrics, ready).await.context("serving probes and metrics failed")
}
