//! A hub with a fixed fleet: it answers, and changes nothing. It refuses in the words of a real hub,
//! and shows what a real one fills in.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use canopy_cli::Reached;
use canopy_cli::connect::Client;
use canopy_core::command::Refusal;
use canopy_hub::admin::error::Error;
use canopy_link::AskError;
use canopy_model::{Path, taint};
use canopy_proto::admin::v1::admin_server::{Admin, AdminServer};
use canopy_proto::admin::v1::{self, Kind, Object, Role, object::Spec, status::Detail, watch_event::Type};
use canopy_proto::convert::{inbound, outbound};
use canopy_proto::selector;
use hyper_util::rt::TokioIo;
use tonic::transport::{Endpoint, Server};
use tonic::{Request, Response, Status};

/// The moment of all answers: 20 November 2026, 12:00 UTC.
pub(crate) const NOW_MS: u64 = 1_795_176_000_000;
const HOUR_MS: u64 = 3_600_000;
/// Of every object.
const VERSION: u64 = 41;
/// Two objects on a page, so that lists have several.
const PAGE: usize = 2;

/// A connection to the fake hub.
pub(crate) async fn reached(hub: Hub) -> Result<Reached, canopy_cli::error::Error> {
    Ok(Reached { client: client(hub).await, warning: None })
}

async fn client(hub: Hub) -> Client {
    let (ours, theirs) = tokio::io::duplex(64 * 1024);
    let incoming = tokio_stream::once(Ok::<_, std::io::Error>(theirs));
    tokio::spawn(Server::builder().add_service(AdminServer::new(hub)).serve_with_incoming(incoming));
    let mut ours = Some(TokioIo::new(ours));
    let connector = tower::service_fn(move |_| {
        let stream = ours.take().ok_or(std::io::ErrorKind::NotConnected);
        async move { stream.map_err(std::io::Error::from) }
    });
    let channel = Endpoint::from_static("http://hub").connect_with_connector(connector).await.unwrap();
    Client::new(channel)
}

/// Answers, and changes nothing.
#[derive(Clone, Default)]
pub(crate) struct Hub {
    /// How often each question was asked: some answers change with it.
    asked: Arc<AtomicUsize>,
}

impl Hub {
    fn count(&self) -> usize {
        self.asked.fetch_add(1, Ordering::SeqCst)
    }
}

type Answer<T> = Result<Response<T>, Status>;

#[tonic::async_trait]
impl Admin for Hub {
    async fn apply(&self, request: Request<v1::ApplyRequest>) -> Answer<v1::ApplyResponse> {
        use v1::apply_response::Outcome;
        let request = request.into_inner();
        let object = request.object.unwrap_or_default();
        inbound::check(&object).map_err(Error::from)?;
        let metadata = object.metadata.clone().unwrap_or_default();
        let known = find(object.kind(), &metadata.name).ok();
        if let Ok(expected) = request.if_resource_version.parse()
            && expected != VERSION
        {
            return Err(Error::Refused(Refusal::Conflict { expected, current: VERSION }).into());
        }
        let outcome = match known {
            None => Outcome::Created,
            Some(known) if known.spec == object.spec => Outcome::Unchanged,
            Some(_) => Outcome::Configured,
        };
        // A hub says where the object lives.
        let mut object = object;
        let metadata = object.metadata.as_mut().unwrap();
        metadata.home = "/".to_owned();
        Ok(Response::new(v1::ApplyResponse { object: Some(object), outcome: outcome.into() }))
    }

    async fn get(&self, request: Request<v1::GetRequest>) -> Answer<Object> {
        let object = request.into_inner().object.unwrap_or_default();
        match object.name.as_str() {
            // It gets ready, and is gone, while one looks.
            "patient" if self.count() < 3 => {
                Ok(Response::new(workload("patient", "default", "Failing", None)))
            }
            "patient" => Ok(Response::new(workload("patient", "default", "", None))),
            "leaving" if self.count() < 3 => {
                Ok(Response::new(workload("leaving", "default", "", Some(NOW_MS))))
            }
            "/" => Ok(Response::new(hub("/", [5, 6, 4], true))),
            name => find(object.kind(), name).map(Response::new),
        }
    }

    async fn list(&self, request: Request<v1::ListRequest>) -> Answer<v1::ListResponse> {
        let request = request.into_inner();
        let selector = selector::parse(&request.label_selector).unwrap();
        let under = request.under.parse::<Path>().unwrap();
        let mut items: Vec<_> =
            fleet().into_iter().filter(|object| object.kind() == request.kind()).collect();
        items.retain(|object| {
            let metadata = object.metadata.clone().unwrap();
            let is_node = matches!(request.kind(), Kind::Hub | Kind::Cluster);
            let path = if is_node { &metadata.name } else { &metadata.home };
            selector.matches(&metadata.labels.into_iter().collect())
                && (is_node
                    || request.kind() == Kind::Machine
                    || request.project.is_empty()
                    || request.project == metadata.project)
                && under.contains(&path.parse().unwrap())
        });
        if !request.full {
            items.iter_mut().for_each(shorten);
        }
        let at: usize = request.page_token.parse().unwrap_or(0);
        let end = (at + PAGE).min(items.len());
        let last = end == items.len();
        let missing = last && request.kind() == Kind::Cluster && request.under.is_empty();
        Ok(Response::new(v1::ListResponse {
            next_page_token: if last { String::new() } else { end.to_string() },
            items: items[at..end].to_vec(),
            unanswered: missing.then(unanswered).into_iter().collect(),
        }))
    }

    type WatchStream = tokio_stream::Iter<std::vec::IntoIter<Result<v1::WatchEvent, Status>>>;

    /// The first watch breaks off; by the second one something has changed, and it is the last.
    async fn watch(&self, request: Request<v1::WatchRequest>) -> Answer<Self::WatchStream> {
        let kind = request.into_inner().kind();
        let first = self.count() == 0;
        let present: Vec<_> = fleet().into_iter().filter(|object| object.kind() == kind).collect();
        let event = |kind: Type, object: Option<Object>| v1::WatchEvent { r#type: kind.into(), object };
        let mut events = Vec::new();
        if first {
            let changed = Object { status: None, ..present[0].clone() };
            events.extend(present.iter().map(|object| Ok(event(Type::Added, Some(object.clone())))));
            events.push(Ok(event(Type::Synced, None)));
            events.push(Ok(event(Type::Modified, Some(changed))));
            events.push(Ok(event(Type::Deleted, present.last().cloned())));
            events.push(Err(Status::unavailable("the hub is stopping")));
        } else {
            events.push(Ok(event(Type::Added, Some(present[0].clone()))));
            events.push(Ok(event(Type::Synced, None)));
            events.push(Err(Status::permission_denied("this certificate was revoked")));
        }
        Ok(Response::new(tokio_stream::iter(events)))
    }

    async fn list_events(&self, request: Request<v1::ListEventsRequest>) -> Answer<v1::ListEventsResponse> {
        let request = request.into_inner();
        let mut events = events();
        events.retain(|event| {
            let named = |object: &Option<v1::ObjectRef>| {
                let wanted = request.object.as_ref().unwrap();
                object.as_ref().is_some_and(|it| it.kind == wanted.kind && it.name == wanted.name)
            };
            (request.object.is_none() || named(&event.about) || named(&event.related))
                && event.last_ms >= request.since_ms
                && (request.r#type.is_empty() || request.r#type == event.r#type)
        });
        let excess = events.len().saturating_sub(request.limit as usize);
        events.drain(..excess);
        let all = request.object.is_none();
        Ok(Response::new(v1::ListEventsResponse {
            events,
            left_out: excess as u32,
            forgotten: if all { 9_488 } else { 0 },
            forgotten_until_ms: NOW_MS - 30 * HOUR_MS,
            unanswered: all.then(unanswered).into_iter().collect(),
        }))
    }

    type WatchEventsStream = tokio_stream::Iter<std::vec::IntoIter<Result<v1::Event, Status>>>;

    /// As the watch: it breaks off, and comes back once, with one event more.
    async fn watch_events(&self, _: Request<v1::ListEventsRequest>) -> Answer<Self::WatchEventsStream> {
        let first = self.count() == 0;
        let shown = if first { 3 } else { 4 };
        let mut told: Vec<_> = events().into_iter().take(shown).map(Ok).collect();
        told.push(Err(match first {
            true => Status::unavailable("the hub is stopping"),
            false => Status::permission_denied("this certificate was revoked"),
        }));
        Ok(Response::new(tokio_stream::iter(told)))
    }

    async fn delete(&self, request: Request<v1::DeleteRequest>) -> Answer<v1::DeleteResponse> {
        let v1::DeleteRequest { object, forget, .. } = request.into_inner();
        let object = object.unwrap_or_default();
        if object.name == "homed-above" {
            let here = "eu".parse().unwrap();
            return Err(Error::Above { home: Path::root(), here }.into());
        }
        let object = match object.name.as_str() {
            "leaving" => workload("leaving", "default", "", Some(NOW_MS)),
            name => find(object.kind(), name)?,
        };
        Ok(Response::new(v1::DeleteResponse { object: (!forget).then_some(object) }))
    }

    async fn label(&self, request: Request<v1::LabelRequest>) -> Answer<Object> {
        let request = request.into_inner();
        let object = request.object.unwrap_or_default();
        let mut object = find(object.kind(), &object.name)?;
        let labels = object.metadata.clone().unwrap().labels;
        for (key, value) in &request.set {
            let other = labels.get(key).filter(|known| *known != value);
            if let (Some(other), false) = (other, request.overwrite) {
                let (key, value) = (key.clone(), other.clone());
                return Err(Error::Refused(Refusal::LabelExists { key, value }).into());
            }
        }
        let labels = &mut object.metadata.as_mut().unwrap().labels;
        labels.retain(|key, _| !request.remove.contains(key));
        labels.extend(request.set);
        Ok(Response::new(object))
    }

    async fn taint(&self, request: Request<v1::TaintRequest>) -> Answer<Object> {
        let request = request.into_inner();
        let object = request.object.unwrap_or_default();
        let mut object = find(object.kind(), &object.name)?;
        let Some(Spec::Cluster(spec)) = &mut object.spec else {
            return Err(Error::Invalid("only clusters have taints".to_owned()).into());
        };
        let removed = request.remove.iter().map(inbound::untaint);
        let changes: Result<Vec<_>, _> = removed.chain(request.set.iter().map(inbound::taint)).collect();
        let taints: Vec<_> = spec
            .taints
            .iter()
            .map(|it| canopy_model::Taint {
                key: it.key.clone(),
                value: it.value.clone(),
                effect: canopy_model::taint::Effect::NoSelectIfNew,
                added: canopy_model::Wall(it.time_added_ms),
            })
            .collect();
        let now = canopy_model::Wall(NOW_MS);
        let changed = taint::change(&taints, &changes.map_err(Error::from)?, request.overwrite, now);
        let changed = changed.map_err(|error| Error::Refused(error.into()))?;
        spec.taints = changed.iter().map(outbound::taint).collect();
        if spec.taints.iter().any(|taint| taint.key == taint::DRAINED)
            && let Some(Detail::Cluster(cluster)) = object.status.as_mut().and_then(|it| it.detail.as_mut())
        {
            cluster.workloads.clear();
        }
        Ok(Response::new(object))
    }

    async fn create_token(
        &self,
        request: Request<v1::CreateTokenRequest>,
    ) -> Answer<v1::CreateTokenResponse> {
        let request = request.into_inner();
        let mut labels: Vec<_> =
            request.labels.into_iter().map(|(key, value)| format!("{key}={value}")).collect();
        labels.sort();
        Ok(Response::new(v1::CreateTokenResponse {
            // What was asked for is told in the token, so that the golden file shows it.
            token: format!(
                "canopy-join-{}_{}_{}_{}s",
                request.parent.replace('/', "-"),
                request.name,
                labels.join("-").replace('=', "-"),
                request.ttl_seconds
            ),
            addresses: vec!["hub.example:7443".into()],
            parent: request.parent,
            role: request.role,
            expires_ms: NOW_MS + request.ttl_seconds * 1000,
        }))
    }

    async fn tree(&self, request: Request<v1::TreeRequest>) -> Answer<v1::TreeResponse> {
        let v1::TreeRequest { path, depth } = request.into_inner();
        let top = path.parse::<Path>().unwrap();
        let mut nodes = vec![node("/", Role::Hub, true, Some([5, 6, 4]))];
        nodes.extend(fleet().into_iter().filter_map(node_of));
        nodes.retain(|node| {
            let path = node.path.parse().unwrap();
            top.contains(&path) && (depth == 0 || path.depth() <= top.depth() + depth as usize)
        });
        nodes.sort_by_key(|node| node.path.parse::<Path>().unwrap());
        let unanswered = top.is_root().then(unanswered).into_iter().collect();
        Ok(Response::new(v1::TreeResponse { nodes, unanswered }))
    }

    async fn version(&self, _: Request<v1::VersionRequest>) -> Answer<v1::VersionResponse> {
        Ok(Response::new(v1::VersionResponse {
            version: "0.1.0".into(),
            path: "/".into(),
            uid: uid(1),
            trust_domain: "canopy.example".into(),
        }))
    }

    async fn list_orphans(&self, _: Request<v1::ListOrphansRequest>) -> Answer<v1::ListOrphansResponse> {
        let orphan = v1::Orphan {
            uid: uid(0xaa),
            kind: Kind::Workload.into(),
            project: "default".into(),
            name: "old-line".into(),
            home: "eu".into(),
            clusters: 3,
            reason: "its home no longer knows it".into(),
        };
        Ok(Response::new(v1::ListOrphansResponse { orphans: vec![orphan], left_out: 0 }))
    }

    async fn drop_orphan(&self, _: Request<v1::DropOrphanRequest>) -> Answer<v1::DropOrphanResponse> {
        Ok(Response::new(v1::DropOrphanResponse {}))
    }

    async fn forget_missing(
        &self,
        _: Request<v1::ForgetMissingRequest>,
    ) -> Answer<v1::ForgetMissingResponse> {
        let forgotten = vec!["eu/plant-7/press-3".into(), "eu/plant-7/press-4".into()];
        Ok(Response::new(v1::ForgetMissingResponse { forgotten }))
    }
}

fn find(kind: Kind, name: &str) -> Result<Object, Status> {
    if name.starts_with("us/") {
        let (path, source) = ("us".parse().unwrap(), AskError::NotConnected("us".parse().unwrap()));
        return Err(Error::NotAsked { path, source }.into());
    }
    let is_it =
        |object: &Object| object.kind() == kind && object.metadata.as_ref().is_some_and(|it| it.name == name);
    let missing = || {
        let kind = inbound::kind(kind).expect("a kind");
        Error::Refused(Refusal::NotFound { kind, name: name.to_owned(), home: Path::root() })
    };
    Ok(fleet().into_iter().find(is_it).ok_or_else(missing)?)
}

fn unanswered() -> v1::Unanswered {
    v1::Unanswered { path: "us".into(), reason: AskError::NotConnected("us".parse().unwrap()).to_string() }
}

fn uid(number: u8) -> String {
    format!("00000000-0000-0000-0000-0000000000{number:02x}")
}

fn fleet() -> Vec<Object> {
    vec![
        hub("eu", [2, 4, 3], true),
        hub("eu/plant-7", [0, 3, 2], true),
        hub("eu/plant-70", [0, 1, 1], true),
        hub("us", [1, 2, 1], false),
        cluster("eu/plant-7/press-1", "cnc", true, "Healthy"),
        cluster("eu/plant-7/press-2", "press", true, "Healthy"),
        cluster("eu/plant-7/press-3", "cnc", false, "Degraded"),
        cluster("eu/plant-70/press-1", "cnc", true, "Healthy"),
        machine("eu/plant-7/press-1", "node-1", true),
        machine("eu/plant-7/press-3", "node-1", true),
        machine("eu/plant-7/press-3", "node-2", false),
        placement(),
        workload("line-reconfiguration", "default", "Failing", None),
        workload("vision", "quality", "", Some(NOW_MS - 60_000)),
        workload("vision-next", "default", "", None),
    ]
}

fn events() -> Vec<v1::Event> {
    let reference = |kind: Kind, name: &str| v1::ObjectRef {
        kind: kind.into(),
        project: "default".into(),
        name: name.into(),
        home: "/".into(),
    };
    let line = || Some(reference(Kind::Workload, "line-reconfiguration"));
    let press = || Some(reference(Kind::Cluster, "eu/plant-7/press-3"));
    let event =
        |sequence: u64, about, related: Option<v1::ObjectRef>, reason: &str, message: &str| v1::Event {
            hub: if related.is_none() { "/" } else { "eu/plant-7" }.into(),
            sequence,
            about,
            related,
            r#type: if matches!(reason, "Degraded" | "Disconnected") { "Warning" } else { "Normal" }.into(),
            reason: reason.into(),
            message: message.into(),
            count: 1,
            first_ms: NOW_MS - (10 - sequence) * HOUR_MS,
            last_ms: NOW_MS - (10 - sequence) * HOUR_MS,
            ..v1::Event::default()
        };
    let disconnected = v1::Event {
        hub: "eu/plant-7".into(),
        count: 12,
        first_ms: NOW_MS - 50 * HOUR_MS,
        ..event(5, press(), None, "Disconnected", "")
    };
    vec![
        event(1, line(), None, "Created", "by anna"),
        event(2, line(), press(), "Selected", "for placement cnc-lines"),
        event(3, line(), press(), "Degraded", "Deployment proposer: \u{1b}[31m0 of 2 ready"),
        event(4, line(), None, "Changed", "to generation 3 by ben"),
        disconnected,
    ]
}

fn metadata(name: &str, number: u8, labels: &[(&str, &str)]) -> v1::Metadata {
    v1::Metadata {
        name: name.into(),
        uid: uid(number),
        labels: labels.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect(),
        created_ms: NOW_MS - 50 * HOUR_MS,
        // What an object lives at, or, of a node, the hub that tells of it.
        home: name.rsplit_once('/').map_or("/", |(hub, _)| hub).into(),
        ..v1::Metadata::default()
    }
}

fn ready(reason: &str, message: &str) -> v1::Condition {
    let ready = reason.is_empty();
    v1::Condition {
        r#type: "Ready".into(),
        status: if ready { "True" } else { "False" }.into(),
        reason: if ready { "Ready" } else { reason }.into(),
        message: message.into(),
        last_transition_ms: NOW_MS - 4 * HOUR_MS,
        observed_generation: 3,
    }
}

fn object(metadata: v1::Metadata, spec: Spec, ready: v1::Condition, detail: Detail) -> Object {
    let status = v1::Status { observed_generation: 3, conditions: vec![ready], detail: Some(detail) };
    Object { metadata: Some(metadata), spec: Some(spec), status: Some(status) }
}

fn hub(path: &str, [hubs, clusters, connected]: [u32; 3], is_connected: bool) -> Object {
    let status = v1::HubStatus {
        connected: is_connected,
        age_ms: if is_connected { 3000 } else { 4 * HOUR_MS },
        fleet: Some(v1::Fleet { hubs, clusters, connected }),
    };
    let reason = if is_connected { "" } else { "Silent" };
    object(metadata(path, 2, &[]), Spec::Hub(v1::HubSpec {}), ready(reason, ""), Detail::Hub(status))
}

fn cluster(path: &str, line: &str, connected: bool, health: &str) -> Object {
    let row = v1::ClusterWorkload {
        project: "default".into(),
        name: "line-reconfiguration".into(),
        home: "/".into(),
        revision: format!("blake3:{}", "ab".repeat(32)),
        sync: "Synced".into(),
        health: health.into(),
        // What an agent says may try to steer the reader's terminal.
        wish: "Run".into(),
        message: if health == "Healthy" { "" } else { "Deployment proposer: \u{1b}[31m0 of 2 ready" }.into(),
        feedback: vec![v1::FeedbackValue {
            object: "Deployment line/proposer".into(),
            name: "ReadyReplicas".into(),
            value: Some(v1::feedback_value::Value::Integer(2)),
        }],
        feedback_left_out: 0,
    };
    let status = v1::ClusterStatus {
        claims: HashMap::from([("kubeversion".into(), "v1.37.2".into()), ("platform".into(), "k3s".into())]),
        connected,
        age_ms: if connected { 3000 } else { 4 * HOUR_MS + 12 * 60_000 },
        workloads: vec![row],
        inventory: Some(v1::Inventory {
            machines: 1,
            ready: 1,
            capacity: capacity(),
            allocatable: capacity(),
            ..v1::Inventory::default()
        }),
        machines: vec![machine(path, "node-1", true)],
    };
    let cordoned = v1::Taint {
        key: taint::CORDONED.into(),
        value: String::new(),
        effect: "NoSelectIfNew".into(),
        time_added_ms: NOW_MS - HOUR_MS,
    };
    let taints = if line == "press" { vec![cordoned] } else { vec![] };
    let reason = if connected { "" } else { "Silent" };
    let labels = [("line", line), ("site", "graz")];
    object(
        metadata(path, 3, &labels[..1 + usize::from(line == "press")]),
        Spec::Cluster(v1::ClusterSpec { taints }),
        ready(reason, ""),
        Detail::Cluster(status),
    )
}

fn capacity() -> HashMap<String, String> {
    let resources = [("cpu", "4"), ("memory", "16384256Ki"), ("pods", "110"), ("nvidia.com/gpu", "1")];
    resources.map(|(name, amount)| (name.to_owned(), amount.to_owned())).into()
}

fn machine(cluster: &str, name: &str, is_ready: bool) -> Object {
    let status = v1::MachineStatus {
        cluster: cluster.into(),
        capacity: capacity(),
        allocatable: capacity(),
        kubelet: "v1.37.2".into(),
        architecture: "amd64".into(),
        os_image: "Debian".into(),
        schedulable: is_ready,
        age_ms: 3000,
    };
    let metadata = v1::Metadata { home: cluster.into(), ..metadata(name, 6, &[]) };
    let ready = ready(if is_ready { "" } else { "NotReady" }, "");
    object(metadata, Spec::Machine(v1::MachineSpec {}), ready, Detail::Machine(status))
}

fn placement() -> Object {
    let selector = v1::LabelSelector {
        match_labels: HashMap::from([("line".into(), "cnc".into())]),
        match_expressions: vec![],
    };
    let spec = v1::PlacementSpec {
        predicates: vec![v1::Predicate { label_selector: Some(selector) }],
        ..v1::PlacementSpec::default()
    };
    let metadata = v1::Metadata {
        project: "default".into(),
        generation: 3,
        resource_version: VERSION.to_string(),
        created_by: "anna".into(),
        changed_by: "ben".into(),
        ..metadata("cnc-lines", 4, &[("team", "lines")])
    };
    let status = v1::PlacementStatus { selected: 3, wanted: None };
    object(metadata, Spec::Placement(spec), ready("", ""), Detail::Placement(status))
}

fn workload(name: &str, project: &str, reason: &str, deleted: Option<u64>) -> Object {
    let manifests = [
        r#"{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"proposer","namespace":"line"}}"#,
        r#"{"apiVersion":"v1","data":{"key":"aHVudGVyMg=="},"kind":"Secret","metadata":{"name":"machine-key"}}"#,
    ];
    let spec = v1::WorkloadSpec {
        placements: vec!["cnc-lines".into()],
        manifests: manifests.map(String::from).into(),
        ..Default::default()
    };
    let metadata = v1::Metadata {
        project: project.into(),
        generation: 3,
        resource_version: VERSION.to_string(),
        created_by: "anna".into(),
        changed_by: "ben".into(),
        deletion_timestamp_ms: deleted,
        ..metadata(name, 5, &[("app", name)])
    };
    let degraded = u32::from(!reason.is_empty());
    let status = v1::WorkloadStatus {
        counts: Some(v1::Counts {
            selected: 3,
            updated: 3,
            healthy: 3 - degraded,
            degraded,
            ..v1::Counts::default()
        }),
        revision: format!("blake3:{}", "ab".repeat(32)),
        example: if degraded > 0 { "eu/plant-7/press-3: 0 of 2 ready" } else { "" }.into(),
    };
    let message = if degraded > 0 { "1 of 3 clusters; eu/plant-7/press-3: 0 of 2 ready" } else { "" };
    object(metadata, Spec::Workload(spec), ready(reason, message), Detail::Workload(status))
}

/// Leaves out what lists leave out.
fn shorten(object: &mut Object) {
    if let Some(Spec::Workload(workload)) = &mut object.spec {
        workload.manifests.clear();
    }
    if let Some(Detail::Cluster(cluster)) = object.status.as_mut().and_then(|status| status.detail.as_mut()) {
        cluster.workloads.clear();
        cluster.machines.clear();
    }
}

fn node_of(object: Object) -> Option<v1::TreeNode> {
    let path = object.metadata?.name;
    match object.status?.detail? {
        Detail::Hub(hub) => {
            let fleet = hub.fleet.unwrap();
            Some(node(&path, Role::Hub, hub.connected, Some([fleet.hubs, fleet.clusters, fleet.connected])))
        }
        Detail::Cluster(cluster) => Some(node(&path, Role::Agent, cluster.connected, None)),
        Detail::Placement(_) | Detail::Workload(_) | Detail::Machine(_) => None,
    }
}

fn node(path: &str, role: Role, connected: bool, fleet: Option<[u32; 3]>) -> v1::TreeNode {
    v1::TreeNode {
        path: path.into(),
        role: role.into(),
        uid: uid(9),
        connected,
        age_ms: if connected { 3000 } else { 4 * HOUR_MS },
        fleet: fleet.map(|[hubs, clusters, connected]| v1::Fleet { hubs, clusters, connected }),
        ready: Some(ready(if connected { "" } else { "Silent" }, "")),
    }
}
