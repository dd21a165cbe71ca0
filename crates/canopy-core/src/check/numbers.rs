//! What a child may hold of a placement with a number, and what its parent counts for it.
//!
//! No grant makes the sum of what children may hold exceed the number: that holds in the whole tree
//! because each hub counts at least what each child may hold, and grows only what is free by that
//! count (see [`super::changes`]).

use std::collections::{BTreeMap, BTreeSet};

use canopy_model::{Name, Role, Uid};

use super::Violation;
use super::view::Node;
use crate::durable::SentRow;
use crate::link::EdgeId;
use crate::row::{Assignment, Key, Offer, RowKind};

/// The promises that a parent and a child keep together about numbers.
pub fn between(parent: &Node<'_>, child: &Node<'_>) -> Vec<Violation> {
    let Some(name) = child.path.name() else { return Vec::new() };
    let broken =
        counts_what_may_be_held(parent, child, &name).into_iter().chain(keeps_book(parent, child, &name));
    broken.map(|what| Violation { at: parent.path.clone(), what }).collect()
}

/// Whether both remember the same history, in both directions.
fn remember_each_other(parent: &Node<'_>, child: &Node<'_>, name: &Name) -> bool {
    let (down, up) = (EdgeId::Child(name.clone()), EdgeId::Parent);
    parent.position_of(&down, child, &up).is_some() && child.position_of(&up, parent, &down).is_some()
}

/// What a hub counts for a child is at least what that child may hold, by every grant that it may
/// still follow.
fn counts_what_may_be_held(parent: &Node<'_>, child: &Node<'_>, name: &Name) -> Vec<String> {
    if !remember_each_other(parent, child, name) || parent.is_recovering() || child.is_recovering() {
        return Vec::new();
    }
    let mut broken = Vec::new();
    for placement in numbered(parent) {
        let held = may_hold(parent, child, name, placement);
        let counted = parent.share(placement, name).ceiling;
        if held > counted && is_counted(parent, child, name, placement) {
            broken
                .push(format!("counts {counted} of placement {placement} for {name}, which may hold {held}"));
        }
    }
    broken
}

/// The placements with a number that apply at a hub and that nobody doubts.
fn numbered(hub: &Node<'_>) -> BTreeSet<Uid> {
    let inherited = hub.rows(&EdgeId::Parent).filter_map(|(_, row)| row.payload.body.object());
    let objects = hub.own_objects().chain(inherited);
    let numbered = objects.filter(|it| it.placement().is_some_and(|spec| spec.number_of_clusters.is_some()));
    numbered.map(|object| object.metadata.uid).filter(|uid| !hub.is_in_doubt(*uid)).collect()
}

/// Whether the parent must know by now what the child holds: a placement that got its number late may
/// run anywhere until each has told.
fn is_counted(parent: &Node<'_>, child: &Node<'_>, name: &Name, placement: Uid) -> bool {
    let since = |hub: &Node<'_>| {
        hub.object(placement).and_then(|object| object.placement()).map_or(0, |spec| spec.numbered_since)
    };
    let told = || last_word(parent, child, name, placement).is_some_and(|it| it.generation >= since(parent));
    child.role == Role::Agent || since(parent) <= 1 || since(child) == since(parent) && told()
}

/// The last that a child hub said of a placement, if it has arrived, knows all below, and answers the
/// present grant.
fn last_word<'a>(parent: &Node<'a>, child: &Node<'_>, name: &Name, placement: Uid) -> Option<&'a Offer> {
    let (down, up) = (EdgeId::Child(name.clone()), EdgeId::Parent);
    let live = |row: &SentRow| row.live;
    let said = child.sent_row(&up, Key::new(RowKind::Offer, placement)).filter(live);
    let heard = parent.row(&down, RowKind::Offer, placement);
    let grant = parent.sent_row(&down, Key::new(RowKind::Grant, placement)).filter(live);
    let offer = parent.offer(placement, name).filter(|offer| !offer.unsure)?;
    let arrived = heard.map(|row| row.version) == said.map(|row| row.version);
    (arrived && offer.stamp.map(|stamp| stamp.version) == grant.map(|row| row.version)).then_some(offer)
}

/// How many clusters below a child may run work for a placement, by what the child was told. A hub
/// may find more than it was granted, when an agent's old copy starts what it ran before: that counts
/// once it has been told.
fn may_hold(parent: &Node<'_>, child: &Node<'_>, name: &Name, placement: Uid) -> u32 {
    match child.role {
        Role::Agent => u32::from(may_run(parent, child, name, placement)),
        Role::Hub => {
            let told = last_word(parent, child, name, placement).is_some();
            let found = if told { child.ceilings(placement) } else { 0 };
            found.max(child.quota(placement).unwrap_or(0))
        }
    }
}

/// Whether a cluster runs work for a placement, or may start it by what it was told. Work that its hub
/// has since given to another placement counts there, and an orphan when it has been adopted.
fn may_run(hub: &Node<'_>, agent: &Node<'_>, name: &Name, placement: Uid) -> bool {
    let given_away =
        |uid: Uid| hub.assigned(name, uid).is_some_and(|assigned| !assigned.placements.contains(&placement));
    let works = works(agent).into_iter().filter(|(uid, _)| hub.object(*uid).is_some());
    works.filter(|(_, placements)| placements.contains(&placement)).any(|(uid, _)| !given_away(uid))
}

/// What a cluster runs or may start, and for which placements: as its agent was told last, or else
/// reports, or else as the cluster says. What is only reported may have been deleted since.
fn works<'a>(agent: &Node<'a>) -> BTreeMap<Uid, &'a [Uid]> {
    let sets = agent.cluster.into_iter().flat_map(|cluster| cluster.sets());
    let mut works: BTreeMap<Uid, &[Uid]> =
        sets.map(|(uid, set)| (uid, set.found.placements.as_slice())).collect();
    for (uid, work) in agent.held() {
        works.entry(uid).and_modify(|placements| *placements = &work.placements);
    }
    works.extend(told_to_run(agent));
    works
}

fn told_to_run<'a>(agent: &Node<'a>) -> impl Iterator<Item = (Uid, &'a [Uid])> {
    agent.rows(&EdgeId::Parent).filter_map(|(key, row)| match row.payload.body.assignment()? {
        Assignment::Run(run) => Some((key.uid, run.placements.as_slice())),
        Assignment::Remove | Assignment::Keep => None,
    })
}

/// Gone is believed only for the very assignment that it answers: what a cluster was told to run
/// stands in its hub's book until the cluster has confirmed that it is gone.
fn keeps_book(hub: &Node<'_>, agent: &Node<'_>, name: &Name) -> Vec<String> {
    if agent.role == Role::Hub || !remember_each_other(hub, agent, name) {
        return Vec::new();
    }
    let incarnation = hub.history().map(|history| history.incarnation);
    let told = told_to_run(agent).filter(|(uid, _)| {
        let row = agent.row(&EdgeId::Parent, RowKind::Assignment, *uid);
        row.is_some_and(|row| Some(row.learned) == incarnation && !row.orphaned)
    });
    let forgotten = told.filter(|(uid, _)| hub.assigned(name, *uid).is_none());
    forgotten.map(|(uid, _)| format!("has forgotten {uid} at {name}, which may run it")).collect()
}
