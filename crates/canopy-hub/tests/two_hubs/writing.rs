//! Apply, Label and Delete over the wire: of what kind, of which version, and how often.

use tonic::Request;

use super::pair::{At, Pair, is_refused, reference};
use super::*;

fn cluster(name: &str, version: &str) -> v1::ApplyRequest {
    let labels = [("line".to_owned(), "cnc".to_owned())].into();
    let metadata = v1::Metadata { name: name.to_owned(), labels, ..v1::Metadata::default() };
    let spec = Some(object::Spec::Cluster(v1::ClusterSpec::default()));
    let object = v1::Object { metadata: Some(metadata), spec, status: None };
    v1::ApplyRequest { object: Some(object), if_resource_version: version.to_owned(), dry_run: false }
}

fn label(kind: v1::Kind, name: &str, key: &str, value: &str) -> v1::LabelRequest {
    let set = [(key.to_owned(), value.to_owned())].into();
    v1::LabelRequest { object: reference(kind, name), set, ..Default::default() }
}

fn version_of(object: &v1::Object) -> String {
    object.metadata.as_ref().unwrap().resource_version.clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hub_is_not_let_go_as_a_cluster_nor_a_cluster_as_a_hub() {
    let mut pair = Pair::start().await;
    pair.cluster(At::Eu, "press-3").await;
    for (kind, name) in [(v1::Kind::Hub, "eu/press-3"), (v1::Kind::Cluster, "eu")] {
        let words = format!("{name:?} not found");
        let delete = v1::DeleteRequest { object: reference(kind, name), forget: true, ..Default::default() };
        let refused = pair.above.client.delete(delete).await.unwrap_err();
        is_refused(&refused, Code::NotFound, &words);
        let refused = pair.above.client.label(label(kind, name, "a", "b")).await.unwrap_err();
        is_refused(&refused, Code::NotFound, &words);
    }
    let refused = pair.above.client.apply(cluster("eu", "")).await.unwrap_err();
    is_refused(&refused, Code::NotFound, "Cluster \"eu\" not found at hub /");
    let press = pair.above.client.get(get(v1::Kind::Cluster, "eu/press-3", "")).await.unwrap();
    assert_eq!(press.into_inner().metadata.unwrap().labels["zone"], "press-3");
    let object = reference(v1::Kind::Hub, "eu");
    let refused = async || {
        let delete = v1::DeleteRequest { object: object.clone(), ..Default::default() };
        let refused = pair.above.client.delete(delete).await.unwrap_err();
        refused.message().contains("still has 1 clusters").then_some(refused)
    };
    assert_eq!(until(refused).await.code(), Code::FailedPrecondition);
    pair.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_is_refused_when_somebody_else_changed_it_since() {
    let mut pair = Pair::start().await;
    pair.cluster(At::Root, "press-3").await;
    let client = &mut pair.above.client;

    let old = client.get(get(v1::Kind::Cluster, "press-3", "")).await.unwrap().into_inner();
    let labelled = client.label(label(v1::Kind::Cluster, "press-3", "site", "graz")).await.unwrap();
    assert_ne!(version_of(labelled.get_ref()), version_of(&old));
    let refused = client.apply(cluster("press-3", &version_of(&old))).await.unwrap_err();
    is_refused(&refused, Code::Aborted, "was changed since version");
    let applied = client.apply(cluster("press-3", &version_of(labelled.get_ref()))).await.unwrap();
    assert_eq!(applied.get_ref().outcome(), v1::apply_response::Outcome::Configured);
    let again = client.apply(cluster("press-3", "")).await.unwrap();
    assert_eq!(again.get_ref().outcome(), v1::apply_response::Outcome::Unchanged);

    let web = client.apply(workload("", "web", 10)).await.unwrap().into_inner().object.unwrap();
    let changed = client.label(label(v1::Kind::Workload, "web", "tier", "one")).await.unwrap();
    assert_eq!(changed.get_ref().metadata.as_ref().unwrap().labels["tier"], "one");
    let refused = client.label(label(v1::Kind::Workload, "web", "tier", "two")).await.unwrap_err();
    is_refused(&refused, Code::AlreadyExists, "has the value \"one\" already");
    for (kind, name, version) in
        [(v1::Kind::Workload, "web", version_of(&web)), (v1::Kind::Cluster, "press-3", version_of(&old))]
    {
        let object = reference(kind, name);
        let delete = v1::DeleteRequest { object, if_resource_version: version, ..Default::default() };
        let refused = client.delete(delete).await.unwrap_err();
        is_refused(&refused, Code::Aborted, "was changed since version");
    }
    let object = reference(v1::Kind::Workload, "web");
    let version = version_of(changed.get_ref());
    let delete = v1::DeleteRequest { object, forget: true, if_resource_version: version, dry_run: false };
    assert_eq!(client.delete(delete).await.unwrap().into_inner().object, None);
    let mut known = workload("", "web", 10);
    known.if_resource_version = version_of(&web);
    is_refused(&client.apply(known).await.unwrap_err(), Code::NotFound, "Workload \"web\" not found");
    pair.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_is_repeated_gets_the_same_answer() {
    let mut pair = Pair::start().await;
    let id = "00000000-0000-0000-0000-00000000abcd";
    let called = |message| {
        let mut request = Request::new(message);
        request.metadata_mut().insert("canopy-request-id", id.parse().unwrap());
        request
    };
    let client = &mut pair.above.client;
    for home in ["", "eu"] {
        for _ in 0..2 {
            let applied = client.apply(called(workload(home, "web", 10))).await.unwrap().into_inner();
            assert_eq!(applied.outcome(), v1::apply_response::Outcome::Created, "at {home:?}");
        }
    }
    let mut odd = Request::new(workload("", "web", 10));
    odd.metadata_mut().insert("canopy-request-id", "seven".parse().unwrap());
    is_refused(&client.apply(odd).await.unwrap_err(), Code::InvalidArgument, "canopy-request-id");
    pair.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_uid_means_one_object() {
    let mut pair = Pair::start().await;
    let client = &mut pair.above.client;
    let web = client.apply(workload("", "web", 10)).await.unwrap().into_inner().object.unwrap();
    let named = |name: &str, uid: &str| {
        let mut request = workload("", name, 10);
        request.object.as_mut().unwrap().metadata.as_mut().unwrap().uid = uid.to_owned();
        request
    };
    let uid = web.metadata.unwrap().uid;
    let applied = client.apply(named("web", &uid)).await.unwrap().into_inner();
    assert_eq!(applied.outcome(), v1::apply_response::Outcome::Unchanged);
    let refused = client.apply(named("other", &uid)).await.unwrap_err();
    is_refused(&refused, Code::NotFound, "is orphaned at hub /");
    let other = "00000000-0000-0000-0000-00000000abcd";
    is_refused(&client.apply(named("web", other)).await.unwrap_err(), Code::FailedPrecondition, &uid);
    is_refused(&client.apply(named("web", "x")).await.unwrap_err(), Code::InvalidArgument, "metadata.uid");
    let drop = v1::DropOrphanRequest { path: String::new(), uid: other.to_owned() };
    is_refused(&client.drop_orphan(drop).await.unwrap_err(), Code::NotFound, "is orphaned at hub /");
    pair.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_is_answered_by_the_home_and_changes_nothing() {
    let mut pair = Pair::start().await;
    pair.cluster(At::Eu, "press-3").await;
    let client = &mut pair.above.client;
    for manifest_bytes in [10, 100_000] {
        let try_it = v1::ApplyRequest { dry_run: true, ..workload("eu", "line", manifest_bytes) };
        let answer = client.apply(try_it).await.unwrap().into_inner();
        assert_eq!(answer.outcome(), v1::apply_response::Outcome::Created);
        let Some(object::Spec::Workload(spec)) = answer.object.unwrap().spec else { panic!("no workload") };
        assert!(spec.manifests[0].len() > manifest_bytes);
        let absent = client.get(get(v1::Kind::Workload, "line", "eu")).await.unwrap_err();
        is_refused(&absent, Code::NotFound, "line");
    }
    client.apply(workload("eu", "line", 10)).await.unwrap();
    let before = client.get(get(v1::Kind::Workload, "line", "eu")).await.unwrap().into_inner();

    let mut object = reference(v1::Kind::Workload, "line");
    object.as_mut().unwrap().home = "eu".to_owned();
    let try_delete = v1::DeleteRequest { object: object.clone(), dry_run: true, ..Default::default() };
    let stays = client.delete(try_delete).await.unwrap().into_inner().object.unwrap();
    assert!(stays.metadata.unwrap().deletion_timestamp_ms.is_some());
    let set = [("tier".to_owned(), "a".to_owned())].into();
    let try_label = v1::LabelRequest { object, set, dry_run: true, ..Default::default() };
    let labelled = client.label(try_label).await.unwrap().into_inner();
    assert_eq!(labelled.metadata.unwrap().labels["tier"], "a");
    let after = client.get(get(v1::Kind::Workload, "line", "eu")).await.unwrap().into_inner();
    assert_eq!(version_of(&after), version_of(&before));

    let try_label =
        |key| v1::LabelRequest { dry_run: true, ..label(v1::Kind::Cluster, "eu/press-3", key, "other") };
    let labelled = client.label(try_label("tier")).await.unwrap().into_inner();
    assert_eq!(labelled.metadata.unwrap().labels["tier"], "other");
    let refused = client.label(try_label("zone")).await.unwrap_err();
    is_refused(&refused, Code::AlreadyExists, "press-3");
    let try_release = v1::DeleteRequest {
        object: reference(v1::Kind::Hub, "eu"),
        dry_run: true,
        forget: true,
        ..Default::default()
    };
    assert_eq!(client.delete(try_release).await.unwrap().into_inner().object, None);
    let press = client.get(get(v1::Kind::Cluster, "eu/press-3", "")).await.unwrap().into_inner();
    assert!(!press.metadata.unwrap().labels.contains_key("tier"));
    pair.stop().await;
}
