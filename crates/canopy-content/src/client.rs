//! Asking a hub for a blob.

use std::time::Duration;

use canopy_link::{Dialer, dial};
use canopy_model::Digest;
use canopy_proto::content::v1::GetRequest;
use canopy_proto::content::v1::content_client::ContentClient;
use tonic::Code;
use tonic::transport::Channel;

use crate::blobs::{Blobs, Incoming, MESSAGE_BYTES_MAX, on_disk};
use crate::pull::{Fetch, FetchError};

/// The longest silence of a hub before the fetch is given up. It may itself be waiting for its parent;
/// that goes on without us, and the next attempt finds what it brought.
const SILENCE_MAX: Duration = Duration::from_secs(60);

/// Fetches one blob from the hub at the other end of the channel into the folder, verified and
/// durable.
pub async fn fetch(channel: Channel, digest: Digest, blobs: &Blobs) -> Result<(), FetchError> {
    let refused = |status| FetchError::from_status(digest, status);
    let mut client = ContentClient::new(channel).max_decoding_message_size(MESSAGE_BYTES_MAX);
    let request = client.get(GetRequest { digest: digest.0.to_vec() });
    let mut chunks = patiently(request).await.map_err(refused)?.into_inner();
    let blobs = blobs.clone();
    let mut incoming = on_disk(move || blobs.incoming(digest)).await?;
    while let Some(chunk) = patiently(chunks.message()).await.map_err(refused)? {
        incoming = written(incoming, chunk.data).await?;
    }
    Ok(on_disk(move || incoming.finish()).await?)
}

/// The hub above: one connection for each blob, since they are fetched rarely.
#[async_trait::async_trait]
impl Fetch for Dialer {
    async fn fetch(&self, digest: Digest, blobs: &Blobs) -> Result<(), FetchError> {
        let unavailable = |error: dial::Error| FetchError::Unavailable { digest, why: error.to_string() };
        fetch(self.dial().await.map_err(unavailable)?, digest, blobs).await
    }
}

async fn written(mut incoming: Incoming, data: Vec<u8>) -> Result<Incoming, FetchError> {
    Ok(on_disk(move || incoming.write(&data).map(|()| incoming)).await?)
}

async fn patiently<T>(answer: impl Future<Output = Result<T, tonic::Status>>) -> Result<T, tonic::Status> {
    let late = |_| tonic::Status::new(Code::DeadlineExceeded, format!("silent for {SILENCE_MAX:?}"));
    tokio::time::timeout(SILENCE_MAX, answer).await.map_err(late)?
}
