//! A table at its receiver: the rows, and the sender's position up to which they are complete.
//!
//! A snapshot comes in beside the current rows, under the other generation; one commit makes it
//! current. A row that is missing from it is dropped only if it was learned in the sender's same
//! incarnation: a sender that lost its memory must not make its receivers forget theirs.

use std::collections::BTreeMap;

use canopy_model::{Boot, Cursor, Incarnation, Uid};

use super::edge::EdgeId;
use super::frame::Row;
use crate::durable::{Change, Generation, Position, ReceivedRow, Slot, Value};
use crate::row::{Body, Key, Payload, RowKind};
use crate::seam::Step;

/// What becomes of a row that is missing from the snapshot of another incarnation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missing {
    /// It is kept and marked: from a parent.
    Orphan,
    /// It is dropped: from a child, which speaks about itself.
    Drop,
}

/// A table at its receiver.
#[derive(Debug)]
pub struct Inbox {
    rows: BTreeMap<Key, ReceivedRow>,
    received: Option<Position>,
    staged: Option<Staged>,
    missing: Missing,
}

#[derive(Debug, Default)]
struct Staged {
    version: u64,
    rows: BTreeMap<Key, ReceivedRow>,
}

impl Inbox {
    pub(crate) fn new(missing: Missing) -> Self {
        Self { rows: BTreeMap::new(), received: None, staged: None, missing }
    }

    pub(crate) fn load_cursor(&mut self, received: Position) {
        self.received = Some(received);
    }

    /// A row from disk, after the cursor. A snapshot that a crash cut short is still there: it has to
    /// be abandoned before another one comes into its place.
    pub(crate) fn load_row(&mut self, generation: Generation, key: Key, row: ReceivedRow) {
        let rows = if self.generation() == generation {
            &mut self.rows
        } else {
            &mut self.staged.get_or_insert_default().rows
        };
        rows.insert(key, row);
    }

    /// Whether a complete report arrived in this node's incarnation `mine`, however old it is.
    pub fn is_heard(&self, mine: Incarnation) -> bool {
        self.received.is_some_and(|received| received.into == mine)
    }

    /// The position to greet with: none unless it was reached in this node's incarnation `mine`.
    pub(crate) fn cursor(&self, mine: Incarnation) -> Option<Cursor> {
        self.received.filter(|received| received.into == mine).map(|received| received.cursor)
    }

    /// Up to where the table may have been told.
    pub(crate) fn seen(&self) -> u64 {
        self.received.map_or(0, |received| received.seen)
    }

    /// The value of a row.
    pub fn get(&self, key: &Key) -> Option<&Payload> {
        self.rows.get(key).map(|row| &row.payload)
    }

    /// A row with what is known about it.
    pub fn row(&self, key: &Key) -> Option<&ReceivedRow> {
        self.rows.get(key)
    }

    /// All rows.
    pub fn rows(&self) -> impl Iterator<Item = (&Key, &ReceivedRow)> {
        self.rows.iter()
    }

    /// The rows of one kind, in the order of their uids.
    pub fn rows_of(&self, kind: RowKind) -> impl Iterator<Item = (Uid, &Body)> {
        let all = Key::new(kind, Uid(0))..=Key::new(kind, Uid(u128::MAX));
        self.rows.range(all).map(|(key, row)| (key.uid, &row.payload.body))
    }

    /// A snapshot begins; what was staged of an earlier one is cleared.
    pub(crate) fn begin(&mut self, edge: &EdgeId, version: u64, step: &mut Step) {
        self.abandon(edge, step);
        self.staged = Some(Staged { version, rows: BTreeMap::new() });
    }

    /// Clears a snapshot that will not be completed.
    pub(crate) fn abandon(&mut self, edge: &EdgeId, step: &mut Step) {
        let other = !self.generation();
        for key in self.staged.take().into_iter().flat_map(|staged| staged.rows.into_keys()) {
            step.put(Change::Delete(Slot::Received(edge.clone(), other, key)));
        }
    }

    pub(crate) fn is_staging(&self) -> bool {
        self.staged.is_some()
    }

    /// Rows of the snapshot that is coming in.
    pub(crate) fn stage(&mut self, edge: &EdgeId, learned: Incarnation, rows: Vec<Row>, step: &mut Step) {
        let other = !self.generation();
        let Some(staged) = &mut self.staged else { return };
        for Row { key, version, payload } in rows {
            let Some(payload) = payload else { continue };
            let row = ReceivedRow { version, learned, orphaned: false, payload };
            let slot = Slot::Received(edge.clone(), other, key);
            step.put(Change::Put(slot, Value::Received(row.clone())));
            staged.rows.insert(key, row);
        }
    }

    /// The snapshot is complete: makes it current and returns the keys that changed. `None` when
    /// the count does not fit.
    pub(crate) fn end(
        &mut self,
        edge: &EdgeId,
        (incarnation, boot, seen): (Incarnation, Boot, u64),
        mine: Incarnation,
        count: u64,
        step: &mut Step,
    ) -> Option<Vec<Key>> {
        let mut staged = self.staged.take_if(|staged| staged.rows.len() as u64 == count)?;
        let old_generation = self.generation();
        let mut old_rows = std::mem::take(&mut self.rows);
        let mut changed = Vec::new();
        for (key, new) in &staged.rows {
            // What an owner answers names the row that it answers, not only its value.
            let same = |old: &ReceivedRow| (old.learned, old.version) == (new.learned, new.version);
            if old_rows.get(key).is_none_or(|old| old.orphaned || !same(old)) {
                changed.push(*key);
            }
        }
        for key in old_rows.keys() {
            step.put(Change::Delete(Slot::Received(edge.clone(), old_generation, *key)));
        }
        old_rows.retain(|key, _| !staged.rows.contains_key(key));
        for (key, mut old) in old_rows {
            changed.push(key);
            if old.learned != incarnation && self.missing == Missing::Orphan {
                old.orphaned = true;
                let slot = Slot::Received(edge.clone(), !old_generation, key);
                step.put(Change::Put(slot, Value::Received(old.clone())));
                self.rows.insert(key, old);
            }
        }
        self.rows.append(&mut staged.rows);
        let cursor = Cursor { incarnation, boot, version: staged.version };
        self.received = Some(Position { cursor, seen, into: mine, generation: !old_generation });
        self.write_cursor(edge, step);
        Some(changed)
    }

    /// Changes after the present position, complete up to `through`. What changed while the snapshot
    /// was sent may be here already and is ignored; older rows cannot come, because a session counts
    /// its frames and begins at the position that this end named.
    pub(crate) fn apply(
        &mut self,
        edge: &EdgeId,
        boot: Boot,
        rows: Vec<Row>,
        (through, seen): (u64, u64),
        step: &mut Step,
    ) -> Vec<Key> {
        let Some(mut received) = self.received else { return Vec::new() };
        let incarnation = received.cursor.incarnation;
        let mut changed = Vec::new();
        for Row { key, version, payload } in rows {
            let same = |old: &ReceivedRow| old.learned == incarnation && old.version == version;
            if self.rows.get(&key).is_some_and(same) {
                continue;
            }
            let slot = Slot::Received(edge.clone(), received.generation, key);
            match payload {
                Some(payload) => {
                    let row = ReceivedRow { version, learned: incarnation, orphaned: false, payload };
                    step.put(Change::Put(slot, Value::Received(row.clone())));
                    self.rows.insert(key, row);
                }
                None => {
                    step.put(Change::Delete(slot));
                    self.rows.remove(&key);
                }
            }
            changed.push(key);
        }
        received.cursor.version = received.cursor.version.max(through);
        received.seen = received.seen.max(seen);
        received.cursor.boot = boot;
        self.received = Some(received);
        self.write_cursor(edge, step);
        changed
    }

    /// The sender says that everything up to `sent` has arrived. Not worth a commit of its own.
    pub(crate) fn note_sent(&mut self, boot: Boot, sent: u64) {
        if let Some(received) = &mut self.received
            && received.cursor.version <= sent
        {
            received.cursor.version = sent;
            received.seen = received.seen.max(sent);
            received.cursor.boot = boot;
        }
    }

    /// Removes a row by this node's own decision.
    pub(crate) fn remove(&mut self, edge: &EdgeId, key: &Key, step: &mut Step) {
        if self.rows.remove(key).is_some() {
            step.put(Change::Delete(Slot::Received(edge.clone(), self.generation(), *key)));
        }
    }

    /// Forgets everything, when the neighbour leaves.
    pub(crate) fn clear(&mut self, edge: &EdgeId, step: &mut Step) {
        self.abandon(edge, step);
        let generation = self.generation();
        for key in std::mem::take(&mut self.rows).into_keys() {
            step.put(Change::Delete(Slot::Received(edge.clone(), generation, key)));
        }
        self.received = None;
        step.put(Change::Delete(Slot::Position(edge.clone())));
    }

    fn generation(&self) -> Generation {
        self.received.is_some_and(|received| received.generation)
    }

    fn write_cursor(&self, edge: &EdgeId, step: &mut Step) {
        if let Some(received) = self.received {
            step.put(Change::Put(Slot::Position(edge.clone()), Value::Position(received)));
        }
    }
}
