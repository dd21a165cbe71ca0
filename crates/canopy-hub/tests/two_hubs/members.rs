//! Who is let in, and who is shown out.

use canopy_identity::{Certified, Folder, Identity, Key, ProvenKey, Role};
use canopy_link::enroll;
use canopy_node::clock;
use canopy_proto::link::v1::link_client::LinkClient;
use canopy_proto::link::v1::{Answer, Frame};
use tonic::transport::Channel;
use tonic::{Status, Streaming};

use super::agent::dialer;
use super::*;

/// A hub at the root, its data, and where nodes join it.
struct Root {
    place: tempfile::TempDir,
    hub: Running,
}

impl Root {
    async fn start() -> Self {
        let place = tempfile::tempdir().unwrap();
        init::init(&init_args(&place.path().join("root"), &place.path().join("root.yaml"))).unwrap();
        let hub = Running::start(&place.path().join("root"), &place.path().join("root.yaml")).await;
        Self { place, hub }
    }

    /// Stops the hub, does something to its data, and starts it again where it was.
    async fn with_data(self, change: impl FnOnce(&Path)) -> Self {
        let Self { place, hub } = self;
        let listen = hub.listen;
        hub.stop().await;
        change(&place.path().join("root"));
        let hub =
            Running::start_at(&place.path().join("root"), &place.path().join("root.yaml"), listen).await;
        Self { place, hub }
    }

    /// Joins a cluster by the name press-3, with a new key.
    async fn join_press(&mut self, folder: &str) -> Identity {
        let token = token(&mut self.hub.client, v1::Role::Agent, "press-3").await;
        let folder = Folder::open(self.place.path().join(folder)).unwrap();
        enroll::join(&token.parse().unwrap(), None, None, &folder, now()).await.unwrap()
    }

    async fn forget_press(&mut self) {
        let object = get(v1::Kind::Cluster, "press-3", "").object;
        self.hub
            .client
            .delete(v1::DeleteRequest { object, forget: true, ..Default::default() })
            .await
            .unwrap();
    }
}

fn now() -> u64 {
    clock::seconds()
}

async fn client(node: &Identity) -> LinkClient<Channel> {
    LinkClient::new(dialer(node).dial().await.unwrap())
}

/// Opens a stream of the link.
async fn exchange(node: &Identity) -> Result<Streaming<Frame>, Status> {
    Ok(client(node).await.exchange(tokio_stream::pending::<Frame>()).await?.into_inner())
}

/// Why a stream ends.
async fn end<M>(mut frames: Streaming<M>) -> Status {
    let ended = async {
        loop {
            if let Err(status) = frames.message().await {
                return status;
            }
        }
    };
    tokio::time::timeout(PATIENCE, ended).await.expect("the stream stays open")
}

fn is_told_of_both(status: &Status, accepted: &Identity, found: &Identity) {
    assert_eq!(status.code(), Code::PermissionDenied, "{status}");
    let text = status.message();
    assert!(text.starts_with("two nodes under one name: press-3 is accepted here"), "{text}");
    for node in [accepted, found] {
        assert!(text.contains(&node.peer().uid.to_string()), "{text}");
        assert!(text.contains(&node.key().fingerprint().to_string()), "{text}");
    }
}

async fn is_refused_by_tls(node: &Identity) {
    let refused = dialer(node).dial().await.unwrap_err();
    assert!(refused.is_refusal(), "{refused}");
    assert!(refused.to_string().contains("it has let this node go"), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_let_go_loses_its_stream_at_once_and_never_comes_back() {
    let mut root = Root::start().await;
    let old = root.join_press("old").await;
    let store = |data: &Path| (data.join("store"), data.join("store.copy"));
    let mut root = root
        .with_data(|data| {
            let (store, copy) = store(data);
            copy_folder(&store, &copy);
        })
        .await;
    let mut client = client(&old).await;
    let frames = client.exchange(tokio_stream::pending::<Frame>()).await.unwrap().into_inner();
    let queries = client.converse(tokio_stream::pending::<Answer>()).await.unwrap().into_inner();
    root.forget_press().await;
    for status in [end(frames).await, end(queries).await] {
        assert_eq!(status.code(), Code::PermissionDenied);
        assert!(status.message().contains("has let agent press-3 go"), "{}", status.message());
    }
    is_refused_by_tls(&old).await;

    // Not even a store from before that lets it back; the name is free for another node.
    let mut root = root
        .with_data(|data| {
            let (store, copy) = store(data);
            std::fs::remove_dir_all(&store).unwrap();
            std::fs::rename(copy, store).unwrap();
        })
        .await;
    is_refused_by_tls(&old).await;
    root.forget_press().await;
    let new = root.join_press("new").await;
    exchange(&new).await.unwrap();
    root.hub.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_nodes_under_one_name_are_told_of_each_other() {
    let mut root = Root::start().await;
    let old = root.join_press("old").await;

    // The hub has lost its records when another node joins by the name.
    let mut root = root
        .with_data(|data| {
            std::fs::remove_dir_all(data.join("store")).unwrap();
            let mut args = init_args(data, &data.join("unused.yaml"));
            args.adopt = true;
            init::init(&args).unwrap();
        })
        .await;
    let frames = exchange(&old).await.unwrap();
    let new = root.join_press("new").await;
    is_told_of_both(&end(frames).await, &new, &old);
    is_told_of_both(&exchange(&old).await.unwrap_err(), &new, &old);
    exchange(&new).await.unwrap();

    let folder = Folder::open(root.place.path().join("old")).unwrap();
    let trust = canopy_identity::Trust::new(old.anchor().clone(), Default::default());
    let refused = enroll::renew(&old, dialer(&old).way, trust, &folder, now()).await.unwrap_err();
    assert!(refused.to_string().contains("two nodes under one name"), "{refused}");

    // Nor is a node taken for the other while the hub knows no records at all.
    let root = root
        .with_data(|data| {
            std::fs::remove_dir_all(data.join("store")).unwrap();
            let mut args = init_args(data, &data.join("unused.yaml"));
            args.adopt = true;
            init::init(&args).unwrap();
        })
        .await;
    is_told_of_both(&exchange(&old).await.unwrap_err(), &new, &old);
    exchange(&new).await.unwrap();
    root.hub.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_key_for_the_same_uid_is_refused() {
    let mut root = Root::start().await;
    let press = root.join_press("press").await;
    let authority = Folder::open(root.place.path().join("root/identity")).unwrap().load(now()).unwrap();
    let key = Key::generate().unwrap();
    let proven = ProvenKey::from_request(&key.request().unwrap()).unwrap();
    let (name, uid) = ("press-3".parse().unwrap(), press.peer().uid);
    let chain = authority.authority().unwrap().issue(Role::Agent, &name, uid, &proven, now()).unwrap();
    let parents = press.parents().to_vec();
    let other = Identity::joined(chain, key, parents, now()).unwrap();
    assert_eq!(Certified::read(&other.chain()[0]).unwrap().peer, *press.peer());
    is_told_of_both(&exchange(&other).await.unwrap_err(), &press, &other);
    exchange(&press).await.unwrap();
    root.hub.stop().await;
}

fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        match entry.file_type().unwrap().is_dir() {
            true => copy_folder(&entry.path(), &target),
            false => drop(std::fs::copy(entry.path(), target).unwrap()),
        }
    }
}
