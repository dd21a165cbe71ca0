//! What happened: the newest events of this hub and of those below, and following those of this hub.
//!
//! Every hub tells its newest events that are asked for, and of what hubs below tell, the newest are
//! passed on: an answer is bounded whatever the tree's size. How many older ones were left out, and how
//! many hubs had dropped for lack of room, is told beside them.

use std::ops::Bound;
use std::time::Duration;

use canopy_core::Hub;
use canopy_model::event::{Event, Subject};
use canopy_model::{Kind, Name, Path, Role};
use canopy_node::{Handle, handle};
use canopy_proto::admin::v1::{self, ListEventsRequest, ListEventsResponse};
use canopy_proto::convert::inbound;
use futures::StreamExt;
use tokio::sync::mpsc;
use tokio::time::sleep;
use tonic::Status;

use super::api::{Api, Caller};
use super::error::Error;
use super::region::REGIONS_AT_ONCE;
use super::show;

/// The most events of an answer: with the largest of them it is half as large as it may be.
const EVENTS_MAX: usize = 500;
/// Events that may wait for whoever follows them: later ones are told when there is room.
const WAITING_MAX: usize = 64;
/// Events that come within this are told together.
const PAUSE: Duration = Duration::from_millis(200);

/// What is asked for.
#[derive(Clone)]
struct Wanted {
    object: Option<v1::ObjectRef>,
    since_ms: u64,
    warning: Option<bool>,
    limit: usize,
}

impl Api {
    pub(super) async fn list_events(
        &self,
        caller: &Caller,
        request: ListEventsRequest,
    ) -> Result<ListEventsResponse, Error> {
        let under = self.place("under", &request.under)?;
        let here = self.peer.path.clone();
        if !here.contains(&under) && !under.contains(&here) {
            return Err(Error::Above { home: under, here });
        }
        let wanted = Wanted::read(&request)?;
        let node = wanted.node()?;
        let own = under.contains(&here);
        let (mut answer, children) = {
            let wanted = wanted.clone();
            let asked = move |hub: &Hub| {
                let answer = if own { wanted.told(hub) } else { ListEventsResponse::default() };
                (answer, children(hub, &under, node.as_ref()))
            };
            self.hub.read(asked).await?
        };
        let limit = u32::try_from(wanted.limit).unwrap_or(u32::MAX);
        let parts = futures::stream::iter(children).map(|(child, under)| {
            let call = ListEventsRequest { under: under.to_string(), limit, ..request.clone() };
            async move { self.events_region(caller, &child, call).await }
        });
        let mut parts = std::pin::pin!(parts.buffer_unordered(REGIONS_AT_ONCE));
        while let Some(part) = parts.next().await {
            answer.events.extend(part.events);
            answer.left_out = answer.left_out.saturating_add(part.left_out);
            answer.forgotten = answer.forgotten.saturating_add(part.forgotten);
            answer.forgotten_until_ms = answer.forgotten_until_ms.max(part.forgotten_until_ms);
            answer.unanswered.extend(part.unanswered);
            newest(&mut answer, wanted.limit);
        }
        answer.unanswered.sort_by(|a, b| a.path.cmp(&b.path));
        for event in &mut answer.events {
            self.name_itself(event);
        }
        Ok(answer)
    }

    /// Begins to follow what happens at this hub.
    pub(super) fn watch_events(
        &self,
        request: &ListEventsRequest,
    ) -> Result<mpsc::Receiver<Result<v1::Event, Status>>, Error> {
        let under = self.place("under", &request.under)?;
        if under != self.peer.path {
            return Err(Error::Invalid(format!(
                "only what happens at the hub that is asked can be followed: ask hub {under}"
            )));
        }
        let wanted = Wanted::read(request)?;
        let (events, receiver) = mpsc::channel(WAITING_MAX);
        let api = self.clone();
        tokio::spawn(async move {
            if let Err(error) = api.follow(wanted, &events).await {
                // The client may have gone away.
                let _ = events.send(Err(Error::Node(error).into())).await;
            }
        });
        Ok(receiver)
    }

    /// Tells what happened and then what happens; what happened again is told again.
    async fn follow(
        &self,
        wanted: Wanted,
        events: &mpsc::Sender<Result<v1::Event, Status>>,
    ) -> Result<(), handle::Error> {
        let hub: &Handle<Hub> = &self.hub;
        let mut changes = hub.changes();
        let mut told = 0;
        loop {
            changes.mark_unchanged();
            let wanted = wanted.clone();
            let (news, last) = hub.read(move |hub| wanted.news(hub, told)).await?;
            told = last;
            for mut event in news {
                self.name_itself(&mut event);
                if events.send(Ok(event)).await.is_err() {
                    return Ok(());
                }
            }
            sleep(PAUSE).await;
            tokio::select! {
                changed = changes.changed() => if changed.is_err() {
                    return Err(handle::Error::Stopping);
                },
                () = events.closed() => return Ok(()),
            }
        }
    }

    /// The machine does not know its own uid.
    fn name_itself(&self, event: &mut v1::Event) {
        if event.hub == self.peer.path.to_string() && event.about_uid.is_empty() {
            event.about_uid = self.peer.uid.to_string();
        }
    }
}

impl Wanted {
    fn read(request: &ListEventsRequest) -> Result<Self, Error> {
        if let Some(object) = &request.object {
            inbound::kind(object.kind())?;
        }
        Ok(Self {
            object: request.object.clone(),
            since_ms: request.since_ms,
            warning: match request.r#type.as_str() {
                "" => None,
                "Normal" => Some(false),
                "Warning" => Some(true),
                other => {
                    return Err(Error::Invalid(format!("type is {other:?}, expected Normal or Warning")));
                }
            },
            limit: match request.limit as usize {
                0 => EVENTS_MAX,
                asked => asked.min(EVENTS_MAX),
            },
        })
    }

    /// The hub or cluster that is asked about.
    fn node(&self) -> Result<Option<Path>, Error> {
        let node =
            self.object.as_ref().filter(|object| matches!(object.kind(), v1::Kind::Hub | v1::Kind::Cluster));
        Ok(node.map(|object| inbound::path("object.name", &object.name)).transpose()?)
    }

    fn matches(&self, event: &Event) -> bool {
        event.last.0 >= self.since_ms
            && self.warning.is_none_or(|warning| warning == event.warning)
            && self.object.as_ref().is_none_or(|object| {
                is_meant(object, &event.about)
                    || event.related.as_ref().is_some_and(|related| is_meant(object, related))
            })
    }

    /// The newest that this hub has.
    fn told(&self, hub: &Hub) -> ListEventsResponse {
        let forgotten = hub.forgotten_events();
        let (forgotten, forgotten_until_ms) = match forgotten.until.0 >= self.since_ms {
            true => (forgotten.count, forgotten.until.0),
            false => (0, 0),
        };
        let mut matching = hub.events().iter().rev().filter(|(_, event)| self.matches(event));
        let mut events: Vec<_> =
            matching.by_ref().take(self.limit).map(|(at, event)| shown(hub, *at, event)).collect();
        events.reverse();
        let left_out = u32::try_from(matching.count()).unwrap_or(u32::MAX);
        ListEventsResponse { events, left_out, forgotten, forgotten_until_ms, unanswered: Vec::new() }
    }

    /// The newest after this one, and up to where they go. A hub that lost its memory begins anew.
    fn news(&self, hub: &Hub, told: u64) -> (Vec<v1::Event>, u64) {
        let last = hub.events().last_key_value().map_or(0, |(last, _)| *last);
        let after = if last < told { 0 } else { told };
        let new = hub.events().range((Bound::Excluded(after), Bound::Unbounded)).rev();
        let matching = new.filter(|(_, event)| self.matches(event)).take(self.limit);
        let mut events: Vec<_> = matching.map(|(at, event)| shown(hub, *at, event)).collect();
        events.reverse();
        (events, last)
    }
}

/// The hubs below that may have something, and below where they are asked to look.
fn children(hub: &Hub, under: &Path, node: Option<&Path>) -> Vec<(Name, Path)> {
    let hubs = hub
        .children()
        .iter()
        .filter(|(_, child)| child.record.as_ref().is_some_and(|record| record.role == Role::Hub));
    let below = hubs.filter_map(|(name, _)| {
        let path = hub.path().child(name);
        // What happens to a node, the hub above it and the node itself tell.
        let concerned = node.is_none_or(|node| path.contains(node));
        let meets = path.contains(under) || under.contains(&path);
        (concerned && meets).then(|| (name.clone(), if under.contains(&path) { path } else { under.clone() }))
    });
    below.collect()
}

fn is_meant(object: &v1::ObjectRef, subject: &Subject) -> bool {
    let kind = show::kind(subject.kind) == object.kind() && subject.name == object.name;
    let project = subject.project.as_ref().map_or("", Name::as_str);
    let wanted =
        if object.project.is_empty() { canopy_proto::convert::DEFAULT_PROJECT } else { &object.project };
    let homed = matches!(subject.kind, Kind::Placement | Kind::Workload);
    kind && (!homed
        || project == wanted && (object.home.is_empty() || object.home == subject.home.to_string()))
}

/// Keeps the newest, in order.
fn newest(answer: &mut ListEventsResponse, limit: usize) {
    answer.events.sort_by(|a, b| (a.last_ms, &a.hub, a.sequence).cmp(&(b.last_ms, &b.hub, b.sequence)));
    let excess = answer.events.len().saturating_sub(limit);
    answer.events.drain(..excess);
    answer.left_out = answer.left_out.saturating_add(u32::try_from(excess).unwrap_or(u32::MAX));
}

fn shown(hub: &Hub, sequence: u64, event: &Event) -> v1::Event {
    let reference = |subject: &Subject| v1::ObjectRef {
        kind: show::kind(subject.kind).into(),
        project: subject.project.as_ref().map(ToString::to_string).unwrap_or_default(),
        name: subject.name.clone(),
        home: subject.home.to_string(),
    };
    let uid = |subject: &Subject| if subject.uid.0 == 0 { String::new() } else { subject.uid.to_string() };
    v1::Event {
        hub: hub.path().to_string(),
        sequence,
        about: Some(reference(&event.about)),
        about_uid: uid(&event.about),
        related: event.related.as_ref().map(reference),
        related_uid: event.related.as_ref().map(uid).unwrap_or_default(),
        r#type: if event.warning { "Warning" } else { "Normal" }.to_owned(),
        reason: event.reason.name().to_owned(),
        message: event.message.clone(),
        count: event.count,
        first_ms: event.first.0,
        last_ms: event.last.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_what_many_hubs_tell_the_newest_are_passed_on() {
        let event = |hub: &str, last_ms| v1::Event { hub: hub.to_owned(), last_ms, ..Default::default() };
        let events = vec![event("us", 3), event("eu", 1), event("eu", 3), event("eu", 2)];
        let mut answer = ListEventsResponse { events, left_out: 4, ..Default::default() };
        newest(&mut answer, 3);
        let told: Vec<_> = answer.events.iter().map(|event| (event.hub.as_str(), event.last_ms)).collect();
        assert_eq!((told, answer.left_out), (vec![("eu", 2), ("eu", 3), ("us", 3)], 5));
    }
}
