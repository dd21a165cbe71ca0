//! A fleet and a hub of it that serves, for the tests of this crate.

use std::sync::Mutex;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use canopy_identity::authority::{Chain, LEAF_LIFE_SECS};
use canopy_identity::book::{Claim, Terms};
use canopy_identity::key::{random, random_uid};
use canopy_identity::tls::server_config;
use canopy_identity::token::{Secret, TOKEN_LIFE_SECS};
use canopy_identity::{Accept, Identity, JoinToken, Key, ProvenKey, Revocations, Role, TokenBook, Trust};
use rustls::ServerConfig;
use tokio::net::TcpListener;
use tokio_util::task::AbortOnDropHandle;

use crate::enroll::{Enroller, Refused, service};
use crate::limits::{Admission, KeepAlive};
use crate::listen::{incoming, peer, server};

/// How long a test waits for what must happen.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// An empty SETTINGS frame, with which each side of HTTP/2 begins.
pub(crate) const SETTINGS_FRAME: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 0];

/// A root and one hub below it, both two lives of a TLS certificate old.
pub(crate) struct Fleet {
    pub(crate) root: Identity,
    pub(crate) plant: Identity,
    /// What the hub refuses.
    pub(crate) revocations: Revocations,
}

impl Fleet {
    pub(crate) fn new() -> Self {
        Self::of("canopy.local")
    }

    pub(crate) fn of(domain: &str) -> Self {
        let founded = now() - 2 * LEAF_LIFE_SECS;
        let root = Identity::root(&domain.parse().unwrap(), random_uid(), founded).unwrap();
        let plant = child_at(&root, Role::Hub, "plant-7", founded).reissued(now()).unwrap();
        Self { root, plant, revocations: Revocations::default() }
    }

    pub(crate) fn trust(&self) -> Trust {
        Trust::new(self.root.anchor().clone(), self.revocations.clone())
    }

    pub(crate) fn server_config(&self) -> ServerConfig {
        let accept = Accept::Children(self.plant.peer().path.clone());
        server_config(self.trust(), accept, &self.plant.leaf().unwrap()).unwrap()
    }
}

pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

pub(crate) fn child(parent: &Identity, role: Role, name: &str) -> Identity {
    child_at(parent, role, name, now())
}

pub(crate) fn child_at(parent: &Identity, role: Role, name: &str, at: u64) -> Identity {
    let key = Key::generate().unwrap();
    let proven = ProvenKey::from_request(&key.request().unwrap()).unwrap();
    let authority = parent.authority().unwrap();
    let chain = authority.issue(role, &name.parse().unwrap(), random_uid(), &proven, at).unwrap();
    Identity::joined(chain, key, Vec::new(), at).unwrap()
}

/// The plant's hub, serving the enroll service.
pub(crate) struct Hub {
    pub(crate) address: String,
    _serving: AbortOnDropHandle<()>,
}

impl Hub {
    pub(crate) async fn start(fleet: &Fleet, admission: Admission) -> Self {
        Self::start_with(fleet, admission, Registrar::new(fleet, TokenBook::default())).await
    }

    pub(crate) async fn start_with(fleet: &Fleet, admission: Admission, enroller: impl Enroller) -> Self {
        let router = server(KeepAlive::default()).add_service(service(enroller));
        Self::serve(fleet, admission, router).await
    }

    /// A hub whose only service refuses strangers.
    pub(crate) async fn start_guarded(fleet: &Fleet) -> Self {
        let guarded = tonic::service::interceptor::InterceptedService::new(
            service(Registrar::new(fleet, TokenBook::default())),
            |request: tonic::Request<()>| match peer(request.extensions()) {
                Ok(_) => Ok(request),
                Err(status) => Err(status),
            },
        );
        Self::serve(fleet, Admission::default(), server(KeepAlive::default()).add_service(guarded)).await
    }

    pub(crate) async fn serve(
        fleet: &Fleet,
        admission: Admission,
        router: tonic::transport::server::Router,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let connections = incoming(listener, fleet.server_config(), admission);
        let serving = tokio::spawn(async move { router.serve_with_incoming(connections).await.unwrap() });
        Self { address, _serving: AbortOnDropHandle::new(serving) }
    }

    /// A token for this hub, entered into `book`.
    pub(crate) fn token(fleet: &Fleet, book: &mut TokenBook, kind: Role) -> JoinToken {
        let (id, secret) = (random_uid().to_string(), Secret(random()));
        let expires = now() + TOKEN_LIFE_SECS;
        book.issue(now(), id.clone(), &secret, Terms { kind, name: None, expires }).unwrap();
        JoinToken {
            id,
            secret,
            pin: fleet.root.anchor().pin(),
            parent: fleet.plant.peer().path.clone(),
            addresses: Vec::new(),
            kind,
            name: None,
            expires,
        }
    }
}

/// A hub's desk that keeps its book in memory.
pub(crate) struct Registrar {
    hub: Identity,
    book: Mutex<TokenBook>,
}

impl Registrar {
    pub(crate) fn new(fleet: &Fleet, book: TokenBook) -> Self {
        Self { hub: fleet.plant.clone(), book: Mutex::new(book) }
    }
}

impl Enroller for Registrar {
    async fn join(&self, claim: Claim, key: ProvenKey) -> Result<Chain, Refused> {
        let mut book = self.book.lock().unwrap();
        let admitted = book.judge(now(), &claim, random_uid(), |_| false).map_err(Refused::Token)?;
        book.redeem(&claim, &admitted);
        let authority = self.hub.authority().unwrap();
        authority.issue(admitted.kind, &admitted.name, admitted.uid, &key, now()).map_err(Refused::Authority)
    }

    async fn renew(&self, certificate: Vec<u8>, key: ProvenKey) -> Result<Chain, Refused> {
        let authority = self.hub.authority().unwrap();
        authority.renew(&certificate, &key, |_| false, now()).map_err(Refused::Authority)
    }
}
