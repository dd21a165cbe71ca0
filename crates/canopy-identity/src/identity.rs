//! What one node holds: its name, its certificates and its keys.

use std::time::Duration;

use canopy_model::{Path, Uid};
use rustls::pki_types::{CertificateDer, UnixTime};
use webpki::KeyUsage;

use crate::authority::{self, Authority, Chain};
use crate::certificate::{self, Certified};
use crate::key::{self, Key};
use crate::peer::{Peer, Role, TrustDomain};
use crate::revocation::Revocations;
use crate::tls::Leaf;
use crate::verify::{Anchor, Refusal, Trust};

/// A hub or an agent that can prove who it is.
#[derive(Debug, Clone)]
pub struct Identity {
    peer: Peer,
    parts: Parts,
}

/// What an identity is put together from.
#[derive(Debug, Clone)]
pub(crate) struct Parts {
    pub(crate) parents: Vec<String>,
    pub(crate) anchor: Anchor,
    pub(crate) authority: Option<Authority>,
    pub(crate) chain: Chain,
    pub(crate) key: Key,
}

/// Why certificates and keys make no identity.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A key could not be made.
    #[error("no key could be made")]
    Key(#[source] key::Error),
    /// The hub's authority is unusable, or could not issue.
    #[error("the hub's authority is unusable")]
    Authority(#[source] authority::Error),
    /// A certificate is not readable.
    #[error("the node's certificate is unusable")]
    Certificate(#[source] certificate::Error),
    /// The certificates do not prove what they say.
    #[error("the node's certificates do not hold together")]
    Refused(#[source] Refusal),
    /// The certificate is of another key.
    #[error("the certificate of {0} is of another key than the node's")]
    ForeignKey(Peer),
    /// A renewal made another node of this one.
    #[error("the renewed certificate is of {found}, and this is {own}")]
    Changed {
        /// Whom the new certificate names.
        found: Peer,
        /// Who this node is.
        own: Peer,
    },
}

impl Identity {
    /// Makes the root of a new fleet.
    pub fn root(domain: &TrustDomain, uid: Uid, now: u64) -> Result<Self, Error> {
        let authority = Authority::root(domain, uid, now).map_err(Error::Authority)?;
        let anchor = anchor_of(authority.chain())?;
        Self::hub(authority, anchor, Key::generate().map_err(Error::Key)?, Vec::new(), now)
    }

    /// Takes up what a join has given: the chain, the root's certificate last, for `key`. A hub
    /// issues its own TLS certificate. `parents` are the addresses of the hub above.
    pub fn joined(chain: Chain, key: Key, parents: Vec<String>, now: u64) -> Result<Self, Error> {
        let anchor = anchor_of(&chain)?;
        if first_of(&chain)?.peer.role == Role::Hub {
            let authority = Authority::new(chain, key).map_err(Error::Authority)?;
            return Self::hub(authority, anchor, Key::generate().map_err(Error::Key)?, parents, now);
        }
        Self::checked(Parts { parents, anchor, authority: None, chain, key }, now)
    }

    /// Takes up a renewal of what the join gave, for the same node and key.
    pub fn renewed(&self, chain: Chain, now: u64) -> Result<Self, Error> {
        let found = first_of(&chain)?.peer;
        if found != self.peer {
            return Err(Error::Changed { found, own: self.peer.clone() });
        }
        let (parts, anchor) = (self.parts.clone(), self.parts.anchor.clone());
        match &self.parts.authority {
            None => Self::checked(Parts { chain, ..parts }, now),
            Some(old) => {
                let authority = Authority::new(chain, old.key().clone()).map_err(Error::Authority)?;
                Self::hub(authority, anchor, parts.key, parts.parents, now)
            }
        }
    }

    /// Issues a hub its next TLS certificate, for the same key. Needs no parent. An agent has
    /// nothing to issue from and stays as it is.
    pub fn reissued(&self, now: u64) -> Result<Self, Error> {
        let parts = self.parts.clone();
        match parts.authority {
            Some(authority) => Self::hub(authority, parts.anchor, parts.key, parts.parents, now),
            None => Ok(self.clone()),
        }
    }

    fn hub(
        authority: Authority,
        anchor: Anchor,
        key: Key,
        parents: Vec<String>,
        now: u64,
    ) -> Result<Self, Error> {
        let chain = authority.issue_own(&key, now).map_err(Error::Authority)?;
        Self::checked(Parts { parents, anchor, authority: Some(authority), chain, key }, now)
    }

    /// Puts the parts together if they prove what they say. Lateness is for the hub above to
    /// judge: a node whose certificate has expired must still be able to renew it.
    pub(crate) fn checked(parts: Parts, now: u64) -> Result<Self, Error> {
        let stated = first_of(&parts.chain)?;
        let at = now.min(stated.not_after).max(stated.not_before);
        let at = UnixTime::since_unix_epoch(Duration::from_secs(at));
        let trust = Trust::new(parts.anchor.clone(), Revocations::default());
        let found = trust.verify(&parts.chain, at, KeyUsage::client_auth()).map_err(Error::Refused)?;
        if found.key != parts.key.fingerprint() {
            return Err(Error::ForeignKey(found.peer));
        }
        Ok(Self { peer: found.peer, parts })
    }

    /// Who this node is.
    pub fn peer(&self) -> &Peer {
        &self.peer
    }

    /// The hub above; none for the root.
    pub fn parent(&self) -> Option<Path> {
        self.peer.path.parent()
    }

    /// Where the hub above listens, as `host:port`, in the order to try. Empty for the root.
    pub fn parents(&self) -> &[String] {
        &self.parts.parents
    }

    /// The fleet's root.
    pub fn anchor(&self) -> &Anchor {
        &self.parts.anchor
    }

    /// The hub's authority; none for an agent.
    pub fn authority(&self) -> Option<&Authority> {
        self.parts.authority.as_ref()
    }

    /// The certificates that this node presents, its own first, the root's last.
    pub fn chain(&self) -> &[CertificateDer<'static>] {
        &self.parts.chain
    }

    /// The key of the TLS certificate.
    pub fn key(&self) -> &Key {
        &self.parts.key
    }

    /// The key and certificate that the hub above has issued and renews: those of a hub's
    /// authority, those of an agent's TLS certificate.
    pub fn enrolled(&self) -> (&Key, &CertificateDer<'static>) {
        match &self.parts.authority {
            Some(authority) => (authority.key(), &authority.chain()[0]),
            None => (&self.parts.key, &self.parts.chain[0]),
        }
    }

    /// The certificate to present over TLS.
    pub fn leaf(&self) -> Result<Leaf, rustls::Error> {
        Leaf::new(self.parts.chain.clone(), &self.parts.key)
    }
}

fn first_of(chain: &[CertificateDer<'static>]) -> Result<Certified, Error> {
    let first = chain.first().ok_or(Error::Certificate(certificate::Error::Missing))?;
    Certified::read(first).map_err(Error::Certificate)
}

fn anchor_of(chain: &[CertificateDer<'static>]) -> Result<Anchor, Error> {
    let root = chain.last().ok_or(Error::Certificate(certificate::Error::Missing))?;
    Anchor::new(root.clone()).map_err(Error::Refused)
}
