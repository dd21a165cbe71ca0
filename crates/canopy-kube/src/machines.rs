//! The machines of the cluster: its Nodes, watched.
//!
//! Of each Node only what is told is ever read: images, addresses, heartbeats and field managers,
//! most of a Node's bytes, are passed over. Whoever listens is told all machines whenever something
//! has changed; an agent that may not list nodes tells why, and goes on without.

use std::collections::BTreeMap;
use std::time::Duration;

use canopy_model::machine::MACHINES_MAX;
use canopy_model::{Inventory, Machine, Machines, Resources, Uid, Wall, quantity};
use futures::StreamExt;
use k8s_openapi::api::core::v1::{Node, NodeCondition};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use kube::api::{Api, ApiResource, ListParams, Object};
use kube::runtime::watcher::{self, Event};
use kube::runtime::{WatchStreamExt, watcher as watch_objects};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use crate::cluster::{Cluster, RequestError, bounded};
use crate::watch::forbidden;

/// Changes that come within this are told together: nodes of a cluster that starts come one by one.
const PAUSE: Duration = Duration::from_secs(2);
/// Nodes of one page of a list: with the images that are passed over, about a megabyte.
const PAGE: u32 = 50;
/// Lists that wait for the agent: it takes the newest.
const TOLD_MAX: usize = 1;

/// What is read of a Node.
pub(crate) type Lean = Object<Spec, Status>;

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Spec {
    #[serde(rename = "providerID")]
    pub(crate) provider_id: Option<String>,
    unschedulable: bool,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Status {
    capacity: BTreeMap<String, Quantity>,
    allocatable: BTreeMap<String, Quantity>,
    conditions: Vec<NodeCondition>,
    pub(crate) node_info: Info,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Info {
    kubelet_version: String,
    pub(crate) architecture: String,
    os_image: String,
}

/// What is told of the machines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counted {
    /// As many as are told one by one; none while they may not be listed.
    pub machines: Option<Machines>,
    /// What all of them have, or why that is not known.
    pub inventory: Inventory,
}

impl Cluster {
    fn nodes(&self) -> Api<Lean> {
        Api::all_with(self.client.clone(), &ApiResource::erase::<Node>(&()))
    }

    /// Some nodes, for what they have in common.
    pub(crate) async fn some_nodes(&self) -> Result<Vec<Lean>, RequestError> {
        bounded(self.nodes().list(&ListParams::default().limit(PAGE))).await.map(|nodes| nodes.items)
    }

    /// Starts to watch the machines. Ends when the receiver is dropped.
    pub fn watch_machines(&self) -> mpsc::Receiver<Counted> {
        let (told, receiver) = mpsc::channel(TOLD_MAX);
        tokio::spawn(run(self.nodes(), told));
        receiver
    }
}

async fn run(nodes: Api<Lean>, told: mpsc::Sender<Counted>) {
    let config = watcher::Config::default().page_size(PAGE);
    let mut events = watch_objects(nodes, config).default_backoff().boxed();
    let mut known = Known::default();
    let mut last = None;
    let mut due: Option<Instant> = None;
    loop {
        tokio::select! {
            () = told.closed() => return,
            Some(event) = events.next() => {
                if known.take(event) && due.is_none() {
                    due = Some(Instant::now() + PAUSE);
                }
            }
            () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {
                due = None;
                let counted = known.counted();
                if last.as_ref() != Some(&counted) {
                    if told.send(counted.clone()).await.is_err() {
                        return;
                    }
                    last = Some(counted);
                }
            }
        }
    }
}

/// What the watch has shown so far.
#[derive(Default)]
struct Known {
    /// By name, which is what two nodes never share at a time.
    machines: BTreeMap<String, (Option<Uid>, Machine)>,
    /// The list that is coming in.
    listed: BTreeMap<String, (Option<Uid>, Machine)>,
    whole: bool,
    problem: String,
}

impl Known {
    /// Takes in what the watch shows; whether there may be something to tell.
    fn take(&mut self, event: watcher::Result<Event<Lean>>) -> bool {
        match event {
            Ok(Event::Init) => self.listed.clear(),
            Ok(Event::InitApply(node)) => {
                let (name, machine) = read(node);
                self.listed.insert(name, machine);
            }
            Ok(Event::InitDone) => {
                self.machines = std::mem::take(&mut self.listed);
                self.whole = true;
                self.problem.clear();
                return true;
            }
            Ok(Event::Apply(node)) => {
                let (name, machine) = read(node);
                let before = self.machines.insert(name.clone(), machine);
                return before.as_ref() != self.machines.get(&name);
            }
            Ok(Event::Delete(node)) => {
                return self.machines.remove(&node.metadata.name.unwrap_or_default()).is_some();
            }
            Err(error) => {
                let Some(message) = forbidden(&error) else {
                    tracing::debug!(%error, "the watch on nodes was interrupted; it goes on by itself");
                    return false;
                };
                let problem = format!("the agent needs the right to list and watch nodes: {message}");
                let news = self.problem != problem;
                if news {
                    tracing::warn!(
                        message,
                        "machines are not known: the agent needs the right to list and watch nodes"
                    );
                }
                (self.problem, self.whole) = (problem, false);
                return news;
            }
        }
        false
    }

    fn counted(&self) -> Counted {
        if !self.whole {
            let inventory = Inventory { problem: self.problem.clone(), ..Inventory::default() };
            return Counted { machines: None, inventory };
        }
        let mut inventory = Inventory::of(self.machines.values().map(|(_, machine)| machine));
        let named = self.machines.values().filter_map(|(uid, machine)| Some(((*uid)?, machine.clone())));
        let machines: Machines = named.take(MACHINES_MAX).collect();
        inventory.left_out = inventory.machines.saturating_sub(machines.len() as u32);
        Counted { machines: Some(machines), inventory }
    }
}

fn read(node: Lean) -> (String, (Option<Uid>, Machine)) {
    let Object { metadata, spec, status, .. } = node;
    let name = metadata.name.unwrap_or_default();
    let Status { capacity, allocatable, conditions, node_info } = status.unwrap_or_default();
    let ready = conditions.iter().find(|condition| condition.type_ == "Ready");
    let ready = ready.and_then(|condition| match condition.status.as_str() {
        "True" => Some(true),
        "False" => Some(false),
        _ => None,
    });
    let created = metadata.creation_timestamp.map_or(0, |at| at.0.as_millisecond());
    let machine = Machine {
        name: name.clone(),
        ready,
        schedulable: !spec.unschedulable,
        capacity: resources(&capacity),
        allocatable: resources(&allocatable),
        kubelet: node_info.kubelet_version,
        architecture: node_info.architecture,
        os_image: node_info.os_image,
        created: Wall(u64::try_from(created).unwrap_or(0)),
    };
    let uid = metadata.uid.and_then(|uid| uid.parse().ok());
    (name, (uid, machine.bounded()))
}

/// What there is of each; what there is none of, such as huge pages, is left out.
fn resources(quantities: &BTreeMap<String, Quantity>) -> Resources {
    let amounts = quantities.iter().filter_map(|(name, quantity)| {
        Some((name.clone(), quantity::parse(name, &quantity.0)?)).filter(|(_, amount)| *amount > 0)
    });
    amounts.collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn node(name: &str, ready: &str, heartbeat: &str) -> Lean {
        serde_json::from_value(json!({
            "apiVersion": "v1", "kind": "Node",
            "metadata": {"name": name, "uid": format!("00000000-0000-0000-0000-{:012}", name.len())},
            "spec": {"unschedulable": true, "podCIDR": "10.0.0.0/24"},
            "status": {
                "capacity": {"cpu": "4", "memory": "8Gi", "hugepages-2Mi": "0"},
                "allocatable": {"cpu": "3920m", "memory": "7Gi"},
                "conditions": [{"type": "Ready", "status": ready, "lastHeartbeatTime": heartbeat}],
                "images": [{"names": ["registry.example/large"], "sizeBytes": 1}],
                "nodeInfo": {"kubeletVersion": "v1.37.2", "architecture": "arm64", "osImage": "Debian", "bootID": "x"},
            },
        }))
        .unwrap()
    }

    const THEN: &str = "2026-11-20T12:00:00Z";
    const LATER: &str = "2026-11-20T12:05:00Z";

    #[test]
    fn a_node_is_read_and_its_heartbeats_are_no_news() {
        let mut known = Known::default();
        known.take(Ok(Event::Init));
        known.take(Ok(Event::InitApply(node("a", "True", THEN))));
        assert!(known.take(Ok(Event::InitDone)));
        let counted = known.counted();
        let machine = counted.machines.unwrap().into_values().next().unwrap();
        assert_eq!((machine.ready, machine.schedulable), (Some(true), false));
        assert_eq!(machine.capacity, [("cpu".to_owned(), 4000), ("memory".to_owned(), 8 << 30)].into());
        assert_eq!((machine.kubelet.as_str(), machine.architecture.as_str()), ("v1.37.2", "arm64"));
        assert!(!known.take(Ok(Event::Apply(node("a", "True", LATER)))));
        assert!(known.take(Ok(Event::Apply(node("a", "Unknown", LATER)))));
        assert_eq!(known.counted().inventory.ready, 0);
    }

    #[test]
    fn what_a_new_list_lacks_is_gone() {
        let mut known = Known::default();
        for nodes in [vec!["a", "bb"], vec!["bb"]] {
            known.take(Ok(Event::Init));
            for name in nodes {
                known.take(Ok(Event::InitApply(node(name, "True", THEN))));
            }
            known.take(Ok(Event::InitDone));
        }
        assert_eq!(known.counted().inventory.machines, 1);
        assert!(known.take(Ok(Event::Delete(node("bb", "True", THEN)))));
        assert_eq!(known.counted().machines, Some(Machines::new()));
    }

    #[test]
    fn a_missing_right_is_told_once() {
        let status = || {
            let status =
                kube::core::Status { code: 403, message: "nodes is forbidden".into(), ..Default::default() };
            watcher::Error::InitialListFailed(kube::Error::Api(Box::new(status)))
        };
        let mut known = Known::default();
        assert!(known.take(Err(status())));
        assert!(!known.take(Err(status())));
        let Counted { machines, inventory } = known.counted();
        assert_eq!(machines, None);
        assert!(inventory.problem.contains("list and watch nodes"), "{}", inventory.problem);
    }

    #[test]
    fn a_large_cluster_is_counted_whole_and_told_in_part() {
        let mut known = Known { whole: true, ..Known::default() };
        for at in 0..=MACHINES_MAX {
            let machine = Machine { capacity: [("cpu".to_owned(), 1)].into(), ..Machine::default() };
            known.machines.insert(format!("{at:05}"), (Some(Uid(at as u128)), machine));
        }
        let Counted { machines, inventory } = known.counted();
        assert_eq!((machines.unwrap().len(), inventory.left_out), (MACHINES_MAX, 1));
        assert_eq!(inventory.capacity["cpu"], MACHINES_MAX as u64 + 1);
    }
}
