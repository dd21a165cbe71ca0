//! A node's process in virtual time: it starts, commits each step, performs its effects, and crashes.

use canopy_core::check::Replaced;
use canopy_core::durable::Change;
use canopy_core::effect::{Alert, ClusterOrder};
use canopy_core::input::ClusterEvent;
use canopy_core::{Agent, Effect, Hub, Input, Machine, Step};
use canopy_model::{Boot, Digest, Health, Now, Role, Uptime};

use super::content;
use super::world::{Broken, Event, Node, World};

/// A machine in memory.
pub(crate) enum Running {
    Hub(Box<Hub>),
    Agent(Box<Agent>),
}

impl Running {
    fn handle(&mut self, now: Now, input: Input) -> Step {
        match self {
            Self::Hub(hub) => hub.handle(now, input),
            Self::Agent(agent) => agent.handle(now, input),
        }
    }

    fn wake_at(&self) -> Option<Uptime> {
        match self {
            Self::Hub(hub) => hub.wake_at(),
            Self::Agent(agent) => agent.wake_at(),
        }
    }
}

impl World {
    pub(crate) fn start(&mut self, node: usize) -> Result<(), Broken> {
        let boot = Boot(self.rng.u128(..));
        let it = &mut self.nodes[node];
        if it.left || it.machine.is_some() {
            return Ok(());
        }
        it.life += 1;
        let slots = it.disk.clone();
        it.machine = Some(match it.identity.role {
            Role::Hub => Running::Hub(Box::new(Hub::load(it.path.clone(), slots))),
            Role::Agent => Running::Agent(Box::new(Agent::load(it.path.clone(), slots))),
        });
        self.note(format!("{} starts", self.nodes[node].path));
        if self.nodes[node].parent.is_some() {
            let delay = self.rng.u64(10..1_000);
            self.schedule(delay, Event::Dial { child: node });
        }
        self.feed(node, Input::Started { boot })
    }

    /// Hands an input to a node: commit, then effects; or a crash on either side of the commit.
    pub(crate) fn feed(&mut self, node: usize, input: Input) -> Result<(), Broken> {
        let now = self.clock(node);
        let Some(machine) = &mut self.nodes[node].machine else { return Ok(()) };
        let starts = matches!(input, Input::Started { .. });
        let step = machine.handle(now, input);
        let crash = if self.calm { 0 } else { self.rng.u32(..2_000) };
        if crash == 1 {
            self.occurrences.note("crash before the commit");
            self.crash(node);
            return Ok(());
        }
        let disk = &mut self.nodes[node].disk;
        let mut replaced = Replaced::new();
        let committed = step.commit(|changes| -> Result<(), std::convert::Infallible> {
            for change in changes {
                let (slot, before) = match change.clone() {
                    Change::Put(slot, value) => (slot.clone(), disk.insert(slot, value)),
                    Change::Delete(slot) => (slot.clone(), disk.remove(&slot)),
                };
                replaced.entry(slot).or_insert(before);
            }
            Ok(())
        });
        let Ok(effects) = committed;
        let releases = self.witness_releases(node, &replaced);
        self.witness_commit(node, &replaced)?;
        if crash == 2 || releases && !self.calm && self.rng.u8(..4) == 0 {
            self.occurrences.note("crash after the commit, before the effects");
            self.crash(node);
            return Ok(());
        }
        for effect in effects {
            let revokes = matches!(effect, Effect::Revoke(uid) if !self.nodes[node].revoked.contains(&uid));
            if starts && revokes {
                self.occurrences.note("revocation made up for after a crash");
            }
            self.perform(node, effect)?;
        }
        self.schedule_wake(node);
        Ok(())
    }

    fn schedule_wake(&mut self, node: usize) {
        let it = &mut self.nodes[node];
        let at = it.machine.as_ref().and_then(Running::wake_at);
        if at != it.wake {
            it.wake = at;
            if let Some(at) = at {
                let delay = at.0.saturating_sub(self.now);
                self.schedule(delay, Event::Wake { node });
            }
        }
    }

    fn perform(&mut self, node: usize, effect: Effect) -> Result<(), Broken> {
        match effect {
            Effect::Send { edge, session, frame } => {
                self.witness_telling(node, &edge, &frame)?;
                self.transmit(node, &edge, session, frame);
            }
            Effect::Disconnect { session, reason, .. } => {
                self.note(format!("{} ends a connection: {reason}", self.nodes[node].path));
                self.hang_up(session, node);
            }
            Effect::Reply { id, outcome } => {
                self.answers.insert(id, outcome);
            }
            Effect::Cluster(order) => return self.order(node, order),
            Effect::Alert(alert) => {
                self.note(format!("{}: {alert}", self.nodes[node].path));
                self.occurrences.note(match alert {
                    Alert::Restored { .. } => "restored node met a newer neighbour",
                    Alert::LostHistory { .. } => "node learned that its history was lost",
                });
            }
            Effect::Revoke(uid) => {
                self.nodes[node].revoked.insert(uid);
            }
            Effect::Fetch(digest) => self.fetch(node, digest),
        }
        Ok(())
    }

    /// Content is on its way for a while, and sometimes it does not come.
    fn fetch(&mut self, node: usize, digest: Digest) {
        let fails = !self.calm && self.rng.u8(..4) == 0;
        if fails {
            self.occurrences.note("content could not be fetched");
        }
        let error = fails.then(|| "the line is down".to_owned());
        let (life, delay) = (self.nodes[node].life, self.rng.u64(5..5_000));
        self.schedule(delay, Event::Fetched { node, life, digest, error });
    }

    fn order(&mut self, node: usize, order: ClusterOrder) -> Result<(), Broken> {
        self.witness_order(node, &order)?;
        let now = self.clock(node);
        let Node { cluster, refusals, .. } = &mut self.nodes[node];
        let answer = match order {
            ClusterOrder::Apply(apply) => {
                let (uid, attempt, revision) = (apply.uid, apply.attempt, apply.revision.digest);
                let error = if *refusals > 0 {
                    *refusals -= 1;
                    Some("admission refused it, try again".to_owned())
                } else {
                    let applied = cluster.apply(now, apply, content::objects(uid, revision));
                    applied.err().map(|refused| refused.to_string())
                };
                ClusterEvent::Applied { uid, revision, attempt, error }
            }
            ClusterOrder::Delete { uid, attempt } => {
                let refused = !self.calm && self.rng.u8(..8) == 0;
                if refused {
                    self.occurrences.note("deletion hindered");
                } else {
                    cluster.delete(uid);
                }
                let error = refused.then(|| "a finalizer is not done".to_owned());
                ClusterEvent::Deleted { uid, attempt, error }
            }
            ClusterOrder::Survey => ClusterEvent::Surveyed(cluster.survey(now).into()),
        };
        let events = std::iter::once(answer).chain(cluster.wake(now)).collect();
        self.answer(node, events);
        self.schedule_cluster_wake(node);
        Ok(())
    }

    /// Pods of a cluster changed with time.
    pub(crate) fn wake_cluster(&mut self, node: usize) {
        let now = self.clock(node);
        let events = self.nodes[node].cluster.wake(now);
        if !events.is_empty() {
            self.answer(node, events);
            self.schedule_cluster_wake(node);
        }
    }

    fn schedule_cluster_wake(&mut self, node: usize) {
        if let Some(at) = self.nodes[node].cluster.wake_at() {
            self.schedule(at.0.saturating_sub(self.now), Event::ClusterWake { node });
        }
    }

    pub(crate) fn answer(&mut self, node: usize, events: Vec<ClusterEvent>) {
        let life = self.nodes[node].life;
        let delay = self.rng.u64(5..500);
        for event in events {
            if let ClusterEvent::Observed { health: Health::Degraded, .. } = event {
                self.occurrences.note("pods failed");
            }
            self.schedule(delay, Event::Answer { node, life, event });
        }
    }

    pub(crate) fn crash(&mut self, node: usize) {
        self.note(format!("{} crashes", self.nodes[node].path));
        self.nodes[node].machine = None;
        self.nodes[node].wake = None;
        self.drop_sessions(node);
        if !self.nodes[node].left {
            let delay = self.rng.u64(500..40_000);
            self.schedule(delay, Event::Start { node });
        }
    }
}
