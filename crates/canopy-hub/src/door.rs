//! Who of those with a good certificate belongs to this hub, and what they may have.

use std::sync::Arc;

use canopy_content::{Access, Permit};
use canopy_core::Hub;
use canopy_identity::Certified;
use canopy_link::listen::certified;
use canopy_link::membership::Refused;
use canopy_link::{Members, Membership};
use canopy_model::{Digest, Uid};
use canopy_node::Handle;
use tonic::{Extensions, Status};

use crate::registry::Registry;

/// Judges those who come.
#[derive(Clone)]
pub struct Door {
    /// Who was let go, and which identities were accepted.
    pub registry: Arc<Registry>,
    /// Who is recorded, and what was told to whom.
    pub hub: Handle<Hub>,
}

impl Door {
    /// Whether this is the node that the name belongs to.
    pub async fn recognise(&self, child: &Certified) -> Result<(), Refused> {
        let recorded = self.recorded(child).await?;
        self.registry.recognise(child, recorded)
    }

    /// Whose the name is by this hub's record; an error if the identity was let go.
    async fn recorded(&self, child: &Certified) -> Result<Option<Uid>, Refused> {
        let Some(name) = child.peer.path.name() else { return Ok(None) };
        let uid = child.peer.uid;
        let look = move |hub: &Hub| {
            let recorded = hub.children().get(&name).and_then(|child| Some(child.record.as_ref()?.uid));
            (recorded, hub.has_released(uid))
        };
        match self.hub.read(look).await.map_err(|error| Refused::Unable(Box::new(error)))? {
            (_, true) => Err(Refused::Released(child.peer.clone())),
            (recorded, false) => Ok(recorded),
        }
    }
}

impl Members for Door {
    async fn admit(&self, child: &Certified) -> Result<Membership, Refused> {
        let membership = self.registry.memberships().begin(child);
        self.recognise(child).await?;
        Ok(membership)
    }
}

#[tonic::async_trait]
impl Access for Door {
    async fn permit(&self, request: &Extensions, digest: Digest) -> Result<Option<Permit>, Status> {
        let child = certified(request)?;
        let mut membership = self.admit(child).await.map_err(|refused| Status::from(&refused))?;
        let Some(name) = child.peer.path.name() else { return Ok(None) };
        let allowed = self.hub.read(move |hub| hub.may_fetch(&name, digest)).await;
        let allowed = allowed.map_err(|error| Status::unavailable(error.to_string()))?;
        let ended = async move { Status::from(&membership.ended().await) };
        Ok(allowed.then(|| Box::pin(ended) as Permit))
    }
}
