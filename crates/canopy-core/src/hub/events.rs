//! Events: what happened to objects, clusters and hubs, kept at the hub where it happened.
//!
//! An event is written in the commit of its cause, under the next sequence number. What happened
//! before in the same way moves up and is counted. The table is bounded by bytes, and so that no sort
//! of event crowds the others out, also by reason; what is dropped is counted. One step writes few of a
//! sort, however much it decides.

use std::collections::{BTreeMap, BTreeSet};

use canopy_model::event::{Event, Forgotten, MESSAGE_BYTES_MAX, Reason, Subject};
use canopy_model::{Kind, Name, Now, Role, Uid};

use super::state::Hub;
use crate::durable::{Change, Slot, Value};
use crate::seam::Step;

/// The most bytes of all events together: several thousand of them, and a small part of a hub's
/// memory and disk.
pub const BYTES_MAX: usize = 1024 * 1024;
/// The most events of one reason: a storm of reconnects leaves room for what matters.
pub const OF_REASON_MAX: usize = 512;
/// The most events of one reason about one subject that one step writes; the others become one that
/// counts them. A placement may select ten thousand clusters at once.
pub const OF_STEP_MAX: usize = 32;

/// Something that happens in the present step.
#[derive(Debug)]
pub(super) struct Happening {
    pub about: Subject,
    pub related: Option<Subject>,
    pub warning: bool,
    pub reason: Reason,
    pub message: String,
}

/// What makes two events the same.
type Sameness = (Uid, Option<Uid>, Reason, String);

/// The events of a hub.
#[derive(Debug, Default)]
pub(super) struct Events {
    by_sequence: BTreeMap<u64, Event>,
    bytes: usize,
    by_reason: BTreeMap<Reason, BTreeSet<u64>>,
    same: BTreeMap<Sameness, u64>,
    forgotten: Forgotten,
    /// What happens in the present step.
    happening: Vec<Happening>,
}

impl Happening {
    pub(super) fn new(reason: Reason, about: Subject, message: impl Into<String>) -> Self {
        let mut message = message.into();
        message.truncate(message.floor_char_boundary(MESSAGE_BYTES_MAX));
        Self { about, related: None, warning: reason.is_warning(), reason, message }
    }

    pub(super) fn with(self, related: Subject) -> Self {
        Self { related: Some(related), ..self }
    }

    fn sameness(&self) -> Sameness {
        let related = self.related.as_ref().map(|related| related.uid);
        (self.about.uid, related, self.reason, self.message.clone())
    }
}

impl Events {
    pub(super) fn load(&mut self, sequence: u64, event: Event) {
        self.bytes += event.bytes();
        self.by_reason.entry(event.reason).or_default().insert(sequence);
        self.same.insert(sameness(&event), sequence);
        self.by_sequence.insert(sequence, event);
    }

    pub(super) fn load_forgotten(&mut self, forgotten: Forgotten) {
        self.forgotten = forgotten;
    }

    /// What happens in the present step, to be written at its end.
    pub(super) fn note(&mut self, happening: Happening) {
        self.happening.push(happening);
    }

    /// What was noted in the present step happened before.
    pub(super) fn forget_present(&mut self) {
        self.happening.clear();
    }

    /// Writes what happened in this step.
    pub(super) fn write(&mut self, now: Now, step: &mut Step) {
        let mut counts: BTreeMap<(Uid, Reason), u64> = BTreeMap::new();
        let mut others: BTreeMap<(Uid, Reason), (u64, Happening)> = BTreeMap::new();
        let forgotten = self.forgotten;
        for happening in std::mem::take(&mut self.happening) {
            let sort = (happening.about.uid, happening.reason);
            let count = counts.entry(sort).or_default();
            *count += 1;
            if *count <= OF_STEP_MAX as u64 {
                self.put(now, happening, 1, step);
            } else {
                others.entry(sort).or_insert((0, happening)).0 += 1;
            }
        }
        for (count, first) in others.into_values() {
            let message = "and more at the same time".to_owned();
            self.put(now, Happening { related: None, message, ..first }, count, step);
        }
        if self.forgotten != forgotten {
            step.put(Change::Put(Slot::Forgotten, Value::Forgotten(self.forgotten)));
        }
    }

    fn put(&mut self, now: Now, happening: Happening, count: u64, step: &mut Step) {
        let before = self.same.get(&happening.sameness()).copied();
        let sequence = self.by_sequence.last_key_value().map_or(1, |(last, _)| last + 1);
        let before = before.and_then(|at| self.remove(at, step));
        let Happening { about, related, warning, reason, message } = happening;
        let (first, happened) = before.map_or((now.wall, 0), |event| (event.first, event.count));
        let count = count.saturating_add(happened);
        let event = Event { about, related, warning, reason, message, count, first, last: now.wall };
        step.put(Change::Put(Slot::Event(sequence), Value::Event(event.clone())));
        self.load(sequence, event);
        if self.by_reason[&reason].len() > OF_REASON_MAX
            && let Some(oldest) = self.by_reason[&reason].first().copied()
        {
            self.drop_event(oldest, step);
        }
        while self.bytes > BYTES_MAX
            && let Some((oldest, _)) = self.by_sequence.first_key_value()
        {
            self.drop_event(*oldest, step);
        }
    }

    /// There were too many.
    fn drop_event(&mut self, sequence: u64, step: &mut Step) {
        let Some(event) = self.remove(sequence, step) else { return };
        self.forgotten.count = self.forgotten.count.saturating_add(event.count);
        self.forgotten.until = self.forgotten.until.max(event.last);
    }

    fn remove(&mut self, sequence: u64, step: &mut Step) -> Option<Event> {
        let event = self.by_sequence.remove(&sequence)?;
        self.bytes -= event.bytes();
        self.same.remove(&sameness(&event));
        if let Some(of_reason) = self.by_reason.get_mut(&event.reason) {
            of_reason.remove(&sequence);
        }
        step.put(Change::Delete(Slot::Event(sequence)));
        Some(event)
    }
}

fn sameness(event: &Event) -> Sameness {
    let related = event.related.as_ref().map(|related| related.uid);
    (event.about.uid, related, event.reason, event.message.clone())
}

impl Hub {
    /// What happened here, by sequence number: what happened again stands where it did so last. A hub
    /// that lost its memory counts from 1 again.
    pub fn events(&self) -> &BTreeMap<u64, Event> {
        &self.events.by_sequence
    }

    /// How much of what happened here was dropped.
    pub fn forgotten_events(&self) -> Forgotten {
        self.events.forgotten
    }

    pub(super) fn happens(&mut self, reason: Reason, about: Subject, message: impl Into<String>) {
        self.events.note(Happening::new(reason, about, message));
    }

    /// Something happens to a workload on an own cluster.
    pub(super) fn happens_on(&mut self, uid: Uid, name: &Name, reason: Reason, message: impl Into<String>) {
        let happening = Happening::new(reason, self.work_subject(uid, name), message);
        self.events.note(happening.with(self.child_subject(name)));
    }

    /// This hub.
    pub(super) fn own_subject(&self) -> Subject {
        let (name, home) = (self.path.to_string(), self.path.clone());
        Subject { kind: Kind::Hub, uid: Uid(0), project: None, name, home }
    }

    /// A child of this hub.
    pub(super) fn child_subject(&self, name: &Name) -> Subject {
        let record = self.children.get(name).and_then(|child| child.record.as_ref());
        let kind = record.map_or(Role::Agent, |record| record.role).kind();
        let uid = record.map_or(Uid(0), |record| record.uid);
        let (name, home) = (self.path.child(name).to_string(), self.path.clone());
        Subject { kind, uid, project: None, name, home }
    }

    /// An object that applies here, or an orphan.
    pub(super) fn object_subject(&self, uid: Uid) -> Option<Subject> {
        let (kind, name, home) = match (self.object(uid), self.orphan(uid)) {
            (Some(object), _) => {
                let metadata = &object.metadata;
                (object.spec.kind(), metadata.name.clone(), metadata.home.path.clone())
            }
            (None, Some(orphan)) => (orphan.kind, orphan.name, orphan.home.path),
            (None, None) => return None,
        };
        Some(Subject { kind, uid, project: Some(name.project), name: name.name.to_string(), home })
    }

    /// A workload that an own cluster has; of one that nobody knows any more, the cluster knows the name.
    fn work_subject(&self, uid: Uid, name: &Name) -> Subject {
        if self.object(uid).is_some()
            && let Some(subject) = self.object_subject(uid)
        {
            return subject;
        }
        let work = self.report(uid, name).and_then(|report| report.work.as_ref());
        Subject {
            kind: Kind::Workload,
            uid,
            project: work.map(|work| work.name.project.clone()),
            name: work.map_or_else(|| uid.to_string(), |work| work.name.name.to_string()),
            home: work.map_or_else(|| self.path.clone(), |work| work.home.path.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use canopy_model::{Path, Uptime, Wall};

    use super::*;

    fn subject(uid: u128) -> Subject {
        let (kind, name) = (Kind::Cluster, format!("press-{uid}"));
        Subject { kind, uid: Uid(uid), project: None, name, home: Path::root() }
    }

    /// The events after this happened, and how many changes that wrote.
    fn happen(events: &mut Events, at: u64, happenings: impl IntoIterator<Item = Happening>) -> usize {
        let mut step = Step::default();
        happenings.into_iter().for_each(|happening| events.note(happening));
        events.write(Now { wall: Wall(at), uptime: Uptime(at) }, &mut step);
        let mut written = 0;
        step.commit(|changes| {
            written = changes.len();
            Ok::<(), ()>(())
        })
        .unwrap();
        written
    }

    fn connected(uid: u128) -> Happening {
        Happening::new(Reason::Connected, subject(uid), "")
    }

    #[test]
    fn what_happens_again_is_counted_and_moves_up() {
        let mut events = Events::default();
        happen(&mut events, 1, [connected(1)]);
        happen(&mut events, 2, [connected(2)]);
        assert_eq!(happen(&mut events, 3, [connected(1)]), 2, "one goes, one comes");
        let told: Vec<_> =
            events.by_sequence.iter().map(|(at, it)| (*at, it.about.uid.0, it.count)).collect();
        assert_eq!(told, [(2, 2, 1), (3, 1, 2)]);
        let again = &events.by_sequence[&3];
        assert_eq!((again.first, again.last), (Wall(1), Wall(3)));
    }

    #[test]
    fn a_storm_leaves_room_for_what_else_happened_and_is_counted() {
        let mut events = Events::default();
        happen(&mut events, 1, [Happening::new(Reason::HistoryLost, subject(0), "")]);
        let storm = 10_000_u64;
        for at in 0..storm {
            let written = happen(&mut events, 2 + at, [connected(u128::from(at) + 1)]);
            assert!(written <= 3, "{written}");
        }
        assert_eq!(events.by_reason[&Reason::Connected].len(), OF_REASON_MAX);
        assert_eq!(events.by_reason[&Reason::HistoryLost].len(), 1);
        let kept: u64 = events.by_sequence.values().map(|event| event.count).sum();
        assert_eq!(kept + events.forgotten.count, storm + 1);
        assert_eq!(events.forgotten.until, Wall(1 + storm - OF_REASON_MAX as u64));
    }

    #[test]
    fn one_step_writes_few_of_a_sort_and_counts_the_others() {
        let mut events = Events::default();
        let selected = |at: u128| {
            Happening::new(Reason::Selected, subject(7), "for placement cnc").with(subject(100 + at))
        };
        let written = happen(&mut events, 1, (0..10_000).map(selected));
        assert_eq!(written, OF_STEP_MAX + 1);
        let counts: Vec<u64> = events.by_sequence.values().map(|event| event.count).collect();
        assert_eq!((counts.iter().sum::<u64>(), *counts.last().unwrap()), (10_000, 10_000 - 32));
    }

    #[test]
    fn all_events_together_stay_below_their_bound() {
        let mut events = Events::default();
        for at in 0..4_000_u64 {
            let reason = Reason::ALL[at as usize % Reason::ALL.len()];
            let message = format!("{at} {}", "x".repeat(2 * MESSAGE_BYTES_MAX));
            happen(&mut events, at, [Happening::new(reason, subject(at.into()), message)]);
        }
        let bytes: usize = events.by_sequence.values().map(Event::bytes).sum();
        assert!(bytes <= BYTES_MAX && bytes > BYTES_MAX / 2 && events.bytes == bytes, "{bytes}");
        assert!(events.forgotten.count > 0);
        assert_eq!(*events.by_sequence.last_key_value().unwrap().0, 4_000);
    }
}
