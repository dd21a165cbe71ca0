//! Watches: what is homed here as it is, and then each change.
//!
//! A watch compares what it showed last with what is there now; it may skip states in between and
//! never misses the last one. Ages alone are no change.

use std::collections::BTreeMap;
use std::time::Duration;

use canopy_core::Hub;
use canopy_core::hub::read::{SILENT, STALE};
use canopy_model::{Kind, Name};
use canopy_node::{Handle, clock, handle};
use canopy_proto::admin::v1::watch_event::Type;
use canopy_proto::admin::v1::{self, WatchEvent, status};
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};
use tonic::Status;

use super::show;

/// Events that may wait for the client; a slow one is shown fewer states in between.
const EVENTS_MAX: usize = 64;
/// Changes that come within this are shown together, so that a busy hub is not slowed by watchers.
const PAUSE: Duration = Duration::from_millis(200);
/// How often what only time changes, such as a cluster that falls silent, is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(5);

type Shown = BTreeMap<(String, String), v1::Object>;
type Events = mpsc::Sender<Result<WatchEvent, Status>>;

/// Begins to watch one kind.
pub(super) fn watch(
    hub: Handle<Hub>,
    kind: Kind,
    project: Option<Name>,
) -> mpsc::Receiver<Result<WatchEvent, Status>> {
    let (events, receiver) = mpsc::channel(EVENTS_MAX);
    tokio::spawn(async move {
        if let Err(error) = follow(hub, kind, project, &events).await {
            // The client may have gone away.
            let _ = events.send(Err(super::error::Error::Node(error).into())).await;
        }
    });
    receiver
}

async fn follow(
    hub: Handle<Hub>,
    kind: Kind,
    project: Option<Name>,
    events: &Events,
) -> Result<(), handle::Error> {
    let mut changes = hub.changes();
    let mut shown = Shown::new();
    let mut synced = false;
    loop {
        changes.mark_unchanged();
        let project = project.clone();
        let present = hub.read(move |hub| present(hub, kind, project.as_ref())).await?;
        for event in differences(&shown, &present) {
            if events.send(Ok(event)).await.is_err() {
                return Ok(());
            }
        }
        shown = present;
        if !std::mem::replace(&mut synced, true) {
            let all_told = WatchEvent { r#type: Type::Synced.into(), object: None };
            if events.send(Ok(all_told)).await.is_err() {
                return Ok(());
            }
        }
        sleep(PAUSE).await;
        tokio::select! {
            changed = timeout(LOOK_EVERY, changes.changed()) => if let Ok(Err(_)) = changed {
                    return Err(handle::Error::Stopping);
                },
            () = events.closed() => return Ok(()),
        }
    }
}

fn present(hub: &Hub, kind: Kind, project: Option<&Name>) -> Shown {
    let objects: Vec<v1::Object> = match kind {
        Kind::Placement | Kind::Workload => {
            let homed = hub.homed(kind).into_iter();
            let homed = homed.filter(|object| project.is_none_or(|p| object.metadata.name.project == *p));
            homed.map(|object| show::object(hub, object)).collect()
        }
        Kind::Hub | Kind::Cluster => {
            let now = clock::now();
            let nodes = hub.children().keys().filter_map(|name| show::node(hub, now, name, false));
            nodes.filter(|node| node.kind() == show::kind(kind)).collect()
        }
        Kind::Machine => {
            let now = clock::now();
            hub.children().keys().flat_map(|name| show::machines(hub, now, name)).collect()
        }
    };
    let key = |object: &v1::Object| {
        let metadata = object.metadata.clone().unwrap_or_default();
        match object.kind() {
            // Each cluster has its own names.
            v1::Kind::Machine => (metadata.home, metadata.name),
            _ => (metadata.project, metadata.name),
        }
    };
    objects.into_iter().map(|object| (key(&object), object)).collect()
}

fn differences(shown: &Shown, present: &Shown) -> Vec<WatchEvent> {
    let event =
        |kind: Type, object: &v1::Object| WatchEvent { r#type: kind.into(), object: Some(object.clone()) };
    let changed = present.iter().filter_map(|(key, object)| match shown.get(key) {
        None => Some(event(Type::Added, object)),
        Some(old) if ageless(old) != ageless(object) => Some(event(Type::Modified, object)),
        Some(_) => None,
    });
    let gone = shown.iter().filter(|(key, _)| !present.contains_key(*key));
    changed.chain(gone.map(|(_, object)| event(Type::Deleted, object))).collect()
}

/// The object without what only grows older: ages, the messages that tell one, and times that are
/// reckoned back from now.
fn ageless(object: &v1::Object) -> v1::Object {
    let mut object = object.clone();
    let Some(status) = &mut object.status else { return object };
    match &mut status.detail {
        Some(status::Detail::Cluster(cluster)) => cluster.age_ms = 0,
        Some(status::Detail::Hub(hub)) => hub.age_ms = 0,
        Some(status::Detail::Machine(machine)) => machine.age_ms = 0,
        Some(status::Detail::Placement(_) | status::Detail::Workload(_)) | None => {}
    }
    for condition in &mut status.conditions {
        condition.last_transition_ms = 0;
        if [SILENT, STALE].contains(&condition.reason.as_str()) {
            condition.message.clear();
        }
    }
    object
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cluster(uid: &str, age_ms: u64) -> v1::Object {
        let detail = status::Detail::Cluster(v1::ClusterStatus { age_ms, ..Default::default() });
        v1::Object {
            metadata: Some(v1::Metadata { uid: uid.to_owned(), ..Default::default() }),
            spec: None,
            status: Some(v1::Status { detail: Some(detail), ..Default::default() }),
        }
    }

    fn shown(objects: &[(&str, v1::Object)]) -> Shown {
        objects.iter().map(|(name, object)| ((String::new(), (*name).to_owned()), object.clone())).collect()
    }

    #[test]
    fn a_watch_tells_what_differs_and_not_what_only_grew_older() {
        let before = shown(&[("a", cluster("1", 5)), ("b", cluster("2", 5)), ("c", cluster("3", 5))]);
        let after = shown(&[("a", cluster("1", 9)), ("b", cluster("4", 5)), ("d", cluster("5", 0))]);
        let told: Vec<_> = differences(&before, &after)
            .into_iter()
            .map(|event| (event.r#type(), event.object.unwrap().metadata.unwrap().uid))
            .collect();
        let expected = [(Type::Modified, "4"), (Type::Added, "5"), (Type::Deleted, "3")];
        assert_eq!(told, expected.map(|(kind, uid)| (kind, uid.to_owned())));
    }

    #[test]
    fn a_workload_of_which_the_news_grow_older_has_not_changed() {
        let workload = |reason: &str, message: &str| {
            let condition = v1::Condition {
                r#type: "Ready".to_owned(),
                reason: reason.to_owned(),
                message: message.to_owned(),
                last_transition_ms: message.len() as u64,
                ..Default::default()
            };
            let detail = Some(status::Detail::Workload(v1::WorkloadStatus::default()));
            let status = v1::Status { conditions: vec![condition], detail, ..Default::default() };
            v1::Object { metadata: None, spec: None, status: Some(status) }
        };
        let told = |before, after| differences(&shown(&[("a", before)]), &shown(&[("a", after)])).len();
        assert_eq!(told(workload(STALE, "for 95 s"), workload(STALE, "for 100 s")), 0);
        assert_eq!(told(workload("Ready", "3 of 3"), workload(STALE, "for 30 s")), 1);
        assert_eq!(told(workload("Progressing", "1 of 3"), workload("Progressing", "2 of 3")), 1);
    }
}
