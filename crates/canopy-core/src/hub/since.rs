//! Since when each condition of an object that is at home here has had its status.
//!
//! Noted in the step that changes a status, so that it lasts as long as what it tells of. How old
//! the news are is no such status: it changes with time alone, and follows from the connections.

use canopy_model::event::Reason;
use canopy_model::{Condition, Now, Uid, Wall};

use super::events::Happening;
use super::settle::Touched;
use super::state::Hub;
use crate::durable::{Change, Slot, Turn, Value};
use crate::seam::Step;

impl Hub {
    /// Notes the conditions of the objects that were touched, where a status changed.
    pub(super) fn note_since(&mut self, now: Now, touched: &Touched, step: &mut Step) {
        let pairs = touched.pairs.iter().map(|(uid, _)| uid);
        let named = touched.objects.iter().chain(&touched.folds).chain(&touched.placements).chain(pairs);
        let mut uids: std::collections::BTreeSet<Uid> = named.copied().collect();
        uids.extend(touched.objects.iter().flat_map(|uid| self.index.users(*uid)));
        for uid in uids {
            if !self.objects.contains_key(&uid) {
                if self.since.remove(&uid).is_some() {
                    step.put(Change::Delete(Slot::Since(uid)));
                }
                continue;
            }
            let conditions = self.lasting_conditions(uid);
            let since = self.since.entry(uid).or_default();
            let mut changed = false;
            let mut turned = Vec::new();
            for Condition { kind, status, reason, .. } in conditions {
                if since.get(kind).is_none_or(|turn| turn.status != status) {
                    let before = since.insert(kind.to_owned(), Turn { status, at: now.wall });
                    turned.extend(before.map(|_| (kind, status, reason)));
                    changed = true;
                }
            }
            if changed {
                step.put(Change::Put(Slot::Since(uid), Value::Since(since.clone())));
            }
            self.tell_turns(uid, &turned);
        }
    }

    /// Conditions of an object that got another status.
    fn tell_turns(&mut self, uid: Uid, turned: &[(&str, Option<bool>, &str)]) {
        let Some(about) = self.object_subject(uid) else { return };
        for (kind, status, reason) in turned {
            let word = status.map_or("Unknown", |holds| if holds { "True" } else { "False" });
            let message = format!("{kind} is now {word} ({reason})");
            let turn = Happening::new(Reason::ConditionChanged, about.clone(), message);
            // What no longer progresses has settled.
            let warning = *status == Some(false) && *kind != "Progressing";
            self.events.note(Happening { warning, ..turn });
        }
    }

    /// Since when the condition has had its status; 0 when nobody noted it here.
    pub(super) fn since(&self, uid: Uid, condition: &Condition) -> Wall {
        let turn = self.since.get(&uid).and_then(|since| since.get(condition.kind));
        turn.filter(|turn| turn.status == condition.status).map_or(Wall(0), |turn| turn.at)
    }
}

#[cfg(test)]
mod tests {
    use canopy_model::{Labels, Uptime};

    use super::*;
    use crate::command::{Command, Meant, Outcome, Verb};
    use crate::hub::fixture::{Store, placement, reply, workload};
    use crate::input::Input;
    use crate::seam::Machine as _;

    /// What is applied at this time of the clock, in seconds; its uid.
    fn apply(store: &mut Store, hub: &mut Hub, at: u64, object: canopy_model::Object) -> Uid {
        let (name, spec) = (object.metadata.name, object.spec);
        let uid = Meant::Any { fresh: Uid(u128::from(1000 + at)) };
        let verb = Verb::Apply { name, labels: Labels::new(), spec, uid, expected: None };
        let command = Command { id: Uid(at.into()), principal: "anna".to_owned(), verb };
        let now = Now { wall: Wall(at * 1000), uptime: Uptime(at * 1000) };
        let step = hub.handle(now, Input::Command(command));
        let effects = store.commit(step);
        let Some(Outcome::Created(uid)) = reply(effects) else { panic!("it is not applied") };
        uid
    }

    #[test]
    fn a_condition_tells_since_when_and_a_new_start_forgets_nothing() {
        let mut store = Store::new();
        let (mut hub, step) = store.start();
        store.commit(step);
        let line = apply(&mut store, &mut hub, 5, workload());
        let since = |hub: &Hub, kind| {
            let now = Now { wall: Wall(60_000), uptime: Uptime(0) };
            let view = hub.workload_view(now, line).unwrap();
            view.conditions.into_iter().find(|condition| condition.kind == kind).map(|shown| shown.since)
        };
        for kind in ["PlacementFound", "Available", "Ready"] {
            assert_eq!(since(&hub, kind), Some(Wall(5000)), "{kind}");
        }
        apply(&mut store, &mut hub, 9, placement());
        assert_eq!(since(&hub, "PlacementFound"), Some(Wall(9000)));
        assert_eq!(since(&hub, "Available"), Some(Wall(5000)));
        let (hub, step) = store.start();
        let rewritten = step.commit(|changes| {
            Err(changes.iter().any(|change| matches!(change, Change::Put(Slot::Since(_), _))))
        });
        assert_eq!(rewritten.err(), Some(false), "nothing changed");
        assert_eq!(since(&hub, "PlacementFound"), Some(Wall(9000)));
    }
}
