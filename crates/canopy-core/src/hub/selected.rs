//! How many clusters a placement without a number selects: own ones are counted as they change, those
//! below other hubs as these tell. One that is closed to new work counts as well.

use canopy_model::{Fit, Name, Record, Role, Uid};

use super::settle::Touched;
use super::state::Hub;
use crate::row::{Body, Key, RowKind};

/// Clusters that a placement without a number selects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Selected {
    /// As many as are known.
    pub clusters: u32,
    /// Every hub below has told.
    pub complete: bool,
}

impl Hub {
    /// What a placement selects below this hub; none if it has a number.
    pub fn selected(&self, placement: Uid) -> Option<Selected> {
        let own = *self.selects.get(&placement)?;
        let key = Key::new(RowKind::Selected, placement);
        let told = self.hubs.iter().map(|name| match self.children[name].edge.inbox.get(&key) {
            Some(row) => row.body.selected(),
            None => None,
        });
        let begin = Selected { clusters: own, complete: true };
        Some(told.fold(begin, |sum, told| Selected {
            clusters: sum.clusters.saturating_add(told.unwrap_or(0)),
            complete: sum.complete && told.is_some(),
        }))
    }

    /// What is told upward; nothing while it is not known.
    pub(super) fn selected_row(&self, placement: Uid) -> Option<Body> {
        self.selected(placement).filter(|it| it.complete).map(|it| Body::Selected(it.clusters))
    }

    /// A placement came, changed or is gone: its own clusters are counted from the beginning.
    pub(super) fn count_selected(&mut self, uid: Uid) {
        let spec = self.object(uid).and_then(|object| object.placement());
        if spec.is_none_or(|spec| spec.number_of_clusters.is_some()) {
            self.selects.remove(&uid);
            return;
        }
        let count = self.children.keys().filter(|name| self.is_feasible(uid, name)).count();
        self.selects.insert(uid, u32::try_from(count).unwrap_or(u32::MAX));
    }

    /// The record of a child is another one now; none: it had none, or is gone.
    pub(super) fn recount_selected(&mut self, name: &Name, before: Option<&Record>, touched: &mut Touched) {
        for uid in self.selects.keys().copied().collect::<Vec<_>>() {
            let (was, is) = (self.fit(uid, before) > Fit::Never, self.is_feasible(uid, name));
            if was != is
                && let Some(count) = self.selects.get_mut(&uid)
            {
                *count = if is { count.saturating_add(1) } else { count.saturating_sub(1) };
                touched.placements.insert(uid);
            }
        }
    }

    /// Whether an own cluster that is recorded so is a place for a placement.
    pub(super) fn fit(&self, placement: Uid, record: Option<&Record>) -> Fit {
        let spec = self.object(placement).and_then(|object| object.placement());
        match (spec, record) {
            (Some(spec), Some(record)) if record.role == Role::Agent && !record.leaving => {
                spec.fit(&record.labels, &record.taints)
            }
            _ => Fit::Never,
        }
    }
}

#[cfg(test)]
mod tests {
    use canopy_model::{Incarnation, Role};

    use super::*;
    use crate::hub::fixture::{PLACEMENT, Store};
    use crate::link::EdgeId;

    fn selected(store: &Store) -> Option<Selected> {
        store.start().0.selected(PLACEMENT)
    }

    #[test]
    fn own_clusters_and_those_that_hubs_tell_are_counted() {
        let mut store = Store::new();
        assert_eq!(selected(&store), Some(Selected { clusters: 1, complete: true }));
        store.child("plant", Role::Hub);
        assert_eq!(selected(&store), Some(Selected { clusters: 1, complete: false }));
        let plant = EdgeId::Child("plant".parse().unwrap());
        store.heard(plant.clone(), Incarnation(10));
        store.row(plant, RowKind::Selected, PLACEMENT, Body::Selected(41), false);
        assert_eq!(selected(&store), Some(Selected { clusters: 42, complete: true }));
        store.record(|record| drop(record.labels.remove("line")));
        assert_eq!(selected(&store), Some(Selected { clusters: 41, complete: true }));
    }
}
