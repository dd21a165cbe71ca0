//! Blobs on their way down a tree of real gRPC servers on loopback.

#![allow(clippy::unwrap_used)]

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use canopy_content::blobs::CHUNK_BYTES_MAX;
use canopy_content::{
    Access, BLOB_BYTES_MAX, Blobs, ContentService, Fetch, FetchError, Permit, Pull, blobs, fetch,
};
use canopy_model::Digest;
use canopy_proto::content::v1::content_client::ContentClient;
use canopy_proto::content::v1::content_server::{Content, ContentServer};
use canopy_proto::content::v1::{Chunk, GetRequest};
use futures::{FutureExt as _, Stream, StreamExt as _, future, stream};
use tokio::sync::{Semaphore, watch};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::{Channel, Server};
use tonic::{Code, Extensions, Request, Response, Status};

#[tokio::test(flavor = "multi_thread")]
async fn a_blob_comes_down_two_tiers_and_stays_at_each() {
    let (root, plant, edge) = (Folder::new(), Folder::new(), Folder::new());
    let bytes: Vec<u8> = (0..1_000_000_u32).map(|number| (number.wrapping_mul(number) >> 7) as u8).collect();
    let digest = root.blobs.put(&bytes).unwrap();

    let root_channel = serve(ContentService::server(Pull::root(root.blobs.clone()), Everything)).await;
    let up =
        Upstream { channel: root_channel, fetches: Arc::default(), gate: Arc::new(Semaphore::new(1000)) };
    let pull = Pull::from_parent(plant.blobs.clone(), up.clone());
    let plant_channel = serve(ContentService::server(pull, Everything)).await;

    fetch(plant_channel.clone(), digest, &edge.blobs).await.unwrap();
    assert_eq!(edge.blobs.get(&digest).unwrap().unwrap(), bytes);
    assert_eq!(plant.blobs.get(&digest).unwrap().unwrap(), bytes);
    fetch(plant_channel.clone(), digest, &edge.blobs).await.unwrap();
    assert_eq!(up.fetches.load(Ordering::SeqCst), 1, "the line to the root was used once");

    let unknown = Digest([9; 32]);
    let error = fetch(plant_channel.clone(), unknown, &edge.blobs).await.unwrap_err();
    assert!(matches!(error, FetchError::Missing(digest) if digest == unknown), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_that_rotted_at_the_plant_is_fetched_anew() {
    let (root, plant, edge) = (Folder::new(), Folder::new(), Folder::new());
    let digest = root.blobs.put(b"content").unwrap();
    plant.blobs.put(b"content").unwrap();
    let file = plant.folder.path().join(digest.to_string().trim_start_matches("blake3:"));
    std::fs::write(file, "rotten!").unwrap();

    let root_channel = serve(ContentService::server(Pull::root(root.blobs.clone()), Everything)).await;
    let up =
        Upstream { channel: root_channel, fetches: Arc::default(), gate: Arc::new(Semaphore::new(1000)) };
    let plant_channel =
        serve(ContentService::server(Pull::from_parent(plant.blobs.clone(), up), Everything)).await;
    let error = fetch(plant_channel.clone(), digest, &edge.blobs).await.unwrap_err();
    assert!(matches!(error, FetchError::Unavailable { .. }), "{error}");
    assert!(!edge.blobs.has(&digest).unwrap());
    fetch(plant_channel, digest, &edge.blobs).await.unwrap();
    assert_eq!(edge.blobs.get(&digest).unwrap().unwrap(), b"content");
}

#[tokio::test(flavor = "multi_thread")]
async fn many_questions_make_one_fetch_and_it_outlives_who_asked() {
    let (root, plant) = (Folder::new(), Folder::new());
    let digest = root.blobs.put(b"wanted by all").unwrap();
    let root_channel = serve(ContentService::server(Pull::root(root.blobs.clone()), Everything)).await;
    let up = Upstream { channel: root_channel, fetches: Arc::default(), gate: Arc::new(Semaphore::new(0)) };
    let pull = Pull::from_parent(plant.blobs.clone(), up.clone());

    // All of these wait at the gate when they are given up.
    let mut waiting: Vec<_> = (0..50).map(|_| Box::pin(pull.ensure(digest))).collect();
    for question in &mut waiting {
        assert!(futures::poll!(question).is_pending());
    }
    drop(waiting);

    up.gate.add_permits(1);
    pull.ensure(digest).await.unwrap();
    assert_eq!(up.fetches.load(Ordering::SeqCst), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn fetches_are_bounded_and_take_turns() {
    let plant = Folder::new();
    let gate = Arc::new(Semaphore::new(0));
    let up = Nothing { gate: gate.clone(), most: Arc::default(), now: Arc::default() };
    let pull = Pull::from_parent(plant.blobs.clone(), up.clone());
    let digest = |number: usize| Digest(*blake3::hash(&number.to_le_bytes()).as_bytes());
    let mut waiting: Vec<_> = (0..256).map(|number| Box::pin(pull.ensure(digest(number)))).collect();
    for question in &mut waiting {
        assert!(futures::poll!(question).is_pending());
    }
    assert!(matches!(pull.ensure(digest(256)).await, Err(FetchError::Busy)));
    while up.now.load(Ordering::SeqCst) < 4 {
        tokio::task::yield_now().await;
    }
    gate.add_permits(256);
    for question in waiting {
        assert!(matches!(question.await, Err(FetchError::Missing(_))));
    }
    assert_eq!(up.most.load(Ordering::SeqCst), 4);
    // Those that ended made room.
    gate.add_permits(1);
    assert!(matches!(pull.ensure(digest(256)).await, Err(FetchError::Missing(_))));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_blob_that_the_peer_may_not_have_is_as_unknown_as_one_that_is_nowhere() {
    let (root, plant, edge) = (Folder::new(), Folder::new(), Folder::new());
    let (secret, public) = (root.blobs.put(b"secret").unwrap(), root.blobs.put(b"public").unwrap());
    let root_channel = serve(ContentService::server(Pull::root(root.blobs.clone()), Everything)).await;
    let up =
        Upstream { channel: root_channel, fetches: Arc::default(), gate: Arc::new(Semaphore::new(1000)) };
    let pull = Pull::from_parent(plant.blobs.clone(), up.clone());
    let channel = serve(ContentService::server(pull, Only(public))).await;

    let answer = async |digest: Digest| {
        let request = GetRequest { digest: digest.0.to_vec() };
        let status = ContentClient::new(channel.clone()).get(request).await.unwrap_err();
        (status.code(), status.message().replace(&digest.to_string(), "it"))
    };
    assert_eq!(answer(secret).await, answer(Digest([9; 32])).await);
    assert_eq!(answer(secret).await.0, Code::NotFound);
    assert_eq!(up.fetches.load(Ordering::SeqCst), 0, "nothing is fetched for who may not have it");
    fetch(channel.clone(), public, &edge.blobs).await.unwrap();
    assert_eq!(up.fetches.load(Ordering::SeqCst), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_permission_that_is_taken_back_ends_what_is_under_way() {
    let root = Folder::new();
    let digest = root.blobs.put(&vec![7; BLOB_BYTES_MAX as usize]).unwrap();
    let (take_back, taken_back) = watch::channel(false);
    let channel = serve(ContentService::server(Pull::root(root.blobs.clone()), While(taken_back))).await;
    let request = || GetRequest { digest: digest.0.to_vec() };
    let mut chunks = ContentClient::new(channel.clone()).get(request()).await.unwrap().into_inner();
    chunks.message().await.unwrap().unwrap();
    take_back.send(true).unwrap();
    let mut bytes = 0;
    let refused = loop {
        match chunks.message().await {
            Ok(Some(chunk)) => bytes += chunk.data.len(),
            Ok(None) => panic!("all of it arrived"),
            Err(status) => break status,
        }
    };
    assert_eq!((refused.code(), refused.message()), (Code::PermissionDenied, "enough"));
    assert!(bytes < BLOB_BYTES_MAX as usize / 2, "what was on the way arrives, and little more: {bytes}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hub_that_sends_other_bytes_or_too_many_is_not_believed() {
    let edge = Folder::new();
    let digest = Digest([1; 32]);
    let channel = serve(ContentServer::new(Liar { bytes: CHUNK_BYTES_MAX, pieces: 1 })).await;
    let error = fetch(channel, digest, &edge.blobs).await.unwrap_err();
    assert!(
        matches!(&error, FetchError::Blobs(e) if matches!(**e, blobs::Error::Mismatch { .. })),
        "{error}"
    );

    let channel = serve(ContentServer::new(Liar { bytes: CHUNK_BYTES_MAX, pieces: usize::MAX })).await;
    let error = fetch(channel, digest, &edge.blobs).await.unwrap_err();
    assert!(matches!(&error, FetchError::Blobs(e) if matches!(**e, blobs::Error::TooLarge)), "{error}");
    let kept = std::fs::read_dir(edge.folder.path())
        .unwrap()
        .filter(|entry| entry.as_ref().unwrap().path().is_file());
    assert_eq!(kept.count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_are_bounded_in_both_directions() {
    let (root, edge) = (Folder::new(), Folder::new());
    let channel = serve(ContentService::server(Pull::root(root.blobs.clone()), Everything)).await;
    let ask =
        async |bytes| ContentClient::new(channel.clone()).get(GetRequest { digest: vec![0; bytes] }).await;
    assert_eq!(ask(31).await.unwrap_err().code(), Code::InvalidArgument);
    assert_eq!(ask(1024).await.unwrap_err().code(), Code::OutOfRange, "server reads");

    let channel = serve(ContentServer::new(Liar { bytes: CHUNK_BYTES_MAX + 1024, pieces: 1 })).await;
    let error = fetch(channel, Digest([1; 32]), &edge.blobs).await.unwrap_err();
    assert!(error.to_string().contains("OutOfRange"), "client reads: {error}");
}

/// Everybody may have everything.
struct Everything;

#[tonic::async_trait]
impl Access for Everything {
    async fn permit(&self, _: &Extensions, _: Digest) -> Result<Option<Permit>, Status> {
        Ok(Some(future::pending().boxed()))
    }
}

/// Everybody may have one blob.
struct Only(Digest);

#[tonic::async_trait]
impl Access for Only {
    async fn permit(&self, _: &Extensions, digest: Digest) -> Result<Option<Permit>, Status> {
        Ok((digest == self.0).then(|| future::pending().boxed()))
    }
}

/// Everybody may have everything until it is enough.
struct While(watch::Receiver<bool>);

#[tonic::async_trait]
impl Access for While {
    async fn permit(&self, _: &Extensions, _: Digest) -> Result<Option<Permit>, Status> {
        let mut enough = self.0.clone();
        let taken_back = async move {
            enough.wait_for(|enough| *enough).await.unwrap();
            Status::permission_denied("enough")
        };
        Ok(Some(taken_back.boxed()))
    }
}

/// The way to a parent, with a gate that the test opens.
#[derive(Clone)]
struct Upstream {
    channel: Channel,
    fetches: Arc<AtomicUsize>,
    gate: Arc<Semaphore>,
}

#[tonic::async_trait]
impl Fetch for Upstream {
    async fn fetch(&self, digest: Digest, blobs: &Blobs) -> Result<(), FetchError> {
        self.fetches.fetch_add(1, Ordering::SeqCst);
        self.gate.acquire().await.unwrap().forget();
        fetch(self.channel.clone(), digest, blobs).await
    }
}

/// A parent that has nothing and counts who asks at the same time.
#[derive(Clone)]
struct Nothing {
    gate: Arc<Semaphore>,
    now: Arc<AtomicUsize>,
    most: Arc<AtomicUsize>,
}

#[tonic::async_trait]
impl Fetch for Nothing {
    async fn fetch(&self, digest: Digest, _: &Blobs) -> Result<(), FetchError> {
        let now = self.now.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(now, Ordering::SeqCst);
        self.gate.acquire().await.unwrap().forget();
        self.now.fetch_sub(1, Ordering::SeqCst);
        Err(FetchError::Missing(digest))
    }
}

/// A hub that answers every question with pieces of its own.
struct Liar {
    bytes: usize,
    pieces: usize,
}

#[tonic::async_trait]
impl Content for Liar {
    type GetStream = Pin<Box<dyn Stream<Item = Result<Chunk, Status>> + Send>>;

    async fn get(&self, _: Request<GetRequest>) -> Result<Response<Self::GetStream>, Status> {
        let piece = Chunk { data: vec![0; self.bytes] };
        Ok(Response::new(stream::repeat(piece).take(self.pieces).map(Ok).boxed()))
    }
}

struct Folder {
    folder: tempfile::TempDir,
    blobs: Blobs,
}

impl Folder {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let blobs = Blobs::open(folder.path()).unwrap();
        Self { folder, blobs }
    }
}

async fn serve<T: Content>(service: ContentServer<T>) -> Channel {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(
        Server::builder().add_service(service).serve_with_incoming(TcpListenerStream::new(listener)),
    );
    Channel::from_shared(format!("http://{address}")).unwrap().connect().await.unwrap()
}
