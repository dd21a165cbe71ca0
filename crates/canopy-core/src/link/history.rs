//! Incarnations, boots and cursors: how a node notices that its memory is older than the world.
//!
//! Versions count the steps that changed something. A boot is drawn at each opening of the store, and the history keeps the
//! first version of each. A peer that has seen an unknown boot, or a version past a boot's end,
//! proves that this node was restored from an old copy. It then lives on in a new incarnation.

use canopy_model::{Boot, Cursor, Incarnation};

/// How many boots a history remembers. A cursor from before the oldest gets a snapshot.
const BOOTS_KEPT: usize = 32;
/// How many former incarnations a history remembers.
const FORMER_KEPT: usize = 16;

/// A node's own history.
#[derive(Debug, Clone, PartialEq)]
pub struct History {
    /// The present incarnation.
    pub incarnation: Incarnation,
    /// The boots of this incarnation with their first versions, oldest first.
    pub boots: Vec<(Boot, u64)>,
    /// Former incarnations of this store.
    pub former: Vec<Incarnation>,
    /// The last commit's version.
    pub version: u64,
    /// Children may exist, and may hold work, of which this node does not know.
    pub recovering: bool,
}

/// How a sender goes on for a receiver with a given cursor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resume {
    /// With the changes after this version.
    After(u64),
    /// With a snapshot.
    Snapshot,
    /// Not at all before a new incarnation: this node was restored from an old copy.
    Restored,
    /// With a snapshot; but the receiver knows an incarnation of this node that is not here.
    LostHistory,
}

impl History {
    /// The history of a new store.
    pub(crate) fn begin(boot: Boot) -> Self {
        Self {
            incarnation: Incarnation(boot.0),
            boots: vec![(boot, 1)],
            former: Vec::new(),
            version: 0,
            recovering: false,
        }
    }

    /// Notes that the store was opened again.
    pub(crate) fn reopen(&mut self, boot: Boot) {
        self.boots.push((boot, self.version + 1));
        if self.boots.len() > BOOTS_KEPT {
            self.boots.remove(0);
        }
    }

    /// Begins a new incarnation, named by the present boot.
    pub(crate) fn renew(&mut self) {
        let (boot, _) = self.current();
        self.note_former(self.incarnation);
        self.incarnation = Incarnation(boot.0);
        self.boots = vec![(boot, self.version + 1)];
        self.recovering = true;
    }

    /// Notes an incarnation of this node that came to an end.
    pub(crate) fn note_former(&mut self, incarnation: Incarnation) {
        self.former.push(incarnation);
        if self.former.len() > FORMER_KEPT {
            self.former.remove(0);
        }
    }

    /// The present boot.
    pub(crate) fn boot(&self) -> Boot {
        self.current().0
    }

    /// Whether the present boot has already led to a new incarnation.
    pub(crate) fn is_renewed(&self) -> bool {
        self.incarnation == Incarnation(self.boot().0)
    }

    fn current(&self) -> (Boot, u64) {
        *self.boots.last().expect("a history has its present boot")
    }

    /// How to go on for a receiver that stands at `cursor`, when removals up to version `floor`
    /// are no longer known.
    pub(crate) fn resume(&self, cursor: Option<Cursor>, floor: u64) -> Resume {
        let Some(cursor) = cursor else { return Resume::Snapshot };
        if cursor.incarnation != self.incarnation {
            let known = self.former.contains(&cursor.incarnation);
            return if known { Resume::Snapshot } else { Resume::LostHistory };
        }
        let Some(at) = self.boots.iter().position(|(boot, _)| *boot == cursor.boot) else {
            let ancient = cursor.version < self.boots[0].1;
            return if ancient { Resume::Snapshot } else { Resume::Restored };
        };
        let end = self.boots.get(at + 1).map_or(self.version, |(_, first)| first - 1);
        if cursor.version > end {
            Resume::Restored
        } else if cursor.version < floor {
            Resume::Snapshot
        } else {
            Resume::After(cursor.version)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cursor(incarnation: u128, boot: u128, version: u64) -> Option<Cursor> {
        Some(Cursor { incarnation: Incarnation(incarnation), boot: Boot(boot), version })
    }

    #[test]
    fn a_cursor_past_its_boots_end_proves_a_restored_copy() {
        let mut history = History::begin(Boot(1));
        history.version = 10;
        history.reopen(Boot(2));
        history.version = 15;
        assert_eq!(history.resume(None, 0), Resume::Snapshot);
        assert_eq!(history.resume(cursor(1, 1, 10), 0), Resume::After(10));
        assert_eq!(history.resume(cursor(1, 1, 11), 0), Resume::Restored, "boot 1 ended at 10");
        assert_eq!(history.resume(cursor(1, 2, 15), 0), Resume::After(15));
        assert_eq!(history.resume(cursor(1, 2, 16), 0), Resume::Restored);
        assert_eq!(history.resume(cursor(1, 9, 12), 0), Resume::Restored, "unknown boot");
        assert_eq!(history.resume(cursor(1, 2, 12), 13), Resume::Snapshot, "below the floor");
        assert_eq!(history.resume(cursor(7, 1, 1), 0), Resume::LostHistory);
    }

    #[test]
    fn a_new_incarnation_knows_the_former_one() {
        let mut history = History::begin(Boot(1));
        history.version = 10;
        history.reopen(Boot(2));
        history.renew();
        assert!(history.recovering);
        assert_eq!(history.resume(cursor(1, 1, 12), 0), Resume::Snapshot);
        assert_eq!(history.resume(cursor(2, 2, 10), 0), Resume::After(10));
    }
}
