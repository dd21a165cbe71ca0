//! A hub as its store would hold it, for tests of single decisions: the region `eu` with the
//! cluster `press`, which its label `line: cnc` makes fit for the placement `cnc` of the workload
//! `line`. All but the cluster is at home at the root, unless a test says otherwise.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;

use canopy_model::{
    Boot, Cursor, Digest, Home, Incarnation, Labels, Metadata, Name, Now, Object, ObjectName, Path,
    Placement, Record, Report, ResourceVersion, Revision, Role, Selector, Spec, Stamp, Sync, Uid, Uptime,
    Wall, Work, Workload,
};

use super::state::Hub;
use crate::command::Outcome;
use crate::durable::{Assigned, Change, Position, ReceivedRow, SentRow, Slot, Value};
use crate::effect::Effect;
use crate::input::Input;
use crate::link::{EdgeId, History};
use crate::row::{Body, Key, RowKind};
use crate::seam::{Machine as _, Step};

pub(super) const PLACEMENT: Uid = Uid(1);
pub(super) const WORKLOAD: Uid = Uid(2);
/// The hub's present incarnation, and its parent's.
pub(super) const NOW: Incarnation = Incarnation(10);
/// The last version of the hub's history.
const VERSION: u64 = 20;

pub(super) fn press() -> Name {
    "press".parse().unwrap()
}

/// The slots of the store.
pub(super) struct Store(BTreeMap<Slot, Value>);

impl Store {
    /// Everything is known and heard; nothing is assigned yet.
    pub(super) fn new() -> Self {
        let history = History {
            incarnation: NOW,
            boots: vec![(Boot(10), 1)],
            former: Vec::new(),
            version: VERSION,
            recovering: false,
        };
        let mut store = Self([(Slot::History, Value::History(history))].into());
        store.child("press", Role::Agent);
        store.heard(EdgeId::Parent, NOW);
        for object in [placement(), workload()] {
            store.inherited(object, false);
        }
        store
    }

    /// A child that reported in the present incarnation.
    pub(super) fn child(&mut self, name: &str, role: Role) {
        let name: Name = name.parse().unwrap();
        self.heard(EdgeId::Child(name.clone()), NOW);
        let labels = Labels::from([("line".to_owned(), "cnc".to_owned())]);
        let record = Record::new(Uid(100), role, labels);
        self.0.insert(Slot::Child(name), Value::Child(record));
    }

    /// Changes the record of the cluster.
    pub(super) fn record(&mut self, change: impl FnOnce(&mut Record)) {
        let Some(Value::Child(record)) = self.0.get_mut(&Slot::Child(press())) else { panic!("no record") };
        change(record);
    }

    pub(super) fn without_record(&mut self) {
        self.0.remove(&Slot::Child(press()));
    }

    /// The neighbour's table was complete in this incarnation of the hub.
    pub(super) fn heard(&mut self, edge: EdgeId, into: Incarnation) {
        let cursor = Cursor { incarnation: NOW, boot: Boot(1), version: 1 };
        let received = Position { cursor, seen: cursor.version, into, generation: false };
        self.0.insert(Slot::Position(edge), Value::Position(received));
    }

    /// An object that the parent told; orphaned when it no longer knows it.
    pub(super) fn inherited(&mut self, object: Object, orphaned: bool) {
        let uid = object.metadata.uid;
        self.row(EdgeId::Parent, RowKind::Object, uid, Body::Object(Arc::new(object)), orphaned);
    }

    pub(super) fn row(&mut self, edge: EdgeId, kind: RowKind, uid: Uid, body: Body, orphaned: bool) {
        let key = Key { kind, uid };
        let row = ReceivedRow { version: 1, learned: NOW, orphaned, payload: body.into() };
        self.0.insert(Slot::Received(edge, false, key), Value::Received(row));
    }

    /// The parent tells nothing of an object.
    pub(super) fn unknown(&mut self, uid: Uid) {
        self.0.remove(&Slot::Received(EdgeId::Parent, false, Key { kind: RowKind::Object, uid }));
    }

    /// What the cluster was told of the workload.
    pub(super) fn assigned(&mut self, run: bool) {
        let assigned = Assigned { run, placements: vec![PLACEMENT], form: None };
        self.0.insert(Slot::Assigned(press(), WORKLOAD), Value::Assigned(assigned));
    }

    /// The version of that.
    pub(super) fn told_assignment(&mut self, version: u64) {
        let key = Key { kind: RowKind::Assignment, uid: WORKLOAD };
        let sent = SentRow { version, live: true };
        self.0.insert(Slot::Sent(EdgeId::Child(press()), key), Value::Sent(sent));
    }

    /// The cluster reports what it holds of the workload, which is at home at this path.
    pub(super) fn reports(&mut self, work: bool, stamp: Option<Stamp>, home: Home) {
        let work = work.then(|| Work {
            name: name("line"),
            home,
            placements: vec![PLACEMENT],
            revision: Some(Digest([1; 32])),
            sync: Sync::Synced,
            health: Default::default(),
            message: String::new(),
            refused: false,
            feedback: Default::default(),
        });
        let report = Body::Report(Report { stamp, work });
        self.row(EdgeId::Child(press()), RowKind::Report, WORKLOAD, report, false);
    }

    /// Writes what a step changes; its effects.
    pub(super) fn commit(&mut self, step: Step) -> Vec<Effect> {
        let written = step.commit(|changes| {
            for change in changes.iter().cloned() {
                match change {
                    Change::Put(slot, value) => self.0.insert(slot, value),
                    Change::Delete(slot) => self.0.remove(&slot),
                };
            }
            Ok::<_, Infallible>(())
        });
        let Ok(effects) = written;
        effects
    }

    /// The hub after its start, and what it decided then.
    pub(super) fn start(&self) -> (Hub, Step) {
        let mut hub = Hub::load("eu".parse().unwrap(), self.0.clone());
        let now = Now { uptime: Uptime(0), wall: Wall(0) };
        let step = hub.handle(now, Input::Started { boot: Boot(11) });
        (hub, step)
    }

    /// What the started hub tells the cluster to do about the workload: run it, remove it, or
    /// nothing.
    pub(super) fn decision(&self) -> Option<bool> {
        let (hub, _) = self.start();
        hub.assigned.get(&(WORKLOAD, press())).map(|(assigned, _)| assigned.run)
    }
}

/// What a command was answered.
pub(super) fn reply(effects: Vec<Effect>) -> Option<Outcome> {
    effects
        .into_iter()
        .find_map(|effect| if let Effect::Reply { outcome, .. } = effect { Some(outcome) } else { None })
}

/// A home at this path, at a position of its history.
pub(super) fn home(path: &str, boot: u128, version: u64) -> Home {
    let path: Path = path.parse().unwrap();
    Home { path, born: Cursor { incarnation: NOW, boot: Boot(boot), version } }
}

pub(super) fn placement() -> Object {
    let predicates = vec![Selector::equal("line", "cnc")];
    let placement = Placement { predicates, ..Placement::default() };
    object(PLACEMENT, "cnc", Spec::Placement(placement))
}

pub(super) fn workload() -> Object {
    let revision = Revision { digest: Digest([1; 32]), size: 1, inline: None };
    let placements = vec!["cnc".parse().unwrap()];
    object(WORKLOAD, "line", Spec::Workload(Workload { placements, revision }))
}

fn object(uid: Uid, called: &str, spec: Spec) -> Object {
    let metadata = Metadata {
        name: name(called),
        uid,
        home: home("/", 1, 1),
        generation: 1,
        resource_version: ResourceVersion(1),
        labels: Labels::default(),
        created_by: String::new(),
        changed_by: String::new(),
        created: Wall(0),
        deleted: None,
    };
    Object { metadata, spec }
}

fn name(called: &str) -> ObjectName {
    ObjectName { project: "default".parse().unwrap(), name: called.parse().unwrap() }
}
