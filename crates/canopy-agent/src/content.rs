//! Content that does not travel inside a row: it is fetched from the hub once and kept.

use std::sync::Arc;

use async_trait::async_trait;
use canopy_content::{Blobs, Fetch, FetchError, Pull};
use canopy_link::Dialer;
use canopy_link::dial::dial;
use canopy_model::{Digest, Revision};

/// The way to the hub: one connection for each blob, since agents fetch rarely.
pub(crate) struct Hub(pub(crate) Dialer);

#[async_trait]
impl Fetch for Hub {
    async fn fetch(&self, digest: Digest, blobs: &Blobs) -> Result<(), FetchError> {
        let Dialer { addresses, tls, keep_alive } = &self.0;
        let channel = dial(addresses, tls.clone(), *keep_alive).await;
        let channel = channel.map_err(|error| FetchError::Unavailable { digest, why: error.to_string() })?;
        canopy_content::fetch(channel, digest, blobs).await
    }
}

/// The content of a revision. What was kept and is damaged is fetched again.
pub(crate) async fn read(pull: &Pull, revision: &Revision) -> Result<Arc<[u8]>, FetchError> {
    if let Some(inline) = &revision.inline {
        return Ok(inline.clone());
    }
    let digest = revision.digest;
    pull.ensure(digest).await?;
    let blobs = pull.blobs().clone();
    let read = tokio::task::spawn_blocking(move || blobs.get(&digest)).await;
    let found = read.expect("reading a blob does not panic")?;
    found.map(Arc::from).ok_or(FetchError::Missing(digest))
}
