//! Hubs below are asked for their part of an answer, with a bound; and a hub speaks for its own
//! subtree only, so each part is checked before it is shown.

use std::time::{Duration, Instant};

use canopy_identity::key;
use canopy_model::{Name, Path};
use canopy_proto::admin::v1::relay::Call;
use canopy_proto::admin::v1::relay_answer::Result as Answer;
use canopy_proto::admin::v1::{
    ListEventsRequest, ListEventsResponse, ListRequest, ListResponse, Role, TreeRequest, TreeResponse,
    Unanswered,
};
use canopy_proto::convert::one_line;
use prost::Message;

use super::api::{Api, Caller};
use super::error::Error;
use super::list::Position;

/// How long one hub below may take for its part: a region that is silent leaves time for the others.
const REGION_WAIT_MAX: Duration = Duration::from_secs(10);
/// What a hub below may say about hubs that gave it no answer, in bytes: some hundred of them.
const UNANSWERED_BYTES_MAX: usize = 64 * 1024;
/// The most bytes of an event: its message, two names as long as paths may be with their homes, and room.
const EVENT_BYTES_MAX: usize = 4096;
/// How many hubs below are asked at once: silent ones are waited for together, and their answers of
/// up to 8 MiB each stay few.
pub(super) const REGIONS_AT_ONCE: usize = 4;

impl Api {
    /// The part of a list that stands below one hub; if it does not answer, that.
    pub(super) async fn list_region(&self, caller: &Caller, child: &Name, call: ListRequest) -> ListResponse {
        let path = self.peer.path.child(child);
        let answer = self.ask_region(caller, child, Call::List(call.clone())).await;
        let part = answer.and_then(|answer| {
            match answer {
                Answer::List(part) => check_list(&path, &call, part),
                _ => Err("another question"),
            }
            .map_err(|what| Error::Strange { path: path.clone(), what })
        });
        part.unwrap_or_else(|error| ListResponse {
            unanswered: vec![unanswered(&path, &error)],
            ..ListResponse::default()
        })
    }

    /// What happened at one hub and below; if it does not answer, that.
    pub(super) async fn events_region(
        &self,
        caller: &Caller,
        child: &Name,
        call: ListEventsRequest,
    ) -> ListEventsResponse {
        let path = self.peer.path.child(child);
        let answer = self.ask_region(caller, child, Call::ListEvents(call.clone())).await;
        let part = answer.and_then(|answer| {
            match answer {
                Answer::Events(part) => check_events(&path, &call, part),
                _ => Err("another question"),
            }
            .map_err(|what| Error::Strange { path: path.clone(), what })
        });
        part.unwrap_or_else(|error| ListEventsResponse {
            unanswered: vec![unanswered(&path, &error)],
            ..ListEventsResponse::default()
        })
    }

    /// The part of the tree that stands below one hub.
    pub(super) async fn tree_region(
        &self,
        caller: &Caller,
        child: &Name,
        call: TreeRequest,
    ) -> Result<TreeResponse, Unanswered> {
        let path = self.peer.path.child(child);
        let answer = self.ask_region(caller, child, Call::Tree(call)).await;
        let part = answer.and_then(|answer| {
            match answer {
                Answer::Tree(part) => check_tree(&path, part),
                _ => Err("another question"),
            }
            .map_err(|what| Error::Strange { path: path.clone(), what })
        });
        part.map_err(|error| unanswered(&path, &error))
    }

    async fn ask_region(&self, caller: &Caller, child: &Name, call: Call) -> Result<Answer, Error> {
        let until = caller.until.min(Instant::now() + REGION_WAIT_MAX);
        let caller = Caller { id: key::random_uid(), until, ..caller.clone() };
        self.relay(&caller, child, call).await
    }
}

/// An answer that came from the hub at `path`, if it speaks of what stands below that.
pub(super) fn check(path: &Path, answer: Answer) -> Result<Answer, Error> {
    match answer {
        Answer::Tree(part) => check_tree(path, part)
            .map(Answer::Tree)
            .map_err(|what| Error::Strange { path: path.clone(), what }),
        other => Ok(other),
    }
}

fn unanswered(path: &Path, error: &Error) -> Unanswered {
    let reason = match error {
        // A question changes nothing, whatever became of it.
        Error::NotAsked { source, .. } | Error::Unanswered { source, .. } => one_line(source),
        error => one_line(error),
    };
    Unanswered { path: path.to_string(), reason }
}

/// The part, if it is one of the subtree at `path` and answers the call.
fn check_list(path: &Path, call: &ListRequest, part: ListResponse) -> Result<ListResponse, &'static str> {
    if part.items.len() > call.page_size as usize {
        return Err("more than it was asked for");
    }
    if part.items.iter().any(|item| item.kind() != call.kind()) {
        return Err("with objects of another kind");
    }
    let inside = |token: &str| {
        let position = Position::parse(token).ok().flatten();
        position.filter(|position| path.contains(&position.path)).ok_or("for what does not stand below it")
    };
    let mut last = Position::parse(&call.page_token).ok().flatten();
    for item in &part.items {
        let position = inside(&Position::token_of(item))?;
        if last.as_ref().is_some_and(|last| position <= *last) {
            return Err("out of order");
        }
        last = Some(position);
    }
    if !part.next_page_token.is_empty() {
        let next = inside(&part.next_page_token)?;
        let ahead = match part.items.is_empty() {
            true => last.is_none_or(|last| next > last),
            false => last.is_none_or(|last| next >= last),
        };
        if !ahead {
            return Err("with a page that leads back");
        }
    }
    check_unanswered(path, &part.unanswered)?;
    Ok(part)
}

fn check_tree(path: &Path, part: TreeResponse) -> Result<TreeResponse, &'static str> {
    let below = |text: &str| text.parse::<Path>().is_ok_and(|node| path.contains(&node));
    let first = part.nodes.first().ok_or("without itself")?;
    if first.path != path.to_string() || first.role() != Role::Hub {
        return Err("without itself");
    }
    if !part.nodes.iter().all(|node| below(&node.path)) {
        return Err("for what does not stand below it");
    }
    check_unanswered(path, &part.unanswered)?;
    Ok(part)
}

fn check_events(
    path: &Path,
    call: &ListEventsRequest,
    part: ListEventsResponse,
) -> Result<ListEventsResponse, &'static str> {
    if part.events.len() > call.limit as usize {
        return Err("more than it was asked for");
    }
    let below = |text: &str| text.parse::<Path>().is_ok_and(|hub| path.contains(&hub));
    if !part.events.iter().all(|event| below(&event.hub)) {
        return Err("for what does not stand below it");
    }
    if part.events.iter().any(|event| event.encoded_len() > EVENT_BYTES_MAX) {
        return Err("with an event that is larger than any");
    }
    check_unanswered(path, &part.unanswered)?;
    Ok(part)
}

fn check_unanswered(path: &Path, unanswered: &[Unanswered]) -> Result<(), &'static str> {
    let below = |text: &str| text.parse::<Path>().is_ok_and(|node| path.contains(&node));
    if !unanswered.iter().all(|missing| below(&missing.path)) {
        return Err("for what does not stand below it");
    }
    match unanswered.iter().map(Message::encoded_len).sum::<usize>() <= UNANSWERED_BYTES_MAX {
        true => Ok(()),
        false => Err("with more excuses than there is room for"),
    }
}

#[cfg(test)]
mod tests {
    use canopy_proto::admin::v1::{self, object};

    use super::*;

    fn cluster(path: &str) -> v1::Object {
        let metadata = v1::Metadata { name: path.to_owned(), ..v1::Metadata::default() };
        let spec = Some(object::Spec::Cluster(v1::ClusterSpec::default()));
        v1::Object { metadata: Some(metadata), spec, status: None }
    }

    fn workload(home: &str, name: &str) -> v1::Object {
        let metadata = v1::Metadata {
            name: name.to_owned(),
            home: home.to_owned(),
            project: "default".to_owned(),
            ..v1::Metadata::default()
        };
        let spec = Some(object::Spec::Workload(v1::WorkloadSpec::default()));
        v1::Object { metadata: Some(metadata), spec, status: None }
    }

    fn told(kind: v1::Kind, after: &str, items: Vec<v1::Object>, next: &str) -> Result<(), &'static str> {
        let page_token = after.to_owned();
        let call = ListRequest { kind: kind.into(), page_size: 2, page_token, ..ListRequest::default() };
        let part = ListResponse { items, next_page_token: next.to_owned(), unanswered: Vec::new() };
        check_list(&"eu".parse().unwrap(), &call, part).map(drop)
    }

    #[test]
    fn a_hub_below_answers_for_its_own_subtree_only() {
        let clusters = |paths: &[&str]| paths.iter().map(|path| cluster(path)).collect::<Vec<_>>();
        let list = |after, paths: &[&str], next| told(v1::Kind::Cluster, after, clusters(paths), next);
        assert_eq!(list("", &["eu/a", "eu/b/c"], "eu/b/c"), Ok(()));
        assert_eq!(list("eu/a", &[], "eu/b"), Ok(()));
        for (after, paths, next) in [
            ("", &["us/a"][..], ""),
            ("", &["eu-2/a"], ""),
            ("", &["eu/a"], "us"),
            ("", &["eu/b", "eu/a"], ""),
            ("", &["eu/a", "eu/a"], ""),
            ("eu/b", &["eu/a"], ""),
            ("eu/b", &[], "eu/b"),
            ("", &["eu/a", "eu/b", "eu/c"], ""),
            ("", &["EU"], ""),
        ] {
            assert!(list(after, paths, next).is_err(), "{after:?} {paths:?} {next:?}");
        }
        let objects = |items| told(v1::Kind::Workload, "", items, "");
        assert_eq!(objects(vec![workload("eu", "web"), workload("eu/a", "web")]), Ok(()));
        assert!(objects(vec![workload("/", "web")]).is_err());
        assert!(objects(vec![cluster("eu/a")]).is_err());
    }

    #[test]
    fn a_tree_begins_with_the_hub_that_was_asked() {
        let node = |path: &str| v1::TreeNode {
            path: path.to_owned(),
            role: Role::Hub.into(),
            ..v1::TreeNode::default()
        };
        let told = |paths: &[&str], missing: &[&str]| {
            let nodes = paths.iter().map(|path| node(path)).collect();
            let missing =
                missing.iter().map(|path| Unanswered { path: (*path).to_owned(), reason: String::new() });
            check_tree(&"eu".parse().unwrap(), TreeResponse { nodes, unanswered: missing.collect() }).is_ok()
        };
        assert!(told(&["eu", "eu/a"], &["eu/b"]));
        for (paths, missing) in
            [(&[][..], &[][..]), (&["eu/a"], &[]), (&["eu", "us"], &[]), (&["eu"], &["us"])]
        {
            assert!(!told(paths, missing), "{paths:?} {missing:?}");
        }
    }
}
