//! Get, List and Watch over the wire, and what else is served beside them.

use canopy_identity::tls::{Leaf, client_config};
use canopy_identity::{Anchor, Key, Revocations, Trust};
use canopy_link::dial::dial;
use canopy_link::limits::KeepAlive;
use canopy_proto::admin::v1::watch_event::Type;
use tokio_stream::StreamExt;
use tonic::transport::Channel;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;

use super::pair::{At, Pair, is_refused, reference};
use super::*;

fn labelled(mut request: v1::ApplyRequest, project: &str, tier: &str) -> v1::ApplyRequest {
    let metadata = request.object.as_mut().unwrap().metadata.as_mut().unwrap();
    metadata.project = project.to_owned();
    metadata.labels.insert("tier".to_owned(), tier.to_owned());
    request
}

/// Everything that is listed, page by page: home and name of each.
async fn listed(client: &mut Client, request: v1::ListRequest) -> Vec<String> {
    let mut found = Vec::new();
    let mut page_token = String::new();
    loop {
        let request = v1::ListRequest { page_token, kind: v1::Kind::Workload.into(), ..request.clone() };
        let page = client.list(request).await.unwrap().into_inner();
        assert_eq!(page.unanswered, []);
        found.extend(page.items.into_iter().map(|item| {
            let metadata = item.metadata.unwrap();
            format!("{} {}", metadata.home, metadata.name)
        }));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return found;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_are_filtered_and_a_region_shows_what_it_inherits() {
    let mut pair = Pair::start().await;
    for (home, name, project, tier) in
        [("", "a", "", "one"), ("", "b", "lab", "two"), ("eu", "c", "", "one"), ("eu", "d", "", "two")]
    {
        pair.above.client.apply(labelled(workload(home, name, 10), project, tier)).await.unwrap();
    }
    let all = || v1::ListRequest::default();
    let project = v1::ListRequest { project: "lab".to_owned(), ..all() };
    let selector = v1::ListRequest { label_selector: "tier=one".to_owned(), ..all() };
    let under = v1::ListRequest { under: "eu".to_owned(), ..all() };
    let single = v1::ListRequest { page_size: 1, ..all() };
    let client = &mut pair.above.client;
    assert_eq!(listed(client, all()).await, ["/ a", "/ b", "eu c", "eu d"]);
    assert_eq!(listed(client, project).await, ["/ b"]);
    assert_eq!(listed(client, selector).await, ["/ a", "eu c"]);
    assert_eq!(listed(client, under.clone()).await, ["eu c", "eu d"]);
    assert_eq!(listed(client, single.clone()).await, ["/ a", "/ b", "eu c", "eu d"]);
    let client = &mut pair.below.client;
    let inherited = async || (listed(&mut *client, all()).await.len() == 4).then_some(());
    until(inherited).await;
    let client = &mut pair.below.client;
    assert_eq!(listed(client, single).await, ["/ a", "/ b", "eu c", "eu d"]);
    assert_eq!(listed(client, under).await, ["eu c", "eu d"]);

    // Manifests are told only when they are asked for.
    for full in [false, true] {
        let request = v1::ListRequest { kind: v1::Kind::Workload.into(), full, ..all() };
        let page = pair.above.client.list(request).await.unwrap().into_inner();
        for item in page.items {
            let Some(object::Spec::Workload(spec)) = item.spec else { panic!("a workload") };
            assert_eq!(spec.manifests.len(), usize::from(full));
        }
    }

    // What is inherited is read below, and changed where it is at home.
    let below = &mut pair.below.client;
    let a = below.get(get(v1::Kind::Workload, "a", "")).await.unwrap().into_inner();
    assert_eq!(a.metadata.as_ref().unwrap().home, "/");
    let a = below.get(get(v1::Kind::Workload, "a", "/")).await.unwrap().into_inner();
    let Some(object::Spec::Workload(spec)) = a.spec else { panic!("a workload") };
    assert_eq!(spec.manifests.len(), 1);
    let object = reference(v1::Kind::Workload, "a");
    let delete = v1::DeleteRequest { object: object.clone(), ..Default::default() };
    let label = v1::LabelRequest { object, ..Default::default() };
    for refused in [
        below.apply(workload("", "a", 20)).await.unwrap_err(),
        below.delete(delete).await.unwrap_err(),
        below.label(label).await.unwrap_err(),
    ] {
        is_refused(&refused, Code::FailedPrecondition, "ask the hub at /");
    }
    below.apply(workload("eu", "a", 20)).await.unwrap();
    let own = below.get(get(v1::Kind::Workload, "a", "")).await.unwrap().into_inner();
    assert_eq!(own.metadata.unwrap().home, "eu");
    pair.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_shows_what_is_there_and_then_each_change() {
    let mut pair = Pair::start().await;
    pair.above.client.apply(workload("", "web", 10)).await.unwrap();
    let request = v1::WatchRequest { kind: v1::Kind::Workload.into(), project: String::new() };
    let mut events = pair.above.client.watch(request).await.unwrap().into_inner();
    let mut next = async || {
        let event = tokio::time::timeout(PATIENCE, events.next()).await.expect("no event").unwrap().unwrap();
        (event.r#type(), event.object.unwrap_or_default())
    };
    let (kind, web) = next().await;
    assert_eq!((kind, web.metadata.unwrap().name.as_str()), (Type::Added, "web"));
    assert_eq!(next().await.0, Type::Synced);
    pair.above.client.apply(workload("", "web", 20)).await.unwrap();
    let (kind, web) = next().await;
    assert_eq!((kind, web.metadata.unwrap().generation), (Type::Modified, 2));
    let object = reference(v1::Kind::Workload, "web");
    let delete = v1::DeleteRequest { object, forget: true, ..Default::default() };
    pair.above.client.delete(delete).await.unwrap();
    assert_eq!(next().await.0, Type::Deleted);
    pair.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_there_is_named_by_its_kind() {
    let mut pair = Pair::start().await;
    pair.cluster(At::Root, "press-3").await;
    let client = &mut pair.above.client;
    for (kind, name, words) in [
        (v1::Kind::Hub, "nowhere", "Hub \"nowhere\" not found at hub /"),
        (v1::Kind::Cluster, "nowhere", "Cluster \"nowhere\" not found at hub /"),
        (v1::Kind::Hub, "press-3", "Hub \"press-3\" not found"),
        (v1::Kind::Workload, "nowhere", "Workload \"nowhere\" not found at hub /"),
    ] {
        let refused = client.get(get(kind, name, "")).await.unwrap_err();
        is_refused(&refused, Code::NotFound, words);
    }
    let press = client.get(get(v1::Kind::Cluster, "press-3", "")).await.unwrap().into_inner();
    let metadata = press.metadata.unwrap();
    assert!(metadata.created_ms > 0 && metadata.created_by.starts_with("token:"), "{metadata:?}");
    pair.stop().await;
}

/// A connection of the administrator, for services beside the admin API.
async fn channel(pair: &Pair) -> Channel {
    let contexts = Contexts::load(&pair.place.path().join("root.yaml")).unwrap();
    let context = contexts.pick(None).unwrap();
    let der = |text: &str| pem::parse_many(text).unwrap().into_iter().map(|pem| pem.into_contents().into());
    let anchor = Anchor::new(der(&context.ca).next().unwrap()).unwrap();
    let trust = Trust::new(anchor, Revocations::default());
    let key = Key::from_pem(&context.key).unwrap();
    let leaf = Leaf::new(der(&context.certificate).collect(), &key).unwrap();
    let tls = client_config(trust, context.hub.parse().unwrap(), &leaf).unwrap();
    dial(&[pair.above.admin.to_string()], std::sync::Arc::new(tls), KeepAlive::default()).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn tools_find_out_what_is_served_and_whether_it_serves() {
    let pair = Pair::start().await;
    let channel = channel(&pair).await;
    let service = "canopy.admin.v1.Admin".to_owned();
    let request = HealthCheckRequest { service: service.clone() };
    let health = HealthClient::new(channel.clone()).check(request).await.unwrap().into_inner();
    assert_eq!(health.status(), tonic_health::pb::health_check_response::ServingStatus::Serving);

    let message_request = Some(MessageRequest::ListServices(String::new()));
    let request = ServerReflectionRequest { host: String::new(), message_request };
    let asked = tokio_stream::once(request);
    let mut answers =
        ServerReflectionClient::new(channel).server_reflection_info(asked).await.unwrap().into_inner();
    let answer = answers.message().await.unwrap().unwrap().message_response;
    let Some(MessageResponse::ListServicesResponse(list)) = answer else { panic!("{answer:?}") };
    assert!(list.service.iter().any(|found| found.name == service), "{list:?}");
    pair.stop().await;
}
