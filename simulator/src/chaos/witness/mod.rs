//! What was wanted when, kept apart from Canopy, and the promises checked against it.
//!
//! The witness knows only what administrators were told, what stands on the homes' disks, and what
//! happens in the clusters. A removal is justified when the object was deleted by somebody, or when
//! at some time since it was started there the wishes on disk did not select that cluster. A disk
//! that is lost or old is no wish. What states alone can show is judged by [`canopy_core::check`].
//!
//! - [`wishes`]: what the objects on disk say about each cluster;
//! - [`orders`]: what agents ask of their clusters, against those wishes;
//! - [`numbers`]: how many clusters may hold a placement, over the whole tree;
//! - [`rest`]: what must be so when nothing goes wrong any more.

mod numbers;
mod orders;
mod rest;
mod wishes;

use std::collections::{BTreeMap, BTreeSet};

use canopy_core::check::{self, Replaced};
use canopy_core::command::{Command, Outcome, Verb};
use canopy_core::durable::{Slot, Value};
use canopy_core::link::EdgeId;
use canopy_core::row::RowKind;
use canopy_model::{Name, Role, Spec, Uid};

use super::world::{Broken, World};
use numbers::{Holding, SETTLED_MS};

/// What the witness has seen.
#[derive(Debug, Default)]
pub(crate) struct Witness {
    /// Every object that was ever written, with its last specification.
    written: BTreeMap<Uid, Spec>,
    /// Deleted or dropped by somebody.
    deleted: BTreeSet<Uid>,
    /// Dropped by somebody.
    dropped: BTreeSet<Uid>,
    /// Not selected at some time since it was started there.
    unwanted: BTreeSet<(Uid, usize)>,
    /// Selected, or selectable, at some time.
    wanted: BTreeSet<(Uid, usize)>,
    /// Until when placements may give back what they selected: their number was changed, or the disk
    /// of a hub was exchanged.
    given_back_until: BTreeMap<Uid, u64>,
    /// Until when a hub of which the disk was exchanged may not know what it granted since, for no
    /// neighbour has proved it yet.
    unprovable_until: u64,
    holdings: BTreeMap<Uid, Holding>,
    given_back: BTreeMap<Uid, GivenBack>,
    /// Hubs of which the disk was exchanged, with the cursor that it held.
    exchanged: BTreeMap<usize, Option<Value>>,
}

/// The children that gave a grant back since a placement's number is what it is.
#[derive(Debug, Default)]
struct GivenBack {
    number: Option<u32>,
    children: BTreeSet<(usize, Name)>,
}

impl Witness {
    pub(crate) fn spec(&self, uid: Uid) -> Option<Spec> {
        self.written.get(&uid).cloned()
    }

    /// Somebody deleted it and did not wait.
    pub(crate) fn forgotten(&mut self, uid: Uid) {
        self.deleted.insert(uid);
    }
}

impl World {
    pub(crate) fn witness_command(&mut self, command: &Command, outcome: Option<&Outcome>) {
        match (&command.verb, outcome) {
            (_, Some(Outcome::Created(uid) | Outcome::Configured(uid))) => {
                self.witness.deleted.remove(uid);
            }
            (Verb::Drop(uid), _) => {
                self.witness.dropped.insert(*uid);
                self.witness.deleted.insert(*uid);
            }
            _ => {}
        }
    }

    /// A home told that it had deleted an orphan, and nobody had to decide.
    pub(crate) fn witness_verdict(&mut self, uid: Uid) {
        if !self.witness.dropped.contains(&uid) {
            self.occurrences.note("orphan deleted by its home");
        }
    }

    /// A disk was lost, or an old copy came back: what it says is counted from now on.
    pub(crate) fn disk_changed(&mut self, node: usize) {
        self.count_anew();
        if self.nodes[node].identity.role == Role::Hub {
            let cursor = self.nodes[node].disk.get(&Slot::Position(EdgeId::Parent)).cloned();
            self.witness.exchanged.insert(node, cursor);
            let has_number =
                |spec: &Spec| matches!(spec, Spec::Placement(it) if it.number_of_clusters.is_some());
            let numbered = self.witness.written.iter().filter(|(_, spec)| has_number(spec));
            let until = self.now + SETTLED_MS;
            self.witness.given_back_until.extend(numbered.map(|(uid, _)| (*uid, until)));
            self.witness.unprovable_until = until;
        }
    }

    /// After every commit of a node: what was wished then, and what the commit may have broken.
    pub(crate) fn witness_commit(&mut self, node: usize, replaced: &Replaced) -> Result<(), Broken> {
        let verdict = |(slot, before): (&Slot, &Option<Value>)| match slot {
            Slot::Received(EdgeId::Parent, _, key) if key.kind == RowKind::Verdict && before.is_none() => {
                Some(key.uid)
            }
            _ => None,
        };
        for uid in replaced.iter().filter_map(verdict) {
            self.witness_verdict(uid);
        }
        self.note_wishes();
        self.note_grants(node, replaced);
        self.check_numbers()?;
        self.check_states(node, replaced)
    }

    /// A grant that one child gave back and another got, while the number stayed.
    fn note_grants(&mut self, hub: usize, replaced: &Replaced) {
        let view = self.nodes[hub].view();
        let mut moved = 0;
        for (slot, before) in replaced {
            let Slot::Share(placement, name) = slot else { continue };
            let before = if let Some(Value::Share(share)) = before { share.grant } else { 0 };
            let now = view.share(*placement, name).grant;
            let number = view.object(*placement).and_then(|it| it.placement()?.number_of_clusters);
            let given = self.witness.given_back.entry(*placement).or_default();
            if given.number != number {
                *given = GivenBack { number, children: BTreeSet::new() };
            }
            if now < before {
                given.children.insert((hub, name.clone()));
            } else if now > before && given.children.iter().any(|(_, other)| other != name) {
                given.children.clear();
                moved += 1;
            }
        }
        (0..moved).for_each(|_| self.occurrences.note("grant moved to another child"));
    }

    /// Who was released by a commit: from now on nothing is expected of these nodes. Whether there
    /// were any.
    pub(crate) fn witness_releases(&mut self, hub: usize, replaced: &Replaced) -> bool {
        let released = replaced.keys().filter_map(|slot| match slot {
            Slot::Released(uid) if self.nodes[hub].disk.contains_key(slot) => Some(*uid),
            _ => None,
        });
        let gone = |uid| self.nodes.iter().position(|node| node.identity.uid == uid);
        let gone: Vec<usize> = released.filter_map(gone).collect();
        for node in &gone {
            self.occurrences.note("cluster left");
            self.note(format!("{} has left", self.nodes[*node].path));
            self.nodes[*node].left = true;
        }
        !gone.is_empty()
    }

    /// What a commit can break: the node's own promises, and those that it keeps with its neighbours.
    fn check_states(&self, node: usize, replaced: &Replaced) -> Result<(), Broken> {
        let tree = self.tree();
        let Some(view) = tree.at(&self.nodes[node].path) else { return Ok(()) };
        let mut broken = check::commit(view, replaced);
        broken.extend(check::around(&tree, view));
        broken.extend(tree.children(view).flat_map(|child| check::around(&tree, child)));
        broken.first().map_or(Ok(()), |violation| Err(violation.to_string()))
    }
}
