//! What the parent and the cluster tell an agent.

use std::collections::BTreeSet;
use std::time::Duration;

use canopy_model::{Boot, Digest, Feedback, Health, MESSAGE_BYTES_MAX, Now, Report, Sync, Uid, Work};

use super::state::{Agent, Doing, Observed, Retry, Wishes};
use crate::durable::{Change, Held, Slot, Value};
use crate::effect::{Alert, ClusterOrder, Effect};
use crate::input::{ClusterEvent, Found, Survey};
use crate::link::HEARTBEAT_EVERY;
use crate::link::{EdgeId, Frame, History, Received, Resume, SessionId};
use crate::row::{Assignment, Key, RowKind};
use crate::seam::Step;

/// The wait after the first failure; it doubles with each further one.
const RETRY_FIRST: Duration = Duration::from_secs(2);
/// The longest wait between attempts.
const RETRY_MAX: Duration = Duration::from_secs(300);
/// How long all must go well after a wait until the next one is short again. Whoever undoes an apply
/// more rarely than that costs little; whoever does it at once is met ever more rarely.
const QUIET: Duration = Duration::from_secs(60);

impl Agent {
    pub(super) fn started(&mut self, now: Now, boot: Boot, step: &mut Step) {
        if self.history.boot() == Boot(0) {
            self.history = History::begin(boot);
        } else {
            self.history.reopen(boot);
        }
        self.sealed_version = self.history.version;
        step.put(Change::Put(Slot::History, Value::History(self.history.clone())));
        self.heartbeat_at = Some(now.uptime + HEARTBEAT_EVERY);
        step.effect(Effect::Cluster(ClusterOrder::Survey));
    }

    pub(super) fn connected(&mut self, now: Now, session: SessionId, step: &mut Step) {
        let record = self.parent.inbox.rows().find_map(|(_, row)| row.payload.body.record().cloned());
        self.parent.connect(now, session, &self.history, record, step);
    }

    pub(super) fn received(&mut self, now: Now, session: SessionId, frame: Frame, step: &mut Step) {
        match self.parent.receive(now, session, frame, &self.history, step) {
            Received::Nothing | Received::Heartbeat { whole: false } => {}
            Received::Heartbeat { whole: true } => self.knows_all_wishes(now, step),
            Received::Hello(_, resume) => self.greeted(resume, step),
            Received::Rows(keys) => self.all_assigned(now, &keys, step),
            Received::Snapshot(keys) => {
                self.all_assigned(now, &keys, step);
                self.knows_all_wishes(now, step);
            }
        }
    }

    /// The parent's table is here as it is: what waited for that goes on.
    fn knows_all_wishes(&mut self, now: Now, step: &mut Step) {
        if !std::mem::replace(&mut self.wishes.whole, true) {
            self.pursue_all(now, step);
        }
    }

    fn all_assigned(&mut self, now: Now, keys: &[Key], step: &mut Step) {
        for key in keys.iter().filter(|key| key.kind == RowKind::Assignment) {
            self.wishes.told.insert(key.uid);
            self.assigned(now, *key, step);
        }
    }

    fn greeted(&mut self, resume: Resume, step: &mut Step) {
        match resume {
            Resume::After(_) | Resume::Snapshot | Resume::LostHistory => {}
            Resume::Restored if self.history.is_renewed() => {
                self.parent.disconnect("the peer claims a position that this node never reached", step);
            }
            Resume::Restored => {
                step.effect(Effect::Alert(Alert::Restored { peer: EdgeId::Parent }));
                self.version();
                self.history.renew();
                self.wishes = Wishes::default();
                self.parent.disconnect("this store was found to be an old copy", step);
                step.effect(Effect::Cluster(ClusterOrder::Survey));
            }
        }
    }

    /// An assignment came, changed or was withdrawn.
    fn assigned(&mut self, now: Now, key: Key, step: &mut Step) {
        let row = self.parent.inbox.row(&key);
        let withdrawn = row.is_none();
        if row.is_none_or(|row| !row.orphaned) {
            self.retries.remove(&key.uid);
        }
        if let Some(held) = self.held.get_mut(&key.uid)
            && held.withdrawn != withdrawn
        {
            held.withdrawn = withdrawn;
            step.put(Change::Put(Slot::Held(key.uid), Value::Held(held.clone())));
        }
        self.pursue(now, key.uid, step);
    }

    pub(super) fn cluster(&mut self, now: Now, event: ClusterEvent, step: &mut Step) {
        match event {
            ClusterEvent::Applied { uid, revision, attempt, error } => {
                if self.finish(uid, Doing::Apply { attempt }) {
                    self.applied(now, uid, revision, error, step);
                }
            }
            ClusterEvent::Deleted { uid, attempt, error } => {
                if self.finish(uid, Doing::Delete { attempt }) {
                    self.deleted(now, uid, error, step);
                }
            }
            ClusterEvent::Observed { uid, drifted, health, message, feedback } => {
                self.observe(now, uid, (health, feedback), Observed { drifted, message }, step);
            }
            ClusterEvent::Surveyed(survey) => self.surveyed(now, survey, step),
            ClusterEvent::Claims(claims) => self.claim(claims, step),
            ClusterEvent::Machines { machines, inventory } => {
                self.count_machines(machines, inventory, step);
            }
        }
    }

    /// The cluster tells how a workload is doing. That may come before the answer to an apply, and
    /// speak of what was changed since.
    fn observe(
        &mut self,
        now: Now,
        uid: Uid,
        (health, feedback): (Health, Feedback),
        observed: Observed,
        step: &mut Step,
    ) {
        let Some(mut work) = self.held.get(&uid).and_then(|held| held.report.work.clone()) else { return };
        (work.health, work.feedback) = (health, feedback);
        if !work.refused {
            work.message.clone_from(&observed.message);
        }
        let was_drifted = self.is_drifted(uid);
        self.observed.insert(uid, observed);
        let idle = !self.doing.contains_key(&uid) && !self.is_waiting(now, uid);
        if idle && !was_drifted && self.is_drifted(uid) {
            self.retry_later(now, uid);
        }
        self.report_work(uid, work, step);
        self.pursue(now, uid, step);
    }

    /// Whether this was what is waited for; then it no longer is.
    fn finish(&mut self, uid: Uid, doing: Doing) -> bool {
        let awaited = self.doing.get(&uid) == Some(&doing);
        if awaited {
            self.doing.remove(&uid);
        }
        awaited
    }

    fn applied(&mut self, now: Now, uid: Uid, revision: Digest, error: Option<String>, step: &mut Step) {
        let Some(mut work) = self.held.get(&uid).and_then(|held| held.report.work.clone()) else { return };
        work.refused = error.is_some();
        match error {
            None => {
                self.applied.insert(uid);
                work.revision = Some(revision);
                match self.observed.get(&uid) {
                    Some(observed) => work.message.clone_from(&observed.message),
                    None if work.sync == Sync::Synced => {}
                    None => work.message.clear(),
                }
                if self.is_drifted(uid) {
                    self.retry_later(now, uid);
                }
            }
            Some(error) => {
                work.message = error;
                self.retry_later(now, uid);
            }
        }
        self.report_work(uid, work, step);
        self.pursue(now, uid, step);
    }

    fn deleted(&mut self, now: Now, uid: Uid, error: Option<String>, step: &mut Step) {
        let report = self.held.get(&uid).map(|held| held.report.clone());
        match (error, report) {
            (Some(error), report) => {
                if let Some(mut work) = report.and_then(|report| report.work) {
                    work.message = error;
                    self.report_work(uid, work, step);
                }
                self.retry_later(now, uid);
            }
            (None, report) => {
                self.retries.remove(&uid);
                self.unreadable.remove(&uid);
                if let Some(report) = report {
                    self.report(uid, Report { work: None, ..report }, step);
                }
            }
        }
        self.pursue(now, uid, step);
    }

    /// What the cluster holds is the truth about what is applied; what is wanted is not.
    fn surveyed(&mut self, now: Now, survey: Survey, step: &mut Step) {
        let Survey { found, unreadable } = survey;
        self.unreadable = unreadable.iter().map(|(uid, _)| *uid).collect();
        for (uid, why) in &unreadable {
            self.applied.remove(uid);
            let Some(mut work) = self.held.get(uid).and_then(|held| held.report.work.clone()) else {
                continue;
            };
            work.sync = Sync::Unknown;
            work.message.clone_from(why);
            self.report_work(*uid, work, step);
        }
        let there = found.iter().map(|found| found.uid).chain(unreadable.iter().map(|(uid, _)| *uid));
        let there: BTreeSet<Uid> = there.collect();
        let mut missing: Vec<Uid> = self.held.keys().copied().collect();
        missing.retain(|uid| !there.contains(uid) && !self.doing.contains_key(uid));
        for uid in missing {
            let Some(mut work) = self.held[&uid].report.work.clone() else { continue };
            self.applied.remove(&uid);
            work.revision = None;
            work.sync = Sync::OutOfSync;
            self.report_work(uid, work, step);
        }
        for Found { uid, name, home, placements, revision } in found {
            let old = self.held.get(&uid).map(|held| held.report.clone());
            let mut report = old.unwrap_or(Report { stamp: None, work: None });
            match &mut report.work {
                Some(work) if work.revision == revision => {}
                Some(work) => {
                    self.applied.remove(&uid);
                    work.revision = revision;
                    work.sync = Sync::OutOfSync;
                }
                None => {
                    let (health, message) = Default::default();
                    let sync = Sync::Unknown;
                    report.work = Some(Work {
                        name,
                        home,
                        placements,
                        revision,
                        sync,
                        health,
                        message,
                        refused: false,
                        feedback: Default::default(),
                    });
                }
            }
            self.report(uid, report, step);
        }
        self.surveyed = Some(self.history.incarnation);
        step.put(Change::Put(Slot::Surveyed, Value::Surveyed(self.history.incarnation)));
        self.pursue_all(now, step);
    }

    pub(super) fn fetched(&mut self, now: Now, digest: Digest, error: Option<String>, step: &mut Step) {
        let waiting: Vec<Uid> = self
            .doing
            .iter()
            .filter(|(_, doing)| **doing == Doing::Fetch(digest))
            .map(|(uid, _)| *uid)
            .collect();
        if error.is_none() {
            self.blobs.insert(digest);
        }
        for uid in waiting {
            self.doing.remove(&uid);
            if let Some(error) = &error {
                self.retry_later(now, uid);
                if let Some(mut work) = self.held.get(&uid).and_then(|held| held.report.work.clone()) {
                    work.message = format!("waiting for content {digest}: {error}");
                    self.report_work(uid, work, step);
                }
            }
            self.pursue(now, uid, step);
        }
    }

    pub(super) fn woken(&mut self, now: Now, step: &mut Step) {
        if self.heartbeat_at.is_some_and(|at| at <= now.uptime) {
            self.heartbeat_at = Some(now.uptime + HEARTBEAT_EVERY);
            self.parent.heartbeat(&self.history, 0, step);
        }
        let mut due = Vec::new();
        for (uid, retry) in &mut self.retries {
            if retry.at.take_if(|at| *at <= now.uptime).is_some() {
                due.push(*uid);
            }
        }
        for uid in due {
            self.pursue(now, uid, step);
        }
    }

    fn retry_later(&mut self, now: Now, uid: Uid) {
        let counted = self.retries.get(&uid).filter(|retry| now.uptime < retry.forgotten_at);
        let failures = counted.map_or(0, |retry| retry.failures);
        let wait = RETRY_FIRST.saturating_mul(1 << failures.min(8)).min(RETRY_MAX);
        let at = now.uptime + wait;
        self.retries.insert(uid, Retry { at: Some(at), forgotten_at: at + QUIET, failures: failures + 1 });
    }

    /// Whether what runs is what is wanted: from what was applied, and what the cluster told since.
    pub(super) fn sync(&self, uid: Uid, work: &Work) -> Sync {
        match self.assignment(uid) {
            Some(Assignment::Run(run)) if work.revision != Some(run.revision.digest) => Sync::OutOfSync,
            _ if work.refused || self.is_drifted(uid) => Sync::OutOfSync,
            _ if self.applied.contains(&uid) => Sync::Synced,
            _ => work.sync,
        }
    }

    fn is_drifted(&self, uid: Uid) -> bool {
        self.observed.get(&uid).is_some_and(|observed| observed.drifted)
    }

    pub(super) fn report_work(&mut self, uid: Uid, work: Work, step: &mut Step) {
        let Some(held) = self.held.get(&uid) else { return };
        let report = Report { work: Some(work), ..held.report.clone() };
        self.report(uid, report, step);
    }

    /// Reports, if it is news.
    pub(super) fn report(&mut self, uid: Uid, mut report: Report, step: &mut Step) {
        if let Some(work) = &mut report.work {
            work.sync = self.sync(uid, work);
            cut(&mut work.message);
            work.feedback.bound();
        }
        let old = self.held.get(&uid);
        if old.is_some_and(|held| held.report == report) {
            return;
        }
        let withdrawn = old.is_some_and(|held| held.withdrawn);
        let held = Held { report, withdrawn };
        step.put(Change::Put(Slot::Held(uid), Value::Held(held.clone())));
        self.held.insert(uid, held);
        self.touch(Key::new(RowKind::Report, uid), true, step);
    }

    pub(super) fn touch(&mut self, key: Key, live: bool, step: &mut Step) {
        let version = self.version();
        self.parent.outbox.touch(&EdgeId::Parent, key, live, version, step);
    }

    pub(super) fn assignment(&self, uid: Uid) -> Option<&Assignment> {
        let row = self.parent.inbox.get(&Key::new(RowKind::Assignment, uid))?;
        Some(row.body.assignment().unwrap_or(&Assignment::Keep))
    }
}

/// Cuts a text of others to what a report carries.
fn cut(message: &mut String) {
    const END: char = '…';
    if message.len() > MESSAGE_BYTES_MAX {
        message.truncate(message.floor_char_boundary(MESSAGE_BYTES_MAX - END.len_utf8()));
        message.push(END);
    }
}
