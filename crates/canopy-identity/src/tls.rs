//! The rules of [`crate::verify`] as rustls configurations: TLS 1.3 only, one provider, no
//! resumption.
//!
//! A resumed session skips the check of certificates, and with it revocation. A full handshake
//! costs a hub 190 µs, so sessions are never resumed: no tickets are given and none are kept.

use std::sync::{Arc, PoisonError, RwLock};

use canopy_model::Path;
use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::version::TLS13;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, DistinguishedName, OtherError, ServerConfig,
    SignatureScheme,
};
use webpki::KeyUsage;

use crate::authority::Chain;
use crate::certificate::Fingerprint;
use crate::key::Key;
use crate::peer::Role;
use crate::revocation::Revocations;
use crate::verify::{Accept, Anchor, Refusal, Trust};

/// The only protocol spoken over our connections.
const ALPN: &[u8] = b"h2";

/// A node's TLS certificate and key, replaced while connections come and go. Clones share it.
#[derive(Debug, Clone)]
pub struct Leaf(Arc<RwLock<Arc<CertifiedKey>>>);

impl Leaf {
    /// Presents `chain`, of which `key` is the first certificate's key.
    pub fn new(chain: Chain, key: &Key) -> Result<Self, rustls::Error> {
        Ok(Self(Arc::new(RwLock::new(certified_key(chain, key)?))))
    }

    /// Presents another certificate, for every connection from now on.
    pub fn replace(&self, chain: Chain, key: &Key) -> Result<(), rustls::Error> {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = certified_key(chain, key)?;
        Ok(())
    }

    fn current(&self) -> Arc<CertifiedKey> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// A server's side: presents `leaf` and accepts those of `accept`.
///
/// A listener for children lets clients without a certificate in, for they may want to join: what
/// serves them must refuse them everything else. A listener for admins does not.
pub fn server_config(trust: Trust, accept: Accept, leaf: &Leaf) -> Result<ServerConfig, rustls::Error> {
    let verifier = Arc::new(ClientVerifier { trust, accept });
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])?
        .with_client_cert_verifier(verifier)
        .with_cert_resolver(Arc::new(leaf.clone()));
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.send_tls13_tickets = 0;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    Ok(config)
}

/// A client's side: insists that the server is the hub at `hub`, and presents `leaf`.
pub fn client_config(trust: Trust, hub: Path, leaf: &Leaf) -> Result<ClientConfig, rustls::Error> {
    let builder = verifying(ServerVerifier { root: Root::Known(trust), hub })?;
    Ok(without_resumption(builder.with_client_cert_resolver(Arc::new(leaf.clone()))))
}

/// The side of a client that has a trusted root and no valid certificate of its own.
pub fn anonymous_config(trust: Trust, hub: Path) -> Result<ClientConfig, rustls::Error> {
    Ok(without_resumption(verifying(ServerVerifier { root: Root::Known(trust), hub })?.with_no_client_auth()))
}

/// The side of a client that knows the root's hash only, from a join token.
pub fn joining_config(pin: Fingerprint, hub: Path) -> Result<ClientConfig, rustls::Error> {
    Ok(without_resumption(verifying(ServerVerifier { root: Root::Pinned(pin), hub })?.with_no_client_auth()))
}

/// The refusal of ours behind an error of rustls, if there is one.
pub fn refusal_of(error: &rustls::Error) -> Option<&Refusal> {
    match error {
        rustls::Error::InvalidCertificate(CertificateError::Other(OtherError(source))) => {
            source.downcast_ref()
        }
        _ => None,
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

fn verifying(
    verifier: ServerVerifier,
) -> Result<rustls::ConfigBuilder<ClientConfig, rustls::client::WantsClientCert>, rustls::Error> {
    Ok(ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier)))
}

fn without_resumption(mut config: ClientConfig) -> ClientConfig {
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.resumption = Resumption::disabled();
    config
}

fn certified_key(chain: Chain, key: &Key) -> Result<Arc<CertifiedKey>, rustls::Error> {
    Ok(Arc::new(CertifiedKey::from_der(chain, key.to_der(), &provider())?))
}

fn refuse(refusal: Refusal) -> rustls::Error {
    rustls::Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(refusal))))
}

fn presented<'a>(first: &CertificateDer<'a>, rest: &[CertificateDer<'a>]) -> Vec<CertificateDer<'a>> {
    std::iter::once(first).chain(rest).cloned().collect()
}

/// Answers for TLS 1.2, which no configuration of ours negotiates.
fn tls12_is_off<T>() -> Result<T, rustls::Error> {
    Err(rustls::Error::General("TLS 1.2 is not spoken here".to_owned()))
}

fn verify_signature(
    message: &[u8],
    certificate: &CertificateDer<'_>,
    signature: &DigitallySignedStruct,
) -> Result<HandshakeSignatureValid, rustls::Error> {
    let algorithms = aws_lc_rs::default_provider().signature_verification_algorithms;
    verify_tls13_signature(message, certificate, signature, &algorithms)
}

fn schemes() -> Vec<SignatureScheme> {
    aws_lc_rs::default_provider().signature_verification_algorithms.supported_schemes()
}

#[derive(Debug)]
enum Root {
    Known(Trust),
    Pinned(Fingerprint),
}

#[derive(Debug)]
struct ServerVerifier {
    root: Root,
    hub: Path,
}

impl ServerVerifier {
    fn verify(&self, presented: &[CertificateDer<'_>], now: UnixTime) -> Result<(), Refusal> {
        let trust = match &self.root {
            Root::Known(trust) => trust.clone(),
            Root::Pinned(pin) => Trust::new(Anchor::pinned(*pin, presented)?, Revocations::default()),
        };
        let found = trust.verify(presented, now, KeyUsage::server_auth())?.peer;
        if found.role == Role::Hub && found.path == self.hub {
            return Ok(());
        }
        Err(Refusal::Unexpected { found, wanted: format!("hub {}", self.hub) })
    }
}

impl ServerCertVerifier for ServerVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        self.verify(&presented(end_entity, intermediates), now).map_err(refuse)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        tls12_is_off()
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        schemes()
    }
}

#[derive(Debug)]
struct ClientVerifier {
    trust: Trust,
    accept: Accept,
}

impl ClientCertVerifier for ClientVerifier {
    fn client_auth_mandatory(&self) -> bool {
        matches!(self.accept, Accept::Admins(_))
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        let chain = presented(end_entity, intermediates);
        let found = self.trust.verify(&chain, now, KeyUsage::client_auth()).map_err(refuse)?.peer;
        if !self.accept.admits(&found) {
            return Err(refuse(Refusal::Unexpected { found, wanted: self.accept.wanted() }));
        }
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        tls12_is_off()
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        schemes()
    }
}

impl ResolvesServerCert for Leaf {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current())
    }
}

impl rustls::client::ResolvesClientCert for Leaf {
    fn resolve(&self, _roots: &[&[u8]], _schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(self.current())
    }

    fn has_certs(&self) -> bool {
        true
    }
}
