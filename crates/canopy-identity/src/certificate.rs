//! The identity that a certificate states.
//!
//! Reading is strict: exactly one name, which is a SPIFFE id, and exactly one uid, the
//! `serialNumber` of the subject. Whether the statement is true is for [`crate::verify`] to say.

use std::fmt;
use std::str::FromStr;

use canopy_model::{Uid, uid};
use rustls::pki_types::{CertificateDer, SignatureVerificationAlgorithm, SubjectPublicKeyInfoDer};
use webpki::RawPublicKeyEntity;
use x509_parser::extensions::GeneralName;
use x509_parser::oid_registry::OID_X509_SERIALNUMBER;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::peer::{self, Peer, Role, TrustDomain};

/// What certificates are signed with. The verifier and [`Certified::enrolled`] know the same, so that
/// what passes the one can be read by the other.
pub(crate) const ALGORITHMS: &[&dyn SignatureVerificationAlgorithm] = &[webpki::aws_lc_rs::ECDSA_P256_SHA256];

/// The BLAKE3 hash of something that must be recognised: a public key, or a root certificate.
///
/// Comparison takes the same time whatever the difference is.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint(blake3::Hash);

/// What one certificate says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certified {
    /// The fleet.
    pub domain: TrustDomain,
    /// The node.
    pub peer: Peer,
    /// The hash of the public key's SubjectPublicKeyInfo.
    pub key: Fingerprint,
    /// Whether this is the certificate of an authority.
    pub authority: bool,
    /// The first second of its life, in seconds since 1970.
    pub not_before: u64,
    /// The last second of its life, in seconds since 1970.
    pub not_after: u64,
}

/// Why a certificate states no identity.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// There is no certificate.
    #[error("no certificate was presented")]
    Missing,
    /// Not an X.509 certificate.
    #[error("the certificate cannot be read")]
    Unreadable,
    /// Not exactly one name that is a URI.
    #[error("the certificate does not hold exactly one name, a spiffe:// id")]
    Names,
    /// The name is not one of ours.
    #[error("the certificate names nobody of a fleet")]
    Identity(#[source] peer::Error),
    /// Not exactly one serial number of the subject.
    #[error("the certificate does not hold exactly one uid")]
    Uids,
    /// The uid is not readable.
    #[error("the certificate holds a bad uid")]
    Uid(#[source] uid::Error),
}

/// The peer whose certificate is the first of `chain`, as a connection that was verified holds it.
pub fn peer_of(chain: &[CertificateDer<'_>]) -> Result<Peer, Error> {
    Ok(Certified::read(chain.first().ok_or(Error::Missing)?)?.peer)
}

impl Certified {
    /// Reads a certificate in DER.
    pub fn read(der: &[u8]) -> Result<Self, Error> {
        let (rest, parsed) = X509Certificate::from_der(der).map_err(|_| Error::Unreadable)?;
        if !rest.is_empty() {
            return Err(Error::Unreadable);
        }
        let (domain, role, path) = peer::parse_spiffe(only_uri(&parsed)?).map_err(Error::Identity)?;
        let seconds = |at: i64| u64::try_from(at).map_err(|_| Error::Unreadable);
        Ok(Self {
            domain,
            peer: Peer { role, path, uid: only_uid(&parsed)? },
            key: Fingerprint::of(parsed.public_key().raw),
            authority: parsed.is_ca(),
            not_before: seconds(parsed.validity().not_before.timestamp())?,
            not_after: seconds(parsed.validity().not_after.timestamp())?,
        })
    }

    /// What the hub above has certified, on the chain of a connection that was verified: for a hub
    /// the authority that signed the certificate which it presents, for others that certificate.
    pub fn enrolled(chain: &[CertificateDer<'_>]) -> Result<Self, Error> {
        let (first, above) = chain.split_first().ok_or(Error::Missing)?;
        let presented = Self::read(first)?;
        if presented.peer.role != Role::Hub {
            return Ok(presented);
        }
        // Whatever else was put into the chain, its key did not sign.
        let signer = above.iter().filter(|der| is_signed_by_certificate(first, der));
        let mut found = signer.filter_map(|der| Self::read(der).ok());
        found.find(|signer| signer.peer == presented.peer).ok_or(Error::Missing)
    }

    /// Whether to renew: from two thirds of the certificate's life on, and when a clock that has jumped
    /// back says that it is not valid yet. `now` is in seconds since 1970.
    pub fn is_due(&self, now: u64) -> bool {
        now < self.not_before || self.renew_at() <= now
    }

    /// When to renew: at two thirds of the certificate's life, in seconds since 1970.
    pub fn renew_at(&self) -> u64 {
        self.not_before + self.not_after.saturating_sub(self.not_before) / 3 * 2
    }
}

/// Whether the key, a SubjectPublicKeyInfo in DER, signed the certificate.
pub(crate) fn is_signed_by(certificate: &[u8], key: &[u8]) -> bool {
    let Ok((_, parsed)) = X509Certificate::from_der(certificate) else { return false };
    let key = SubjectPublicKeyInfoDer::from(key);
    let Ok(entity) = RawPublicKeyEntity::try_from(&key) else { return false };
    let (message, signature) = (parsed.tbs_certificate.as_ref(), &parsed.signature_value.data);
    ALGORITHMS.iter().any(|algorithm| entity.verify_signature(*algorithm, message, signature).is_ok())
}

fn is_signed_by_certificate(certificate: &[u8], issuer: &[u8]) -> bool {
    let Ok((_, issuer)) = X509Certificate::from_der(issuer) else { return false };
    is_signed_by(certificate, issuer.public_key().raw)
}

fn only_uri<'a>(certificate: &'a X509Certificate<'_>) -> Result<&'a str, Error> {
    let names = certificate.subject_alternative_name().map_err(|_| Error::Names)?.ok_or(Error::Names)?;
    match names.value.general_names.as_slice() {
        [GeneralName::URI(uri)] => Ok(uri),
        _ => Err(Error::Names),
    }
}

fn only_uid(certificate: &X509Certificate<'_>) -> Result<Uid, Error> {
    let mut numbers = certificate.subject().iter_by_oid(&OID_X509_SERIALNUMBER);
    match (numbers.next(), numbers.next()) {
        (Some(number), None) => number.as_str().map_err(|_| Error::Uids)?.parse().map_err(Error::Uid),
        _ => Err(Error::Uids),
    }
}

impl Fingerprint {
    /// Hashes `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        Self(blake3::hash(bytes))
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.to_hex())
    }
}

impl fmt::Debug for Fingerprint {
    /// The first eight digits: enough to follow one key through a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.to_hex()[..8])
    }
}

impl FromStr for Fingerprint {
    type Err = blake3::HexError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        blake3::Hash::from_hex(text).map(Self)
    }
}

impl Ord for Fingerprint {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.as_bytes().cmp(other.0.as_bytes())
    }
}

impl PartialOrd for Fingerprint {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
