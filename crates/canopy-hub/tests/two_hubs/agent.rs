//! The machine of an agent on a connection of its own, with a cluster that holds nothing and a
//! memory instead of a disk.

use std::error::Error;
use std::path::Path;
use std::sync::Arc;

use canopy_content::{Blobs, FetchError, fetch};
use canopy_core::durable::Change;
use canopy_core::effect::ClusterOrder;
use canopy_core::input::{ClusterEvent, Survey};
use canopy_core::{Agent as Machine, Effect, Input};
use canopy_identity::{Folder, Identity, JoinToken, Revocations, Trust, tls};
use canopy_link::limits::KeepAlive;
use canopy_link::{Answer, Contact, Dialer, Query, Responder, Way, enroll, uplink};
use canopy_model::{Boot, Digest};
use canopy_node::{Driver, Handle, Ledger, Shell, clock};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

/// An agent that has joined and is connected.
pub(crate) struct Agent {
    dialer: Dialer,
    blobs: Blobs,
    _running: [AbortOnDropHandle<()>; 2],
}

impl Agent {
    pub(crate) async fn join(folder: &Path, token: &str) -> Self {
        let (identities, token): (_, JoinToken) = (Folder::open(folder).unwrap(), token.parse().unwrap());
        let identity = enroll::join(&token, None, None, &identities, clock::seconds()).await.unwrap();
        Self::connect(folder, identity)
    }

    pub(crate) fn connect(folder: &Path, identity: Identity) -> Self {
        let dialer = dialer(&identity);
        let machine = Machine::load(identity.peer().path.clone(), []);
        let (driver, agent) = Driver::new(machine, Memory, |agent| Nothing(agent.clone()));
        let running = async move { driver.run(Boot(1), CancellationToken::new()).await.unwrap() };
        let linked = uplink(dialer.clone(), Contact::default(), agent.links(), Silent);
        let running = [tokio::spawn(running), tokio::spawn(linked)].map(AbortOnDropHandle::new);
        Self { dialer, blobs: Blobs::open(folder.join("content")).unwrap(), _running: running }
    }

    /// Asks the hub for a blob.
    pub(crate) async fn fetch(&self, digest: Digest) -> Result<(), FetchError> {
        fetch_by(&self.dialer, digest, &self.blobs).await
    }
}

/// The way of a node to the hub above.
pub(crate) fn dialer(identity: &Identity) -> Dialer {
    let trust = Trust::new(identity.anchor().clone(), Revocations::default());
    let tls = tls::client_config(trust, identity.parent().unwrap(), &identity.leaf().unwrap()).unwrap();
    let way = Way { addresses: identity.parents().to_vec(), proxy: None };
    Dialer { way, tls: Arc::new(tls), keep_alive: KeepAlive::default() }
}

/// Asks the hub of a dialer for a blob.
pub(crate) async fn fetch_by(dialer: &Dialer, digest: Digest, blobs: &Blobs) -> Result<(), FetchError> {
    fetch(dialer.dial().await.unwrap(), digest, blobs).await
}

struct Memory;

impl Ledger for Memory {
    fn commit(&mut self, _: &[Change]) -> Result<(), Box<dyn Error + Send + Sync>> {
        Ok(())
    }
}

/// A cluster in which nothing can be done and nothing is.
struct Nothing(Handle<Machine>);

impl Shell for Nothing {
    fn perform(&mut self, effect: Effect) {
        if effect == Effect::Cluster(ClusterOrder::Survey) {
            let agent = self.0.clone();
            tokio::spawn(async move {
                agent.input(Input::Cluster(ClusterEvent::Surveyed(Survey::default()))).await
            });
        }
    }
}

struct Silent;

impl Responder for Silent {
    async fn answer(&self, query: Query) -> Answer {
        Answer { id: query.id, as_of: clock::wall(), partial: true, next: String::new(), body: Vec::new() }
    }
}
