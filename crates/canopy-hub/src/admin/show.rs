//! Objects, clusters and hubs as the admin API shows them. Runs between two commits.

use std::time::Duration;

use canopy_core::Hub;
use canopy_core::hub::read::NodeView;
use canopy_model::{Condition, Kind, Name, Now, Object, Role, Spec, Uid, Wall};
use canopy_node::clock;
use canopy_proto::admin::v1::{self, object, status};
use canopy_proto::convert::outbound;

/// An object that applies here, without its manifests; how it is doing below this hub.
pub(super) fn object(hub: &Hub, object: &Object) -> v1::Object {
    let uid = object.metadata.uid;
    let (conditions, detail) = match &object.spec {
        Spec::Placement(_) => {
            let view = hub.placement_view(uid).expect("a placement that applies here");
            let status = v1::PlacementStatus { selected: view.selected, wanted: view.wanted };
            (view.conditions, status::Detail::Placement(status))
        }
        Spec::Workload(workload) => {
            let view = hub.workload_view(clock::now(), uid).expect("a workload that applies here");
            let status = v1::WorkloadStatus {
                counts: Some(outbound::counts(&view.summary.counts)),
                revision: workload.revision.digest.to_string(),
                example: view.summary.example,
            };
            (view.conditions, status::Detail::Workload(status))
        }
    };
    let generation = object.metadata.generation;
    v1::Object { status: Some(observed(&conditions, generation, detail)), ..outbound::object(object) }
}

/// The object of this uid that applies here.
pub(super) fn by_uid(hub: &Hub, uid: Uid) -> Option<v1::Object> {
    hub.object(uid).map(|found| object(hub, found))
}

/// A hub or cluster directly below. `full` also tells what runs on a cluster.
pub(super) fn node(hub: &Hub, now: Now, name: &Name, full: bool) -> Option<v1::Object> {
    let view = hub.node(now, name)?;
    let (spec, detail) = match view.record.role {
        Role::Agent => {
            let workloads = if full { hub.works(name) } else { Vec::new() };
            let status = v1::ClusterStatus {
                claims: hub.claims(name).into_iter().collect(),
                connected: view.connected,
                age_ms: milliseconds(view.age),
                workloads: workloads
                    .into_iter()
                    .map(|(wish, work)| outbound::work(work, wish.name()))
                    .collect(),
                inventory: hub.inventory(name).map(outbound::inventory),
                machines: if full { machines(hub, now, name) } else { Vec::new() },
            };
            let taints = view.record.taints.iter().map(outbound::taint).collect();
            (object::Spec::Cluster(v1::ClusterSpec { taints }), status::Detail::Cluster(status))
        }
        Role::Hub => {
            let status = v1::HubStatus {
                connected: view.connected,
                age_ms: milliseconds(view.age),
                fleet: Some(outbound::fleet(&view.fleet)),
            };
            (object::Spec::Hub(v1::HubSpec {}), status::Detail::Hub(status))
        }
    };
    let metadata = v1::Metadata {
        name: view.path.to_string(),
        uid: view.record.uid.to_string(),
        home: hub.path().to_string(),
        resource_version: outbound::resource_version(view.record.version),
        labels: view.record.labels.clone().into_iter().collect(),
        created_by: view.record.created_by.clone(),
        created_ms: view.record.created.0,
        ..v1::Metadata::default()
    };
    let status = observed(&view.conditions, 0, detail);
    Some(v1::Object { metadata: Some(metadata), spec: Some(spec), status: Some(status) })
}

/// The machines of a cluster directly below, in the order of their names.
pub(super) fn machines(hub: &Hub, now: Now, name: &Name) -> Vec<v1::Object> {
    let Some(view) = hub.node(now, name) else { return Vec::new() };
    let age_ms = milliseconds(view.age);
    let machines = hub.machines(name).into_iter();
    machines.map(|(uid, machine)| outbound::machine(uid, machine, &view.path, age_ms)).collect()
}

/// The hub that is asked.
pub(super) fn this_hub(hub: &Hub, uid: Uid, trouble: Option<&str>) -> v1::Object {
    let detail = status::Detail::Hub(v1::HubStatus {
        connected: true,
        age_ms: 0,
        fleet: Some(outbound::fleet(&hub.fleet())),
    });
    let metadata = v1::Metadata {
        name: hub.path().to_string(),
        uid: uid.to_string(),
        home: hub.path().to_string(),
        ..v1::Metadata::default()
    };
    v1::Object {
        metadata: Some(metadata),
        spec: Some(object::Spec::Hub(v1::HubSpec {})),
        status: Some(observed(&hub.own_conditions(trouble), 0, detail)),
    }
}

/// A hub or cluster directly below, as a node of the tree.
pub(super) fn tree_node(view: &NodeView<'_>) -> v1::TreeNode {
    v1::TreeNode {
        path: view.path.to_string(),
        role: outbound::role(view.record.role).into(),
        uid: view.record.uid.to_string(),
        connected: view.connected,
        age_ms: milliseconds(view.age),
        fleet: (view.record.role == Role::Hub).then(|| outbound::fleet(&view.fleet)),
        ready: view.conditions.last().map(condition),
    }
}

/// A condition of something without generations.
pub(super) fn condition(condition: &Condition) -> v1::Condition {
    outbound::condition(condition, 0)
}

/// The condition of a workload whose content cannot be shown.
pub(super) fn unreadable(problem: &str, generation: u64) -> v1::Condition {
    let message = format!("the manifests are left out: {problem}");
    let (kind, status, reason) = ("ContentReadable", Some(false), "Unreadable");
    let condition = Condition { kind, status, reason, message, since: Wall(0) };
    outbound::condition(&condition, generation)
}

/// What sort of thing is shown.
pub(super) fn kind(kind: Kind) -> v1::Kind {
    match kind {
        Kind::Hub => v1::Kind::Hub,
        Kind::Cluster => v1::Kind::Cluster,
        Kind::Machine => v1::Kind::Machine,
        Kind::Placement => v1::Kind::Placement,
        Kind::Workload => v1::Kind::Workload,
    }
}

fn observed(conditions: &[Condition], generation: u64, detail: status::Detail) -> v1::Status {
    let conditions = conditions.iter().map(|shown| outbound::condition(shown, generation));
    v1::Status { observed_generation: generation, conditions: conditions.collect(), detail: Some(detail) }
}

fn milliseconds(age: Duration) -> u64 {
    u64::try_from(age.as_millis()).unwrap_or(u64::MAX)
}
