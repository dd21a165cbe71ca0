//! Content that does not travel inside a row: it is fetched from the hub once and kept.

use std::sync::Arc;

use canopy_content::{FetchError, Pull};
use canopy_model::Revision;

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
