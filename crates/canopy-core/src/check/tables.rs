//! The two ends of an edge: what one was told is what the other has.

use canopy_model::Role;

use super::Violation;
use super::view::Node;
use crate::link::EdgeId;
use crate::row::{Key, RowKind};

/// The promises that a parent and a child keep together about their tables.
pub fn between(parent: &Node<'_>, child: &Node<'_>) -> Vec<Violation> {
    let Some(name) = child.path.name() else { return Vec::new() };
    let (down, up) = (EdgeId::Child(name), EdgeId::Parent);
    let broken = |at: &Node<'_>, what| Violation { at: at.path.clone(), what };
    let mut all = Vec::new();
    for (sender, to, receiver, from) in [(parent, &down, child, &up), (child, &up, parent, &down)] {
        let Some(position) = sender.position_of(to, receiver, from) else { continue };
        all.extend(nothing_is_lost(sender, to, receiver, from, position).map(|what| broken(receiver, what)));
        all.extend(
            nothing_is_invented(sender, to, receiver, from, position).map(|what| broken(receiver, what)),
        );
    }
    let kinds = [(child, &up, false), (parent, &down, true)];
    for (receiver, from, upward) in kinds {
        all.extend(only_what_belongs(receiver, from, upward, child.role).map(|what| broken(receiver, what)));
    }
    all
}

/// Nothing is ever lost silently: a row that had changed before the receiver's position is there, as
/// it is now at its sender.
fn nothing_is_lost(
    sender: &Node<'_>,
    to: &EdgeId,
    receiver: &Node<'_>,
    from: &EdgeId,
    position: u64,
) -> impl Iterator<Item = String> {
    let told = sender.sent(to).filter(move |(_, row)| row.live && row.version <= position);
    let incarnation = sender.history().map(|history| history.incarnation);
    told.filter(move |(key, row)| {
        let there = receiver.row(from, key.kind, key.uid);
        there.is_none_or(|it| it.version != row.version || Some(it.learned) != incarnation || it.orphaned)
    })
    .map(move |(key, row)| format!("has lost {key:?} of version {}, being at {position}", row.version))
}

/// What a receiver has, its sender still tells, or it was removed or changed after the receiver's
/// position.
fn nothing_is_invented(
    sender: &Node<'_>,
    to: &EdgeId,
    receiver: &Node<'_>,
    from: &EdgeId,
    position: u64,
) -> impl Iterator<Item = String> {
    let incarnation = sender.history().map(|history| history.incarnation);
    let present =
        receiver.rows(from).filter(move |(_, row)| Some(row.learned) == incarnation && !row.orphaned);
    present
        .filter(move |(key, row)| {
            let told = sender.sent_row(to, **key);
            told.is_none_or(|told| told.version < row.version || !told.live && told.version <= position)
        })
        .map(move |(key, row)| format!("has {key:?} of version {}, which was removed", row.version))
}

/// Each table has its kinds of rows: above a cluster's own hub, only counts.
fn only_what_belongs(
    receiver: &Node<'_>,
    from: &EdgeId,
    upward: bool,
    child: Role,
) -> impl Iterator<Item = String> {
    let foreign = receiver.rows(from).filter(move |(key, _)| !belongs(key.kind, upward, child));
    foreign.map(|(Key { kind, .. }, _)| format!("was told a {kind:?}"))
}

fn belongs(kind: RowKind, upward: bool, child: Role) -> bool {
    match kind {
        RowKind::Report | RowKind::Claims | RowKind::Machine | RowKind::Inventory => {
            upward && child == Role::Agent
        }
        RowKind::Summary | RowKind::Offer | RowKind::Selected | RowKind::Orphan | RowKind::Fleet => {
            upward && child == Role::Hub
        }
        RowKind::Record => !upward,
        RowKind::Assignment => !upward && child == Role::Agent,
        RowKind::Object | RowKind::Grant | RowKind::Verdict | RowKind::Doubt => !upward && child == Role::Hub,
        RowKind::Other(_) => true,
    }
}
