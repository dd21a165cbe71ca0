//! A node as its store has it, whether its process runs or not.

use std::collections::BTreeMap;

use canopy_model::{Home, Name, Object, Path, Record, Report, Role, Uid, Work};

use crate::cluster::Cluster;
use crate::durable::{Assigned, Position, ReceivedRow, SentRow, Share, Slot, Value};
use crate::link::{EdgeId, History, Resume};
use crate::row::{Key, Offer, RowKind};

/// What a store holds.
pub type Slots = BTreeMap<Slot, Value>;
/// The slots that a commit changed, with what they held before it.
pub type Replaced = BTreeMap<Slot, Option<Value>>;

/// A tree of nodes at one moment.
pub struct Tree<'a>(BTreeMap<Path, Node<'a>>);

impl<'a> Tree<'a> {
    /// The tree of these nodes.
    pub fn new(nodes: impl IntoIterator<Item = Node<'a>>) -> Self {
        Self(nodes.into_iter().map(|node| (node.path.clone(), node)).collect())
    }

    /// All nodes, in the order of paths.
    pub fn nodes(&self) -> impl Iterator<Item = &Node<'a>> {
        self.0.values()
    }

    /// The node at a path.
    pub fn at(&self, path: &Path) -> Option<&Node<'a>> {
        self.0.get(path)
    }

    /// The hub above a node; none above the root.
    pub fn parent(&self, node: &Node<'_>) -> Option<&Node<'a>> {
        self.at(&node.path.parent()?)
    }

    /// The nodes right below.
    pub fn children(&self, node: &Node<'_>) -> impl Iterator<Item = &Node<'a>> {
        self.nodes().filter(move |child| child.path.parent().as_ref() == Some(&node.path))
    }
}

/// A node's store, and its cluster if it is an agent.
#[derive(Clone)]
pub struct Node<'a> {
    /// Where it stands.
    pub path: Path,
    /// Hub or agent.
    pub role: Role,
    /// What its store holds.
    pub slots: &'a Slots,
    /// What an agent's cluster holds.
    pub cluster: Option<&'a Cluster>,
}

impl<'a> Node<'a> {
    /// The node's history; none before its first start.
    pub fn history(&self) -> Option<&'a History> {
        match self.slots.get(&Slot::History) {
            Some(Value::History(history)) => Some(history),
            _ => None,
        }
    }

    /// Whether clusters may be missing because this hub lost its memory.
    pub fn is_recovering(&self) -> bool {
        self.history().is_some_and(|history| history.recovering)
    }

    /// Up to where a table was received.
    pub fn received(&self, edge: &EdgeId) -> Option<Position> {
        match self.slots.get(&Slot::Position(edge.clone())) {
            Some(Value::Position(received)) => Some(*received),
            _ => None,
        }
    }

    /// Whether a neighbour's complete table arrived in this node's present incarnation.
    pub fn has_heard(&self, edge: &EdgeId) -> bool {
        let mine = self.history().map(|history| history.incarnation);
        self.received(edge).is_some_and(|received| Some(received.into) == mine)
    }

    /// Whether this node knows what its parent wishes, in its present incarnation.
    pub fn knows_wishes(&self) -> bool {
        self.path.is_root() || self.has_heard(&EdgeId::Parent)
    }

    /// The current rows of a received table.
    pub fn rows(&self, edge: &EdgeId) -> impl Iterator<Item = (&'a Key, &'a ReceivedRow)> {
        let generation = self.received(edge).is_some_and(|received| received.generation);
        let first = Key::new(RowKind::Object, Uid(0));
        let from = Slot::Received(edge.clone(), generation, first);
        let edge = edge.clone();
        self.slots.range(from..).map_while(move |(slot, value)| match (slot, value) {
            (Slot::Received(from, of, key), Value::Received(row)) if *from == edge && *of == generation => {
                Some((key, row))
            }
            _ => None,
        })
    }

    /// A current row of a received table.
    pub fn row(&self, edge: &EdgeId, kind: RowKind, uid: Uid) -> Option<&'a ReceivedRow> {
        let generation = self.received(edge).is_some_and(|received| received.generation);
        match self.slots.get(&Slot::Received(edge.clone(), generation, Key::new(kind, uid))) {
            Some(Value::Received(row)) => Some(row),
            _ => None,
        }
    }

    /// The table that a neighbour is told: when each row changed last.
    pub fn sent(&self, edge: &EdgeId) -> impl Iterator<Item = (&'a Key, SentRow)> {
        let from = Slot::Sent(edge.clone(), Key::new(RowKind::Object, Uid(0)));
        let edge = edge.clone();
        self.slots.range(from..).map_while(move |(slot, value)| match (slot, value) {
            (Slot::Sent(to, key), Value::Sent(row)) if *to == edge => Some((key, *row)),
            _ => None,
        })
    }

    /// When a row that a neighbour is told changed last.
    pub fn sent_row(&self, edge: &EdgeId, key: Key) -> Option<SentRow> {
        match self.slots.get(&Slot::Sent(edge.clone(), key)) {
            Some(Value::Sent(row)) => Some(*row),
            _ => None,
        }
    }

    /// Up to which version of this node's table `to` a neighbour is complete, if both remember the
    /// same history: otherwise it will be sent a snapshot.
    pub fn position_of(&self, to: &EdgeId, neighbour: &Node<'_>, from: &EdgeId) -> Option<u64> {
        let received = neighbour.received(from).filter(|_| neighbour.has_heard(from))?;
        let floor = match self.slots.get(&Slot::Floor(to.clone())) {
            Some(Value::Floor(floor)) => *floor,
            _ => 0,
        };
        let history = self.history().filter(|history| history.incarnation == received.cursor.incarnation)?;
        if history.resume(Some(received.cursor.at_least(received.seen)), 0) == Resume::Restored {
            return None;
        }
        match history.resume(Some(received.cursor), floor) {
            Resume::After(version) => Some(version),
            Resume::Snapshot | Resume::Restored | Resume::LostHistory => None,
        }
    }

    /// Whether an identity was let go.
    pub fn has_released(&self, uid: Uid) -> bool {
        self.slots.contains_key(&Slot::Released(uid))
    }

    /// What a hub records about a child.
    pub fn record(&self, name: &Name) -> Option<&'a Record> {
        match self.slots.get(&Slot::Child(name.clone())) {
            Some(Value::Child(record)) => Some(record),
            _ => None,
        }
    }

    /// What a hub's own clusters were told.
    pub fn assignments(&self) -> impl Iterator<Item = (&'a Name, Uid, &'a Assigned)> {
        self.slots.iter().filter_map(|(slot, value)| match (slot, value) {
            (Slot::Assigned(name, uid), Value::Assigned(assigned)) => Some((name, *uid, assigned)),
            _ => None,
        })
    }

    /// What an own cluster was told about a workload.
    pub fn assigned(&self, name: &Name, workload: Uid) -> Option<&'a Assigned> {
        match self.slots.get(&Slot::Assigned(name.clone(), workload)) {
            Some(Value::Assigned(assigned)) => Some(assigned),
            _ => None,
        }
    }

    /// What a child may select of a placement; nothing unless it was granted.
    pub fn share(&self, placement: Uid, name: &Name) -> Share {
        match self.slots.get(&Slot::Share(placement, name.clone())) {
            Some(Value::Share(share)) => *share,
            _ => Share::default(),
        }
    }

    /// What the children may hold of a placement, as this hub counts.
    pub fn ceilings(&self, placement: Uid) -> u32 {
        self.shares(placement).fold(0, |sum, share| sum.saturating_add(share.ceiling))
    }

    /// What the children were granted of a placement.
    pub fn granted(&self, placement: Uid) -> u32 {
        self.shares(placement).fold(0, |sum, share| sum.saturating_add(share.grant))
    }

    fn shares(&self, placement: Uid) -> impl Iterator<Item = Share> {
        self.slots.iter().filter_map(move |(slot, value)| match (slot, value) {
            (Slot::Share(uid, _), Value::Share(share)) if *uid == placement => Some(*share),
            _ => None,
        })
    }

    /// The objects that are at home here.
    pub fn own_objects(&self) -> impl Iterator<Item = &'a std::sync::Arc<Object>> {
        self.slots
            .range(Slot::Object(Uid(0))..)
            .map_while(|(_, value)| if let Value::Object(object) = value { Some(object) } else { None })
    }

    /// An object that applies here, at home here or above.
    pub fn object(&self, uid: Uid) -> Option<&'a Object> {
        if let Some(Value::Object(object)) = self.slots.get(&Slot::Object(uid)) {
            return Some(object);
        }
        self.row(&EdgeId::Parent, RowKind::Object, uid)?
            .payload
            .body
            .object()
            .map(std::convert::AsRef::as_ref)
    }

    /// Whether somebody above no longer knows an object that is kept here.
    pub fn is_in_doubt(&self, uid: Uid) -> bool {
        let orphaned = self.row(&EdgeId::Parent, RowKind::Object, uid).is_some_and(|row| row.orphaned);
        let doubted = self.row(&EdgeId::Parent, RowKind::Doubt, uid).is_some();
        (orphaned || doubted) && !self.slots.contains_key(&Slot::Object(uid))
    }

    /// How many clusters a placement may select below this hub, as its home or parent said.
    pub fn quota(&self, placement: Uid) -> Option<u32> {
        if let Some(Value::Object(object)) = self.slots.get(&Slot::Object(placement)) {
            return object.placement()?.number_of_clusters;
        }
        self.row(&EdgeId::Parent, RowKind::Grant, placement)?.payload.body.grant()
    }

    /// What a child hub offers of a placement.
    pub fn offer(&self, placement: Uid, name: &Name) -> Option<&'a Offer> {
        self.row(&EdgeId::Child(name.clone()), RowKind::Offer, placement)?.payload.body.offer()
    }

    /// What an own cluster reports on a workload.
    pub fn report(&self, workload: Uid, name: &Name) -> Option<&'a Report> {
        self.row(&EdgeId::Child(name.clone()), RowKind::Report, workload)?.payload.body.report()
    }

    /// The work that an agent has, or may have, in its cluster.
    pub fn held(&self) -> impl Iterator<Item = (Uid, &'a Work)> {
        let held = self.slots.range(Slot::Held(Uid(0))..).map_while(|(slot, value)| match (slot, value) {
            (Slot::Held(uid), Value::Held(held)) => Some((*uid, held.report.work.as_ref())),
            _ => None,
        });
        held.filter_map(|(uid, work)| Some((uid, work?)))
    }

    /// Whether this node lies in the scope of what has this home.
    pub fn is_in_scope(&self, home: &Home) -> bool {
        home.path.contains(&self.path)
    }
}
