//! Whatever a network and a disk do to one edge, after healing its receiver has what its sender tells.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use canopy_model::{Boot, Name, Now, Uid};
use proptest::prelude::*;

use super::{Edge, EdgeId, Frame, History, Received, Resume, SessionId};
use crate::durable::{Change, ReceivedRow, Slot, Value};
use crate::effect::Effect;
use crate::row::{Body, Key, Payload, RowKind};
use crate::seam::Step;

/// How many keys a table has.
const KEYS: u8 = 8;
/// So large that two rows fill a frame, and all keys are more than a commit may hold.
const LARGE_BYTES: usize = 150 * 1024;
/// More frames than any table of these tests needs.
const FRAMES_MAX: usize = 2_000;

/// What can happen; the parent tells, the child receives.
#[derive(Debug, Clone)]
enum Op {
    Write {
        key: u8,
        large: bool,
    },
    /// Keys in one commit that fills several frames, or is too large for that.
    WriteMany {
        keys: u8,
    },
    Remove {
        key: u8,
    },
    /// More removals at once than are remembered.
    RemoveAll,
    Deliver {
        to_child: bool,
    },
    Talk {
        rounds: u8,
    },
    Repeat {
        to_child: bool,
    },
    Overtake {
        to_child: bool,
    },
    Heartbeat,
    Connect,
    Cut,
    Crash {
        child: bool,
    },
    Copy {
        child: bool,
    },
    Restore {
        child: bool,
    },
    Lose {
        child: bool,
    },
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        8 => (0..KEYS, any::<bool>()).prop_map(|(key, large)| Op::Write { key, large }),
        2 => (4..=KEYS).prop_map(|keys| Op::WriteMany { keys }),
        4 => (0..KEYS).prop_map(|key| Op::Remove { key }),
        2 => Just(Op::RemoveAll),
        8 => any::<bool>().prop_map(|to_child| Op::Deliver { to_child }),
        8 => (1..8_u8).prop_map(|rounds| Op::Talk { rounds }),
        2 => any::<bool>().prop_map(|to_child| Op::Repeat { to_child }),
        3 => any::<bool>().prop_map(|to_child| Op::Overtake { to_child }),
        3 => Just(Op::Heartbeat),
        4 => Just(Op::Connect),
        1 => Just(Op::Cut),
        1 => any::<bool>().prop_map(|child| Op::Crash { child }),
        2 => any::<bool>().prop_map(|child| Op::Copy { child }),
        1 => any::<bool>().prop_map(|child| Op::Restore { child }),
        1 => any::<bool>().prop_map(|child| Op::Lose { child }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn after_healing_the_inbox_is_the_outbox(ops in prop::collection::vec(op(), 0..120)) {
        let mut pair = Pair::new();
        let mut faulty = false;
        for op in ops {
            faulty |= matches!(op, Op::Restore { .. } | Op::Lose { .. });
            pair.happen(op);
        }
        pair.heal();
        let told: BTreeMap<Key, u32> = pair.parent.values();
        prop_assert_eq!(pair.child.received(false), told.clone());
        let orphans = pair.child.received(true);
        prop_assert!(faulty || orphans.is_empty(), "orphans {:?} without a fault", orphans);
        prop_assert!(orphans.keys().all(|key| !told.contains_key(key)));
    }

    #[test]
    fn what_a_parent_forgot_is_kept_as_an_orphan(keys in prop::collection::btree_set(0..KEYS, 1..6)) {
        let mut pair = Pair::new();
        keys.iter().for_each(|key| pair.happen(Op::Write { key: *key, large: false }));
        pair.heal();
        let before = pair.child.received(false);
        pair.happen(Op::Lose { child: false });
        pair.heal();
        prop_assert_eq!(pair.child.received(true), before);
    }
}

#[test]
fn a_snapshot_that_a_crash_cut_short_leaves_nothing_behind() {
    let mut pair = Pair::new();
    pair.write(5..6, Some(false));
    pair.connect();
    pair.pump();
    pair.talk(3);
    assert!(pair.child.edge.inbox.is_staging() && pair.child.received(false).is_empty());
    pair.crash(true);
    pair.write(5..6, None);
    pair.heal();
    pair.crash(true);
    assert_eq!(pair.child.received(false), BTreeMap::new());
}

#[test]
fn a_copy_from_before_a_snapshot_that_grew_while_it_was_sent_is_noticed() {
    let mut pair = Pair::new();
    pair.connect();
    pair.pump();
    for op in [
        Op::Write { key: 1, large: false },
        Op::Deliver { to_child: false },
        Op::Copy { child: false },
        Op::WriteMany { keys: KEYS },
        Op::Talk { rounds: 9 },
        Op::Restore { child: false },
    ] {
        pair.happen(op);
    }
    pair.heal();
    assert_eq!(pair.child.received(false), pair.parent.values());
}

type Slots = BTreeMap<Slot, Value>;

/// One end, with its disk and an old copy of it.
struct End {
    edge: Edge,
    history: History,
    disk: Slots,
    copy: Slots,
}

impl End {
    fn new(id: EdgeId, boot: u128) -> Self {
        let mut end = Self {
            edge: Edge::new(id),
            history: History::begin(Boot(boot)),
            disk: BTreeMap::new(),
            copy: BTreeMap::new(),
        };
        end.write_history();
        end.copy.clone_from(&end.disk);
        end
    }

    fn write_history(&mut self) {
        self.disk.insert(Slot::History, Value::History(self.history.clone()));
    }

    /// Starts again from its disk, as a node does.
    fn start(&mut self, boot: u128) {
        let id = self.edge.id.clone();
        self.edge = Edge::new(id.clone());
        match self.disk.get(&Slot::History) {
            Some(Value::History(history)) => {
                self.history = history.clone();
                self.history.reopen(Boot(boot));
            }
            _ => self.history = History::begin(Boot(boot)),
        }
        let mut rows = Vec::new();
        for (slot, value) in self.disk.clone() {
            match (slot, value) {
                (Slot::Position(_), Value::Position(received)) => self.edge.inbox.load_cursor(received),
                (Slot::Received(_, of, key), Value::Received(row)) => rows.push((of, key, row)),
                (Slot::Sent(_, key), Value::Sent(row)) => self.edge.outbox.load_row(key, row),
                (Slot::Floor(_), Value::Floor(floor)) => self.edge.outbox.load_floor(floor),
                _ => {}
            }
        }
        for (of, key, row) in rows {
            self.edge.inbox.load_row(of, key, row);
        }
        self.write_history();
    }

    /// What this end tells. The values lie on its disk, under the slots of objects, so that a copy has
    /// them, too.
    fn values(&self) -> BTreeMap<Key, u32> {
        let live = self.edge.outbox.live();
        live.map(|key| (*key, number(&value(&self.disk, key).unwrap()))).collect()
    }

    /// What this end was told, orphaned or not.
    fn received(&self, orphaned: bool) -> BTreeMap<Key, u32> {
        let rows = self.edge.inbox.rows().filter(|(_, row)| row.orphaned == orphaned);
        rows.map(|(key, row)| (*key, number(&row.payload))).collect()
    }
}

fn value(disk: &Slots, key: &Key) -> Option<Payload> {
    match disk.get(&Slot::Object(key.uid)) {
        Some(Value::Received(row)) => Some(row.payload.clone()),
        _ => None,
    }
}

fn number(payload: &Payload) -> u32 {
    payload.body.grant().expect("only grants are told here")
}

/// A parent, a child, and what is under way between them.
struct Pair {
    parent: End,
    child: End,
    session: Option<SessionId>,
    to_child: VecDeque<Frame>,
    to_parent: VecDeque<Frame>,
    drawn: u64,
    large: Arc<[u8]>,
}

impl Pair {
    fn new() -> Self {
        let name: Name = "plant-7".parse().unwrap();
        Self {
            parent: End::new(EdgeId::Child(name), 1),
            child: End::new(EdgeId::Parent, 2),
            session: None,
            to_child: VecDeque::new(),
            to_parent: VecDeque::new(),
            drawn: 2,
            large: Arc::from(vec![0; LARGE_BYTES]),
        }
    }

    fn draw(&mut self) -> u64 {
        self.drawn += 1;
        self.drawn
    }

    fn end(&mut self, child: bool) -> &mut End {
        if child { &mut self.child } else { &mut self.parent }
    }

    fn line(&mut self, to_child: bool) -> &mut VecDeque<Frame> {
        if to_child { &mut self.to_child } else { &mut self.to_parent }
    }

    fn happen(&mut self, op: Op) {
        match op {
            Op::Write { key, large } => self.write(key..key + 1, Some(large)),
            Op::WriteMany { keys } => self.write(0..keys, Some(true)),
            Op::Remove { key } => self.write(key..key + 1, None),
            Op::RemoveAll => self.write(0..KEYS, None),
            Op::Deliver { to_child } => self.deliver(to_child),
            Op::Talk { rounds } => self.talk(rounds),
            Op::Repeat { to_child } => {
                let line = self.line(to_child);
                if let Some(frame) = line.front().cloned() {
                    line.push_front(frame);
                }
            }
            Op::Overtake { to_child } => {
                let line = self.line(to_child);
                if line.len() > 1 {
                    line.swap(0, 1);
                }
            }
            Op::Heartbeat => self.act(false, |end, step| end.edge.heartbeat(&end.history, 0, step)),
            Op::Connect if self.session.is_some() => {}
            Op::Connect => self.connect(),
            Op::Cut => self.cut(),
            Op::Crash { child } => self.crash(child),
            Op::Copy { child } => {
                let end = self.end(child);
                end.copy.clone_from(&end.disk);
            }
            Op::Restore { child } => {
                self.cut();
                let end = self.end(child);
                end.disk.clone_from(&end.copy);
                self.crash(child);
            }
            Op::Lose { child } => {
                self.cut();
                self.end(child).disk.clear();
                self.crash(child);
            }
        }
        self.pump();
    }

    /// One commit that writes these keys, or removes them.
    fn write(&mut self, keys: std::ops::Range<u8>, large: Option<bool>) {
        let number = u32::try_from(self.draw()).unwrap();
        let original = large.unwrap_or(false).then(|| self.large.clone());
        let payload = Payload { body: Body::Grant(number), original };
        self.act(false, |end, step| {
            end.history.version += 1;
            let (id, version) = (end.edge.id.clone(), end.history.version);
            for uid in keys.map(|key| Uid(key.into())) {
                let (learned, payload) = (end.history.incarnation, payload.clone());
                let row = ReceivedRow { version, learned, orphaned: false, payload };
                step.put(match large {
                    Some(_) => Change::Put(Slot::Object(uid), Value::Received(row)),
                    None => Change::Delete(Slot::Object(uid)),
                });
                end.edge.outbox.touch(&id, Key::new(RowKind::Grant, uid), large.is_some(), version, step);
            }
        });
    }

    fn connect(&mut self) {
        self.cut();
        let session = SessionId(self.draw());
        self.session = Some(session);
        for child in [true, false] {
            self.act(child, |end, step| {
                end.edge.connect(Now::default(), session, &end.history, None, step);
            });
        }
    }

    fn cut(&mut self) {
        let Some(session) = self.session.take() else { return };
        self.to_child.clear();
        self.to_parent.clear();
        for child in [true, false] {
            self.act(child, |end, step| {
                end.edge.ended(session, step);
            });
        }
    }

    fn crash(&mut self, child: bool) {
        self.cut();
        let boot = self.draw().into();
        self.end(child).start(boot);
    }

    fn deliver(&mut self, to_child: bool) {
        let (Some(session), Some(frame)) = (self.session, self.line(to_child).pop_front()) else { return };
        self.act(to_child, |end, step| {
            let received = end.edge.receive(Now::default(), session, frame, &end.history, step);
            if let Received::Hello(_, Resume::Restored) = received {
                if !end.history.is_renewed() {
                    end.history.version += 1;
                    end.history.renew();
                }
                end.edge.disconnect("restored", step);
            }
        });
    }

    fn talk(&mut self, rounds: u8) {
        for to_child in [true, false].repeat(rounds.into()) {
            self.deliver(to_child);
            self.pump();
        }
    }

    fn pump(&mut self) {
        for child in [true, false] {
            self.act(child, |end, step| {
                let values = end.disk.clone();
                end.edge.pump(&end.history, &|key| value(&values, key), step);
            });
        }
    }

    /// One step of one end: commit, then effects.
    fn act(&mut self, child: bool, act: impl FnOnce(&mut End, &mut Step)) {
        let mut step = Step::default();
        let end = self.end(child);
        act(end, &mut step);
        end.write_history();
        let disk = &mut end.disk;
        let effects = step.commit(|changes| {
            for change in changes.iter().cloned() {
                match change {
                    Change::Put(slot, value) => disk.insert(slot, value),
                    Change::Delete(slot) => disk.remove(&slot),
                };
            }
            Ok::<(), ()>(())
        });
        for effect in effects.unwrap() {
            if let Effect::Send { session, frame, .. } = effect {
                if Some(session) == self.session {
                    self.line(!child).push_back(frame);
                }
            } else if let Effect::Disconnect { session, .. } = effect
                && Some(session) == self.session
            {
                self.cut();
            }
        }
    }

    /// A good line until nothing more is said.
    fn heal(&mut self) {
        for _ in 0..FRAMES_MAX {
            if self.session.is_none() {
                self.connect();
                self.pump();
            }
            if self.to_child.is_empty() && self.to_parent.is_empty() {
                return;
            }
            self.talk(1);
        }
        panic!("no end of frames");
    }
}
