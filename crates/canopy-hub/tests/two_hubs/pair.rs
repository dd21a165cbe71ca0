//! The root and the hub `eu` below it, connected, and what tests ask of them.

use tonic::Status;

use super::*;

pub(crate) struct Pair {
    pub(crate) place: tempfile::TempDir,
    pub(crate) above: Running,
    pub(crate) below: Running,
}

impl Pair {
    pub(crate) async fn start() -> Self {
        let place = tempfile::tempdir().unwrap();
        let [root, plant] = ["root", "plant"].map(|name| place.path().join(name));
        let [root_context, plant_context] = ["root.yaml", "plant.yaml"].map(|name| place.path().join(name));
        init::init(&init_args(&root, &root_context)).unwrap();
        let mut above = Running::start(&root, &root_context).await;
        let token = token(&mut above.client, v1::Role::Hub, "eu").await;
        join::join(&join_args(&plant, &token)).await.unwrap();
        init::admin(&admin_args(&plant, &plant_context)).unwrap();
        let mut below = Running::start(&plant, &plant_context).await;
        until(async || below.client.tree(v1::TreeRequest::default()).await.ok()).await;
        until(async || {
            let request = v1::TreeRequest { path: "eu".to_owned(), depth: 0 };
            above.client.tree(request).await.ok()
        })
        .await;
        Self { place, above, below }
    }

    /// Lets a cluster join a hub, without anything running there.
    pub(crate) async fn cluster(&mut self, at: At, name: &str) {
        let hub = match at {
            At::Root => &mut self.above,
            At::Eu => &mut self.below,
        };
        let token = token(&mut hub.client, v1::Role::Agent, name).await;
        let folder = canopy_identity::Folder::open(self.place.path().join(name)).unwrap();
        let now = canopy_node::clock::seconds();
        canopy_link::enroll::join(&token.parse().unwrap(), None, None, &folder, now).await.unwrap();
    }

    pub(crate) async fn stop(self) {
        self.below.stop().await;
        self.above.stop().await;
    }
}

pub(crate) enum At {
    Root,
    Eu,
}

pub(crate) fn reference(kind: v1::Kind, name: &str) -> Option<v1::ObjectRef> {
    get(kind, name, "").object
}

pub(crate) fn is_refused(refused: &Status, code: Code, words: &str) {
    assert_eq!(refused.code(), code, "{}", refused.message());
    assert!(refused.message().contains(words), "{}", refused.message());
}
