//! What a hub decided, and what a cluster holds, judged from one node's state alone.

use std::collections::BTreeMap;

use canopy_model::event::{Event, Reason};
use canopy_model::{Path, Role, Uid};

use super::Violation;
use super::view::{Node, Tree};
use crate::durable::{Slot, Value};
use crate::hub::events;
use crate::link::EdgeId;

/// The promises that a node keeps by itself.
pub fn by_itself(node: &Node<'_>) -> Vec<Violation> {
    [
        removes_only_by_report,
        removes_only_knowing_the_wishes,
        keeps_what_has_no_record,
        decides_for_own_clusters,
    ]
    .into_iter()
    .chain([wishes_come_from_above, works_in_scope, events_are_bounded])
    .flat_map(|promise| promise(node))
    .map(|what| Violation { at: node.path.clone(), what })
    .collect()
}

/// Work is removed only from a child whose report arrived in the hub's present incarnation, however
/// old that report is.
fn removes_only_by_report(node: &Node<'_>) -> Vec<String> {
    let unheard = node
        .assignments()
        .filter(|(name, _, assigned)| !assigned.run && !node.has_heard(&EdgeId::Child((*name).clone())));
    unheard.map(|(name, uid, _)| format!("removes {uid} from {name}, which has not reported")).collect()
}

/// A hub that does not know its parent's wishes in its present incarnation removes nothing.
fn removes_only_knowing_the_wishes(node: &Node<'_>) -> Vec<String> {
    let removed = node.assignments().filter(|(_, _, assigned)| !assigned.run && !node.knows_wishes());
    removed.map(|(name, uid, _)| format!("removes {uid} from {name} without its parent's wishes")).collect()
}

/// A child without a record is not evaluated and keeps what it holds.
fn keeps_what_has_no_record(node: &Node<'_>) -> Vec<String> {
    let removed =
        node.assignments().filter(|(name, _, assigned)| !assigned.run && node.record(name).is_none());
    removed.map(|(name, uid, _)| format!("removes {uid} from {name}, which has no record")).collect()
}

/// A cluster is chosen by its own hub; a hub below is only given a share.
fn decides_for_own_clusters(node: &Node<'_>) -> Vec<String> {
    let below = node
        .assignments()
        .filter(|(name, _, _)| node.record(name).is_some_and(|record| record.role == Role::Hub));
    below.map(|(name, uid, _)| format!("assigns {uid} to {name}, which is a hub")).collect()
}

/// An object's scope is the subtree of its home: a hub gets wishes from homes above it and from no
/// other.
fn wishes_come_from_above(node: &Node<'_>) -> Vec<String> {
    let objects = node.rows(&EdgeId::Parent).filter_map(|(_, row)| row.payload.body.object());
    let foreign = objects.filter(|object| {
        let home = &object.metadata.home;
        !node.is_in_scope(home) || home.path == node.path
    });
    foreign
        .map(|object| format!("got {} with home {}", object.metadata.uid, object.metadata.home.path))
        .collect()
}

/// A cluster runs only work of the hubs above it.
fn works_in_scope(node: &Node<'_>) -> Vec<String> {
    let sets = node.cluster.into_iter().flat_map(|cluster| cluster.sets());
    let foreign = sets.filter(|(_, set)| !node.is_in_scope(&set.found.home));
    foreign.map(|(uid, set)| format!("runs {uid} of {}", set.found.home.path)).collect()
}

/// What happened takes no more room than it may, whatever happened.
fn events_are_bounded(node: &Node<'_>) -> Vec<String> {
    let events = || {
        let slots = node.slots.range(Slot::Event(0)..=Slot::Event(u64::MAX));
        slots.filter_map(|(_, value)| if let Value::Event(event) = value { Some(event) } else { None })
    };
    let bytes: usize = events().map(Event::bytes).sum();
    let mut of_reason: BTreeMap<Reason, usize> = BTreeMap::new();
    events().for_each(|event| *of_reason.entry(event.reason).or_default() += 1);
    let too_many = of_reason.into_iter().filter(|(_, count)| *count > events::OF_REASON_MAX);
    let told = too_many.map(|(reason, count)| format!("keeps {count} events {}", reason.name()));
    told.chain((bytes > events::BYTES_MAX).then(|| format!("keeps {bytes} bytes of events"))).collect()
}

/// Every object has one home.
pub fn one_home(tree: &Tree<'_>) -> Vec<Violation> {
    let mut homes: BTreeMap<Uid, &Path> = BTreeMap::new();
    let mut broken = Vec::new();
    for node in tree.nodes() {
        for object in node.own_objects() {
            let uid = object.metadata.uid;
            if let Some(other) = homes.insert(uid, &node.path) {
                broken.push(Violation {
                    at: node.path.clone(),
                    what: format!("{uid} is at home at {other}, too"),
                });
            }
        }
    }
    broken
}
