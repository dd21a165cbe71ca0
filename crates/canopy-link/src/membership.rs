//! Whether this hub still wants a child, beside the certificate that says who it is.
//!
//! A hub is asked each time that a child opens a stream, and ends what is open when the answer
//! changes: a child that was let go, or whose name another node has taken, loses its streams at once
//! and is told why.

use std::collections::HashMap;
use std::error::Error as StdError;
use std::fmt;
use std::future::pending;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use canopy_identity::{Certified, Fingerprint, Peer};
use canopy_model::{Path, Uid};
use tokio::sync::oneshot;
use tonic::{Code, Status};

use crate::dial::with_sources;

/// Says who belongs to a hub.
pub trait Members: Send + Sync + 'static {
    /// Lets a child in for as long as the membership lasts. `child` is what this hub certified.
    fn admit(&self, child: &Certified) -> impl Future<Output = Result<Membership, Refused>> + Send;
}

/// Why a node with a good certificate is no member.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// An administrator let it go.
    #[error(
        "this hub has let {0} go, and refuses its identity for ever: to have it back, join it again \
         with a new token and an empty data folder"
    )]
    Released(Peer),
    /// The name is another node's.
    #[error(
        "two nodes under one name: {0}. To keep this one, let the other go (`canopy delete`) and join this \
         one again with a new token for the name; to keep both, join this one under another name"
    )]
    Other(Box<Two>),
    /// The hub cannot say. Asking again may help.
    #[error("this hub cannot tell its members now")]
    Unable(#[source] Box<dyn StdError + Send + Sync>),
}

/// Two nodes that bear one name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{path} is accepted here as {accepted}, and this one is {found}")]
pub struct Two {
    /// The name's path.
    pub path: Path,
    /// Whose it is.
    pub accepted: Bearer,
    /// Who came.
    pub found: Bearer,
}

/// One node that bears a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bearer {
    /// Its uid.
    pub uid: Uid,
    /// The hash of its key; none if this hub does not know it.
    pub key: Option<Fingerprint>,
}

/// The memberships that are in use. Clones speak of the same ones.
#[derive(Debug, Clone, Default)]
pub struct Memberships(Arc<Mutex<Open>>);

#[derive(Debug, Default)]
struct Open {
    next: u64,
    members: HashMap<u64, Member>,
}

#[derive(Debug)]
struct Member {
    peer: Peer,
    key: Fingerprint,
    end: oneshot::Sender<Refused>,
}

/// One child's permission to have a stream open.
#[derive(Debug)]
pub struct Membership {
    id: u64,
    open: Memberships,
    ended: oneshot::Receiver<Refused>,
}

impl Memberships {
    /// Begins a membership, which ends when it is dropped or as [`Memberships::end`] says. Whoever
    /// judges the child does so afterwards: then no end can slip in between.
    pub fn begin(&self, child: &Certified) -> Membership {
        let (end, ended) = oneshot::channel();
        let mut open = self.lock();
        open.next += 1;
        let id = open.next;
        open.members.insert(id, Member { peer: child.peer.clone(), key: child.key, end });
        Membership { id, open: self.clone(), ended }
    }

    /// Ends every membership for which there is a reason.
    pub fn end(&self, reason: impl Fn(&Peer, Fingerprint) -> Option<Refused>) {
        let mut open = self.lock();
        let over = open.members.extract_if(|_, member| reason(&member.peer, member.key).is_some());
        for (_, Member { peer, key, end }) in over {
            if let Some(refused) = reason(&peer, key) {
                // A stream that ends at the same time needs no reason.
                let _ = end.send(refused);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Membership {
    /// Returns when the membership has ended, with the reason.
    pub async fn ended(&mut self) -> Refused {
        match (&mut self.ended).await {
            Ok(refused) => refused,
            Err(_) => pending().await,
        }
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        self.open.lock().members.remove(&self.id);
    }
}

impl From<&Refused> for Status {
    fn from(refused: &Refused) -> Self {
        match refused {
            Refused::Released(_) | Refused::Other(_) => {
                Self::new(Code::PermissionDenied, refused.to_string())
            }
            Refused::Unable(_) => Self::new(Code::Unavailable, with_sources(refused)),
        }
    }
}

impl fmt::Display for Bearer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "uid {} with ", self.uid)?;
        match self.key {
            Some(key) => write!(f, "key {key}"),
            None => f.write_str("a key that is not known here"),
        }
    }
}
