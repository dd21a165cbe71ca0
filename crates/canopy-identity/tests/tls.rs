//! Forged and misplaced peers over real TLS on loopback.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::io;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::digest::{Digest, SHA256, SHA384, digest};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair};
use canopy_identity::authority::{Chain, LEAF_LIFE_SECS, RENEWAL_GRACE_SECS};
use canopy_identity::key::random_uid;
use canopy_identity::peer::parse_spiffe;
use canopy_identity::tls::{
    Leaf, anonymous_config, client_config, joining_config, refusal_of, server_config,
};
use canopy_identity::verify::Refusal;
use canopy_identity::{
    Accept, Anchor, Authority, Certified, Fingerprint, Identity, Key, Peer, ProvenKey, Revocations, Role,
    Trust, TrustDomain, authority, peer_of,
};
use canopy_model::{Path, Uid};
use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, SanType};
use rustls::client::Resumption;
use rustls::{ClientConfig, HandshakeKind, ServerConfig};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, TlsConnector};
use x509_parser::prelude::{FromDer, X509Certificate};

/// A root, the region eu, and the plants 7, 70 and 8, all two lives of a TLS certificate old.
struct Fleet {
    root: Identity,
    eu: Identity,
    plant_7: Identity,
    plant_70: Identity,
    plant_8: Identity,
}

impl Fleet {
    fn new() -> Self {
        let founded = now() - 2 * LEAF_LIFE_SECS;
        let root = Identity::root(&TrustDomain::default(), random_uid(), founded).unwrap();
        let hub = |parent, name| join_at(parent, Role::Hub, name, founded).reissued(now()).unwrap();
        let root = root.reissued(now()).unwrap();
        let eu = hub(&root, "eu");
        let plant = |name| hub(&eu, name);
        let (plant_7, plant_70, plant_8) = (plant("plant-7"), plant("plant-70"), plant("plant-8"));
        Self { root, eu, plant_7, plant_70, plant_8 }
    }

    fn trust(&self) -> Trust {
        Trust::new(self.root.anchor().clone(), Revocations::default())
    }

    fn children_of(&self, hub: &Identity) -> ServerConfig {
        server_config(self.trust(), Accept::Children(hub.peer().path.clone()), &hub.leaf().unwrap()).unwrap()
    }

    fn admins_of(&self, hub: &Identity) -> ServerConfig {
        server_config(self.trust(), Accept::Admins(hub.peer().path.clone()), &hub.leaf().unwrap()).unwrap()
    }

    fn client(&self, leaf: &Leaf, hub: &Identity) -> ClientConfig {
        client_config(self.trust(), hub.peer().path.clone(), leaf).unwrap()
    }
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

fn join(parent: &Identity, role: Role, name: &str) -> Identity {
    join_at(parent, role, name, now())
}

fn join_at(parent: &Identity, role: Role, name: &str, at: u64) -> Identity {
    let key = Key::generate().unwrap();
    let proven = ProvenKey::from_request(&key.request().unwrap()).unwrap();
    let chain = issuer(parent).issue(role, &name.parse().unwrap(), random_uid(), &proven, at).unwrap();
    Identity::joined(chain, key, Vec::new(), at).unwrap()
}

fn issuer(hub: &Identity) -> &Authority {
    hub.authority().unwrap()
}

/// What a stolen authority can sign: any identity, as an authority or not.
fn forge(thief: &Authority, id: &str, uid: Uid, authority: bool) -> (Chain, Key) {
    let key = Key::generate().unwrap();
    let mut params = CertificateParams::default();
    params.subject_alt_names = vec![SanType::URI(id.try_into().unwrap())];
    params.distinguished_name.push(rcgen::DnType::CommonName, id);
    let uid = rcgen::DnValue::PrintableString(uid.to_string().try_into().unwrap());
    params.distinguished_name.push(rcgen::DnType::CustomDnType(vec![2, 5, 4, 5]), uid);
    if authority {
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    } else {
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    }
    let signer = KeyPair::from_pem(&thief.key().to_pem()).unwrap();
    let issuer = Issuer::from_ca_cert_der(&thief.chain()[0], signer).unwrap();
    let subject = KeyPair::from_pem(&key.to_pem()).unwrap();
    let forged = params.signed_by(&subject, &issuer).unwrap().der().clone();
    (std::iter::once(forged).chain(thief.chain().iter().cloned()).collect(), key)
}

/// What each side made of a connection.
struct Met {
    /// The client as the server knows it.
    server: Result<Option<Peer>, io::Error>,
    client: Result<HandshakeKind, io::Error>,
}

async fn meet(server: impl Into<Arc<ServerConfig>>, client: impl Into<Arc<ClientConfig>>) -> Met {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let acceptor = TlsAcceptor::from(server.into());
    let serving = tokio::spawn(async move {
        let (stream, _) = listener.accept().await?;
        let mut stream = acceptor.accept(stream).await?;
        stream.write_all(b"!").await?;
        stream.shutdown().await?;
        let peer = stream.get_ref().1.peer_certificates().map(|chain| peer_of(chain).unwrap());
        Ok(peer)
    });
    let dialling = async {
        let stream = TcpStream::connect(address).await?;
        let mut stream = TlsConnector::from(client.into()).connect("hub".try_into().unwrap(), stream).await?;
        // In TLS 1.3 a client learns only now whether its certificate was accepted.
        stream.read_exact(&mut [0]).await?;
        Ok(stream.get_ref().1.handshake_kind().unwrap())
    };
    let client = dialling.await;
    Met { server: serving.await.unwrap(), client }
}

/// The reason of ours for which one side refused the other.
fn refusal<T>(side: Result<T, io::Error>) -> Refusal {
    let error = side.err().expect("was accepted").into_inner().expect("is no error of TLS");
    let error = error.downcast::<rustls::Error>().expect("is no error of TLS");
    refusal_of(&error).unwrap_or_else(|| panic!("refused for another reason: {error}")).clone()
}

async fn refused(server: ServerConfig, client: ClientConfig) -> Refusal {
    let met = meet(server, client).await;
    assert!(met.client.is_err(), "the client must notice");
    refusal(met.server)
}

#[tokio::test]
async fn children_and_parents_know_each_other() {
    let fleet = Fleet::new();
    let press = join(&fleet.plant_7, Role::Agent, "press-3");
    for (child, parent) in [(&press, &fleet.plant_7), (&fleet.plant_7, &fleet.eu), (&fleet.eu, &fleet.root)] {
        let met = meet(fleet.children_of(parent), fleet.client(&child.leaf().unwrap(), parent)).await;
        assert_eq!(met.server.unwrap().as_ref(), Some(child.peer()));
        met.client.unwrap();
    }
    let skipping =
        refused(fleet.children_of(&fleet.eu), fleet.client(&press.leaf().unwrap(), &fleet.eu)).await;
    assert!(matches!(skipping, Refusal::Unexpected { .. }), "{skipping}");
}

#[tokio::test]
async fn a_siblings_path_is_refused() {
    let fleet = Fleet::new();
    let thief = issuer(&fleet.plant_7);
    for (id, authority, listener) in [
        ("spiffe://canopy.local/cluster/eu/plant-8/press-1", false, &fleet.plant_8),
        ("spiffe://canopy.local/hub/eu/plant-8", false, &fleet.eu),
        ("spiffe://canopy.local/hub/eu", false, &fleet.root),
        ("spiffe://canopy.local/hub/eu/plant-7", false, &fleet.eu),
    ] {
        let (chain, key) = forge(thief, id, Uid(1), authority);
        let leaf = Leaf::new(chain, &key).unwrap();
        let why = refused(fleet.children_of(listener), fleet.client(&leaf, listener)).await;
        assert!(matches!(why, Refusal::Overreach { .. }), "{id}: {why}");
    }
    // An authority for the sibling, which then issues as if it were the sibling.
    let (chain, key) = forge(thief, "spiffe://canopy.local/hub/eu/plant-8", Uid(1), true);
    let puppet = Authority::new(chain, key).unwrap();
    let (chain, key) = forge(&puppet, "spiffe://canopy.local/cluster/eu/plant-8/press-1", Uid(2), false);
    let leaf = Leaf::new(chain, &key).unwrap();
    let why = refused(fleet.children_of(&fleet.plant_8), fleet.client(&leaf, &fleet.plant_8)).await;
    assert!(matches!(why, Refusal::Overreach { .. }), "{why}");
}

#[tokio::test]
async fn plant_7_is_no_prefix_of_plant_70() {
    let fleet = Fleet::new();
    let id = "spiffe://canopy.local/cluster/eu/plant-70/press-1";
    let (chain, key) = forge(issuer(&fleet.plant_7), id, Uid(1), false);
    let leaf = Leaf::new(chain, &key).unwrap();
    let why = refused(fleet.children_of(&fleet.plant_70), fleet.client(&leaf, &fleet.plant_70)).await;
    assert!(matches!(why, Refusal::Overreach { .. }), "{why}");
}

#[tokio::test]
async fn an_extra_certificate_in_the_chain_changes_nothing() {
    let fleet = Fleet::new();
    let id = "spiffe://canopy.local/cluster/eu/plant-8/press-1";
    let (mut chain, key) = forge(issuer(&fleet.plant_7), id, Uid(1), false);
    // Presented in this order, the sibling's true authority looks like the issuer.
    chain.insert(1, issuer(&fleet.plant_8).chain()[0].clone());
    let leaf = Leaf::new(chain, &key).unwrap();
    let why = refused(fleet.children_of(&fleet.plant_8), fleet.client(&leaf, &fleet.plant_8)).await;
    assert!(matches!(why, Refusal::Overreach { .. }), "{why}");

    let press = join(&fleet.plant_7, Role::Agent, "press-3");
    let mut chain = press.chain().to_vec();
    chain.insert(1, issuer(&fleet.plant_8).chain()[0].clone());
    let leaf = Leaf::new(chain, press.key()).unwrap();
    let met = meet(fleet.children_of(&fleet.plant_7), fleet.client(&leaf, &fleet.plant_7)).await;
    assert_eq!(met.server.unwrap().as_ref(), Some(press.peer()), "nor does it harm");
}

#[tokio::test]
async fn an_agent_is_no_issuer() {
    let fleet = Fleet::new();
    let id = "spiffe://canopy.local/cluster/eu/plant-7/press-3";
    let (chain, key) = forge(issuer(&fleet.plant_7), id, Uid(1), true);
    let signer = KeyPair::from_pem(&key.to_pem()).unwrap();
    let issuer = Issuer::from_ca_cert_der(&chain[0], signer).unwrap();
    let own = KeyPair::generate().unwrap();
    let mut params = CertificateParams::default();
    params.subject_alt_names =
        vec![SanType::URI("spiffe://canopy.local/admin/eu/plant-7/eve".try_into().unwrap())];
    params.distinguished_name.push(
        rcgen::DnType::CustomDnType(vec![2, 5, 4, 5]),
        rcgen::DnValue::PrintableString(Uid(2).to_string().try_into().unwrap()),
    );
    let forged = params.signed_by(&own, &issuer).unwrap().der().clone();
    let chain = std::iter::once(forged).chain(chain).collect();
    let leaf = Leaf::new(chain, &Key::from_pem(&own.serialize_pem()).unwrap()).unwrap();
    let why = refused(fleet.admins_of(&fleet.plant_7), fleet.client(&leaf, &fleet.plant_7)).await;
    assert!(matches!(why, Refusal::Overreach { .. }), "{why}");
}

#[tokio::test]
async fn admins_and_children_have_listeners_of_their_own() {
    let fleet = Fleet::new();
    let hub = &fleet.plant_7;
    let agent = join(hub, Role::Agent, "press-3").leaf().unwrap();
    let why = refused(fleet.admins_of(hub), fleet.client(&agent, hub)).await;
    assert!(matches!(why, Refusal::Unexpected { .. }), "an agent's certificate on the admin listener: {why}");

    let why = refused(fleet.admins_of(hub), fleet.client(&fleet.eu.leaf().unwrap(), hub)).await;
    assert!(
        matches!(why, Refusal::Unexpected { .. }),
        "a hub's certificate, whose subtree holds this hub: {why}"
    );

    let alice = join(hub, Role::Admin, "alice");
    let leaf = alice.leaf().unwrap();
    let met = meet(fleet.admins_of(hub), fleet.client(&leaf, hub)).await;
    assert_eq!(met.server.unwrap().as_ref(), Some(alice.peer()));
    for (listener, other) in [
        (fleet.children_of(hub), hub),
        (fleet.admins_of(&fleet.eu), &fleet.eu),
        (fleet.admins_of(&fleet.plant_70), &fleet.plant_70),
    ] {
        let why = refused(listener, fleet.client(&leaf, other)).await;
        assert!(matches!(why, Refusal::Unexpected { .. }), "{why}");
    }
    let above = join(&fleet.eu, Role::Admin, "bob");
    let met = meet(fleet.admins_of(hub), fleet.client(&above.leaf().unwrap(), hub)).await;
    assert_eq!(met.server.unwrap().as_ref(), Some(above.peer()), "whose subtree holds this hub");
}

#[tokio::test]
async fn the_server_is_the_one_expected() {
    let fleet = Fleet::new();
    let press = join(&fleet.plant_7, Role::Agent, "press-3");
    let leaf = press.leaf().unwrap();
    let sibling = meet(fleet.children_of(&fleet.plant_8), fleet.client(&leaf, &fleet.plant_7)).await;
    assert!(matches!(refusal(sibling.client), Refusal::Unexpected { .. }));

    let other = join(&fleet.plant_7, Role::Agent, "press-4");
    let met = meet(fleet.children_of(&other), fleet.client(&leaf, &fleet.plant_7)).await;
    assert!(matches!(refusal(met.client), Refusal::Invalid { .. }), "an agent's certificate is no server's");
}

#[tokio::test]
async fn a_hub_is_known_by_the_hash_of_its_root() {
    let fleet = Fleet::new();
    let joining = |pin, hub: &str| joining_config(pin, hub.parse().unwrap()).unwrap();
    let pin = fleet.root.anchor().pin();
    let met = meet(fleet.children_of(&fleet.plant_7), joining(pin, "eu/plant-7")).await;
    assert_eq!(met.server.unwrap(), None, "a client without a certificate");
    met.client.unwrap();

    let met = meet(fleet.children_of(&fleet.plant_7), joining(Fingerprint::of(b"other"), "eu/plant-7")).await;
    assert!(matches!(refusal(met.client), Refusal::Pin { .. }));
    let met = meet(fleet.children_of(&fleet.plant_7), joining(pin, "eu/plant-8")).await;
    assert!(matches!(refusal(met.client), Refusal::Unexpected { .. }));

    // A proxy that shows the true root along with a certificate of its own.
    let proxy = Fleet::new();
    let mut chain = proxy.plant_7.chain().to_vec();
    chain.push(fleet.root.anchor().der().clone());
    let leaf = Leaf::new(chain, proxy.plant_7.key()).unwrap();
    let listener =
        server_config(proxy.trust(), Accept::Children("eu/plant-7".parse().unwrap()), &leaf).unwrap();
    let met = meet(listener, joining(pin, "eu/plant-7")).await;
    assert!(matches!(refusal(met.client), Refusal::Foreign { .. } | Refusal::Invalid { .. }));
}

#[tokio::test]
async fn strangers_are_refused() {
    let (fleet, other) = (Fleet::new(), Fleet::new());
    let hub = &fleet.plant_7;
    let stranger = join(&other.plant_7, Role::Agent, "press-3").leaf().unwrap();
    let why = refused(fleet.children_of(hub), fleet.client(&stranger, hub)).await;
    // Both roots have the same name, so it is the signature that fails.
    let wrong_root = matches!(&why, Refusal::Foreign { .. })
        || matches!(&why, Refusal::Invalid { source: webpki::Error::InvalidSignatureForPublicKey, .. });
    assert!(wrong_root, "{why}");

    let late = join_at(hub, Role::Agent, "press-4", now() - LEAF_LIFE_SECS - 60).leaf().unwrap();
    let why = refused(fleet.children_of(hub), fleet.client(&late, hub)).await;
    assert!(matches!(why, Refusal::Invalid { source: webpki::Error::CertExpired { .. }, .. }), "{why}");

    let anonymous = anonymous_config(fleet.trust(), hub.peer().path.clone()).unwrap();
    let met = meet(fleet.admins_of(hub), anonymous).await;
    assert!(met.server.is_err() && met.client.is_err(), "an admin listener insists on a certificate");
}

#[tokio::test]
async fn tls_1_2_is_not_spoken() {
    let fleet = Fleet::new();
    let config = fleet.client(&join(&fleet.plant_7, Role::Agent, "press-3").leaf().unwrap(), &fleet.plant_7);
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let old = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS12])
        .unwrap()
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_client_cert_resolver(config.client_auth_cert_resolver.clone());
    let met = meet(fleet.children_of(&fleet.plant_7), old).await;
    let error = met.server.unwrap_err().to_string();
    assert!(
        error.contains("Tls12NotOffered") || error.contains("Tls13") || error.contains("version"),
        "{error}"
    );
}

#[tokio::test]
async fn a_revoked_node_cannot_resume_its_session() {
    let fleet = Fleet::new();
    let press = join(&fleet.plant_7, Role::Agent, "press-3");
    let trust = fleet.trust();
    let accept = Accept::Children(fleet.plant_7.peer().path.clone());
    let server = Arc::new(server_config(trust.clone(), accept, &fleet.plant_7.leaf().unwrap()).unwrap());
    let mut client = fleet.client(&press.leaf().unwrap(), &fleet.plant_7);
    client.resumption = Resumption::in_memory_sessions(8);
    let client = Arc::new(client);
    for _ in 0..2 {
        let kind = meet(server.clone(), client.clone()).await.client.unwrap();
        assert_ne!(kind, HandshakeKind::Resumed, "a resumed session would skip the check");
    }
    let mut revocations = Revocations::default();
    revocations.revoke_uid(press.peer().uid);
    trust.reload(revocations);
    assert!(matches!(refusal(meet(server.clone(), client).await.server), Refusal::Revoked(_)));
}

#[tokio::test]
async fn what_a_revoked_hub_issued_is_refused_with_it() {
    let fleet = Fleet::new();
    let press = join(&fleet.plant_7, Role::Agent, "press-3");
    let mut revocations = Revocations::default();
    assert!(revocations.revoke_uid(fleet.eu.peer().uid));
    let trust = Trust::new(fleet.root.anchor().clone(), revocations);
    let leaf = fleet.plant_7.leaf().unwrap();
    let listener = server_config(trust, Accept::Children("eu/plant-7".parse().unwrap()), &leaf).unwrap();
    let why = refused(listener, fleet.client(&press.leaf().unwrap(), &fleet.plant_7)).await;
    assert!(matches!(why, Refusal::Revoked(_)), "{why}");
}

/// The certificate again, signed by the same authority in a way that no authority of ours signs.
fn signed_otherwise(authority: &Authority, certificate: &[u8]) -> Vec<u8> {
    let der = |tag, content: &[u8]| {
        let length = match content.len() {
            short @ 0..0x80 => vec![short as u8],
            long => [&[0x82][..], &u16::try_from(long).unwrap().to_be_bytes()].concat(),
        };
        [&[tag][..], &length, content].concat()
    };
    let (_, parsed) = X509Certificate::from_der(certificate).unwrap();
    let mut signed = parsed.tbs_certificate.as_ref().to_vec();
    let (sha_256, sha_384) =
        ([0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2], [0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 3]);
    let at = signed.windows(8).position(|bytes| bytes == sha_256).unwrap();
    signed[at..at + 8].copy_from_slice(&sha_384);
    let key = KeyPair::from_pem(&authority.key().to_pem()).unwrap().serialize_der();
    let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &key).unwrap();
    // Of a longer hash, a curve signs as much as it is wide.
    let hash = Digest::import_less_safe(&digest(&SHA384, &signed).as_ref()[..32], &SHA256).unwrap();
    let signature = key.sign_digest(&hash).unwrap();
    let algorithm = der(0x30, &der(0x06, &sha_384));
    der(0x30, &[signed, algorithm, der(0x03, &[&[0], signature.as_ref()].concat())].concat())
}

#[tokio::test]
async fn a_certificate_that_is_signed_otherwise_is_refused() {
    let fleet = Fleet::new();
    let hub = &fleet.plant_7;
    let mut chain = hub.chain().to_vec();
    chain[0] = signed_otherwise(issuer(hub), &chain[0]).into();
    assert!(Certified::read(&chain[0]).is_ok(), "it is a certificate");
    let leaf = Leaf::new(chain, hub.key()).unwrap();
    let client = fleet.client(&leaf, &fleet.eu);
    let why = refused(fleet.children_of(&fleet.eu), client).await;
    assert!(matches!(why, Refusal::Invalid { .. }), "{why}");
}

#[test]
fn what_the_hub_above_certified_is_an_agents_key_and_a_hubs_authority() {
    let fleet = Fleet::new();
    let press = join(&fleet.plant_7, Role::Agent, "press-3");
    assert_eq!(Certified::enrolled(press.chain()).unwrap().key, press.key().fingerprint());

    let own = issuer(&fleet.plant_7).certified();
    assert_eq!(&Certified::enrolled(fleet.plant_7.chain()).unwrap(), own);
    assert_ne!(own.key, fleet.plant_7.key().fingerprint());

    // An authority for the same node that signed nothing of this chain decides nothing.
    let id = "spiffe://canopy.local/hub/eu/plant-7";
    let (other, key) = forge(issuer(&fleet.eu), id, fleet.plant_7.peer().uid, true);
    assert_ne!(key.fingerprint(), own.key);
    let mut chain = fleet.plant_7.chain().to_vec();
    chain.insert(1, other[0].clone());
    assert_eq!(&Certified::enrolled(&chain).unwrap(), own);
}

#[tokio::test]
async fn a_replaced_certificate_is_presented_at_once() {
    let fleet = Fleet::new();
    let press = join(&fleet.plant_7, Role::Agent, "press-3");
    let leaf = join_at(&fleet.plant_7, Role::Agent, "press-3", now() - LEAF_LIFE_SECS - 60).leaf().unwrap();
    let client = Arc::new(fleet.client(&leaf, &fleet.plant_7));
    assert!(meet(fleet.children_of(&fleet.plant_7), client.clone()).await.client.is_err());
    leaf.replace(press.chain().to_vec(), press.key()).unwrap();
    meet(fleet.children_of(&fleet.plant_7), client).await.client.unwrap();
}

#[test]
fn a_request_decides_nothing() {
    let fleet = Fleet::new();
    let greedy = KeyPair::generate().unwrap();
    let mut params = CertificateParams::default();
    params.subject_alt_names = vec![SanType::URI("spiffe://canopy.local/hub".try_into().unwrap())];
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::Any];
    let request = params.serialize_request(&greedy).unwrap();
    let key = ProvenKey::from_request(request.der()).unwrap();
    let chain =
        issuer(&fleet.plant_7).issue(Role::Agent, &"press-3".parse().unwrap(), Uid(5), &key, now()).unwrap();

    let issued = Certified::read(&chain[0]).unwrap();
    let (domain, role, path) = parse_spiffe("spiffe://canopy.local/cluster/eu/plant-7/press-3").unwrap();
    assert_eq!((issued.domain, issued.peer), (domain, Peer { role, path, uid: Uid(5) }));
    assert!(!issued.authority);
    let usage = |usage| {
        let at = rustls::pki_types::UnixTime::now();
        fleet.trust().verify(&chain, at, usage)
    };
    assert!(usage(webpki::KeyUsage::client_auth()).is_ok());
    assert!(usage(webpki::KeyUsage::server_auth()).is_err());
}

#[test]
fn renewal_is_for_the_same_node_and_key() {
    let fleet = Fleet::new();
    let hub = issuer(&fleet.plant_7);
    let joined = now() - LEAF_LIFE_SECS;
    let press = join_at(&fleet.plant_7, Role::Agent, "press-3", joined);
    let proven = |key: &Key| ProvenKey::from_request(&key.request().unwrap()).unwrap();
    let none = |_: &Certified| false;
    let (key, certificate) = press.enrolled();
    let renew = |hub: &Authority, key: &Key, revoked: fn(&Certified) -> bool, at: u64| {
        hub.renew(certificate, &proven(key), revoked, at)
    };

    let expiry = Certified::read(certificate).unwrap().not_after;
    let chain = renew(hub, key, none, expiry + RENEWAL_GRACE_SECS).unwrap();
    assert_eq!(press.renewed(chain, expiry + RENEWAL_GRACE_SECS).unwrap().peer(), press.peer());
    let late = renew(hub, key, none, expiry + RENEWAL_GRACE_SECS + 1);
    assert!(matches!(late, Err(authority::Error::RenewLate(_))));
    let other = renew(hub, &Key::generate().unwrap(), none, now());
    assert!(matches!(other, Err(authority::Error::RenewKey(_))));
    assert!(matches!(renew(hub, key, |_| true, now()), Err(authority::Error::RenewRevoked(_))));
    let sibling = renew(issuer(&fleet.plant_8), key, none, now());
    assert!(matches!(sibling, Err(authority::Error::RenewForeign { .. })));
    let (forged, key) =
        forge(issuer(&fleet.eu), "spiffe://canopy.local/cluster/eu/plant-7/press-3", Uid(1), false);
    let forged = hub.renew(&forged[0], &proven(&key), none, now());
    assert!(
        matches!(forged, Err(authority::Error::RenewForeign { .. })),
        "of the right name, signed by another"
    );
}

#[test]
fn an_administrator_is_not_renewed() {
    let fleet = Fleet::new();
    let alice = join(&fleet.plant_7, Role::Admin, "alice");
    let key = ProvenKey::from_request(&alice.key().request().unwrap()).unwrap();
    let renewed = issuer(&fleet.plant_7).renew(&alice.chain()[0], &key, |_| false, now());
    assert!(matches!(renewed, Err(authority::Error::RenewAdmin(_))));
}

#[test]
fn six_tiers_of_hubs_stand_below_the_root() {
    let fleet = Fleet::new();
    let mut hub = fleet.plant_7.clone();
    for name in ["c", "d", "e", "f"] {
        hub = join(&hub, Role::Hub, name);
    }
    let agent = join(&hub, Role::Agent, "g");
    assert_eq!(agent.peer().path, "eu/plant-7/c/d/e/f/g".parse::<Path>().unwrap());
    let key = Key::generate().unwrap();
    let proven = ProvenKey::from_request(&key.request().unwrap()).unwrap();
    let seventh = issuer(&hub).issue(Role::Hub, &"g".parse().unwrap(), Uid(1), &proven, now());
    assert!(matches!(seventh, Err(authority::Error::Place(_))));
}

#[test]
fn anchors_are_certificates_of_a_fleet() {
    assert!(matches!(Anchor::new(b"none".to_vec().into()), Err(Refusal::Unusable(_))));
}
