//! A node's identity: its role, its path and its uid.
//!
//! In a certificate the path is a SPIFFE id, whose first segment is the role:
//! `spiffe://canopy.local/hub/eu/plant-7`, `spiffe://canopy.local/cluster/eu/plant-7/press-3` and
//! `spiffe://canopy.local/admin/eu/plant-7/alice`, who administers plant-7 and what is below it.

use std::fmt;
use std::str::FromStr;

use canopy_model::path::{self, PATH_SEGMENTS_MAX};
use canopy_model::{Path, Uid};

/// The deepest hub: below it there is still room for a cluster, and verification follows no more
/// intermediate certificates than this.
pub const HUB_DEPTH_MAX: usize = PATH_SEGMENTS_MAX - 1;

/// The longest trust domain, in bytes: that of a DNS name.
const TRUST_DOMAIN_BYTES_MAX: usize = 253;

/// The name of a fleet in all its certificates, chosen once when its root is made.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TrustDomain(String);

/// What a node may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// Stands over hubs and agents, and holds an authority for its subtree.
    Hub,
    /// Runs what it is told in one cluster.
    Agent,
    /// A person or a program that administers a hub and all below it.
    Admin,
}

/// Who is at the other end.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Peer {
    /// What it may do.
    pub role: Role,
    /// Where it stands. An admin stands below the hub that it administers.
    pub path: Path,
    /// Which node of that path it is: a node that was replaced has another uid.
    pub uid: Uid,
}

/// Why a text is no identity.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The trust domain is empty, too long, or has other characters than a DNS name.
    #[error("{0:?} is no trust domain: lowercase letters, digits, '-' and '.', at most 253 bytes")]
    TrustDomain(String),
    /// No `spiffe://` id of a role that exists.
    #[error("{0:?} is no identity of a hub, a cluster or an admin")]
    Form(String),
    /// The path within the id is no path.
    #[error("the identity {id:?} has a bad path")]
    Path {
        /// The whole id.
        id: String,
        /// What is wrong with the path.
        #[source]
        source: path::Error,
    },
    /// A path at which a node of this role cannot stand.
    #[error("a {role} cannot stand at {path}")]
    Place {
        /// The role.
        role: Role,
        /// The path.
        path: Path,
    },
}

impl Peer {
    /// The SPIFFE id, which is everything but the uid.
    pub fn spiffe(&self, domain: &TrustDomain) -> String {
        let (prefix, body) = (self.role.prefix(), self.path.to_string());
        format!("spiffe://{domain}/{prefix}/{body}").trim_end_matches('/').to_owned()
    }

    /// The subtree that this peer may speak for.
    pub fn scope(&self) -> Path {
        match self.role {
            Role::Hub | Role::Agent => self.path.clone(),
            Role::Admin => self.path.parent().unwrap_or_default(),
        }
    }
}

/// Reads a SPIFFE id into whose fleet it is, the role and the path.
pub fn parse_spiffe(id: &str) -> Result<(TrustDomain, Role, Path), Error> {
    let form = || Error::Form(id.to_owned());
    let (domain, rest) =
        id.strip_prefix("spiffe://").and_then(|body| body.split_once('/')).ok_or_else(form)?;
    let (prefix, body) = rest.split_once('/').unwrap_or((rest, ""));
    let role = Role::ALL.into_iter().find(|role| role.prefix() == prefix).ok_or_else(form)?;
    if rest.ends_with('/') || body.starts_with('/') {
        return Err(form());
    }
    let path: Path = body.parse().map_err(|source| Error::Path { id: id.to_owned(), source })?;
    role.check_place(&path)?;
    Ok((domain.parse()?, role, path))
}

impl Role {
    const ALL: [Role; 3] = [Role::Hub, Role::Agent, Role::Admin];

    fn prefix(self) -> &'static str {
        match self {
            Role::Hub => "hub",
            Role::Agent => "cluster",
            Role::Admin => "admin",
        }
    }

    /// Whether a node of this role can stand at `path`.
    pub(crate) fn check_place(self, path: &Path) -> Result<(), Error> {
        let possible = match self {
            Role::Hub => path.depth() <= HUB_DEPTH_MAX,
            Role::Agent | Role::Admin => !path.is_root(),
        };
        if possible { Ok(()) } else { Err(Error::Place { role: self, path: path.clone() }) }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Role::Hub => "hub",
            Role::Agent => "agent",
            Role::Admin => "admin",
        })
    }
}

impl FromStr for Role {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        Role::ALL
            .into_iter()
            .find(|role| role.to_string() == text)
            .ok_or_else(|| Error::Form(text.to_owned()))
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.role, self.path)
    }
}

impl Default for TrustDomain {
    fn default() -> Self {
        Self("canopy.local".to_owned())
    }
}

impl FromStr for TrustDomain {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'.';
        if text.is_empty() || text.len() > TRUST_DOMAIN_BYTES_MAX || !text.bytes().all(allowed) {
            return Err(Error::TrustDomain(text.to_owned()));
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for TrustDomain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_written_and_read_back() {
        for (role, path, id) in [
            (Role::Hub, "/", "spiffe://canopy.local/hub"),
            (Role::Hub, "eu/plant-7", "spiffe://canopy.local/hub/eu/plant-7"),
            (Role::Agent, "eu/plant-7/press-3", "spiffe://canopy.local/cluster/eu/plant-7/press-3"),
            (Role::Admin, "alice", "spiffe://canopy.local/admin/alice"),
        ] {
            let peer = Peer { role, path: path.parse().unwrap(), uid: Uid(7) };
            assert_eq!(peer.spiffe(&TrustDomain::default()), id);
            assert_eq!(parse_spiffe(id), Ok((TrustDomain::default(), role, peer.path)));
        }
    }

    #[test]
    fn other_forms_are_refused() {
        for bad in [
            "https://canopy.local/hub/eu",
            "spiffe://canopy.local",
            "spiffe://canopy.local/",
            "spiffe://canopy.local/hub/",
            "spiffe://canopy.local/hub//eu",
            "spiffe://canopy.local/hub/eu/",
            "spiffe://canopy.local/hub/EU",
            "spiffe://canopy.local/hub/../eu",
            "spiffe://canopy.local/hubs/eu",
            "spiffe://canopy.local/cluster",
            "spiffe://canopy.local/admin",
            "spiffe:///hub/eu",
            "spiffe://Canopy.local/hub/eu",
            "spiffe://canopy.local/hub/a/b/c/d/e/f/g",
        ] {
            assert!(parse_spiffe(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_admin_speaks_for_the_hub_above_it() {
        let scope =
            |role, path: &str| Peer { role, path: path.parse().unwrap(), uid: Uid(1) }.scope().to_string();
        assert_eq!(scope(Role::Admin, "eu/alice"), "eu");
        assert_eq!(scope(Role::Admin, "alice"), "/");
        assert_eq!(scope(Role::Hub, "eu"), "eu");
    }
}
