//! What a hub knows, and how it is loaded from disk.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use canopy_model::{
    Boot, Counts, Incarnation, Kind, Name, Object, ObjectName, Path, Readiness, Record, Uid, Uptime,
};

use crate::durable::{Answer, Assigned, Share, Since, Slot, Value};
use crate::link::{Edge, EdgeId, History};
use crate::row::{Body, Key, RowKind};

use super::events::Events;
use super::index::Index;

/// The machine of a hub.
#[derive(Debug)]
pub struct Hub {
    pub(super) path: Path,
    pub(super) history: History,
    pub(super) sealed_version: u64,
    pub(super) parent: Option<Edge>,
    pub(super) children: BTreeMap<Name, Child>,
    /// Those of them that are recorded as hubs.
    pub(super) hubs: BTreeSet<Name>,
    /// Objects at home here.
    pub(super) objects: BTreeMap<Uid, Arc<Object>>,
    /// Orphans whose home is here and that an administrator dropped.
    pub(super) dropped: BTreeSet<Uid>,
    /// The identities of children that were let go.
    pub(super) released: BTreeSet<Uid>,
    /// What own clusters were told, with the part of each in `counts`.
    pub(super) assigned: BTreeMap<(Uid, Name), (Assigned, Counts)>,
    pub(super) index: Index,
    pub(super) shares: BTreeMap<(Uid, Name), Share>,
    pub(super) answers: BTreeMap<Uid, Answer>,
    /// Rows to the parent, as they were told last.
    pub(super) told: BTreeMap<Key, Body>,
    /// Since when the conditions of own objects have had their status.
    pub(super) since: BTreeMap<Uid, Since>,
    /// What happened here.
    pub(super) events: Events,
    /// The children whose connection was seen to end.
    pub(super) away: BTreeSet<EdgeId>,
    /// What was an orphan when it was last looked at.
    pub(super) orphaned: BTreeSet<Uid>,
    /// Whether this hub decided, when that was last told.
    pub(super) was: Option<Readiness>,
    /// Over the own clusters, by workload; follows from `assigned` and the reports.
    pub(super) counts: BTreeMap<Uid, Counts>,
    /// Placements with a number about which deciding was broken off.
    pub(super) unsettled: BTreeSet<Uid>,
    /// How many own clusters each placement without a number selects; follows from the records.
    pub(super) selects: BTreeMap<Uid, u32>,
    /// Edges on which there may be something to send.
    pub(super) pending: BTreeSet<EdgeId>,
    pub(super) heartbeat_at: Option<Uptime>,
    pub(super) grace_until: Option<Uptime>,
    pub(super) started: Option<Uptime>,
}

/// A neighbour below.
#[derive(Debug)]
pub struct Child {
    /// What this hub records about it; none for one that is connected and was never accepted.
    pub record: Option<Record>,
    /// The tables with it.
    pub edge: Edge,
}

impl Hub {
    /// The hub at `path` with what its store holds; an empty store is a new hub's.
    pub fn load(path: Path, slots: impl IntoIterator<Item = (Slot, Value)>) -> Self {
        let parent = (!path.is_root()).then(|| Edge::new(EdgeId::Parent));
        let mut hub = Self {
            path,
            history: History::begin(Boot(0)),
            sealed_version: 0,
            parent,
            children: BTreeMap::new(),
            hubs: BTreeSet::new(),
            objects: BTreeMap::new(),
            dropped: BTreeSet::new(),
            released: BTreeSet::new(),
            assigned: BTreeMap::new(),
            index: Index::default(),
            shares: BTreeMap::new(),
            answers: BTreeMap::new(),
            told: BTreeMap::new(),
            since: BTreeMap::new(),
            events: Events::default(),
            away: BTreeSet::new(),
            orphaned: BTreeSet::new(),
            was: None,
            counts: BTreeMap::new(),
            unsettled: BTreeSet::new(),
            selects: BTreeMap::new(),
            pending: BTreeSet::new(),
            heartbeat_at: None,
            grace_until: None,
            started: None,
        };
        let mut later = Vec::new();
        for (slot, value) in slots {
            hub.load_slot(slot, value, &mut later);
        }
        for (edge, generation, key, row) in later {
            hub.edge_mut(&edge).inbox.load_row(generation, key, row);
        }
        hub
    }

    fn load_slot(
        &mut self,
        slot: Slot,
        value: Value,
        rows: &mut Vec<(EdgeId, bool, Key, crate::durable::ReceivedRow)>,
    ) {
        match (slot, value) {
            (Slot::History, Value::History(history)) => self.history = history,
            (Slot::Object(uid), Value::Object(object)) => {
                self.objects.insert(uid, object);
            }
            (Slot::Child(name), Value::Child(record)) => self.record_child(&name, record),
            (Slot::Position(edge), Value::Position(received)) => {
                self.edge_mut(&edge).inbox.load_cursor(received)
            }
            (Slot::Received(edge, generation, key), Value::Received(row)) => {
                rows.push((edge, generation, key, row))
            }
            (Slot::Sent(edge, key), Value::Sent(row)) => self.edge_mut(&edge).outbox.load_row(key, row),
            (Slot::Floor(edge), Value::Floor(floor)) => self.edge_mut(&edge).outbox.load_floor(floor),
            (Slot::Assigned(name, uid), Value::Assigned(assigned)) => {
                self.assigned.insert((uid, name), (assigned, Counts::default()));
            }
            (Slot::Share(uid, name), Value::Share(share)) => {
                self.shares.insert((uid, name), share);
            }
            (Slot::Answer(id), Value::Answer(answer)) => {
                self.answers.insert(id, answer);
            }
            (Slot::Dropped(uid), Value::Dropped) => {
                self.dropped.insert(uid);
            }
            (Slot::Since(uid), Value::Since(since)) => {
                self.since.insert(uid, since);
            }
            (Slot::Event(sequence), Value::Event(event)) => self.events.load(sequence, event),
            (Slot::Forgotten, Value::Forgotten(forgotten)) => self.events.load_forgotten(forgotten),
            (Slot::Released(uid), Value::Released) => {
                self.released.insert(uid);
            }
            (slot, value) => debug_assert!(false, "slot {slot:?} of a hub holds {value:?}"),
        }
    }

    /// This hub's path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// This hub's present incarnation.
    pub fn incarnation(&self) -> Incarnation {
        self.history.incarnation
    }

    /// Whether clusters may be missing because this hub lost its memory.
    pub fn is_recovering(&self) -> bool {
        self.history.recovering
    }

    /// The children by name.
    pub fn children(&self) -> &BTreeMap<Name, Child> {
        &self.children
    }

    /// The edge to the parent; none at the root.
    pub fn parent(&self) -> Option<&Edge> {
        self.parent.as_ref()
    }

    /// The objects that are at home here.
    pub fn objects(&self) -> impl Iterator<Item = &Arc<Object>> {
        self.objects.values()
    }

    /// Whether the hub may decide: it knows its parent's wishes in its present incarnation, and has
    /// heard its children or waited for them long enough.
    pub fn is_ready(&self) -> bool {
        self.started.is_some() && self.knows_wishes() && self.grace_until.is_none()
    }

    /// Whether the hub knows its parent's wishes in its present incarnation.
    pub(super) fn knows_wishes(&self) -> bool {
        self.parent.as_ref().is_none_or(|edge| edge.inbox.is_heard(self.history.incarnation))
    }

    /// The next commit's version, the same for everything in one step.
    pub(super) fn version(&mut self) -> u64 {
        self.history.version = self.next_version();
        self.history.version
    }

    /// The version that [`Hub::version`] would give.
    pub(super) fn next_version(&self) -> u64 {
        self.history.version + u64::from(self.history.version == self.sealed_version)
    }

    fn edge_mut(&mut self, id: &EdgeId) -> &mut Edge {
        match id {
            EdgeId::Parent => self.parent.as_mut().expect("only a hub below another stores rows of a parent"),
            EdgeId::Child(name) => &mut self.child_mut(name).edge,
        }
    }

    /// Takes an edge out, so that it can be worked on beside the rest; see [`Hub::return_edge`].
    pub(super) fn take_edge(&mut self, id: &EdgeId) -> Option<Edge> {
        let place = match id {
            EdgeId::Parent => self.parent.as_mut(),
            EdgeId::Child(name) => self.children.get_mut(name).map(|child| &mut child.edge),
        }?;
        Some(std::mem::replace(place, Edge::new(id.clone())))
    }

    pub(super) fn return_edge(&mut self, edge: Edge) {
        let id = edge.id.clone();
        *self.edge_mut(&id) = edge;
    }

    /// What this hub decided for one object, by child.
    pub(super) fn of<T>(decided: &BTreeMap<(Uid, Name), T>, uid: Uid) -> impl Iterator<Item = (&Name, &T)> {
        let first: Name = "0".parse().expect("a valid name, and the first in order");
        let pairs = decided.range((uid, first)..).take_while(move |((object, _), _)| *object == uid);
        pairs.map(|((_, name), it)| (name, it))
    }

    /// A row that the parent sent.
    pub(super) fn parents_row(&self, kind: RowKind, uid: Uid) -> Option<&Body> {
        self.parent.as_ref()?.inbox.get(&Key::new(kind, uid)).map(|payload| &payload.body)
    }

    /// An object that applies here: at home here or above.
    pub fn object(&self, uid: Uid) -> Option<&Arc<Object>> {
        if let Some(object) = self.objects.get(&uid) {
            return Some(object);
        }
        match self.parents_row(RowKind::Object, uid) {
            Some(Body::Object(object)) => Some(object),
            _ => None,
        }
    }

    /// Whether there is an object of this uid, be it in a form that cannot be read here.
    pub(super) fn is_known(&self, uid: Uid) -> bool {
        self.objects.contains_key(&uid) || self.parents_row(RowKind::Object, uid).is_some()
    }

    /// All objects that apply here.
    pub fn all_objects(&self) -> impl Iterator<Item = &Arc<Object>> {
        let inherited = self.parent.iter().flat_map(|edge| edge.inbox.rows());
        let inherited = inherited.filter_map(|(_, row)| row.payload.body.object());
        self.objects.values().chain(inherited)
    }

    /// The object of this name that is at home here.
    pub fn find(&self, kind: Kind, name: &ObjectName) -> Option<&Arc<Object>> {
        self.objects.get(&self.index.find(kind, &self.path, name)?)
    }
}
