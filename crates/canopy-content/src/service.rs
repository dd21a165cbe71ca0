//! Answering children that ask for blobs.

use std::pin::Pin;

use canopy_model::Digest;
use canopy_proto::content::v1::content_server::{Content, ContentServer};
use canopy_proto::content::v1::{Chunk, GetRequest};
use futures::Stream;
use futures::stream::try_unfold;
use tonic::{Request, Response, Status};

use crate::blobs::{self, Outgoing};
use crate::pull::{FetchError, Pull};

/// The gRPC service `canopy.content.v1.Content`: blobs from the folder, or else from the parent.
///
/// It serves every peer that gets here. What a peer may ask for is decided before it.
pub struct ContentService {
    pull: Pull,
}

impl ContentService {
    /// The service, ready to be added to a server.
    pub fn server(pull: Pull) -> ContentServer<Self> {
        ContentServer::new(Self { pull })
    }
}

#[tonic::async_trait]
impl Content for ContentService {
    type GetStream = Pin<Box<dyn Stream<Item = Result<Chunk, Status>> + Send>>;

    async fn get(&self, request: Request<GetRequest>) -> Result<Response<Self::GetStream>, Status> {
        let bytes = <[u8; 32]>::try_from(request.into_inner().digest);
        let digest = Digest(bytes.map_err(|_| Status::invalid_argument("a digest has 32 bytes"))?);
        self.pull.ensure(digest).await.map_err(status)?;
        let outgoing = self.pull.blobs().outgoing(&digest).map_err(|error| status(error.into()))?;
        let outgoing = outgoing.ok_or_else(|| status(FetchError::Missing(digest)))?;
        Ok(Response::new(Box::pin(try_unfold(outgoing, next))))
    }
}

/// Reads a piece only when the peer has room for it; no thread waits for a peer.
async fn next(mut outgoing: Outgoing) -> Result<Option<(Chunk, Outgoing)>, Status> {
    let read = move || outgoing.chunk().map(|piece| piece.map(|data| (Chunk { data }, outgoing)));
    let read = tokio::task::spawn_blocking(read).await.expect("reading blobs does not panic");
    read.map_err(|error| status(error.into()))
}

/// How errors look to a child.
fn status(error: FetchError) -> Status {
    match &error {
        FetchError::Missing(_) => Status::not_found(error.to_string()),
        FetchError::Unavailable { .. } => Status::unavailable(error.to_string()),
        FetchError::Busy => Status::resource_exhausted(error.to_string()),
        FetchError::Blobs(inner) => match **inner {
            blobs::Error::Damaged(_) => Status::data_loss(inner.to_string()),
            blobs::Error::Mismatch { .. } | blobs::Error::TooLarge => Status::unavailable(inner.to_string()),
            blobs::Error::Io { .. } => {
                tracing::warn!(error = %inner, source = ?std::error::Error::source(inner), "blobs can't be served");
                Status::unavailable("this hub's disk failed: its log says more")
            }
        },
    }
}
