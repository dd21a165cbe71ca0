//! Answering children that ask for blobs.

use std::pin::Pin;

use canopy_model::Digest;
use canopy_proto::content::v1::content_server::{Content, ContentServer};
use canopy_proto::content::v1::{Chunk, GetRequest};
use futures::Stream;
use futures::future::BoxFuture;
use futures::stream::try_unfold;
use tonic::{Extensions, Request, Response, Status};
use tracing::debug;

use crate::blobs::{self, Outgoing, on_disk};
use crate::pull::{FetchError, Pull};

/// The largest request, in bytes: a digest has 32.
const REQUEST_BYTES_MAX: usize = 256;

/// Says who may have which blob.
#[tonic::async_trait]
pub trait Access: Send + Sync + 'static {
    /// Lets the peer have the blob until the permission ends; none if it may not. The peer is in
    /// the extensions of its request, as the listener put it there.
    ///
    /// # Errors
    /// When nobody can say, or the peer may have nothing at all.
    async fn permit(&self, peer: &Extensions, digest: Digest) -> Result<Option<Permit>, Status>;
}

/// A permission to read a blob. It completes when it is taken back, with what the peer is told.
pub type Permit = BoxFuture<'static, Status>;

/// The gRPC service `canopy.content.v1.Content`: blobs from the folder, or else from the parent.
///
/// A blob that the peer may not have is as unknown as one that does not exist: the answer is the
/// same, and nothing is looked up or fetched for it.
pub struct ContentService<A> {
    pull: Pull,
    access: A,
}

impl<A: Access> ContentService<A> {
    /// The service, ready to be added to a server.
    pub fn server(pull: Pull, access: A) -> ContentServer<Self> {
        ContentServer::new(Self { pull, access }).max_decoding_message_size(REQUEST_BYTES_MAX)
    }
}

#[tonic::async_trait]
impl<A: Access> Content for ContentService<A> {
    type GetStream = Pin<Box<dyn Stream<Item = Result<Chunk, Status>> + Send>>;

    async fn get(&self, request: Request<GetRequest>) -> Result<Response<Self::GetStream>, Status> {
        let (_, peer, message) = request.into_parts();
        let bytes = <[u8; 32]>::try_from(message.digest);
        let digest = Digest(bytes.map_err(|_| Status::invalid_argument("a digest has 32 bytes"))?);
        let Some(mut permit) = self.access.permit(&peer, digest).await? else {
            debug!(%digest, "refused a blob that no row of the peer names");
            return Err(status(FetchError::Missing(digest)));
        };
        tokio::select! {
            biased;
            taken_back = &mut permit => return Err(taken_back),
            here = self.pull.ensure(digest) => here.map_err(status)?,
        }
        let blobs = self.pull.blobs().clone();
        let outgoing = on_disk(move || blobs.outgoing(&digest)).await;
        let outgoing = outgoing.map_err(|error| status(error.into()))?;
        let outgoing = outgoing.ok_or_else(|| status(FetchError::Missing(digest)))?;
        Ok(Response::new(Box::pin(try_unfold((outgoing, permit), next))))
    }
}

/// Reads a piece only when the peer has room for it; no thread waits for a peer.
async fn next((mut outgoing, mut permit): Reading) -> Result<Option<(Chunk, Reading)>, Status> {
    let read = move || outgoing.chunk().map(|piece| piece.map(|data| (Chunk { data }, outgoing)));
    let read = tokio::select! {
        biased;
        taken_back = &mut permit => return Err(taken_back),
        read = on_disk(read) => read,
    };
    let piece = read.map_err(|error| status(error.into()))?;
    Ok(piece.map(|(chunk, outgoing)| (chunk, (outgoing, permit))))
}

/// A blob on its way, while that is permitted.
type Reading = (Outgoing, Permit);

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
