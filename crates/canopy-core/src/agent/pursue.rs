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
            Some(Assignment::Remove) if self.wishes.cover(uid) => self.remove(now, uid, step),
            None if withdrawn && self.wishes.cover(uid) => self.remove(now, uid, step),
            Some(Assignment::Remove | Assignment::Keep) | None => self.keep(uid, step),
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
            feedback: Default::default(),
        });
        work.placements.clone_from(&run.placements);
        work.home.clone_from(&run.home);
        let synced = self.sync(uid, &work) == Sync::Synced;
        if let Some(reason) = self.hold.as_ref().filter(|_| !synced) {
            work.message = held(reason);
        }
        self.report(uid, Report { stamp, work: Some(work) }, step);
        // What an earlier process applied is applied once more: nobody watched it meanwhile. In a
        // cluster where nothing changed that changes nothing.
        let settled = synced && self.applied.contains(&uid);
        if settled || self.is_waiting(now, uid) || self.hold.is_some() || self.doing.contains_key(&uid) {
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
        self.observed.remove(&uid);
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
        if work.is_none() && self.surveyed != Some(self.history.incarnation) {
            return;
        }
        if work.is_none() && !self.unreadable.contains(&uid) {
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
        if work.is_some() {
            self.report(uid, Report { stamp, work }, step);
        }
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
        self.applied.remove(&uid);
        self.observed.remove(&uid);
        self.wishes.told.remove(&uid);
    }

    pub(super) fn is_waiting(&self, now: Now, uid: Uid) -> bool {
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use canopy_model::{
        Boot, Cursor, Digest, Home, Incarnation, ObjectName, Path, Revision, Uptime, Wall, Work,
    };

    use super::*;
    use crate::agent::state::{Observed, Retry, Wishes};
    use crate::durable::{Held, ReceivedRow, Value};

    const NOW: Now = Now { uptime: Uptime(60_000), wall: Wall(0) };
    const UID: Uid = Uid(7);
    /// Where the assignment stands in the hub's table.
    const STAMP: Stamp = Stamp { incarnation: Incarnation(3), version: 5 };
    const WANTED: Digest = Digest([1; 32]);
    const OTHER: Digest = Digest([2; 32]);

    fn run(inline: bool) -> Assignment {
        let name = ObjectName { project: "default".parse().unwrap(), name: "line".parse().unwrap() };
        let born = Cursor { incarnation: Incarnation(1), boot: Boot(1), version: 1 };
        let home = Home { path: Path::default(), born };
        let inline = inline.then(|| b"{}".as_slice().into());
        Assignment::Run(Run {
            name,
            home,
            placements: vec![Uid(8)],
            revision: Revision { digest: WANTED, size: 2, inline },
        })
    }

    /// What the cluster holds at this revision.
    fn work(revision: Option<Digest>) -> Work {
        let Assignment::Run(Run { name, home, placements, .. }) = run(true) else { unreachable!() };
        Work {
            name,
            home,
            placements,
            revision,
            sync: Sync::Synced,
            health: Health::Healthy,
            message: String::new(),
            refused: false,
            feedback: Default::default(),
        }
    }

    /// An agent with what its hub told about the workload, and what the cluster holds of it.
    fn agent(assignment: Option<Assignment>, held: Option<Option<Work>>) -> Agent {
        let mut slots = vec![(Slot::Surveyed, Value::Surveyed(Incarnation(0)))];
        if let Some(assignment) = assignment {
            let Stamp { incarnation: learned, version } = STAMP;
            let payload = crate::row::Body::Assignment(assignment).into();
            let row = ReceivedRow { version, learned, orphaned: false, payload };
            let key = Key::new(RowKind::Assignment, UID);
            slots.push((Slot::Received(EdgeId::Parent, false, key), Value::Received(row)));
        }
        if let Some(work) = held {
            let held = Held { report: Report { stamp: None, work }, withdrawn: false };
            slots.push((Slot::Held(UID), Value::Held(held)));
        }
        let mut agent = Agent::load("eu/plant-7".parse().unwrap(), slots);
        agent.wishes.whole = true;
        agent
    }

    /// What the agent asks for.
    fn asks(agent: &mut Agent) -> Vec<&'static str> {
        let mut step = Step::default();
        agent.pursue(NOW, UID, &mut step);
        let asked = step.effects.iter().map(|effect| {
            if let Effect::Cluster(ClusterOrder::Apply(apply)) = effect {
                assert_eq!((apply.uid, apply.revision.digest), (UID, WANTED));
                "apply"
            } else if let Effect::Cluster(ClusterOrder::Delete { uid: UID, .. }) = effect {
                "delete"
            } else if let Effect::Fetch(WANTED) = effect {
                "fetch"
            } else {
                "something else"
            }
        });
        asked.collect()
    }

    /// What it reports: the stamp, and the work if there may be any.
    fn reported(agent: &Agent) -> Option<(Option<Stamp>, Option<Work>)> {
        agent.held.get(&UID).map(|held| (held.report.stamp, held.report.work.clone()))
    }

    #[test]
    fn what_is_assigned_is_reported_as_coming_and_applied_once() {
        let mut agent = agent(Some(run(true)), None);
        assert_eq!(asks(&mut agent), ["apply"]);
        let (stamp, work) = reported(&agent).unwrap();
        let work = work.unwrap();
        assert_eq!((stamp, work.revision, work.sync), (Some(STAMP), None, Sync::OutOfSync));
        assert!(asks(&mut agent).is_empty(), "it is under way");
    }

    #[test]
    fn nothing_is_removed_for_a_wish_that_only_an_old_disk_may_know() {
        let withdrawn = |agent: &mut Agent| agent.held.get_mut(&UID).unwrap().withdrawn = true;
        for assignment in [Some(Assignment::Remove), None] {
            let mut agent = agent(assignment.clone(), Some(Some(work(Some(OTHER)))));
            agent.wishes = Wishes::default();
            if assignment.is_none() {
                withdrawn(&mut agent);
            }
            assert!(asks(&mut agent).is_empty());
            agent.wishes.told.insert(UID);
            assert_eq!(asks(&mut agent), ["delete"]);
        }
    }

    #[test]
    fn gone_is_told_only_of_what_the_cluster_was_asked_about() {
        let mut agent = agent(Some(Assignment::Remove), None);
        agent.surveyed = None;
        assert!(asks(&mut agent).is_empty());
        assert_eq!(reported(&agent), None, "the disk is new: it may be there");
        agent.surveyed = Some(agent.history.incarnation);
        agent.unreadable.insert(UID);
        assert_eq!(asks(&mut agent), ["delete"]);
        assert_eq!(reported(&agent), None, "it is there, though in what form cannot be told");
        agent.doing.clear();
        agent.unreadable.clear();
        assert!(asks(&mut agent).is_empty());
        assert_eq!(reported(&agent), Some((Some(STAMP), None)));
    }

    #[test]
    fn content_that_is_not_here_is_fetched_first() {
        let mut agent = agent(Some(run(false)), None);
        assert_eq!(asks(&mut agent), ["fetch"]);
        agent.doing.clear();
        agent.blobs.insert(WANTED);
        assert_eq!(asks(&mut agent), ["apply"]);
    }

    #[test]
    fn only_what_differs_is_applied() {
        let holds = |work, drifted| {
            let mut agent = agent(Some(run(true)), Some(Some(work)));
            agent.applied.insert(UID);
            agent.observed.insert(UID, Observed { drifted, message: String::new() });
            agent
        };
        assert!(asks(&mut holds(work(Some(WANTED)), false)).is_empty());
        assert_eq!(asks(&mut holds(work(Some(WANTED)), true)), ["apply"]);
        assert_eq!(asks(&mut holds(work(Some(OTHER)), false)), ["apply"]);
        let refused = Work { refused: true, ..work(Some(WANTED)) };
        assert_eq!(asks(&mut holds(refused, false)), ["apply"]);
    }

    #[test]
    fn what_an_earlier_process_applied_is_applied_again_and_called_synced_meanwhile() {
        let mut agent = agent(Some(run(true)), Some(Some(work(Some(WANTED)))));
        assert_eq!(asks(&mut agent), ["apply"]);
        assert_eq!(reported(&agent), Some((Some(STAMP), Some(work(Some(WANTED))))));
    }

    #[test]
    fn what_failed_is_tried_again_when_its_wait_has_ended() {
        for (assignment, order) in [(run(true), "apply"), (Assignment::Remove, "delete")] {
            let mut agent = agent(Some(assignment), Some(Some(work(Some(OTHER)))));
            let soon = NOW.uptime + Duration::from_millis(1);
            agent.retries.insert(UID, Retry { at: Some(soon), forgotten_at: soon, failures: 1 });
            assert!(asks(&mut agent).is_empty());
            agent.retries.insert(UID, Retry { at: Some(NOW.uptime), forgotten_at: soon, failures: 1 });
            assert_eq!(asks(&mut agent), [order]);
        }
    }

    #[test]
    fn what_is_to_be_removed_is_deleted_and_reported_until_it_is_gone() {
        let mut agent = agent(Some(Assignment::Remove), Some(Some(work(Some(WANTED)))));
        agent.doing.insert(UID, Doing::Apply { attempt: 1 });
        assert!(asks(&mut agent).is_empty(), "the apply under way ends first");
        agent.doing.clear();
        assert_eq!(asks(&mut agent), ["delete"]);
        assert_eq!(reported(&agent), Some((Some(STAMP), Some(work(Some(WANTED))))));
    }

    #[test]
    fn gone_is_reported_for_the_very_assignment_that_asked() {
        for held in [None, Some(None)] {
            let mut agent = agent(Some(Assignment::Remove), held);
            assert!(asks(&mut agent).is_empty());
            assert_eq!(reported(&agent), Some((Some(STAMP), None)));
        }
    }

    #[test]
    fn without_a_wish_what_is_there_stays() {
        for assignment in [None, Some(Assignment::Keep)] {
            let mut agent = agent(assignment, Some(Some(work(Some(WANTED)))));
            assert!(asks(&mut agent).is_empty());
            assert_eq!(reported(&agent), Some((None, Some(work(Some(WANTED))))));
        }
    }

    #[test]
    fn what_the_hub_withdrew_is_deleted_and_then_forgotten() {
        let mut agent = agent(None, Some(Some(work(Some(WANTED)))));
        agent.held.get_mut(&UID).unwrap().withdrawn = true;
        assert_eq!(asks(&mut agent), ["delete"]);
        agent.doing.clear();
        agent.held.get_mut(&UID).unwrap().report.work = None;
        assert!(asks(&mut agent).is_empty());
        assert_eq!(reported(&agent), None);
    }

    #[test]
    fn what_was_never_applied_is_forgotten_once_the_cluster_was_looked_at() {
        let mut agent = agent(None, Some(Some(work(None))));
        agent.surveyed = None;
        assert!(asks(&mut agent).is_empty());
        assert!(reported(&agent).is_some(), "it may be there");
        agent.surveyed = Some(agent.history.incarnation);
        assert!(asks(&mut agent).is_empty());
        assert_eq!(reported(&agent), None);
    }
}
