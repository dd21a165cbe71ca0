//! Whether a certificate speaks for whom it names.
//!
//! webpki builds the chain from a peer's certificate up to the one root and checks signatures,
//! lifetimes and usages. The rules of the tree are checked on the chain that it *built*, inside its
//! `verify_path` hook: what a peer merely presents along with it decides nothing. The rules are:
//!
//! - everything on the chain is of our trust domain and nothing on it is revoked;
//! - only hubs issue: an authority to a hub directly below, a TLS certificate to an agent or admin
//!   directly below, or to the hub itself with its own uid;
//! - the peer is the one expected: the hub at an exact path, or a direct child, or an admin whose
//!   subtree holds this hub.

use std::cell::RefCell;
use std::sync::{Arc, PoisonError, RwLock};

use canopy_model::Path;
use rustls::pki_types::{CertificateDer, TrustAnchor, UnixTime};
use webpki::{EndEntityCert, KeyUsage, VerifiedPath, anchor_from_trusted_cert};

use crate::certificate::{self, Certified, Fingerprint};
use crate::peer::{Peer, Role, TrustDomain};
use crate::revocation::Revocations;

/// The root certificate of a fleet, from which all trust comes.
#[derive(Debug, Clone)]
pub struct Anchor {
    der: CertificateDer<'static>,
    anchor: TrustAnchor<'static>,
    certified: Certified,
}

/// What a node trusts: the root, less what is revoked. Clones share one set of revocations.
#[derive(Debug, Clone)]
pub struct Trust {
    anchor: Arc<Anchor>,
    revocations: Arc<RwLock<Revocations>>,
}

/// Whom a listener of the hub at a path accepts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Accept {
    /// Hubs and agents directly below this path.
    Children(Path),
    /// Admins whose subtree holds this path.
    Admins(Path),
}

/// Why a peer is not who it says, or not who is wanted.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Refusal {
    /// A certificate on the chain states no identity.
    #[error("a certificate of the peer's chain is unusable")]
    Unusable(#[source] certificate::Error),
    /// The certificate does not come from our root.
    #[error("the certificate is not of this fleet (issuer {issuer})")]
    Foreign {
        /// The issuer that the certificate names.
        issuer: String,
    },
    /// webpki found the certificate wrong: a lifetime, a usage, a signature.
    #[error("the certificate of {peer} is not valid")]
    Invalid {
        /// Whom it names.
        peer: Peer,
        /// What is wrong.
        #[source]
        source: webpki::Error,
    },
    /// The certificate is of another trust domain.
    #[error("the certificate of {peer} is of the trust domain {found}, not of ours, {ours}")]
    Domain {
        /// Whom it names.
        peer: Peer,
        /// Its trust domain.
        found: TrustDomain,
        /// The root's trust domain.
        ours: TrustDomain,
    },
    /// An authority spoke for what is not its own.
    #[error("{issuer} may not issue a certificate for {subject}")]
    Overreach {
        /// The authority.
        issuer: Peer,
        /// For whom it issued.
        subject: Peer,
    },
    /// A node or key on the chain is revoked.
    #[error("{0} is revoked")]
    Revoked(Peer),
    /// A true identity, and not the one that is wanted here.
    #[error("the peer is {found}, and only {wanted} is accepted here")]
    Unexpected {
        /// Who it is.
        found: Peer,
        /// Who would have been right.
        wanted: String,
    },
    /// The hub presented no root with the hash that the join token carries.
    #[error("the root certificate that the join token pins was not presented (issuer {issuer})")]
    Pin {
        /// The issuer that the hub's certificate names.
        issuer: String,
    },
    /// The root itself cannot be used.
    #[error("the root certificate is unusable")]
    Root(#[source] webpki::Error),
}

impl Anchor {
    /// Takes a root certificate in DER that is already trusted.
    pub fn new(der: CertificateDer<'static>) -> Result<Self, Refusal> {
        let certified = Certified::read(&der).map_err(Refusal::Unusable)?;
        let anchor = anchor_from_trusted_cert(&der).map_err(Refusal::Root)?.to_owned();
        Ok(Self { der, anchor, certified })
    }

    /// Finds the root that a join token pins among the certificates that a hub presented.
    pub fn pinned(pin: Fingerprint, presented: &[CertificateDer<'_>]) -> Result<Self, Refusal> {
        match presented.iter().find(|der| Fingerprint::of(der) == pin) {
            Some(der) => Self::new(der.clone().into_owned()),
            None => {
                Err(Refusal::Pin { issuer: presented.first().map(|der| issuer_of(der)).unwrap_or_default() })
            }
        }
    }

    /// The certificate in DER.
    pub fn der(&self) -> &CertificateDer<'static> {
        &self.der
    }

    /// What join tokens pin.
    pub fn pin(&self) -> Fingerprint {
        Fingerprint::of(&self.der)
    }

    /// The fleet's trust domain.
    pub fn domain(&self) -> &TrustDomain {
        &self.certified.domain
    }
}

impl Trust {
    /// Trusts `anchor`, less `revocations`.
    pub fn new(anchor: Anchor, revocations: Revocations) -> Self {
        Self { anchor: Arc::new(anchor), revocations: Arc::new(RwLock::new(revocations)) }
    }

    /// The root.
    pub fn anchor(&self) -> &Anchor {
        &self.anchor
    }

    /// Replaces what is revoked, for every connection from now on. Connections that are already
    /// open are the caller's to end.
    pub fn reload(&self, revocations: Revocations) {
        *self.revocations.write().unwrap_or_else(PoisonError::into_inner) = revocations;
    }

    /// Whether a certificate's node is revoked.
    pub fn refuses(&self, certified: &Certified) -> bool {
        self.revocations.read().unwrap_or_else(PoisonError::into_inner).refuses(certified)
    }

    /// Verifies `presented`, whose first certificate is the peer's own. `usage` is what the
    /// certificate must be good for.
    pub fn verify(
        &self,
        presented: &[CertificateDer<'_>],
        now: UnixTime,
        usage: KeyUsage,
    ) -> Result<Certified, Refusal> {
        let revocations = self.revocations.read().unwrap_or_else(PoisonError::into_inner);
        verify(&self.anchor, &revocations, presented, now, usage)
    }
}

impl Accept {
    /// Whether a peer that is who it says may come in here.
    pub fn admits(&self, peer: &Peer) -> bool {
        match self {
            Accept::Children(hub) => peer.role != Role::Admin && peer.path.parent().as_ref() == Some(hub),
            Accept::Admins(hub) => peer.role == Role::Admin && peer.scope().contains(hub),
        }
    }

    pub(crate) fn wanted(&self) -> String {
        match self {
            Accept::Children(hub) => format!("a child of {hub}"),
            Accept::Admins(hub) => format!("an admin of {hub}"),
        }
    }
}

fn verify(
    anchor: &Anchor,
    revocations: &Revocations,
    presented: &[CertificateDer<'_>],
    now: UnixTime,
    usage: KeyUsage,
) -> Result<Certified, Refusal> {
    let (first, intermediates) =
        presented.split_first().ok_or(Refusal::Unusable(certificate::Error::Missing))?;
    let invalid = |error: webpki::Error| match (error, Certified::read(first)) {
        (webpki::Error::UnknownIssuer, _) => Refusal::Foreign { issuer: issuer_of(first) },
        (source, Ok(found)) => Refusal::Invalid { peer: found.peer, source },
        (_, Err(source)) => Refusal::Unusable(source),
    };
    let end_entity = EndEntityCert::try_from(first).map_err(&invalid)?;
    // webpki's own error type cannot carry ours out of the hook.
    let refusal = RefCell::new(None);
    let hook = |path: &VerifiedPath<'_>| {
        check_path(anchor, revocations, path).map_err(|found| {
            refusal.replace(Some(found));
            webpki::Error::UnknownIssuer
        })
    };
    let verified = end_entity.verify_for_usage(
        certificate::ALGORITHMS,
        std::slice::from_ref(&anchor.anchor),
        intermediates,
        now,
        usage,
        None,
        Some(&hook),
    );
    match verified {
        Ok(_) => Certified::read(first).map_err(Refusal::Unusable),
        Err(error) => Err(refusal.take().unwrap_or_else(|| invalid(error))),
    }
}

fn check_path(anchor: &Anchor, revocations: &Revocations, path: &VerifiedPath<'_>) -> Result<(), Refusal> {
    let mut subject = Certified::read(&path.end_entity().der()).map_err(Refusal::Unusable)?;
    for issuer in path.intermediate_certificates() {
        let issuer = Certified::read(&issuer.der()).map_err(Refusal::Unusable)?;
        check_link(&issuer, &subject, revocations)?;
        subject = issuer;
    }
    check_link(&anchor.certified, &subject, revocations)
}

fn check_link(issuer: &Certified, subject: &Certified, revocations: &Revocations) -> Result<(), Refusal> {
    if subject.domain != issuer.domain {
        return Err(Refusal::Domain {
            peer: subject.peer.clone(),
            found: subject.domain.clone(),
            ours: issuer.domain.clone(),
        });
    }
    if !may_issue(issuer, subject) {
        return Err(Refusal::Overreach { issuer: issuer.peer.clone(), subject: subject.peer.clone() });
    }
    if revocations.refuses(subject) {
        return Err(Refusal::Revoked(subject.peer.clone()));
    }
    Ok(())
}

/// The rule of delegation: a hub speaks for what is directly below it, and for itself.
fn may_issue(issuer: &Certified, subject: &Certified) -> bool {
    let (above, below) = (&issuer.peer, &subject.peer);
    let child = below.path.parent().as_ref() == Some(&above.path);
    let itself = below.path == above.path && below.uid == above.uid;
    let fits = match (below.role, subject.authority) {
        (Role::Hub, true) | (Role::Agent | Role::Admin, false) => child,
        (Role::Hub, false) => itself,
        (Role::Agent | Role::Admin, true) => false,
    };
    above.role == Role::Hub && fits
}

/// The issuer that a certificate names, for messages.
fn issuer_of(der: &CertificateDer<'_>) -> String {
    use x509_parser::prelude::{FromDer, X509Certificate};
    X509Certificate::from_der(der)
        .map(|(_, parsed)| parsed.issuer().to_string().escape_debug().to_string())
        .unwrap_or_else(|_| "unreadable".to_owned())
}
