//! Who writes objects, moves labels, and resolves what only a person can.

use std::collections::BTreeMap;
use std::sync::Arc;

use canopy_core::Input;
use canopy_core::command::{Amendment, Command, Meant, Outcome, Refusal, Verb};
use canopy_model::{
    Digest, Kind, Labels, Name, ObjectName, Path, Placement, Record, ResourceVersion, Revision, Role,
    Selector, Spec, Toleration, Uid, Workload,
    taint::{self, CORDONED, DRAINED},
};

use super::world::{Broken, Event, World};

impl World {
    /// Records a node at its parent, as joining with a token does.
    pub(crate) fn enrol(&mut self, node: usize) -> Result<(), Broken> {
        let Some(parent) = self.nodes[node].parent else { return Ok(()) };
        let name = self.nodes[node].path.name().expect("a child has a name");
        let record = self.nodes[node].identity.clone();
        self.ask(parent, Verb::Accept { name, record })?;
        Ok(())
    }

    /// A command to a hub that is up; the answer.
    pub(crate) fn ask(&mut self, hub: usize, verb: Verb) -> Result<Option<Outcome>, Broken> {
        if self.nodes[hub].machine.is_none() {
            return Ok(None);
        }
        let command = Command { id: self.uid(), principal: "chaos".into(), verb };
        self.note(format!("{} is asked: {:?}", self.nodes[hub].path, command.verb));
        self.feed(hub, Input::Command(command.clone()))?;
        let outcome = self.answers.remove(&command.id);
        self.witness_command(&command, outcome.as_ref());
        if outcome.is_some() && self.rng.u8(..10) == 0 && self.nodes[hub].machine.is_some() {
            self.occurrences.note("command repeated");
            self.feed(hub, Input::Command(command.clone()))?;
            let again = self.answers.remove(&command.id);
            if again.is_some() && again != outcome {
                return Err(format!("a repeated command got another answer: {again:?}, not {outcome:?}"));
            }
        }
        Ok(outcome)
    }

    pub(crate) fn administer(&mut self) -> Result<(), Broken> {
        if self.calm {
            return Ok(());
        }
        let delay = self.rng.u64(300..6_000);
        self.schedule(delay, Event::Administer);
        match self.rng.u8(..25) {
            0..=4 => self.write_workload(),
            5..=7 => self.write_placement(),
            8..=9 => self.delete_something(),
            10..=14 => self.move_label(),
            15 => self.waver(),
            16 => self.edit_cluster(),
            17 => {
                let agents = self.present(Role::Agent);
                let agent = agents[self.rng.usize(..agents.len())];
                self.nodes[agent].refusals = self.rng.u32(1..3);
                Ok(())
            }
            18 => self.join(),
            19 => self.write_late(),
            20 => self.hold(),
            21..=23 => self.taint(),
            _ => self.release(),
        }
    }

    /// The root, or sometimes a region: a home that goes on working while it is cut off.
    fn pick_home(&mut self) -> usize {
        let hubs = self.present(Role::Hub);
        if self.rng.bool() { 0 } else { hubs[self.rng.usize(..hubs.len())] }
    }

    fn pick_name(&mut self, letter: char) -> ObjectName {
        object_name(&format!("{letter}{}", self.rng.u8(..3)))
    }

    fn note_region_write(&mut self, home: usize) {
        if home != 0 && self.network.is_cut(home) {
            self.occurrences.note("object homed at a region changed while it was cut off");
        }
    }

    fn write_workload(&mut self) -> Result<(), Broken> {
        let home = self.pick_home();
        self.note_region_write(home);
        let name = self.pick_name('w');
        let mut placements: Vec<Name> = Vec::new();
        for letter in 0..3 {
            if self.rng.bool() {
                placements.push(object_name(&format!("p{letter}")).name);
            }
        }
        let content: Arc<[u8]> = Arc::from([self.rng.u8(..)].as_slice());
        let digest = Digest([self.rng.u8(..); 32]);
        let revision = Revision { digest, size: 1, inline: self.rng.bool().then_some(content) };
        let spec = Spec::Workload(Workload { placements, revision });
        self.apply(home, name, spec)
    }

    fn write_placement(&mut self) -> Result<(), Broken> {
        let home = self.pick_home();
        self.note_region_write(home);
        let name = self.pick_name('p');
        let line = self.pick_line();
        let predicates = if self.rng.u8(..4) == 0 { Vec::new() } else { vec![Selector::equal("line", line)] };
        let number_of_clusters = self.rng.bool().then(|| self.rng.u32(0..4));
        let tolerations = match self.rng.u8(..4) {
            0 => vec![Toleration { key: CORDONED.to_owned(), ..Toleration::default() }],
            1 => vec![Toleration { key: DRAINED.to_owned(), ..Toleration::default() }],
            _ => Vec::new(),
        };
        self.apply(
            home,
            name,
            Spec::Placement(Placement { predicates, number_of_clusters, tolerations, numbered_since: 0 }),
        )
    }

    fn apply(&mut self, home: usize, name: ObjectName, spec: Spec) -> Result<(), Broken> {
        let uid = Meant::Any { fresh: self.uid() };
        self.ask(home, Verb::Apply { name, labels: Labels::new(), spec, uid, expected: None })?;
        Ok(())
    }

    /// Somebody writes over a version that somebody else has changed since.
    fn write_late(&mut self) -> Result<(), Broken> {
        let home = self.pick_home();
        let name = self.pick_name('w');
        let Some(found) = self.hub(home).and_then(|it| it.find(Kind::Workload, &name)).cloned() else {
            return Ok(());
        };
        let expected = Some(ResourceVersion(found.metadata.resource_version.0.wrapping_sub(1)));
        let (uid, spec) = (Meant::This(found.metadata.uid), found.spec.clone());
        match self.ask(home, Verb::Apply { name, labels: Labels::new(), spec, uid, expected })? {
            Some(Outcome::Refused(Refusal::Conflict { .. })) => self.occurrences.note("late write refused"),
            None => {}
            other => return Err(format!("a write over another's change got {other:?}")),
        }
        Ok(())
    }

    /// People at a machine want nothing changed for a while.
    fn hold(&mut self) -> Result<(), Broken> {
        let agents = self.present(Role::Agent);
        let agent = agents[self.rng.usize(..agents.len())];
        if self.nodes[agent].machine.is_none() {
            return Ok(());
        }
        self.occurrences.note("machine held by people");
        let delay = self.rng.u64(1_000..40_000);
        self.schedule(delay, Event::Release { agent });
        self.feed(agent, Input::Hold(Some("the spindle is open".to_owned())))
    }

    /// They let it go on; a machine that is down for now is asked again.
    pub(crate) fn let_go_on(&mut self, agent: usize) -> Result<(), Broken> {
        if self.nodes[agent].machine.is_none() && !self.nodes[agent].left {
            self.schedule(1_000, Event::Release { agent });
        }
        self.feed(agent, Input::Hold(None))
    }

    fn delete_something(&mut self) -> Result<(), Broken> {
        let home = self.pick_home();
        let (kind, letter) =
            if self.rng.u8(..3) == 0 { (Kind::Placement, 'p') } else { (Kind::Workload, 'w') };
        let name = self.pick_name(letter);
        let forget = self.rng.u8(..6) == 0;
        let uid = self.hub(home).and_then(|it| Some(it.find(kind, &name)?.metadata.uid));
        let outcome = self.ask(home, Verb::Delete { kind, name, forget, expected: None })?;
        if let (true, Some(uid), Some(Outcome::Deleted)) = (forget, uid, &outcome) {
            self.occurrences.note("deleted without waiting");
            self.witness.forgotten(uid);
        }
        let dark = self.present(Role::Agent).into_iter().any(|agent| {
            let holds = self.nodes[agent].cluster.sets().next().is_some();
            holds && (self.network.is_cut(agent) || self.nodes[agent].machine.is_none())
        });
        if dark && kind == Kind::Workload && outcome == Some(Outcome::Deleted) {
            self.occurrences.note("deleted while a cluster was dark");
        }
        Ok(())
    }

    fn move_label(&mut self) -> Result<(), Broken> {
        let agents = self.present(Role::Agent);
        let agent = agents[self.rng.usize(..agents.len())];
        let line = self.pick_line();
        self.label(agent, line)
    }

    fn label(&mut self, agent: usize, line: &str) -> Result<(), Broken> {
        let hub = self.nodes[agent].parent.expect("an agent has a hub");
        let name = self.nodes[agent].path.name().expect("an agent has a name");
        let changes = BTreeMap::from([("line".to_owned(), Some(line.to_owned()))]);
        let amendment = Amendment { labels: changes, overwrite: true, ..Amendment::default() };
        let verb = Verb::Amend { role: Role::Agent, name, amendment, expected: None };
        if let Some(Outcome::Configured(_)) = self.ask(hub, verb)? {
            self.occurrences.note("label moved");
        }
        Ok(())
    }

    /// A cluster is closed to new work, emptied, or opened again; more often opened, or all would be
    /// closed before long.
    fn taint(&mut self) -> Result<(), Broken> {
        let agents = self.present(Role::Agent);
        let agent = agents[self.rng.usize(..agents.len())];
        let hub = self.nodes[agent].parent.expect("an agent has a hub");
        let name = self.nodes[agent].path.name().expect("an agent has a name");
        let set =
            |key: &str, effect| taint::Change::Set { key: key.to_owned(), value: String::new(), effect };
        let (what, taints) = match self.rng.u8(..6) {
            0 => ("cluster cordoned", vec![set(CORDONED, taint::Effect::NoSelectIfNew)]),
            1 => ("cluster drained", vec![set(DRAINED, taint::Effect::NoSelect)]),
            2 => ("cluster to be spared", vec![set("canopy.dev/spared", taint::Effect::PreferNoSelect)]),
            _ => {
                let remove = |key: &str| taint::Change::Remove { key: key.to_owned(), effect: None };
                ("cluster opened again", vec![remove(CORDONED), remove(DRAINED)])
            }
        };
        let amendment = Amendment { taints, ..Amendment::default() };
        let verb = Verb::Amend { role: Role::Agent, name, amendment, expected: None };
        if let Some(Outcome::Configured(_)) = self.ask(hub, verb)? {
            self.occurrences.note(what);
        }
        Ok(())
    }

    /// Somebody cannot decide on which line a cluster is: several orders are under way at once.
    fn waver(&mut self) -> Result<(), Broken> {
        const MOVES_MAX: u8 = 10;
        let agents = self.present(Role::Agent);
        let agent = agents[self.rng.usize(..agents.len())];
        self.occurrences.note("label moved to and fro");
        let moves = self.rng.u8(3..MOVES_MAX);
        self.waver_on(agent, moves)
    }

    pub(crate) fn waver_on(&mut self, agent: usize, moves: u8) -> Result<(), Broken> {
        if self.nodes[agent].left || self.calm {
            return Ok(());
        }
        if moves > 0 {
            let delay = self.rng.u64(1..300);
            self.schedule(delay, Event::Waver { agent, moves: moves - 1 });
        }
        let line = self.pick_line();
        self.label(agent, line)
    }

    fn edit_cluster(&mut self) -> Result<(), Broken> {
        let agents = self.present(Role::Agent);
        let agent = agents[self.rng.usize(..agents.len())];
        let uid = self.nodes[agent].cluster.sets().next().map(|(uid, _)| uid);
        let now = self.clock(agent);
        if let Some(event) = uid.and_then(|uid| self.nodes[agent].cluster.edit(now, uid)) {
            self.answer(agent, vec![event]);
        }
        Ok(())
    }

    fn join(&mut self) -> Result<(), Broken> {
        const AGENTS_MAX: usize = 14;
        let hubs: Vec<usize> =
            self.present(Role::Hub).into_iter().filter(|hub| self.nodes[*hub].machine.is_some()).collect();
        if hubs.is_empty() || self.present(Role::Agent).len() >= AGENTS_MAX {
            return Ok(());
        }
        let hub = hubs[self.rng.usize(..hubs.len())];
        let name = format!("new-{}", self.nodes.len());
        let agent = self.add_child(hub, &name, Role::Agent);
        self.occurrences.note("cluster joined");
        self.enrol(agent)?;
        self.schedule(100, Event::Start { node: agent });
        Ok(())
    }

    fn release(&mut self) -> Result<(), Broken> {
        let agents = self.present(Role::Agent);
        if agents.len() < 4 {
            return Ok(());
        }
        let agent = agents[self.rng.usize(..agents.len())];
        let hub = self.nodes[agent].parent.expect("an agent has a hub");
        let name = self.nodes[agent].path.name().expect("an agent has a name");
        let forget = self.rng.u8(..4) == 0;
        self.ask(hub, Verb::Release { role: Role::Agent, name, forget, expected: None })?;
        Ok(())
    }

    /// What only a person can decide after memory was lost: strangers are accepted, missing
    /// clusters forgotten, children that were let go are let go again, orphans adopted or dropped.
    pub(crate) fn resolve_by_hand(&mut self) -> Result<(), Broken> {
        for hub in self.present(Role::Hub).into_iter().rev() {
            for (name, record) in self.strangers(hub) {
                self.ask(hub, Verb::Accept { name, record })?;
            }
            if self.hub(hub).is_some_and(|it| it.is_recovering()) {
                self.ask(hub, Verb::ForgetMissing)?;
            }
            for name in self.returned(hub) {
                self.ask(hub, Verb::Release { role: Role::Agent, name, forget: true, expected: None })?;
            }
            let path = self.nodes[hub].path.clone();
            let orphans = self.hub(hub).map(|it| it.orphans()).unwrap_or_default();
            for (uid, orphan) in orphans.into_iter().filter(|(_, orphan)| orphan.home.path == path) {
                self.adopt_or_drop(hub, uid, orphan.name)?;
            }
        }
        Ok(())
    }

    fn strangers(&self, hub: usize) -> Vec<(Name, Record)> {
        let Some(machine) = self.hub(hub) else { return Vec::new() };
        let strange = machine.children().iter().filter(|(_, child)| child.record.is_none());
        let path: &Path = &self.nodes[hub].path;
        let known = |name: &Name| {
            let node = self.nodes.iter().find(|node| node.path == path.child(name))?;
            Some((name.clone(), node.identity.clone()))
        };
        strange.filter_map(|(name, _)| known(name)).collect()
    }

    /// Children that were let go for good and stand in an old copy of the hub's disk again.
    fn returned(&self, hub: usize) -> Vec<Name> {
        let gone = self.nodes.iter().filter(|node| node.left && node.parent == Some(hub));
        let names = gone.filter_map(|node| Some((node.path.name()?, node.identity.uid)));
        let view = self.nodes[hub].view();
        names
            .filter(|(name, uid)| view.record(name).is_some_and(|it| it.uid == *uid))
            .map(|it| it.0)
            .collect()
    }

    fn adopt_or_drop(&mut self, hub: usize, uid: Uid, name: ObjectName) -> Result<(), Broken> {
        let known = self.witness.spec(uid);
        let taken = known
            .as_ref()
            .is_some_and(|spec| self.hub(hub).is_some_and(|it| it.find(spec.kind(), &name).is_some()));
        match known {
            Some(spec) if !taken && self.rng.bool() => {
                let uid = Meant::This(uid);
                let verb = Verb::Apply { name, labels: Labels::new(), spec, uid, expected: None };
                if let Some(Outcome::Created(_)) = self.ask(hub, verb)? {
                    self.occurrences.note("orphan adopted");
                }
            }
            _ => {
                if let Some(Outcome::Done) = self.ask(hub, Verb::Drop(uid))? {
                    self.occurrences.note("orphan dropped");
                }
            }
        }
        Ok(())
    }
}

fn object_name(name: &str) -> ObjectName {
    let valid = |text: &str| text.parse().expect("names of the simulation are valid");
    ObjectName { project: valid("default"), name: valid(name) }
}
