//! What happened, asked at the root for the whole tree and followed at a hub.

use super::agent::Agent;
use super::pair::{Pair, is_refused, reference};
use super::*;

/// Reasons and objects of the events that concern a workload, asked at this hub.
async fn told(client: &mut Client, name: &str) -> Vec<(String, String)> {
    let object = reference(v1::Kind::Workload, name);
    let request = v1::ListEventsRequest { object, ..Default::default() };
    let answer = client.list_events(request).await.unwrap().into_inner();
    assert!(answer.unanswered.is_empty() && answer.left_out == 0, "{answer:?}");
    answer.events.into_iter().map(|event| (event.hub, event.reason)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_happens_at_a_hub_below_is_told_at_the_root_in_its_order() {
    let mut pair = Pair::start().await;
    let token = token(&mut pair.below.client, v1::Role::Agent, "press-3").await;
    let _agent = Agent::join(&pair.place.path().join("press-3"), &token).await;
    let joined = async || {
        let object = reference(v1::Kind::Cluster, "eu/press-3");
        let request = v1::ListEventsRequest { object, ..Default::default() };
        let events = pair.above.client.list_events(request).await.unwrap().into_inner().events;
        events.into_iter().find(|event| event.reason == "Joined")
    };
    let joined = until(joined).await;
    assert_eq!((joined.hub.as_str(), joined.r#type.as_str()), ("eu", "Normal"));

    let mut news =
        pair.below.client.watch_events(v1::ListEventsRequest::default()).await.unwrap().into_inner();
    pair.above.client.apply(content::placement("press-3")).await.unwrap();
    pair.above.client.apply(workload("", "line", 10)).await.unwrap();
    let selected = async {
        loop {
            let event = news.message().await.unwrap().expect("the hub goes on");
            if event.reason == "Selected" {
                return event;
            }
        }
    };
    let selected = tokio::time::timeout(PATIENCE, selected).await.expect("it is never selected");
    assert_eq!(selected.about.unwrap().name, "line");
    assert_eq!(selected.related.unwrap().name, "eu/press-3");
    let expected = [("/", "Created"), ("eu", "Selected")].map(|(hub, it)| (hub.to_owned(), it.to_owned()));
    let both = async || {
        let told = told(&mut pair.above.client, "line").await;
        (told.len() >= 2).then_some(told)
    };
    let told_at_root = until(both).await;
    assert!(expected.iter().all(|event| told_at_root.contains(event)), "{told_at_root:?}");

    let newest = v1::ListEventsRequest { limit: 1, ..Default::default() };
    let answer = pair.above.client.list_events(newest).await.unwrap().into_inner();
    assert!(answer.events.len() == 1 && answer.left_out > 2, "{answer:?}");
    let under = |path: &str| v1::ListEventsRequest { under: path.to_owned(), ..Default::default() };
    let below = pair.above.client.list_events(under("eu")).await.unwrap().into_inner();
    assert!(!below.events.is_empty() && below.events.iter().all(|event| event.hub == "eu"), "{below:?}");
    let refused = pair.above.client.watch_events(under("eu")).await.unwrap_err();
    is_refused(&refused, Code::InvalidArgument, "ask hub eu");
    let strange = v1::ListEventsRequest { r#type: "Odd".to_owned(), ..Default::default() };
    is_refused(&pair.above.client.list_events(strange).await.unwrap_err(), Code::InvalidArgument, "Warning");

    let Pair { place: _place, mut above, below } = pair;
    below.stop().await;
    let missing = async || {
        let answer = above.client.list_events(v1::ListEventsRequest::default()).await.unwrap().into_inner();
        let named = answer.unanswered.iter().any(|missing| missing.path == "eu");
        let told =
            answer.events.iter().any(|event| event.reason == "Disconnected" && event.r#type == "Warning");
        (named && told).then_some(())
    };
    until(missing).await;
    above.stop().await;
}
