//! What an agent knows, and how it is loaded from disk.

use std::collections::{BTreeMap, BTreeSet};

use canopy_model::{Boot, Claims, Digest, Incarnation, Inventory, Machines, Path, Report, Uid, Uptime};

use crate::durable::{Held, Slot, Value};
use crate::link::{Edge, EdgeId, History};
use crate::row::{Body, Key, Payload, RowKind};

/// The machine of an agent.
#[derive(Debug)]
pub struct Agent {
    pub(super) path: Path,
    pub(super) history: History,
    pub(super) sealed_version: u64,
    pub(super) parent: Edge,
    /// Work that is in the cluster, may be there, or was reported gone.
    pub(super) held: BTreeMap<Uid, Held>,
    /// The incarnation in which the cluster told what it holds.
    pub(super) surveyed: Option<Incarnation>,
    /// What this process has applied completely, at the revision reported. Of what an earlier one
    /// applied nobody knows whether it is still so.
    pub(super) applied: BTreeSet<Uid>,
    /// What the cluster told of a workload since the last order to apply it.
    pub(super) observed: BTreeMap<Uid, Observed>,
    /// What the last survey found and could not read: it is there, whatever was held.
    pub(super) unreadable: BTreeSet<Uid>,
    /// What was asked and is not answered.
    pub(super) doing: BTreeMap<Uid, Doing>,
    pub(super) attempts: u64,
    pub(super) retries: BTreeMap<Uid, Retry>,
    /// Blobs that are here.
    pub(super) blobs: BTreeSet<Digest>,
    pub(super) cluster: Told,
    /// Why people at the machine want nothing changed.
    pub(super) hold: Option<String>,
    pub(super) heartbeat_at: Option<Uptime>,
    pub(super) wishes: Wishes,
}

/// What this process heard of its parent's wishes. What only stands on the disk may be an old copy:
/// it is kept and repaired, but nothing is removed for it.
#[derive(Debug, Default)]
pub(super) struct Wishes {
    /// The whole table is as the parent has it, or was since this process began.
    pub whole: bool,
    /// Workloads about which the parent told something.
    pub told: BTreeSet<Uid>,
}

impl Wishes {
    pub(super) fn cover(&self, uid: Uid) -> bool {
        self.whole || self.told.contains(&uid)
    }
}

/// What the cluster told of itself.
#[derive(Debug, Default)]
pub(super) struct Told {
    pub claims: Claims,
    pub machines: Machines,
    /// None before it told of its machines.
    pub inventory: Option<Inventory>,
}

/// What was asked of the cluster, or of the parent's content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Doing {
    Apply { attempt: u64 },
    Delete { attempt: u64 },
    Fetch(Digest),
}

/// How a workload is doing, in the cluster's words.
#[derive(Debug, Clone)]
pub(super) struct Observed {
    pub drifted: bool,
    pub message: String,
}

/// When to try again what failed or was undone.
#[derive(Debug, Clone, Copy)]
pub(super) struct Retry {
    /// None once the wait has ended.
    pub at: Option<Uptime>,
    /// From then on the failures no longer count.
    pub forgotten_at: Uptime,
    pub failures: u32,
}

impl Agent {
    /// The agent of the cluster at `path` with what its store holds; an empty store is a new one's.
    pub fn load(path: Path, slots: impl IntoIterator<Item = (Slot, Value)>) -> Self {
        let mut agent = Self {
            path,
            history: History::begin(Boot(0)),
            sealed_version: 0,
            parent: Edge::new(EdgeId::Parent),
            held: BTreeMap::new(),
            surveyed: None,
            applied: BTreeSet::new(),
            observed: BTreeMap::new(),
            unreadable: BTreeSet::new(),
            doing: BTreeMap::new(),
            attempts: 0,
            retries: BTreeMap::new(),
            blobs: BTreeSet::new(),
            cluster: Told::default(),
            hold: None,
            heartbeat_at: None,
            wishes: Wishes::default(),
        };
        let mut rows = Vec::new();
        for (slot, value) in slots {
            match (slot, value) {
                (Slot::History, Value::History(history)) => agent.history = history,
                (Slot::Position(_), Value::Position(received)) => agent.parent.inbox.load_cursor(received),
                (Slot::Received(_, generation, key), Value::Received(row)) => {
                    rows.push((generation, key, row))
                }
                (Slot::Sent(_, key), Value::Sent(row)) => agent.parent.outbox.load_row(key, row),
                (Slot::Floor(_), Value::Floor(floor)) => agent.parent.outbox.load_floor(floor),
                (Slot::Held(uid), Value::Held(held)) => {
                    agent.held.insert(uid, held);
                }
                (Slot::Machine(uid), Value::Machine(machine)) => {
                    agent.cluster.machines.insert(uid, machine);
                }
                (Slot::Inventory, Value::Inventory(inventory)) => agent.cluster.inventory = Some(inventory),
                (Slot::Surveyed, Value::Surveyed(incarnation)) => agent.surveyed = Some(incarnation),
                (Slot::Hold, Value::Hold(reason)) => agent.hold = Some(reason),
                (slot, value) => debug_assert!(false, "slot {slot:?} of an agent holds {value:?}"),
            }
        }
        for (generation, key, row) in rows {
            agent.parent.inbox.load_row(generation, key, row);
        }
        agent
    }

    /// This cluster's path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What the agent reports, by workload.
    pub fn reports(&self) -> impl Iterator<Item = (Uid, &Report)> {
        self.held.iter().map(|(uid, held)| (*uid, &held.report))
    }

    /// Whether the cluster has told what it holds; before that the agent reports nothing.
    pub fn is_surveyed(&self) -> bool {
        self.surveyed == Some(self.history.incarnation)
    }

    /// Why people at the machine want nothing changed; none when they don't.
    pub fn hold(&self) -> Option<&str> {
        self.hold.as_deref()
    }

    /// Whether the cluster is asked for nothing at the moment.
    pub fn is_idle(&self) -> bool {
        self.doing.values().all(|doing| matches!(doing, Doing::Fetch(_)))
    }

    /// The edge to its hub.
    pub fn parent(&self) -> &Edge {
        &self.parent
    }

    pub(super) fn version(&mut self) -> u64 {
        if self.history.version == self.sealed_version {
            self.history.version += 1;
        }
        self.history.version
    }
}

/// The present value of a row for the parent.
pub(super) fn value(held: &BTreeMap<Uid, Held>, cluster: &Told, key: &Key) -> Option<Payload> {
    let body = if key.kind == RowKind::Claims {
        Body::Claims(cluster.claims.clone())
    } else if key.kind == RowKind::Machine {
        Body::Machine(cluster.machines.get(&key.uid)?.clone())
    } else if key.kind == RowKind::Inventory {
        Body::Inventory(cluster.inventory.clone()?)
    } else {
        Body::Report(held.get(&key.uid)?.report.clone())
    };
    Some(body.into())
}
