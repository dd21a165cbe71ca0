//! What is too large or too long is refused in words, and never ends a hub or a session.

use super::pair::{At, Pair, is_refused, reference};
use super::*;

const MIB: usize = 1024 * 1024;

#[tokio::test(flavor = "multi_thread")]
async fn too_large_a_request_is_refused_in_words_and_ends_no_session() {
    let mut pair = Pair::start().await;
    let client = &mut pair.above.client;
    for home in ["", "eu"] {
        for (bytes, words) in [(5 * MIB + MIB / 2, "the manifests have"), (8 * MIB, "the request has")] {
            let refused = client.apply(workload(home, "web", bytes)).await.unwrap_err();
            is_refused(&refused, Code::ResourceExhausted, words);
        }
        client.apply(workload(home, "web", 5 * MIB - 1000)).await.unwrap();
    }
    pair.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn large_workloads_of_a_region_are_listed_page_by_page() {
    let mut pair = Pair::start().await;
    let client = &mut pair.above.client;
    let sizes = [("a", 3 * MIB - 1000), ("b", MIB / 2), ("c", MIB / 3), ("d", MIB / 2)];
    for (name, bytes) in sizes {
        client.apply(workload("eu", name, bytes)).await.unwrap();
    }
    let mut pages = Vec::new();
    let mut page_token = String::new();
    loop {
        let kind = v1::Kind::Workload.into();
        let request = v1::ListRequest { kind, full: true, page_token, ..v1::ListRequest::default() };
        let page = client.list(request).await.unwrap().into_inner();
        assert_eq!(page.unanswered, []);
        let mut names = String::new();
        for item in page.items {
            let Some(object::Spec::Workload(spec)) = item.spec else { panic!("a workload") };
            assert_eq!(spec.manifests.len(), 1);
            names.push_str(&item.metadata.unwrap().name);
        }
        pages.push(names);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    assert_eq!(pages, ["a", "bc", "d"]);
    pair.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn content_that_is_missing_fails_no_list() {
    let mut pair = Pair::start().await;
    let client = &mut pair.above.client;
    client.apply(workload("", "big", 100_000)).await.unwrap();
    client.apply(workload("", "small", 10)).await.unwrap();
    std::fs::remove_dir_all(pair.place.path().join("root/content")).unwrap();
    let kind = v1::Kind::Workload.into();
    let request = v1::ListRequest { kind, full: true, ..v1::ListRequest::default() };
    let page = client.list(request).await.unwrap().into_inner();
    let told: Vec<_> = page
        .items
        .into_iter()
        .map(|item| {
            let Some(object::Spec::Workload(spec)) = item.spec else { panic!("a workload") };
            let conditions = item.status.unwrap().conditions;
            (spec.manifests.len(), conditions.iter().any(|condition| condition.r#type == "ContentReadable"))
        })
        .collect();
    assert_eq!(told, [(0, true), (1, false)]);
    pair.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_labels_and_no_token_end_a_hub() {
    let mut pair = Pair::start().await;
    pair.cluster(At::Root, "press-3").await;
    let client = &mut pair.above.client;
    let many = |part: char, count| {
        (0..count)
            .map(|at| (format!("{part}{at:0>62}"), "x".repeat(57)))
            .collect::<std::collections::HashMap<_, _>>()
    };
    let request =
        v1::CreateTokenRequest { role: v1::Role::Agent.into(), labels: many('a', 65), ..Default::default() };
    is_refused(&client.create_token(request).await.unwrap_err(), Code::InvalidArgument, "the 65 labels take");
    let label = |part| v1::LabelRequest {
        object: reference(v1::Kind::Cluster, "press-3"),
        set: many(part, 40),
        ..Default::default()
    };
    client.label(label('a')).await.unwrap();
    is_refused(&client.label(label('b')).await.unwrap_err(), Code::InvalidArgument, "labels take");
    let request = v1::CreateTokenRequest {
        role: v1::Role::Agent.into(),
        ttl_seconds: 91 * 24 * 60 * 60,
        ..Default::default()
    };
    is_refused(&client.create_token(request).await.unwrap_err(), Code::InvalidArgument, "at most 7776000");
    pair.stop().await;
}
