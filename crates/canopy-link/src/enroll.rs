//! A node's first certificate, and its next ones: how they are asked for, and in [`service`] how they
//! are given.

mod service;

use std::sync::Arc;
use std::time::Duration;

use canopy_identity::authority::Chain;
use canopy_identity::{
    Anchor, Certified, Folder, Identity, JoinToken, Role, Trust, folder, identity, key, tls,
};
use canopy_model::Name;
use canopy_proto::enroll::v1 as wire;
use canopy_proto::enroll::v1::enroll_client::EnrollClient;
use rustls::ClientConfig;
use rustls::pki_types::CertificateDer;
use tokio::task::spawn_blocking;
use tonic::transport::Channel;
use tonic::{Code, Request, Status};

use crate::dial::{self, Dialer, Way};
use crate::limits::{ENROLL_BYTES_MAX, KeepAlive};
use crate::proxy::Proxy;

pub use service::{Enroller, Refused, service};

/// How long a hub may take to answer. It has to write down what it gives.
const ANSWER_MAX: Duration = Duration::from_secs(30);

/// How often a node looks whether it is time to renew, and so how soon it tries again: often against
/// the ten days that a renewal has at least, rarely against what an attempt costs. Clocks may jump, so
/// no sleep is longer.
pub const LOOK_EVERY: Duration = Duration::from_secs(3600);

/// Why a node got no certificate.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No address led to the hub.
    #[error("the hub was not reached")]
    Dial(#[source] dial::Error),
    /// The hub refused, and asking again changes nothing.
    #[error("the hub refused: {0}")]
    Refused(String),
    /// The hub did not answer, or failed. Asking again may help.
    #[error("the hub did not answer")]
    Answer(#[source] Status),
    /// The answer is not what was asked for.
    #[error("the hub's answer is no certificate for this node")]
    Wrong,
    /// The answer makes no identity.
    #[error("the hub's answer is unusable")]
    Identity(#[source] identity::Error),
    /// The identity folder failed.
    #[error("the identity was not kept")]
    Folder(#[source] folder::Error),
    /// The key could not be used.
    #[error("the node's key is unusable")]
    Key(#[source] key::Error),
    /// TLS could not be set up.
    #[error("the connection could not be prepared")]
    Tls(#[source] rustls::Error),
    /// The root has no hub above it.
    #[error("this node is the root: its certificates are its own")]
    Root,
}

/// Joins the hub that `token` names, through the proxy if there is one, keeps the identity in `folder`
/// and returns it. After a failure it can be called again with the same token: the key stays the same,
/// and so does the answer. `now` is in seconds since 1970.
pub async fn join(
    token: &JoinToken,
    proxy: Option<Proxy>,
    name: Option<Name>,
    folder: &Folder,
    now: u64,
) -> Result<Identity, Error> {
    if !folder.is_empty() {
        return Err(Error::Folder(folder::Error::Occupied(folder.path().to_owned())));
    }
    let key = on_disk(folder, Folder::joining_key).await?;
    let config = tls::joining_config(token.pin, token.parent.clone()).map_err(Error::Tls)?;
    let way = Way { addresses: token.addresses.clone(), proxy };
    let mut client = client(way, config).await?;
    let request = wire::JoinRequest {
        token_id: token.id.clone(),
        secret: token.secret.0.to_vec(),
        csr: key.request().map_err(Error::Key)?,
        name: name.map(|name| name.to_string()).unwrap_or_default(),
        kind: kind_to_wire(token.kind).into(),
    };
    let answer = client.join(timed(request)).await.map_err(refused)?;
    let chain = chain_from_wire(answer.into_inner().chain);
    // The root's hash is checked again: the answer says which root this node will trust for ever.
    let anchor = Anchor::pinned(token.pin, chain.last().map(std::slice::from_ref).unwrap_or_default());
    anchor.map_err(|_| Error::Wrong)?;
    let joined = Identity::joined(chain, key, token.addresses.clone(), now).map_err(Error::Identity)?;
    if joined.peer().role != token.kind || joined.parent().as_ref() != Some(&token.parent) {
        return Err(Error::Wrong);
    }
    let kept = joined.clone();
    on_disk(folder, move |folder| folder.create(&kept)).await?;
    Ok(joined)
}

/// Whether it is time to [`renew`] what the join of `identity` gave. `now` is in seconds since 1970.
pub fn is_due(identity: &Identity, now: u64) -> bool {
    Certified::read(identity.enrolled().1).is_ok_and(|certified| certified.is_due(now))
}

/// Renews what the join of `identity` gave, over `way`, keeps it in `folder` and returns it. Also
/// works for a while after the certificate has expired. `now` is in seconds since 1970.
pub async fn renew(
    identity: &Identity,
    way: Way,
    trust: Trust,
    folder: &Folder,
    now: u64,
) -> Result<Identity, Error> {
    let parent = identity.parent().ok_or(Error::Root)?;
    let config = tls::anonymous_config(trust, parent).map_err(Error::Tls)?;
    let mut client = client(way, config).await?;
    let (key, certificate) = identity.enrolled();
    let csr = key.request().map_err(Error::Key)?;
    let request = wire::RenewRequest { certificate: certificate.to_vec(), csr };
    let answer = client.renew(timed(request)).await.map_err(refused)?;
    let chain = chain_from_wire(answer.into_inner().chain);
    let renewed = identity.renewed(chain, now).map_err(Error::Identity)?;
    let kept = renewed.clone();
    on_disk(folder, move |folder| folder.save(&kept)).await?;
    Ok(renewed)
}

/// Works on the folder where it holds up nobody else.
async fn on_disk<T: Send + 'static>(
    folder: &Folder,
    work: impl FnOnce(&Folder) -> Result<T, folder::Error> + Send + 'static,
) -> Result<T, Error> {
    let folder = folder.clone();
    let done = spawn_blocking(move || work(&folder)).await;
    done.expect("work on the folder does not panic").map_err(Error::Folder)
}

async fn client(way: Way, config: ClientConfig) -> Result<EnrollClient<Channel>, Error> {
    let dialer = Dialer { way, tls: Arc::new(config), keep_alive: KeepAlive::default() };
    let channel = dialer.dial().await.map_err(Error::Dial)?;
    Ok(EnrollClient::new(channel)
        .max_decoding_message_size(ENROLL_BYTES_MAX)
        .max_encoding_message_size(ENROLL_BYTES_MAX))
}

fn timed<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(ANSWER_MAX);
    request
}

fn refused(status: Status) -> Error {
    match status.code() {
        Code::PermissionDenied | Code::FailedPrecondition | Code::AlreadyExists | Code::InvalidArgument => {
            Error::Refused(status.message().escape_debug().to_string())
        }
        _ => Error::Answer(status),
    }
}

fn kind_to_wire(role: Role) -> wire::Kind {
    match role {
        Role::Hub => wire::Kind::Hub,
        Role::Agent => wire::Kind::Agent,
        Role::Admin => wire::Kind::Unspecified,
    }
}

fn chain_from_wire(chain: Vec<Vec<u8>>) -> Chain {
    chain.into_iter().map(CertificateDer::from).collect()
}

#[cfg(test)]
mod tests {
    use canopy_identity::authority::LEAF_LIFE_SECS;
    use canopy_identity::book::Claim;
    use canopy_identity::tls::anonymous_config;
    use canopy_identity::token::Secret;
    use canopy_identity::{Fingerprint, Key, ProvenKey, TokenBook};
    use tonic::Response;

    use super::service::{Desk, TOKEN_ID_BYTES_MAX};
    use super::*;
    use crate::dial::Attempt;
    use crate::fixture::{Fleet, Hub, Registrar, child_at, now};
    use crate::limits::Admission;

    fn folder() -> (tempfile::TempDir, Folder) {
        let place = tempfile::tempdir().unwrap();
        let folder = Folder::open(place.path().join("identity")).unwrap();
        (place, folder)
    }

    /// A hub with one token of each kind.
    async fn hub(fleet: &Fleet) -> (Hub, JoinToken, JoinToken) {
        let mut book = TokenBook::default();
        let mut tokens = [Role::Agent, Role::Hub].map(|kind| Hub::token(fleet, &mut book, kind));
        let hub = Hub::start_with(fleet, Admission::default(), Registrar::new(fleet, book)).await;
        for token in &mut tokens {
            token.addresses = vec![hub.address.clone()];
        }
        let [agent, child] = tokens;
        (hub, agent, child)
    }

    fn straight(address: &str) -> Way {
        Way { addresses: vec![address.to_owned()], proxy: None }
    }

    fn named(name: &str) -> Option<Name> {
        Some(name.parse().unwrap())
    }

    #[tokio::test]
    async fn agents_and_hubs_join_and_keep_what_they_got() {
        let fleet = Fleet::new();
        let (_hub, agent, child) = hub(&fleet).await;
        for (token, name) in [(agent, "press-3"), (child, "hall-2")] {
            let (_place, folder) = folder();
            let joined = join(&token, None, named(name), &folder, now()).await.unwrap();
            assert_eq!(joined.peer().path.to_string(), format!("plant-7/{name}"));
            assert_eq!(joined.authority().is_some(), token.kind == Role::Hub);
            assert_eq!(folder.load(now()).unwrap().peer(), joined.peer());
            let again = join(&token, None, named(name), &folder, now()).await.unwrap_err();
            assert!(matches!(again, Error::Folder(folder::Error::Occupied(_))));
        }
    }

    #[tokio::test]
    async fn a_lost_answer_can_be_had_again_and_only_by_the_same_key() {
        let fleet = Fleet::new();
        let (_hub, token, _) = hub(&fleet).await;
        let (_place, folder) = folder();
        let kept = folder.joining_key().unwrap().to_pem();
        let first = join(&token, None, named("press-3"), &folder, now()).await.unwrap();

        // As if the node had lost power before it kept the answer.
        for file in std::fs::read_dir(folder.path()).unwrap() {
            std::fs::remove_file(file.unwrap().path()).unwrap();
        }
        let (_other_place, other) = self::folder();
        let stolen = join(&token, None, named("press-3"), &other, now()).await.unwrap_err();
        assert!(matches!(&stolen, Error::Refused(why) if why.contains("already used")), "{stolen}");

        let key = Key::from_pem(&kept).unwrap();
        let request = wire::JoinRequest {
            token_id: token.id.clone(),
            secret: token.secret.0.to_vec(),
            csr: key.request().unwrap(),
            name: "press-3".to_owned(),
            kind: wire::Kind::Agent.into(),
        };
        let config = tls::joining_config(token.pin, token.parent.clone()).unwrap();
        let answer =
            client(straight(&token.addresses[0]), config).await.unwrap().join(request).await.unwrap();
        let certified = Certified::read(&answer.into_inner().chain[0]).unwrap();
        assert_eq!((&certified.peer, certified.key), (first.peer(), key.fingerprint()));
    }

    #[tokio::test]
    async fn refusals_are_told() {
        let fleet = Fleet::new();
        let (_hub, token, _) = hub(&fleet).await;
        let (_place, folder) = folder();
        let guess = JoinToken { secret: Secret([0; 16]), ..token.clone() };
        let error = join(&guess, None, named("press-3"), &folder, now()).await.unwrap_err();
        assert!(matches!(&error, Error::Refused(why) if why.contains("not known here")), "{error}");
        let wrong = JoinToken { kind: Role::Hub, ..token.clone() };
        let error = join(&wrong, None, named("press-3"), &folder, now()).await.unwrap_err();
        assert!(matches!(&error, Error::Refused(why) if why.contains("for a node of kind agent")), "{error}");
        let long = JoinToken { id: "x".repeat(TOKEN_ID_BYTES_MAX + 1), ..token.clone() };
        let error = join(&long, None, named("press-3"), &folder, now()).await.unwrap_err();
        assert!(matches!(&error, Error::Refused(why) if why.contains("token_id is missing or")), "{error}");
        let error = join(&token, None, None, &folder, now()).await.unwrap_err();
        assert!(matches!(&error, Error::Refused(why) if why.contains("--name")), "{error}");
    }

    #[tokio::test]
    async fn a_hub_of_another_fleet_is_told_no_secret() {
        let fleet = Fleet::new();
        let (_hub, token, _) = hub(&fleet).await;
        let (_place, folder) = folder();
        let pinned = JoinToken { pin: Fingerprint::of(b"another root"), ..token };
        let error = join(&pinned, None, named("press-3"), &folder, now()).await.unwrap_err();
        let Error::Dial(dial::Error(attempts)) = error else { panic!("{error}") };
        assert!(matches!(&attempts[..], [Attempt::Foreign { .. }]));
    }

    #[tokio::test]
    async fn a_node_whose_certificate_has_expired_renews_it() {
        let fleet = Fleet::new();
        let (hub, ..) = hub(&fleet).await;
        let agent = child_at(&fleet.plant, Role::Agent, "press-3", now() - LEAF_LIFE_SECS - 60);
        let agent =
            Identity::joined(agent.chain().to_vec(), agent.key().clone(), vec![hub.address.clone()], now())
                .unwrap();
        assert!(Certified::read(&agent.chain()[0]).unwrap().not_after < now());
        let (_place, folder) = folder();
        let renewed = renew(&agent, straight(&hub.address), fleet.trust(), &folder, now()).await.unwrap();
        assert_eq!(renewed.peer(), agent.peer());
        assert_ne!(renewed.chain()[0], agent.chain()[0]);
        assert_eq!(folder.load(now()).unwrap().chain(), renewed.chain());
    }

    /// Answers with more than anyone should read.
    struct Flood;

    impl Enroller for Flood {
        async fn join(&self, _: Claim, _: ProvenKey) -> Result<Chain, Refused> {
            Ok(vec![vec![0; ENROLL_BYTES_MAX].into()])
        }

        async fn renew(&self, _: Vec<u8>, _: ProvenKey) -> Result<Chain, Refused> {
            Ok(vec![vec![0; ENROLL_BYTES_MAX].into()])
        }
    }

    #[tokio::test]
    async fn messages_are_bounded_in_every_direction() {
        let fleet = Fleet::new();
        let bounded = Hub::start_with(&fleet, Admission::default(), Flood).await;
        let unbounded = canopy_proto::enroll::v1::enroll_server::EnrollServer::new(Desk(Flood));
        let router = crate::listen::server(KeepAlive::default()).add_service(unbounded);
        let unbounded = Hub::serve(&fleet, Admission::default(), router).await;
        let config = || anonymous_config(fleet.trust(), fleet.plant.peer().path.clone()).unwrap();
        let csr = Key::generate().unwrap().request().unwrap();
        let small = wire::RenewRequest { certificate: Vec::new(), csr: csr.clone() };
        let large = wire::RenewRequest { certificate: vec![0; ENROLL_BYTES_MAX], csr };
        let limited = |hub: &Hub| {
            let address = hub.address.clone();
            async move { client(straight(&address), config()).await.unwrap() }
        };
        let unlimited = |hub: &Hub| {
            let address = hub.address.clone();
            async move {
                let channel = dial::dial(&[address], Arc::new(config()), KeepAlive::default()).await.unwrap();
                EnrollClient::new(channel)
            }
        };
        let code = |answer: Result<Response<_>, Status>| {
            answer.map(|_: Response<wire::RenewResponse>| ()).unwrap_err().code()
        };
        assert_eq!(
            code(unlimited(&bounded).await.renew(large.clone()).await),
            Code::OutOfRange,
            "server reads"
        );
        assert_eq!(
            code(unlimited(&bounded).await.renew(small.clone()).await),
            Code::OutOfRange,
            "server writes"
        );
        assert_eq!(
            code(limited(&unbounded).await.renew(small.clone()).await),
            Code::OutOfRange,
            "client reads"
        );
        assert!(limited(&unbounded).await.renew(large.clone()).await.is_err(), "client writes");
        assert!(unlimited(&unbounded).await.renew(large).await.is_ok(), "the limits are ours, not tonic's");
    }
}
