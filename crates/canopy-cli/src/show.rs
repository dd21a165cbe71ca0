//! One line of a table per object.

use canopy_proto::admin::v1::{Condition, Kind, Metadata, Object, Status, object::Spec, status::Detail};

use crate::age;
use crate::terminal::Terminal;

/// The columns of one kind; with several projects, the project comes first.
pub(crate) fn headers(kind: Kind, projects: bool) -> &'static [&'static str] {
    match (kind, projects) {
        (Kind::Placement, false) => &["NAME", "HOME", "SELECTED", "WANTED", "STATUS", "AGE"],
        (Kind::Placement, true) => &["PROJECT", "NAME", "HOME", "SELECTED", "WANTED", "STATUS", "AGE"],
        (Kind::Workload, false) => &["NAME", "HOME", "SELECTED", "UPDATED", "HEALTHY", "STATUS", "AGE"],
        (Kind::Workload, true) => {
            &["PROJECT", "NAME", "HOME", "SELECTED", "UPDATED", "HEALTHY", "STATUS", "AGE"]
        }
        (Kind::Cluster, _) => &["NAME", "STATUS", "CONNECTION", "SEEN", "KUBERNETES", "AGE"],
        (Kind::Hub, _) => &["NAME", "STATUS", "CONNECTION", "SEEN", "HUBS", "CLUSTERS", "AGE"],
        (Kind::Unspecified, _) => &["NAME"],
    }
}

/// The cells below [`headers`].
pub(crate) fn row(object: Object, projects: bool, terminal: &Terminal<'_>) -> Vec<String> {
    let summary = summary(&object);
    let metadata = object.metadata.unwrap_or_default();
    let detail = object.status.and_then(|status| status.detail);
    let age = terminal.since(metadata.created_ms);
    let Metadata { project, name, home, .. } = metadata;
    let mut row = if projects && matches!(object.spec, Some(Spec::Placement(_) | Spec::Workload(_))) {
        vec![project, name]
    } else {
        vec![name]
    };
    match (object.spec, detail) {
        (Some(Spec::Placement(_)), detail) => {
            let placement = match detail {
                Some(Detail::Placement(placement)) => placement,
                _ => Default::default(),
            };
            let wanted = placement.wanted.map_or_else(|| "all".to_owned(), |wanted| wanted.to_string());
            row.extend([home, placement.selected.to_string(), wanted, summary, age]);
        }
        (Some(Spec::Workload(_)), detail) => {
            let counts = match detail {
                Some(Detail::Workload(workload)) => workload.counts.unwrap_or_default(),
                _ => Default::default(),
            };
            row.extend([home]);
            row.extend([counts.selected, counts.updated, counts.healthy].map(|count| count.to_string()));
            row.extend([summary, age]);
        }
        (Some(Spec::Cluster(_)), Some(Detail::Cluster(cluster))) => {
            let version = cluster.claims.get("kubeversion").cloned().unwrap_or_default();
            let [connection, seen] = connection(cluster.connected, cluster.age_ms);
            row.extend([summary, connection, seen, version, age]);
        }
        (Some(Spec::Hub(_)), Some(Detail::Hub(hub))) => {
            let fleet = hub.fleet.unwrap_or_default();
            let [connection, seen] = connection(hub.connected, hub.age_ms);
            let clusters = format!("{}/{}", fleet.connected, fleet.clusters);
            row.extend([summary, connection, seen, fleet.hubs.to_string(), clusters, age]);
        }
        _ => row.push(summary),
    }
    row
}

/// Whether a node is connected, and how long ago it was heard.
pub(crate) fn connection(connected: bool, age_ms: u64) -> [String; 2] {
    [if connected { "Connected" } else { "Disconnected" }.to_owned(), age::text(age_ms)]
}

/// One word on how an object is: Ready, Terminating, or why it is not ready.
pub(crate) fn summary(object: &Object) -> String {
    let terminating =
        object.metadata.as_ref().is_some_and(|metadata| metadata.deletion_timestamp_ms.is_some());
    if terminating {
        return "Terminating".to_owned();
    }
    word(object.status.as_ref().and_then(ready))
}

/// The condition that sums up.
pub(crate) fn ready(status: &Status) -> Option<&Condition> {
    status.conditions.iter().find(|condition| condition.r#type == "Ready")
}

/// Ready, or the reason why not; Unknown without a word.
pub(crate) fn word(ready: Option<&Condition>) -> String {
    match ready {
        Some(condition) if condition.status == "True" => "Ready".to_owned(),
        Some(condition) if !condition.reason.is_empty() => condition.reason.clone(),
        _ => "Unknown".to_owned(),
    }
}
