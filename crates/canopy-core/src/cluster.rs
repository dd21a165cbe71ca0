//! The embedded cluster: a Kubernetes cluster in memory with a plausible life, as a pure machine.
//!
//! Deployments roll, pods take time to become ready, and some applies are refused. It survives the
//! agent's restart as a real cluster does. Agents run it with `--embedded`; simulations drive it in
//! virtual time.

use std::collections::BTreeMap;
use std::time::Duration;

use canopy_model::{Digest, Health, Now, Uid, Uptime};

use crate::effect::{Apply, ClusterOrder};
use crate::input::{ClusterEvent, Found};

/// How long a rollout takes: its pods are started one after the other.
pub const ROLL: Duration = Duration::from_secs(2);

/// A Kubernetes cluster in memory.
#[derive(Debug, Default)]
pub struct Cluster {
    sets: BTreeMap<Uid, Set>,
    /// Applies that will be refused, counted down.
    pub refuse_next: u32,
}

/// What one workload has in the cluster.
#[derive(Debug, Clone)]
pub struct Set {
    /// As a survey would find it.
    pub found: Found,
    /// When its pods are ready.
    pub ready_at: Uptime,
    told_ready: bool,
    /// Somebody changed it by hand.
    pub drifted: bool,
}

impl Set {
    /// How its pods are doing.
    pub fn health(&self, now: Now) -> Health {
        if self.ready_at <= now.uptime { Health::Healthy } else { Health::Progressing }
    }
}

impl Cluster {
    /// What is in the cluster, by workload.
    pub fn sets(&self) -> impl Iterator<Item = (Uid, &Set)> {
        self.sets.iter().map(|(uid, set)| (*uid, set))
    }

    /// Puts back what was in the cluster when it was written down; its pods are ready, or start anew.
    pub fn restore(&mut self, now: Now, found: Found, ready: bool) {
        let ready_at = if ready { now.uptime } else { now.uptime + ROLL };
        let set = Set { found, ready_at, told_ready: false, drifted: false };
        self.sets.insert(set.found.uid, set);
    }

    /// The revision that runs for a workload.
    pub fn revision(&self, uid: Uid) -> Option<Digest> {
        self.sets.get(&uid)?.found.revision
    }

    /// Obeys an order and answers it.
    pub fn obey(&mut self, now: Now, order: ClusterOrder) -> Vec<ClusterEvent> {
        match order {
            ClusterOrder::Apply(apply) => self.apply(now, apply),
            ClusterOrder::Delete { uid, attempt } => {
                self.sets.remove(&uid);
                vec![ClusterEvent::Deleted { uid, attempt, error: None }]
            }
            ClusterOrder::Survey => {
                let found = self.sets.values().map(|set| set.found.clone()).collect();
                let health = self.sets.iter().map(|(uid, set)| observed(*uid, set, now));
                [ClusterEvent::Surveyed(found)].into_iter().chain(health).collect()
            }
        }
    }

    fn apply(&mut self, now: Now, apply: Apply) -> Vec<ClusterEvent> {
        let Apply { uid, attempt, name, home, placements, revision } = apply;
        let revision = revision.digest;
        if self.refuse_next > 0 {
            self.refuse_next -= 1;
            let error = Some("Deployment: admission refused it, try again".to_owned());
            return vec![ClusterEvent::Applied { uid, revision, attempt, error }];
        }
        let unchanged =
            self.sets.get(&uid).filter(|set| set.found.revision == Some(revision) && !set.drifted);
        let ready_at = unchanged.map_or(now.uptime + ROLL, |set| set.ready_at);
        let found = Found { uid, name, home, placements, revision: Some(revision) };
        let set = Set { found, ready_at, told_ready: ready_at <= now.uptime, drifted: false };
        let health = observed(uid, &set, now);
        self.sets.insert(uid, set);
        vec![ClusterEvent::Applied { uid, revision, attempt, error: None }, health]
    }

    /// When pods become ready next.
    pub fn wake_at(&self) -> Option<Uptime> {
        self.sets.values().filter(|set| !set.told_ready).map(|set| set.ready_at).min()
    }

    /// Tells what became ready since.
    pub fn wake(&mut self, now: Now) -> Vec<ClusterEvent> {
        let mut events = Vec::new();
        for (uid, set) in &mut self.sets {
            if !set.told_ready && set.ready_at <= now.uptime {
                set.told_ready = true;
                events.push(observed(*uid, set, now));
            }
        }
        events
    }

    /// Somebody edits what a workload applied.
    pub fn edit(&mut self, now: Now, uid: Uid) -> Option<ClusterEvent> {
        let set = self.sets.get_mut(&uid)?;
        set.drifted = true;
        Some(observed(uid, set, now))
    }

    /// The cluster is built anew: nothing is left.
    pub fn wipe(&mut self) {
        self.sets.clear();
    }
}

fn observed(uid: Uid, set: &Set, now: Now) -> ClusterEvent {
    let health = set.health(now);
    let message = if health == Health::Healthy { "" } else { "pods are starting" }.to_owned();
    ClusterEvent::Observed { uid, drifted: set.drifted, health, message }
}
