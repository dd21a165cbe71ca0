//! Issuing certificates: a hub's authority over its own subtree.
//!
//! The issuer decides every field of a certificate; an applicant contributes its public key. A hub
//! gets the certificate of an authority from its parent and issues its own TLS certificate below
//! that one, so its short-lived certificate needs no parent. Nothing stops a stolen authority from
//! signing what it likes: [`crate::verify`] is where such a certificate is refused.

use std::ops::Range;
use std::time::Duration;

use canopy_model::{Name, Path, Uid};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, DnValue, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyUsagePurpose, SanType, SerialNumber, date_time_ymd,
};
use rustls::pki_types::CertificateDer;

use crate::certificate::{self, Certified};
use crate::key::{self, Key, ProvenKey};
use crate::peer::{self, Peer, Role, TrustDomain};

const DAY_SECS: u64 = 24 * 60 * 60;

/// The life of a root: longer than that of any plant's equipment, since changing it means joining
/// every node again.
pub const ROOT_LIFE_SECS: u64 = 20 * 365 * DAY_SECS;

/// The life of a hub's authority: renewed after 16 months, so a plant may be cut off for 8.
pub const AUTHORITY_LIFE_SECS: u64 = 2 * 365 * DAY_SECS;

/// The life of a TLS certificate: renewed after 20 days, so that a stolen one is soon worth nothing.
pub const LEAF_LIFE_SECS: u64 = 30 * DAY_SECS;

/// How long after its expiry a certificate can still be renewed: an edge that was dark for a
/// quarter comes back by itself.
pub const RENEWAL_GRACE_SECS: u64 = 90 * DAY_SECS;

/// How far a new certificate's life reaches back, for nodes whose clocks are slow.
const BACKDATE_SECS: u64 = 60 * 60;

/// The subject's `serialNumber`, which holds the uid.
const OID_SERIAL_NUMBER: [u64; 4] = [2, 5, 4, 5];

/// Certificates from one node's own up to the root's, the root's included.
pub type Chain = Vec<CertificateDer<'static>>;

/// The right to issue certificates for one subtree.
#[derive(Debug, Clone)]
pub struct Authority {
    chain: Chain,
    key: Key,
    certified: Certified,
}

/// Why nothing was issued.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The authority's own certificate is not readable.
    #[error("the authority's certificate is unusable")]
    Certificate(#[source] certificate::Error),
    /// The first certificate is not that of a hub's authority.
    #[error("the certificate of {0} is not that of an authority")]
    NotAnAuthority(Peer),
    /// Certificate and key are of different pairs.
    #[error("the key does not belong to the authority's certificate of {0}")]
    ForeignKey(Peer),
    /// The tree would become too deep, or the role does not fit.
    #[error("no certificate can be issued for this place")]
    Place(#[source] peer::Error),
    /// The name makes no path below this hub.
    #[error("{name} below {parent} makes the tree too deep")]
    TooDeep {
        /// The applicant's name.
        name: Name,
        /// The hub's own path.
        parent: Path,
    },
    /// The key could not be used.
    #[error("the key is unusable")]
    Key(#[source] key::Error),
    /// The certificate could not be made.
    #[error("the cryptographic library could not make the certificate")]
    Library(#[source] rcgen::Error),
    /// The certificate to be renewed is not readable.
    #[error("the certificate to renew is unusable")]
    RenewUnreadable(#[source] certificate::Error),
    /// The certificate to be renewed is another hub's business.
    #[error("the certificate of {subject} was not issued by {issuer}")]
    RenewForeign {
        /// Whose certificate it is.
        subject: Peer,
        /// This authority.
        issuer: Peer,
    },
    /// An administrator's certificate is not renewed.
    #[error("the certificate of {0} cannot be renewed: its hub issues another with `canopy-hub admin`")]
    RenewAdmin(Peer),
    /// The request is for another key.
    #[error("a renewal keeps its key, and the request of {0} is for another: join again")]
    RenewKey(Peer),
    /// The node is revoked.
    #[error("{0} is revoked")]
    RenewRevoked(Peer),
    /// The certificate has been expired for too long.
    #[error("the certificate of {0} expired more than {days} days ago: join again", days = RENEWAL_GRACE_SECS / DAY_SECS)]
    RenewLate(Peer),
}

impl Authority {
    /// Makes the authority of a new fleet's root.
    pub fn root(domain: &TrustDomain, uid: Uid, now: u64) -> Result<Self, Error> {
        let key = Key::generate().map_err(Error::Key)?;
        let peer = Peer { role: Role::Hub, path: Path::root(), uid };
        let template =
            authority_template(&peer, domain, now.saturating_sub(BACKDATE_SECS)..now + ROOT_LIFE_SECS);
        let root = template.self_signed(&*key.0).map_err(Error::Library)?;
        Self::new(vec![root.der().clone()], key)
    }

    /// Takes up an authority: its chain, its own certificate first, and its key.
    pub fn new(chain: Chain, key: Key) -> Result<Self, Error> {
        let first = chain.first().ok_or(Error::Certificate(certificate::Error::Missing))?;
        let certified = Certified::read(first).map_err(Error::Certificate)?;
        if !certified.authority || certified.peer.role != Role::Hub {
            return Err(Error::NotAnAuthority(certified.peer));
        }
        if certified.key != key.fingerprint() {
            return Err(Error::ForeignKey(certified.peer));
        }
        Ok(Self { chain, key, certified })
    }

    /// What the authority's certificate says.
    pub fn certified(&self) -> &Certified {
        &self.certified
    }

    /// The subtree's top, which is where the hub stands.
    pub fn path(&self) -> &Path {
        &self.certified.peer.path
    }

    /// The authority's certificates, its own first, the root's last.
    pub fn chain(&self) -> &[CertificateDer<'static>] {
        &self.chain
    }

    /// The authority's key.
    pub fn key(&self) -> &Key {
        &self.key
    }

    /// Issues to a child or an admin of this hub: an authority to a hub, a TLS client certificate
    /// to an agent or an admin.
    pub fn issue(
        &self,
        role: Role,
        name: &Name,
        uid: Uid,
        key: &ProvenKey,
        now: u64,
    ) -> Result<Chain, Error> {
        let too_deep = || Error::TooDeep { name: name.clone(), parent: self.path().clone() };
        let path: Path = self.path().child(name).to_string().parse().map_err(|_| too_deep())?;
        role.check_place(&path).map_err(Error::Place)?;
        self.sign(&Peer { role, path, uid }, &key.0, now)
    }

    /// Issues the TLS certificate of the hub itself, for servers and clients.
    pub fn issue_own(&self, key: &Key, now: u64) -> Result<Chain, Error> {
        let usages = [ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        self.complete(self.leaf_template(&self.certified.peer, &usages, now), &*key.0)
    }

    /// Issues again what `certificate` is, for the same node and key. An administrator is no node:
    /// its certificates end, and the next one is asked for at the hub's machine.
    pub fn renew(
        &self,
        certificate: &[u8],
        key: &ProvenKey,
        is_revoked: impl FnOnce(&Certified) -> bool,
        now: u64,
    ) -> Result<Chain, Error> {
        let old = Certified::read(certificate).map_err(Error::RenewUnreadable)?;
        let key_of_ours = rcgen::PublicKeyData::subject_public_key_info(&*self.key.0);
        let ours = certificate::is_signed_by(certificate, &key_of_ours);
        if old.peer.path.parent().as_ref() != Some(self.path()) || !ours {
            return Err(Error::RenewForeign { subject: old.peer, issuer: self.certified.peer.clone() });
        }
        if old.peer.role == Role::Admin {
            return Err(Error::RenewAdmin(old.peer));
        }
        if old.key != key.fingerprint() {
            return Err(Error::RenewKey(old.peer));
        }
        if is_revoked(&old) {
            return Err(Error::RenewRevoked(old.peer));
        }
        if now > old.not_after.saturating_add(RENEWAL_GRACE_SECS) {
            return Err(Error::RenewLate(old.peer));
        }
        self.sign(&old.peer, &key.0, now)
    }

    fn sign(&self, peer: &Peer, key: &impl rcgen::PublicKeyData, now: u64) -> Result<Chain, Error> {
        let template = match peer.role {
            Role::Hub => {
                authority_template(peer, &self.certified.domain, self.life(now, AUTHORITY_LIFE_SECS))
            }
            Role::Agent | Role::Admin => {
                self.leaf_template(peer, &[ExtendedKeyUsagePurpose::ClientAuth], now)
            }
        };
        self.complete(template, key)
    }

    fn leaf_template(&self, peer: &Peer, usages: &[ExtendedKeyUsagePurpose], now: u64) -> CertificateParams {
        let mut params = template(peer, &self.certified.domain, self.life(now, LEAF_LIFE_SECS));
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = usages.to_vec();
        params
    }

    fn complete(&self, template: CertificateParams, key: &impl rcgen::PublicKeyData) -> Result<Chain, Error> {
        let issuer = Issuer::from_ca_cert_der(&self.chain[0], &*self.key.0).map_err(Error::Library)?;
        let certificate = template.signed_by(key, &issuer).map_err(Error::Library)?;
        Ok(std::iter::once(certificate.der().clone()).chain(self.chain.iter().cloned()).collect())
    }

    /// The life of a certificate issued now: it begins a little in the past, and lies within that
    /// of the authority's own certificate.
    fn life(&self, now: u64, secs: u64) -> Range<u64> {
        let start = now.saturating_sub(BACKDATE_SECS).max(self.certified.not_before);
        start..(now + secs).min(self.certified.not_after)
    }
}

fn authority_template(peer: &Peer, domain: &TrustDomain, life: Range<u64>) -> CertificateParams {
    let mut params = template(peer, domain, life);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

/// What all certificates have: the names, the uid, a random serial number and a life.
fn template(peer: &Peer, domain: &TrustDomain, life: Range<u64>) -> CertificateParams {
    let id = peer.spiffe(domain);
    let mut name = DistinguishedName::new();
    // Verifiers chain certificates by subject, so no two authorities may have the same.
    name.push(DnType::CommonName, id.as_str());
    let uid = peer.uid.to_string().try_into().expect("a uid has only hexadecimal digits and hyphens");
    name.push(DnType::CustomDnType(OID_SERIAL_NUMBER.to_vec()), DnValue::PrintableString(uid));
    let epoch = date_time_ymd(1970, 1, 1);
    let mut params = CertificateParams::default();
    params.not_before = epoch + Duration::from_secs(life.start);
    params.not_after = epoch + Duration::from_secs(life.end);
    params.serial_number = Some(SerialNumber::from_slice(&key::random::<16>()));
    params.subject_alt_names =
        vec![SanType::URI(id.try_into().expect("a SPIFFE id has only characters of IA5String"))];
    params.distinguished_name = name;
    params.use_authority_key_identifier_extension = true;
    params
}
