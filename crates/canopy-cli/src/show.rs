//! One line of a table per object.

use std::collections::{BTreeMap, HashMap};

use canopy_model::quantity;
use canopy_model::taint::{CORDONED, DRAINED};
use canopy_proto::admin::v1::{
    ClusterSpec, Condition, Metadata, Object, Status, Taint, object::Spec, status::Detail,
};
use canopy_proto::convert::inbound;

use crate::age;
use crate::terminal::Terminal;

/// Digits of a digest that tell revisions apart.
const DIGITS: usize = 12;

/// One cell of a line, below the header of its column.
pub(crate) type Cell = (&'static str, String);

/// Which columns stand beside those that every table has.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Columns {
    /// The project, first.
    pub(crate) projects: bool,
    /// What is of use now and then.
    pub(crate) wide: bool,
    /// All labels, last.
    pub(crate) labels: bool,
}

/// The cells of an object; objects of one kind have the same columns.
pub(crate) fn cells(object: &Object, columns: Columns, terminal: &Terminal<'_>) -> Vec<Cell> {
    let metadata = object.metadata.clone().unwrap_or_default();
    let detail = object.status.as_ref().and_then(|status| status.detail.as_ref());
    let (summary, age) = (("STATUS", summary(object)), ("AGE", terminal.since(metadata.created_ms)));
    let Metadata { project, name, home, labels, .. } = metadata;
    let labels = pairs(labels);
    let homed = matches!(object.spec, Some(Spec::Placement(_) | Spec::Workload(_)));
    let mut cells = Vec::new();
    if columns.projects && homed {
        cells.push(("PROJECT", project));
    }
    cells.push(("NAME", name));
    if homed {
        cells.push(("HOME", home));
    }
    let number = |header, number: u32| (header, number.to_string());
    let mut wide = Vec::new();
    match &object.spec {
        Some(Spec::Placement(spec)) => {
            let placement = match detail {
                Some(Detail::Placement(placement)) => *placement,
                _ => Default::default(),
            };
            let wanted = placement.wanted.map_or_else(|| "all".to_owned(), |wanted| wanted.to_string());
            cells.extend([number("SELECTED", placement.selected), ("WANTED", wanted), summary, age]);
            // A hub sends only placements that it accepted; of another version's, nothing is shown.
            let placement = inbound::placement(spec).unwrap_or_default();
            let selects: Vec<_> = placement.predicates.iter().map(ToString::to_string).collect();
            wide.push(("SELECTS", if selects.is_empty() { "all".to_owned() } else { selects.join(" or ") }));
        }
        Some(Spec::Workload(spec)) => {
            let (counts, revision) = match detail {
                Some(Detail::Workload(workload)) => {
                    (workload.counts.unwrap_or_default(), short(&workload.revision))
                }
                _ => Default::default(),
            };
            cells.extend([
                number("SELECTED", counts.selected),
                number("UPDATED", counts.updated),
                number("HEALTHY", counts.healthy),
                summary,
                age,
            ]);
            wide.extend([
                number("DEGRADED", counts.degraded),
                number("REFUSED", counts.refused),
                number("REMOVING", counts.removing),
                ("REVISION", revision),
                ("PLACEMENTS", spec.placements.join(",")),
            ]);
        }
        Some(Spec::Cluster(spec)) => {
            let cluster = match detail {
                Some(Detail::Cluster(cluster)) => cluster.clone(),
                _ => Default::default(),
            };
            let mut claims = cluster.claims;
            let version = claims.remove("kubeversion").unwrap_or_default();
            let [connection, seen] = connection(cluster.connected, cluster.age_ms);
            let status = ("STATUS", format!("{}{}", summary.1, closed(spec)));
            cells.extend([status, ("CONNECTION", connection), ("SEEN", seen), ("KUBERNETES", version), age]);
            wide.extend([("TAINTS", taints(spec).join(",")), ("CLAIMS", pairs(claims))]);
        }
        Some(Spec::Hub(_)) => {
            let hub = match detail {
                Some(Detail::Hub(hub)) => *hub,
                _ => Default::default(),
            };
            let fleet = hub.fleet.unwrap_or_default();
            let [connection, seen] = connection(hub.connected, hub.age_ms);
            let clusters = format!("{}/{}", fleet.connected, fleet.clusters);
            cells.extend([
                summary,
                ("CONNECTION", connection),
                ("SEEN", seen),
                number("HUBS", fleet.hubs),
                ("CLUSTERS", clusters),
                age,
            ]);
        }
        Some(Spec::Machine(_)) => {
            let machine = match detail {
                Some(Detail::Machine(machine)) => machine.clone(),
                _ => Default::default(),
            };
            let amount = |resource| {
                machine.capacity.get(resource).map_or_else(String::new, |text| brief(resource, text))
            };
            let (cpu, memory) = (amount("cpu"), amount("memory"));
            let closed = if machine.schedulable { "" } else { ",SchedulingDisabled" };
            cells.extend([
                ("CLUSTER", machine.cluster),
                ("STATUS", format!("{}{closed}", summary.1)),
                ("CPU", cpu),
                ("MEMORY", memory),
                ("ARCH", machine.architecture),
                ("VERSION", machine.kubelet),
                age,
            ]);
            wide.extend([("ALLOCATABLE", resources(&machine.allocatable)), ("OS", machine.os_image)]);
        }
        None => cells.push(summary),
    }
    if columns.wide {
        cells.append(&mut wide);
    }
    // Labels are what a node is about: by them placements select.
    if columns.labels || columns.wide && !homed {
        cells.push(("LABELS", labels));
    }
    cells
}

/// Keys and values on one line, in order.
pub(crate) fn pairs(pairs: impl IntoIterator<Item = (String, String)>) -> String {
    let pairs: BTreeMap<_, _> = pairs.into_iter().collect();
    let pairs: Vec<_> = pairs.iter().map(|(key, value)| format!("{key}={value}")).collect();
    if pairs.is_empty() { "<none>".to_owned() } else { pairs.join(",") }
}

/// The first digits of a digest.
fn short(digest: &str) -> String {
    digest.split_once(':').map_or(digest, |(_, digits)| digits).chars().take(DIGITS).collect()
}

/// Whether a cluster is closed to work by `cordon` or `drain`, beside its status.
fn closed(spec: &ClusterSpec) -> &'static str {
    let has = |key| spec.taints.iter().any(|taint| taint.key == key);
    match (has(DRAINED), has(CORDONED)) {
        (true, _) => ",Drained",
        (false, true) => ",Cordoned",
        (false, false) => "",
    }
}

/// The taints of a cluster, each `key=value:Effect`.
pub(crate) fn taints(spec: &ClusterSpec) -> Vec<String> {
    let shown = spec.taints.iter().map(|Taint { key, value, effect, .. }| {
        let equal = if value.is_empty() { "" } else { "=" };
        format!("{key}{equal}{value}:{effect}")
    });
    shown.collect()
}

/// A quantity of a resource, for people.
pub(crate) fn brief(resource: &str, text: &str) -> String {
    quantity::parse(resource, text)
        .map_or_else(|| text.to_owned(), |amount| quantity::brief(resource, amount))
}

/// All there is, the usual resources first: `cpu 4, memory 8Gi, pods 110`.
pub(crate) fn resources(all: &HashMap<String, String>) -> String {
    let mut named: Vec<_> = all.iter().collect();
    named.sort_by_key(|(name, _)| (name.contains('/'), name.as_str()));
    let each = named.into_iter().map(|(name, text)| format!("{name} {}", brief(name, text)));
    each.collect::<Vec<_>>().join(", ")
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
