//! The sets that this process applied, and what the server answered for each of their objects.
//!
//! The newest value is all that a watch needs, so it is published as one value. Nothing is kept on
//! disk: an agent applies what it holds when it starts, which changes nothing in a cluster that did
//! not drift.

use std::collections::BTreeMap;
use std::sync::Arc;

use canopy_model::Uid;
use canopy_upkeep::{JsonPath, StrategyType};
use tokio::sync::watch;

use crate::kinds::Kind;
use crate::object::ObjectName;
use crate::ownership::Seen;

/// Sets by their workload's uid.
pub(crate) type Sets = BTreeMap<Uid, Arc<Set>>;

/// One applied set.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Set {
    /// False while it is being applied or deleted: nothing is concluded about it meanwhile.
    pub(crate) settled: bool,
    /// Its objects.
    pub(crate) members: BTreeMap<ObjectName, Member>,
}

/// One object of a set.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Member {
    /// Its kind; none when the cluster does not serve it.
    pub(crate) kind: Option<Kind>,
    /// How it is kept.
    pub(crate) strategy: StrategyType,
    /// What of it is told.
    pub(crate) feedback: Arc<[JsonPath]>,
    /// The object as the server stored it; none when it was refused or not reached, or is only
    /// watched and not there.
    pub(crate) accepted: Option<Seen>,
}

/// The published sets.
#[derive(Default)]
pub(crate) struct Applied(watch::Sender<Sets>);

impl Applied {
    /// Follows the sets.
    pub(crate) fn subscribe(&self) -> watch::Receiver<Sets> {
        self.0.subscribe()
    }

    /// The objects of a set, as far as this process knows them.
    pub(crate) fn members(&self, uid: Uid) -> BTreeMap<ObjectName, Member> {
        self.0.borrow().get(&uid).map(|set| set.members.clone()).unwrap_or_default()
    }

    /// Marks a set as being changed; its members stay known until [`Self::settle`].
    pub(crate) fn unsettle(&self, uid: Uid) {
        self.0.send_modify(|sets| Arc::make_mut(sets.entry(uid).or_default()).settled = false);
    }

    /// Publishes what an apply came to.
    pub(crate) fn settle(&self, uid: Uid, members: BTreeMap<ObjectName, Member>) {
        self.0.send_modify(|sets| {
            sets.insert(uid, Arc::new(Set { settled: true, members }));
        });
    }

    /// Forgets a set that is gone.
    pub(crate) fn remove(&self, uid: Uid) {
        self.0.send_modify(|sets| {
            sets.remove(&uid);
        });
    }
}
