//! What an agent asks of its cluster for one workload: from the assignment and what it holds, never
//! from what happened.

use canopy_model::{Health, Now, Report, Stamp, Sync, Uid, Work};

use super::state::{Agent, Doing};
use crate::durable::{Change, Slot};
use crate::effect::{Apply, ClusterOrder, Effect};
use crate::link::EdgeId;
use crate::row::{Assignment, Key, RowKind, Run};
use crate::seam::Step;

impl Agent {
    pub(super) fn pursue_all(&mut self, now: Now, step: &mut Step) {
        let rows = self
            .parent
            .inbox
            .rows()
            .filter(|(key, _)| key.kind == RowKind::Assignment)
            .map(|(key, _)| key.uid);
        let uids: std::collections::BTreeSet<Uid> = rows.chain(self.held.keys().copied()).collect();
        for uid in uids {
            self.pursue(now, uid, step);
        }
    }

    pub(super) fn pursue(&mut self, now: Now, uid: Uid, step: &mut Step) {
        let withdrawn = self.held.get(&uid).is_some_and(|held| held.withdrawn);
        match self.assignment(uid).cloned() {
            Some(Assignment::Run(run)) => self.run(now, uid, run, step),
            Some(Assignment::Remove) => self.remove(now, uid, step),
            None if withdrawn => self.remove(now, uid, step),
            Some(Assignment::Keep) | None => self.keep(uid, step),
        }
    }

    /// The stamp of the assignment as it is now.
    fn stamp(&self, uid: Uid) -> Option<Stamp> {
        let row = self.parent.inbox.row(&Key::new(RowKind::Assignment, uid))?;
        Some(Stamp { incarnation: row.learned, version: row.version })
    }

    fn run(&mut self, now: Now, uid: Uid, run: Run, step: &mut Step) {
        let stamp = self.stamp(uid);
        let old = self.held.get(&uid).and_then(|held| held.report.work.clone());
        let mut work = old.unwrap_or_else(|| Work {
            name: run.name.clone(),
            home: run.home.clone(),
            placements: Vec::new(),
            revision: None,
            sync: Sync::OutOfSync,
            health: Health::Progressing,
            message: String::new(),
            refused: false,
        });
        work.placements.clone_from(&run.placements);
        work.home.clone_from(&run.home);
        if work.revision != Some(run.revision.digest) {
            work.sync = Sync::OutOfSync;
        }
        let synced = work.sync == Sync::Synced;
        if let Some(reason) = self.hold.as_ref().filter(|_| !synced) {
            work.message = held(reason);
        }
        self.report(uid, Report { stamp, work: Some(work) }, step);
        let waiting = self.is_waiting(now, uid);
        if synced || waiting || self.hold.is_some() || self.doing.contains_key(&uid) {
            return;
        }
        let digest = run.revision.digest;
        if run.revision.inline.is_none() && !self.blobs.contains(&digest) {
            self.doing.insert(uid, Doing::Fetch(digest));
            step.effect(Effect::Fetch(digest));
            return;
        }
        let attempt = self.attempt();
        self.doing.insert(uid, Doing::Apply { attempt });
        let Run { name, home, placements, revision } = run;
        let apply = Apply { uid, attempt, name, home, placements, revision };
        step.effect(Effect::Cluster(ClusterOrder::Apply(apply)));
    }

    fn remove(&mut self, now: Now, uid: Uid, step: &mut Step) {
        let row = Key::new(RowKind::Assignment, uid);
        let stamp = self.stamp(uid);
        if let Some(Doing::Apply { .. } | Doing::Delete { .. }) = self.doing.get(&uid) {
            return;
        }
        self.doing.remove(&uid);
        let mut work = self.held.get(&uid).and_then(|held| held.report.work.clone());
        if work.is_none() {
            match self.parent.inbox.row(&row).map(|row| row.orphaned) {
                Some(false) => self.report(uid, Report { stamp, work: None }, step),
                Some(true) => {
                    self.parent.inbox.remove(&EdgeId::Parent, &row, step);
                    self.forget(uid, step);
                }
                None => self.forget(uid, step),
            }
            return;
        }
        if self.is_waiting(now, uid) {
            return;
        }
        if let (Some(reason), Some(work)) = (&self.hold, &mut work) {
            work.message = held(reason);
        }
        self.report(uid, Report { stamp, work }, step);
        if self.hold.is_some() {
            return;
        }
        let attempt = self.attempt();
        self.doing.insert(uid, Doing::Delete { attempt });
        step.effect(Effect::Cluster(ClusterOrder::Delete { uid, attempt }));
    }

    /// The wish is unknown: what is there stays as it is, and what is gone need not be told.
    fn keep(&mut self, uid: Uid, step: &mut Step) {
        let held = self.held.get(&uid);
        let absent = held.is_some_and(|held| match &held.report.work {
            None => true,
            Some(work) => work.revision.is_none() && self.surveyed == Some(self.history.incarnation),
        });
        let unassigned = self.assignment(uid).is_none() && !self.doing.contains_key(&uid);
        if absent && unassigned {
            self.forget(uid, step);
        }
    }

    fn forget(&mut self, uid: Uid, step: &mut Step) {
        if self.held.remove(&uid).is_some() {
            step.put(Change::Delete(Slot::Held(uid)));
            self.touch(Key::new(RowKind::Report, uid), false, step);
        }
        self.retries.remove(&uid);
    }

    fn is_waiting(&self, now: Now, uid: Uid) -> bool {
        self.retries.get(&uid).and_then(|retry| retry.at).is_some_and(|at| at > now.uptime)
    }

    fn attempt(&mut self) -> u64 {
        self.attempts += 1;
        self.attempts
    }
}

/// What is reported for work that would change if people let it.
fn held(reason: &str) -> String {
    format!("held at the machine: {reason}; `canopy-agent release` there lets it go on")
}
