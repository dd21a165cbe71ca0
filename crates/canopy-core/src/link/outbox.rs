//! A table at its sender: which rows are live, and when each changed last.
//!
//! Values are not kept here; they are made from the node's state when a batch is built, so a row
//! that changed ten times while the line was down travels once. The table is bounded by its live
//! keys, whatever the length of an outage.

use std::collections::{BTreeMap, BTreeSet};

use super::edge::EdgeId;
use crate::durable::{Change, SentRow, Slot, Value};
use crate::row::Key;
use crate::seam::Step;

/// Removed rows are remembered up to this number beyond the live ones; past it the oldest are
/// forgotten, and a receiver that missed them gets a snapshot. So few in tests that some are.
const REMOVED_KEPT: usize = if cfg!(test) { 1 } else { 1024 };

/// A table at its sender.
#[derive(Debug, Default)]
pub struct Outbox {
    rows: BTreeMap<Key, SentRow>,
    order: BTreeSet<(u64, Key)>,
    removed: BTreeSet<(u64, Key)>,
    floor: u64,
}

impl Outbox {
    pub(crate) fn load_row(&mut self, key: Key, row: SentRow) {
        self.rows.insert(key, row);
        self.order.insert((row.version, key));
        if !row.live {
            self.removed.insert((row.version, key));
        }
    }

    pub(crate) fn load_floor(&mut self, floor: u64) {
        self.floor = floor;
    }

    /// Below which version removals are no longer known.
    pub(crate) fn floor(&self) -> u64 {
        self.floor
    }

    /// The version of a live row.
    pub(crate) fn version(&self, key: &Key) -> Option<u64> {
        self.rows.get(key).filter(|row| row.live).map(|row| row.version)
    }

    /// The live keys.
    pub(crate) fn live(&self) -> impl Iterator<Item = &Key> {
        self.rows.iter().filter(|(_, row)| row.live).map(|(key, _)| key)
    }

    /// Live rows with keys after `after`, for a snapshot.
    pub(crate) fn live_after(&self, after: Option<Key>) -> impl Iterator<Item = (Key, u64)> + '_ {
        use std::ops::Bound::{Excluded, Unbounded};
        let start = after.map_or(Unbounded, Excluded);
        let rows = self.rows.range((start, Unbounded));
        rows.filter(|(_, row)| row.live).map(|(key, row)| (*key, row.version))
    }

    /// Rows that changed after `version`, in order.
    pub(crate) fn changed_after(&self, version: u64) -> impl Iterator<Item = (Key, SentRow)> + '_ {
        use std::ops::Bound::{Excluded, Unbounded};
        let last = Key::new(crate::row::RowKind::Other(u32::MAX), canopy_model::Uid(u128::MAX));
        let changed = self.order.range((Excluded((version, last)), Unbounded));
        changed.map(|(_, key)| (*key, self.rows[key]))
    }

    /// Notes that the row's value changed in commit `version`, or that it was removed.
    pub(crate) fn touch(&mut self, edge: &EdgeId, key: Key, live: bool, version: u64, step: &mut Step) {
        match self.rows.get(&key) {
            None if !live => return,
            Some(old) if !live && !old.live => return,
            Some(old) => {
                self.order.remove(&(old.version, key));
                self.removed.remove(&(old.version, key));
            }
            None => {}
        }
        let row = SentRow { version, live };
        self.load_row(key, row);
        step.put(Change::Put(Slot::Sent(edge.clone(), key), Value::Sent(row)));
        let excess = self.removed.len().saturating_sub(self.rows.len() - self.removed.len() + REMOVED_KEPT);
        for _ in 0..excess {
            self.forget_oldest_removed(edge, step);
        }
    }

    /// The receiver has made everything up to `version` durable: its removals can be forgotten.
    pub(crate) fn acknowledged(&mut self, edge: &EdgeId, version: u64, step: &mut Step) {
        while self.removed.first().is_some_and(|(at, _)| *at <= version) {
            self.forget_oldest_removed(edge, step);
        }
    }

    fn forget_oldest_removed(&mut self, edge: &EdgeId, step: &mut Step) {
        let Some((version, key)) = self.removed.pop_first() else { return };
        self.order.remove(&(version, key));
        self.rows.remove(&key);
        self.floor = self.floor.max(version);
        step.put(Change::Delete(Slot::Sent(edge.clone(), key)));
        step.put(Change::Put(Slot::Floor(edge.clone()), Value::Floor(self.floor)));
    }

    /// Begins a table for a new neighbour: what it may remember from before `version` is void.
    pub(crate) fn begin(&mut self, edge: &EdgeId, version: u64, step: &mut Step) {
        self.floor = version;
        step.put(Change::Put(Slot::Floor(edge.clone()), Value::Floor(version)));
    }

    /// Forgets everything, when the neighbour leaves.
    pub(crate) fn clear(&mut self, edge: &EdgeId, step: &mut Step) {
        for key in std::mem::take(&mut self.rows).into_keys() {
            step.put(Change::Delete(Slot::Sent(edge.clone(), key)));
        }
        step.put(Change::Delete(Slot::Floor(edge.clone())));
        *self = Self::default();
    }
}
