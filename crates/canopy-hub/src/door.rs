//! What a child of this hub may have.

use canopy_content::Access;
use canopy_core::Hub;
use canopy_link::listen::peer;
use canopy_model::Digest;
use canopy_node::Handle;
use tonic::{Extensions, Status};

/// Asks the hub about those who come to its door.
pub struct Door {
    /// What was told to whom.
    pub hub: Handle<Hub>,
}

#[tonic::async_trait]
impl Access for Door {
    async fn allows(&self, request: &Extensions, digest: Digest) -> Result<bool, Status> {
        let Some(name) = peer(request)?.path.name() else { return Ok(false) };
        let allowed = self.hub.read(move |hub| hub.may_fetch(&name, digest)).await;
        allowed.map_err(|error| Status::unavailable(error.to_string()))
    }
}
