//! Nodes with their disks, the virtual clock and the queue of events.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};

use canopy_core::check;
use canopy_core::cluster::Cluster;
use canopy_core::command::Outcome;
use canopy_core::durable::{Slot, Value};
use canopy_core::input::ClusterEvent;
use canopy_core::link::{EdgeId, Frame, SessionId};
use canopy_core::{Hub, Input};
use canopy_model::{Digest, Labels, Name, Now, Path, Record, Role, Uid, Uptime, Wall};

use super::network::Network;
use super::occurrences::Occurrences;
use super::process::Running;
use super::witness::Witness;

/// For how long faults are thrown, in virtual milliseconds.
const CHAOS_MS: u64 = 300_000;
/// Within what time after healing everything must be as wanted, in virtual milliseconds.
const REST_MS: u64 = 120_000;
/// How many events a seed may have: far more than any that comes to rest.
const EVENTS_MAX: u64 = 300_000;
/// The wall clock at the start.
const EPOCH_MS: u64 = 1_800_000_000_000;

pub(crate) type Disk = BTreeMap<Slot, Value>;

/// A node of the tree, in memory or not.
pub(crate) struct Node {
    pub path: Path,
    pub parent: Option<usize>,
    pub identity: Record,
    pub machine: Option<Running>,
    pub disk: Disk,
    pub copy: Option<Disk>,
    pub cluster: Cluster,
    /// Applies that its cluster will refuse, counted down.
    pub refusals: u32,
    /// What the wall clock is ahead, in milliseconds.
    pub skew: i64,
    /// It was released: it may try to come back until it is refused.
    pub left: bool,
    /// Whose identities are revoked; kept apart from the disk.
    pub revoked: BTreeSet<Uid>,
    /// Counts its starts, so that answers to a former process are not heard.
    pub life: u64,
    pub wake: Option<Uptime>,
}

impl Node {
    /// The node as its disk has it.
    pub(crate) fn view(&self) -> check::Node<'_> {
        let cluster = (self.identity.role == Role::Agent).then_some(&self.cluster);
        check::Node { path: self.path.clone(), role: self.identity.role, slots: &self.disk, cluster }
    }
}

/// Something that will happen.
#[derive(Debug)]
pub(crate) enum Event {
    Dial { child: usize },
    Deliver { node: usize, edge: EdgeId, session: SessionId, frame: Frame },
    Closed { node: usize, edge: EdgeId, session: SessionId },
    Wake { node: usize },
    Answer { node: usize, life: u64, event: ClusterEvent },
    ClusterWake { node: usize },
    Start { node: usize },
    Heal { child: usize },
    Administer,
    Waver { agent: usize, moves: u8 },
    Release { agent: usize },
    Fetched { node: usize, life: u64, digest: Digest, error: Option<String> },
    Fault,
}

/// A promise that was broken.
pub(crate) type Broken = String;

pub(crate) struct World {
    pub rng: fastrand::Rng,
    pub now: u64,
    pub nodes: Vec<Node>,
    pub network: Network,
    pub witness: Witness,
    pub occurrences: Occurrences,
    pub log: Vec<String>,
    pub calm: bool,
    pub disk_faults: bool,
    pub answers: BTreeMap<Uid, Outcome>,
    queue: BinaryHeap<Reverse<(u64, u64)>>,
    events: BTreeMap<u64, Event>,
    sequence: u64,
}

impl World {
    pub(crate) fn new(seed: u64) -> Self {
        let mut world = Self {
            rng: fastrand::Rng::with_seed(seed),
            now: 0,
            nodes: Vec::new(),
            network: Network::default(),
            witness: Witness::default(),
            occurrences: Occurrences::default(),
            log: Vec::new(),
            calm: false,
            disk_faults: !seed.is_multiple_of(3),
            answers: BTreeMap::new(),
            queue: BinaryHeap::new(),
            events: BTreeMap::new(),
            sequence: 0,
        };
        world.plant();
        world
    }

    /// A root, two or three regions, sometimes a plant below a region, and agents below any.
    fn plant(&mut self) {
        self.add_node(Path::root(), None, Role::Hub);
        for region in 0..self.rng.usize(2..=3) {
            let region_at = self.add_child(0, &format!("region-{region}"), Role::Hub);
            let mut hubs = vec![region_at];
            if self.rng.u8(..3) == 0 {
                hubs.push(self.add_child(region_at, "plant-7", Role::Hub));
            }
            for hub in hubs {
                for agent in 0..self.rng.usize(1..=3) {
                    self.add_child(hub, &format!("edge-{agent}"), Role::Agent);
                }
            }
        }
    }

    pub(crate) fn add_child(&mut self, parent: usize, name: &str, role: Role) -> usize {
        let name: Name = name.parse().expect("names of the simulation are valid");
        let path = self.nodes[parent].path.child(&name);
        self.add_node(path, Some(parent), role)
    }

    fn add_node(&mut self, path: Path, parent: Option<usize>, role: Role) -> usize {
        let mut labels = Labels::new();
        if role == Role::Agent {
            labels.insert("line".into(), self.pick_line().into());
        }
        let identity = Record::new(self.uid(), role, labels);
        self.nodes.push(Node {
            path,
            parent,
            identity,
            machine: None,
            disk: Disk::new(),
            copy: None,
            cluster: Cluster::default(),
            refusals: 0,
            skew: 0,
            left: false,
            revoked: BTreeSet::new(),
            life: 0,
            wake: None,
        });
        self.nodes.len() - 1
    }

    pub(crate) fn pick_line(&mut self) -> &'static str {
        ["cnc", "press", "paint"][self.rng.usize(..3)]
    }

    pub(crate) fn uid(&mut self) -> Uid {
        Uid(self.rng.u128(..))
    }

    /// Throws faults, heals, and waits until everything is as wanted.
    pub(crate) fn run(&mut self) -> Result<(), Broken> {
        for node in 0..self.nodes.len() {
            self.start(node)?;
        }
        for node in 1..self.nodes.len() {
            self.enrol(node)?;
        }
        self.schedule(1_000, Event::Administer);
        self.schedule(5_000, Event::Fault);
        self.run_until(CHAOS_MS)?;
        self.heal();
        self.run_until(CHAOS_MS + 30_000)?;
        for round in 0..3 {
            self.resolve_by_hand()?;
            self.run_until(CHAOS_MS + 40_000 + round * 10_000)?;
        }
        let deadline = CHAOS_MS + REST_MS;
        loop {
            match self.at_rest() {
                Ok(()) => return Ok(()),
                Err(difference) if self.now >= deadline => return Err(difference),
                Err(_) => self.run_until(self.now + 1_000)?,
            }
        }
    }

    fn run_until(&mut self, end: u64) -> Result<(), Broken> {
        while let Some(Reverse((at, sequence))) = self.queue.peek().copied() {
            if at > end {
                break;
            }
            self.queue.pop();
            if sequence > EVENTS_MAX {
                return Err(format!("no end of events: {:?}", self.events.remove(&sequence)));
            }
            self.now = at;
            let event = self.events.remove(&sequence).expect("every queued number has its event");
            self.happen(event)?;
        }
        self.now = end;
        Ok(())
    }

    pub(crate) fn schedule(&mut self, delay: u64, event: Event) {
        self.sequence += 1;
        self.queue.push(Reverse((self.now + delay, self.sequence)));
        self.events.insert(self.sequence, event);
    }

    fn happen(&mut self, event: Event) -> Result<(), Broken> {
        match event {
            Event::Dial { child } => self.dial(child),
            Event::Deliver { node, edge, session, frame } => {
                self.feed(node, Input::Received { edge, session, frame })
            }
            Event::Closed { node, edge, session } => {
                if edge == EdgeId::Parent && self.nodes[node].machine.is_some() {
                    let delay = self.rng.u64(200..4_000);
                    self.schedule(delay, Event::Dial { child: node });
                }
                self.feed(node, Input::Disconnected { edge, session })
            }
            Event::Wake { node } => {
                let due = self.nodes[node].wake.is_some_and(|at| at.0 <= self.now);
                if due {
                    self.nodes[node].wake = None;
                    self.feed(node, Input::Wake)?;
                }
                Ok(())
            }
            Event::Answer { node, life, event } => {
                if self.nodes[node].life == life {
                    self.feed(node, Input::Cluster(event))?;
                }
                Ok(())
            }
            Event::ClusterWake { node } => {
                self.wake_cluster(node);
                Ok(())
            }
            Event::Start { node } => self.start(node),
            Event::Heal { child } => {
                self.network.heal(child);
                self.note(format!("link of {} is back", self.nodes[child].path));
                Ok(())
            }
            Event::Administer => self.administer(),
            Event::Waver { agent, moves } => self.waver_on(agent, moves),
            Event::Release { agent } => self.let_go_on(agent),
            Event::Fetched { node, life, digest, error } => {
                if self.nodes[node].life == life {
                    self.feed(node, Input::Fetched { digest, error })?;
                }
                Ok(())
            }
            Event::Fault => self.fault(),
        }
    }

    pub(crate) fn clock(&self, node: usize) -> Now {
        let wall = (EPOCH_MS + self.now).saturating_add_signed(self.nodes[node].skew);
        Now { wall: Wall(wall), uptime: Uptime(self.now) }
    }

    /// The nodes that have not left, as their disks have them.
    pub(crate) fn tree(&self) -> check::Tree<'_> {
        check::Tree::new(self.nodes.iter().filter(|node| !node.left).map(Node::view))
    }

    pub(crate) fn note(&mut self, line: String) {
        self.log.push(format!("{:>9.3}s  {line}", self.now as f64 / 1000.0));
    }

    pub(crate) fn hub(&self, node: usize) -> Option<&Hub> {
        match &self.nodes[node].machine {
            Some(Running::Hub(hub)) => Some(hub),
            _ => None,
        }
    }

    /// The nodes of a role that have not left.
    pub(crate) fn present(&self, role: Role) -> Vec<usize> {
        let fits = |node: &usize| self.nodes[*node].identity.role == role && !self.nodes[*node].left;
        (0..self.nodes.len()).filter(fits).collect()
    }
}
