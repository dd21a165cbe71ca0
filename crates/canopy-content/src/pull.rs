//! Getting missing blobs from the parent: each one once, however many ask for it.
//!
//! A fetch runs to its end even when those who asked have gone: on a slow line a child's patience ends before
//! a large blob has arrived, and its next attempt must find it there.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use canopy_model::Digest;
use futures::FutureExt as _;
use futures::future::{BoxFuture, Shared};
use tokio::sync::Semaphore;
use tokio::task::block_in_place;

use crate::blobs::{self, Blobs};

/// Fetches that run at the same time: enough to fill a line, few enough that each one ends soon.
const FETCHES_MAX: usize = 4;

/// Fetches that run or wait for their turn. Beyond it children are told to come back: no number of
/// questions makes this hub hold more.
const FLIGHTS_MAX: usize = 256;

/// Why a blob could not be had. Clones are for all who waited for the same fetch.
#[derive(Debug, Clone, thiserror::Error)]
pub enum FetchError {
    /// Neither this node nor any above has it.
    #[error("blob {0} is not known here or above")]
    Missing(Digest),
    /// The parent can't be reached, or failed on the way.
    #[error("blob {digest} can't be fetched from the parent now ({why}): it will be tried again")]
    Unavailable {
        /// What was asked for.
        digest: Digest,
        /// What the connection or the parent said.
        why: String,
    },
    /// [`Pull`] has too much to do.
    #[error("too many blobs are being fetched already: ask again later")]
    Busy,
    /// It arrived, but can't be kept.
    #[error("keeping a blob")]
    Blobs(#[source] Arc<blobs::Error>),
}

impl FetchError {
    /// What an answer of the parent means for one who waits for this blob.
    pub(crate) fn from_status(digest: Digest, status: tonic::Status) -> Self {
        match status.code() {
            tonic::Code::NotFound => Self::Missing(digest),
            code => {
                let message: String = status.message().chars().take(200).collect();
                Self::Unavailable { digest, why: format!("{code:?}: {}", message.escape_debug()) }
            }
        }
    }
}

impl From<blobs::Error> for FetchError {
    fn from(error: blobs::Error) -> Self {
        Self::Blobs(Arc::new(error))
    }
}

/// The way to the parent, as whoever holds the connection provides it.
#[async_trait::async_trait]
pub trait Fetch: Send + Sync + 'static {
    /// Brings one blob into the folder, for example with [`crate::fetch`].
    async fn fetch(&self, digest: Digest, blobs: &Blobs) -> Result<(), FetchError>;
}

/// Blobs that are here or can be had from above. Clones share their fetches. Needs a runtime with several
/// threads.
#[derive(Clone)]
pub struct Pull {
    blobs: Blobs,
    /// None at the root.
    parent: Option<Arc<dyn Fetch>>,
    turns: Arc<Semaphore>,
    flights: Arc<Mutex<HashMap<Digest, Flight>>>,
}

type Flight = Shared<BoxFuture<'static, Result<(), FetchError>>>;

impl Pull {
    /// The root's: what is not here is nowhere.
    pub fn root(blobs: Blobs) -> Self {
        Self { blobs, parent: None, turns: Arc::new(Semaphore::new(FETCHES_MAX)), flights: Arc::default() }
    }

    /// What is not here is fetched from the parent.
    pub fn from_parent(blobs: Blobs, parent: impl Fetch) -> Self {
        Self { parent: Some(Arc::new(parent)), ..Self::root(blobs) }
    }

    /// The folder that fetched blobs arrive in.
    pub fn blobs(&self) -> &Blobs {
        &self.blobs
    }

    /// Returns when the blob is here.
    pub async fn ensure(&self, digest: Digest) -> Result<(), FetchError> {
        if self.has(digest)? {
            return Ok(());
        }
        let parent = self.parent.clone().ok_or(FetchError::Missing(digest))?;
        self.flight(digest, parent)?.await
    }

    fn has(&self, digest: Digest) -> Result<bool, blobs::Error> {
        block_in_place(|| self.blobs.has(&digest))
    }

    /// The fetch of this blob that is under way, or a new one.
    fn flight(&self, digest: Digest, parent: Arc<dyn Fetch>) -> Result<Flight, FetchError> {
        let mut flights = self.flights.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(flight) = flights.get(&digest) {
            return Ok(flight.clone());
        }
        if flights.len() >= FLIGHTS_MAX {
            return Err(FetchError::Busy);
        }
        let task = tokio::spawn(self.clone().fly(digest, parent));
        let ended = move |result: Result<_, tokio::task::JoinError>| {
            let stopped =
                |error: tokio::task::JoinError| FetchError::Unavailable { digest, why: error.to_string() };
            result.map_err(stopped).flatten()
        };
        let flight = task.map(ended).boxed().shared();
        flights.insert(digest, flight.clone());
        Ok(flight)
    }

    async fn fly(self, digest: Digest, parent: Arc<dyn Fetch>) -> Result<(), FetchError> {
        let _landed = Landing { pull: &self, digest };
        let _turn = self.turns.acquire().await.expect("the semaphore is never closed");
        // Since the caller looked, an earlier flight may have landed.
        if self.has(digest)? { Ok(()) } else { parent.fetch(digest, &self.blobs).await }
    }
}

/// Takes a flight off the list when it ends, in whatever way.
struct Landing<'a> {
    pull: &'a Pull,
    digest: Digest,
}

impl Drop for Landing<'_> {
    fn drop(&mut self) {
        self.pull.flights.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.digest);
    }
}
