//! Who gets which content.

use canopy_content::{Blobs, FetchError};
use canopy_identity::Folder;
use canopy_model::Digest;
use canopy_node::clock;

use super::agent::{Agent, dialer, fetch_by};
use super::*;

pub(crate) fn placement(zone: &str) -> v1::ApplyRequest {
    let match_labels = [("zone".to_owned(), zone.to_owned())].into();
    let selector = v1::LabelSelector { match_labels, match_expressions: Vec::new() };
    let predicates = vec![v1::Predicate { label_selector: Some(selector) }];
    let spec = object::Spec::Placement(v1::PlacementSpec { predicates, ..Default::default() });
    let metadata = v1::Metadata { name: "all".to_owned(), ..v1::Metadata::default() };
    let object = v1::Object { metadata: Some(metadata), spec: Some(spec), status: None };
    v1::ApplyRequest { object: Some(object), ..Default::default() }
}

/// Applies a workload whose content is too large for a row; returns the content's digest.
async fn apply_large(client: &mut Client, bytes: usize) -> Digest {
    client.apply(workload("", "big", bytes)).await.unwrap();
    let big = client.get(get(v1::Kind::Workload, "big", "")).await.unwrap().into_inner();
    let Some(status::Detail::Workload(detail)) = big.status.unwrap().detail else { panic!("a workload") };
    detail.revision.parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_child_gets_the_content_that_its_own_rows_name_and_no_other() {
    let place = tempfile::tempdir().unwrap();
    let [root, plant, fresh] = ["root", "plant", "fresh"].map(|name| place.path().join(name));
    let [root_context, plant_context] = ["root.yaml", "plant.yaml"].map(|name| place.path().join(name));
    init::init(&init_args(&root, &root_context)).unwrap();
    let mut above = Running::start(&root, &root_context).await;
    let token_eu = token(&mut above.client, v1::Role::Hub, "eu").await;
    join::join(&join_args(&plant, &token_eu)).await.unwrap();
    init::admin(&admin_args(&plant, &plant_context)).unwrap();
    let mut below = Running::start(&plant, &plant_context).await;
    let agent = async |hub: &mut Running, name: &str| {
        let token = token(&mut hub.client, v1::Role::Agent, name).await;
        Agent::join(&place.path().join(name), &token).await
    };
    let [press_3, press_4] = [agent(&mut below, "press-3").await, agent(&mut below, "press-4").await];
    let press_5 = agent(&mut above, "press-5").await;

    above.client.apply(placement("press-3")).await.unwrap();
    let first = apply_large(&mut above.client, 100_000).await;
    until(async || press_3.fetch(first).await.ok()).await;

    // Siblings of it, at the same hub and at one that has the content for certain, are told what
    // they would be told of content that does not exist.
    for sibling in [&press_4, &press_5] {
        let refused = sibling.fetch(first).await.unwrap_err();
        assert!(matches!(refused, FetchError::Missing(digest) if digest == first), "{refused}");
    }

    // The hub below gets what its subtree may need, also for an empty folder.
    let eu = Folder::open(plant.join("identity")).unwrap().load(clock::wall().0 / 1000).unwrap();
    let eu = dialer(&eu);
    let fresh = Blobs::open(&fresh).unwrap();
    fetch_by(&eu, first, &fresh).await.unwrap();

    // What no row names any more is nobody's, although every hub still has it.
    let second = apply_large(&mut above.client, 100_001).await;
    until(async || press_3.fetch(second).await.ok()).await;
    assert!(matches!(fetch_by(&eu, first, &fresh).await, Err(FetchError::Missing(_))));
    assert!(matches!(press_3.fetch(first).await, Err(FetchError::Missing(_))));

    above.stop().await;
    below.stop().await;
}
