//! What one commit of a node grew, removed or dropped.

use canopy_model::event::Reason;
use canopy_model::{Name, Role, Uid};

use super::Violation;
use super::view::{Node, Replaced};
use crate::durable::{Assigned, ReceivedRow, Share, Slot, Value};
use crate::link::EdgeId;
use crate::row::{Assignment, Key, RowKind};

/// The promises that a commit broke, by the node after it and what it replaced.
pub fn commit(after: &Node<'_>, replaced: &Replaced) -> Vec<Violation> {
    let broken = replaced.iter().flat_map(|(slot, old)| match (slot, old) {
        (Slot::Share(placement, name), old) => {
            let before = match old {
                Some(Value::Share(share)) => *share,
                _ => Share::default(),
            };
            grows_only_what_is_free(after, *placement, name, before)
        }
        (Slot::Assigned(name, uid), old) => {
            let before = match old {
                Some(Value::Assigned(assigned)) => Some(assigned),
                _ => None,
            };
            starts_and_removes_only_what_is_certain(after, name, *uid, before)
        }
        (Slot::Child(name), old) => {
            let before = match old {
                Some(Value::Child(record)) => Some(record.uid),
                _ => None,
            };
            lets_go_for_good(after, name, before)
        }
        (Slot::Received(EdgeId::Parent, generation, key), Some(Value::Received(row)))
            if was_current(after, replaced, *generation) =>
        {
            drops_only_what_was_learned_there(after, key, row)
        }
        _ => Vec::new(),
    });
    broken
        .chain(tells_each_removal(after, replaced))
        .map(|what| Violation { at: after.path.clone(), what })
        .collect()
}

/// Work that begins to be removed from a cluster has its event in the same commit, or was counted among
/// those that there was no room for.
fn tells_each_removal(after: &Node<'_>, replaced: &Replaced) -> Option<String> {
    let removed = replaced.iter().filter(|(slot, before)| {
        let runs = |value: Option<&Value>| match value {
            Some(Value::Assigned(assigned)) => Some(assigned.run),
            _ => None,
        };
        runs(before.as_ref()) == Some(true) && runs(after.slots.get(slot)) == Some(false)
    });
    let told = |value: Option<&Value>| match value {
        Some(Value::Event(event)) if event.reason == Reason::Removing => event.count,
        Some(Value::Forgotten(forgotten)) => forgotten.count,
        _ => 0,
    };
    let events = || replaced.iter().filter(|(slot, _)| matches!(slot, Slot::Event(_) | Slot::Forgotten));
    let now: u64 = events().map(|(slot, _)| told(after.slots.get(slot))).sum();
    let before: u64 = events().map(|(_, before)| told(before.as_ref())).sum();
    let (removed, told) = (removed.count() as u64, now.saturating_sub(before));
    (told < removed).then(|| format!("removes work from {removed} clusters and tells {told} events of it"))
}

/// No grant makes the sum of what children may hold exceed the number. A hub that lost its memory, or
/// does not know its parent's wishes, grows nothing; neither does what is in doubt.
fn grows_only_what_is_free(after: &Node<'_>, placement: Uid, name: &Name, before: Share) -> Vec<String> {
    let share = after.share(placement, name);
    if share.grant <= before.grant.max(holds_already(after, placement, name)) {
        return Vec::new();
    }
    let quota = after.quota(placement).unwrap_or(0);
    let held = after.ceilings(placement);
    let reasons = [
        (after.is_recovering(), "while it may not know all its children".to_owned()),
        (!after.knows_wishes(), "without its parent's wishes".to_owned()),
        (after.is_in_doubt(placement), "while it is in doubt".to_owned()),
        (held > quota, format!("so that {held} may be held of {quota}")),
    ];
    let broken = reasons.into_iter().filter(|(breaks, _)| *breaks);
    broken.map(|(_, how)| format!("grows placement {placement} at {name} {how}")).collect()
}

/// What a child holds of a placement by its own report: to count that is no growth.
fn holds_already(hub: &Node<'_>, placement: Uid, name: &Name) -> u32 {
    let offered = hub.offer(placement, name).map_or(0, |offer| offer.grant.max(offer.held));
    let reports = hub
        .rows(&EdgeId::Child(name.clone()))
        .any(|(_, row)| row.payload.body.work().is_some_and(|work| work.placements.contains(&placement)));
    let assigned =
        hub.assignments().any(|(child, _, it)| child == name && it.placements.contains(&placement));
    offered.max(u32::from(reports || assigned))
}

/// What is in doubt neither grows nor goes, and nothing is started without the parent's wishes.
fn starts_and_removes_only_what_is_certain(
    after: &Node<'_>,
    name: &Name,
    uid: Uid,
    before: Option<&Assigned>,
) -> Vec<String> {
    let now = after.assigned(name, uid);
    let runs = |assigned: Option<&Assigned>| assigned.is_some_and(|assigned| assigned.run);
    let reported = after.report(uid, name).is_some_and(|report| report.work.is_some());
    let starts = runs(now) && !runs(before) && !reported;
    let removes = runs(before) && now.is_some_and(|assigned| !assigned.run);
    let reasons = [
        (starts && !after.knows_wishes(), "starts it without its parent's wishes"),
        (starts && after.is_in_doubt(uid), "starts it while it is in doubt"),
        (removes && after.is_in_doubt(uid), "removes it while it is in doubt"),
    ];
    let broken = reasons.into_iter().filter(|(breaks, _)| *breaks);
    broken.map(|(_, how)| format!("{uid} at {name}: {how}")).collect()
}

/// A child is forgotten only so that its identity can never return.
fn lets_go_for_good(after: &Node<'_>, name: &Name, before: Option<Uid>) -> Vec<String> {
    match (before, after.record(name).map(|record| record.uid)) {
        (_, Some(now)) if after.has_released(now) => vec![format!("takes back {name}, which was let go")],
        (Some(before), None) if !after.has_released(before) => {
            vec![format!("lets {name} go for a time only")]
        }
        _ => Vec::new(),
    }
}

/// Whether rows of this generation were the current ones of the parent's table before the commit, and
/// a snapshot has taken their place.
fn was_current(after: &Node<'_>, replaced: &Replaced, generation: bool) -> bool {
    let before = match replaced.get(&Slot::Position(EdgeId::Parent)) {
        Some(Some(Value::Position(received))) => received.generation,
        Some(_) => false,
        None => return false,
    };
    let now = after.received(&EdgeId::Parent).is_some_and(|received| received.generation);
    before == generation && now != generation
}

/// A row missing from a snapshot is dropped only if it was learned in that same incarnation; otherwise
/// it is kept as an orphan, until its home says that it was deleted.
fn drops_only_what_was_learned_there(after: &Node<'_>, key: &Key, row: &ReceivedRow) -> Vec<String> {
    let kept = after.row(&EdgeId::Parent, key.kind, key.uid).is_some();
    let learned_there =
        after.received(&EdgeId::Parent).is_some_and(|received| received.cursor.incarnation == row.learned);
    let body = &row.payload.body;
    let decided = match (body.object(), body.assignment()) {
        (Some(_), _) => after.row(&EdgeId::Parent, RowKind::Verdict, key.uid).is_some(),
        (None, Some(assignment)) => *assignment == Assignment::Remove,
        (None, None) => true,
    };
    let role = if after.role == Role::Agent { "assignment" } else { "object" };
    match kept || learned_there || decided {
        true => Vec::new(),
        false => vec![format!("forgot {role} {} because its parent's memory is new", key.uid)],
    }
}
