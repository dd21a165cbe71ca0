//! Hubs and clusters directly below, and this hub itself.

use std::time::Duration;

use canopy_model::event::Reason;
use canopy_model::{
    Claims, Condition, Fleet, Inventory, Machine, Name, Now, Path, Readiness, Record, Role, Uid, Wall, Work,
};

use super::{SILENT, condition};
use crate::hub::events::Happening;
use crate::hub::state::{Child, Hub};
use crate::link::HEARTBEAT_EVERY;
use crate::row::{Body, Key, RowKind};

/// A child that was silent for longer is no longer shown as available: three heartbeats.
pub const SILENT_AFTER: Duration = HEARTBEAT_EVERY.saturating_mul(3);

/// What a hub wants of a workload on one of its clusters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    /// It is to run.
    Run,
    /// It is to go.
    Remove,
    /// Nothing may be decided about it now.
    Undecided,
}

impl Wish {
    /// One CamelCase word.
    pub fn name(self) -> &'static str {
        match self {
            Self::Run => "Run",
            Self::Remove => "Remove",
            Self::Undecided => "Undecided",
        }
    }
}

/// A hub or cluster directly below.
#[derive(Debug)]
pub struct NodeView<'a> {
    /// Where it stands.
    pub path: Path,
    /// What is recorded about it.
    pub record: &'a Record,
    /// Whether its connection is open.
    pub connected: bool,
    /// How long ago it was heard last; since this hub's start if it was not heard since.
    pub age: Duration,
    /// What stands below it, if it is a hub.
    pub fleet: Fleet,
    /// The last of them is Ready, which sums up.
    pub conditions: Vec<Condition>,
}

/// Wall clocks that are further apart are suspect.
const CLOCKS_APART_MAX: Duration = Duration::from_secs(5 * 60);

impl Hub {
    /// Whether this hub decides, and if not, what it waits for.
    pub fn readiness(&self) -> Readiness {
        if self.started.is_none() {
            Readiness::Starting
        } else if !self.knows_wishes() {
            Readiness::WaitingForParent
        } else if self.grace_until.is_some() {
            Readiness::WaitingForChildren
        } else if self.history.recovering {
            Readiness::Recovering
        } else {
            Readiness::Ready
        }
    }

    /// Whether this hub decides, if that changed.
    pub(in crate::hub) fn tell_readiness(&mut self) {
        let now = self.readiness();
        let before = self.was.replace(now);
        if before.unwrap_or(Readiness::Ready) == now {
            return;
        }
        let message = self.ready().message;
        let happening = Happening::new(
            Reason::ReadinessChanged,
            self.own_subject(),
            if message.is_empty() { "it decides".to_owned() } else { message },
        );
        self.events.note(Happening { warning: now == Readiness::Recovering, ..happening });
    }

    /// The same as the condition Ready of this hub.
    pub fn ready(&self) -> Condition {
        let missing = self.missing().iter().map(Path::to_string).collect::<Vec<_>>();
        hub_ready(self.readiness(), &missing.join(", "))
    }

    /// This hub's own conditions; `trouble` is what keeps it from its parent. The last is Ready.
    pub fn own_conditions(&self, trouble: Option<&str>) -> Vec<Condition> {
        let parent = self.parent.as_ref().map(|edge| match (edge.is_connected(), trouble) {
            (true, _) => condition("ParentConnected", Some(true), "Connected", ""),
            (false, None) => condition("ParentConnected", Some(false), "Connecting", ""),
            (false, Some(why)) => condition("ParentConnected", Some(false), "Unreachable", why),
        });
        parent.into_iter().chain([self.ready()]).collect()
    }

    /// The recorded children that have not reported in the present incarnation.
    pub fn missing(&self) -> Vec<Path> {
        let missing =
            self.children.iter().filter(|(_, child)| child.record.is_some() && !self.has_heard(child));
        missing.map(|(name, _)| self.path.child(name)).collect()
    }

    /// A recorded child.
    pub fn node(&self, now: Now, name: &Name) -> Option<NodeView<'_>> {
        let child = self.children.get(name)?;
        let record = child.record.as_ref()?;
        let age = self.age(now, child);
        let fleet = match child.edge.inbox.get(&Key::FLEET).map(|row| &row.body) {
            Some(Body::Fleet(fleet)) => *fleet,
            _ => Fleet::default(),
        };
        Some(NodeView {
            path: self.path.child(name),
            record,
            connected: child.edge.is_connected(),
            age,
            fleet,
            conditions: self.node_conditions(now, child, record, fleet.readiness),
        })
    }

    fn node_conditions(
        &self,
        now: Now,
        child: &Child,
        record: &Record,
        readiness: Readiness,
    ) -> Vec<Condition> {
        let age = self.age(now, child);
        let joined = self.has_heard(child);
        let available = child.edge.is_connected() && age < SILENT_AFTER;
        let silence = if child.edge.is_connected() {
            format!("connected, and silent for {} s", age.as_secs())
        } else {
            format!("not connected; not heard for {} s or more", age.as_secs())
        };
        let accepted =
            Condition { since: record.created, ..condition("Accepted", Some(true), "Recorded", "") };
        let joined = match joined {
            true => condition("Joined", Some(true), "Reported", ""),
            false => condition("Joined", Some(false), "NotReported", "no complete report has arrived yet"),
        };
        let connected = child.edge.connected_since();
        let heard = child.edge.freshness().map(|(heard, _)| heard);
        let available = match available {
            true => Condition {
                since: connected.map_or(Wall(0), |at| now.wall_at(at)),
                ..condition("Available", Some(true), "Connected", "")
            },
            false => Condition {
                since: heard.map_or(Wall(0), |at| now.wall_at(at)),
                ..condition("Available", None, SILENT, &silence)
            },
        };
        let ready = match (record.leaving, joined.status, available.status) {
            (true, ..) => condition("Ready", Some(false), "Terminating", "what runs there is being removed"),
            (_, Some(true), Some(true)) => {
                let since = if readiness == Readiness::Unknown { available.since } else { Wall(0) };
                Condition { since, ..hub_ready(readiness, "its children") }
            }
            (_, _, Some(_)) => Condition { kind: "Ready", ..joined.clone() },
            (_, _, None) => Condition { kind: "Ready", ..available.clone() },
        };
        let clock = clock_synced(child.edge.ahead_ms());
        let inventory = child.edge.inbox.get(&Key::INVENTORY).and_then(|row| row.body.inventory());
        match record.role {
            Role::Agent => {
                let machines = inventory.map(machines_known);
                [accepted, joined, available, clock].into_iter().chain(machines).chain([ready]).collect()
            }
            Role::Hub => vec![accepted, available, clock, ready],
        }
    }

    /// What an agent says about its cluster.
    pub fn claims(&self, name: &Name) -> Claims {
        let row = self.children.get(name).and_then(|child| child.edge.inbox.get(&Key::CLAIMS));
        match row.map(|row| &row.body) {
            Some(Body::Claims(claims)) => claims.clone(),
            _ => Claims::new(),
        }
    }

    /// What an own cluster has in all; none before its agent told.
    pub fn inventory(&self, name: &Name) -> Option<&Inventory> {
        self.children.get(name)?.edge.inbox.get(&Key::INVENTORY)?.body.inventory()
    }

    /// The machines of an own cluster, in the order of their names.
    pub fn machines(&self, name: &Name) -> Vec<(Uid, &Machine)> {
        let rows = self.children.get(name).into_iter().flat_map(|it| it.edge.inbox.rows_of(RowKind::Machine));
        let mut machines: Vec<_> = rows.filter_map(|(uid, body)| Some((uid, body.machine()?))).collect();
        machines.sort_by(|a, b| (&a.1.name, a.0).cmp(&(&b.1.name, b.0)));
        machines
    }

    /// What runs on an own cluster, in the order of names, and what is wanted of it.
    pub fn works(&self, name: &Name) -> Vec<(Wish, &Work)> {
        let rows = self.children.get(name).into_iter().flat_map(|it| it.edge.inbox.rows_of(RowKind::Report));
        let works = rows.filter_map(|(uid, body)| Some((self.wish(uid, name), body.work()?)));
        let mut works: Vec<_> = works.collect();
        works.sort_by(|(_, a), (_, b)| (&a.name, &a.home.path).cmp(&(&b.name, &b.home.path)));
        works
    }

    fn wish(&self, workload: Uid, name: &Name) -> Wish {
        if !self.is_ready() || !self.may_decide(name) || self.is_frozen(workload) {
            return Wish::Undecided;
        }
        match self.assigned.get(&(workload, name.clone())) {
            Some((assigned, _)) if assigned.run => Wish::Run,
            Some(_) => Wish::Remove,
            None => Wish::Undecided,
        }
    }

    /// How long ago a child was heard; since this hub's start if it was not heard since.
    pub(super) fn age(&self, now: Now, child: &Child) -> Duration {
        let started = self.started.unwrap_or(now.uptime);
        now.uptime.since(child.edge.freshness().map_or(started, |(heard, _)| heard))
    }
}

/// The condition Ready of a hub that says this about itself; a child that says nothing is ready.
fn hub_ready(readiness: Readiness, missing: &str) -> Condition {
    let message = match readiness {
        Readiness::Ready | Readiness::Unknown => return condition("Ready", Some(true), "Ready", ""),
        Readiness::Starting => "the hub is starting".to_owned(),
        Readiness::WaitingForParent => {
            "waiting for the parent's wishes; everything below stays as it is".to_owned()
        }
        Readiness::WaitingForChildren => format!("waiting for the first report of {missing}"),
        Readiness::Recovering => {
            let message = "clusters may be missing after the store was lost or restored; nothing new is \
                           selected until an administrator forgets those that are missing";
            message.to_owned()
        }
    };
    condition("Ready", Some(false), readiness.name(), &message)
}

/// Whether a cluster's machines are told, and all of them.
fn machines_known(inventory: &Inventory) -> Condition {
    let Inventory { machines, left_out, problem, .. } = inventory;
    if !problem.is_empty() {
        return condition("MachinesKnown", Some(false), "NotListed", problem);
    }
    match left_out {
        0 => condition("MachinesKnown", Some(true), "Listed", ""),
        _ => {
            let message = format!("{left_out} of {machines} machines are only counted");
            condition("MachinesKnown", Some(true), "PartlyListed", &message)
        }
    }
}

/// Whether a child's wall clock, so much ahead when it greeted, can be believed. Nothing is decided by
/// wall clocks; certificates and what people read are.
fn clock_synced(ahead_ms: Option<i64>) -> Condition {
    let Some(ahead_ms) = ahead_ms else {
        return condition("ClockSynced", None, "NotConnected", "");
    };
    let apart = Duration::from_millis(ahead_ms.unsigned_abs());
    if apart <= CLOCKS_APART_MAX {
        return condition("ClockSynced", Some(true), "Synced", "");
    }
    let side = if ahead_ms > 0 { "ahead of" } else { "behind" };
    let message = format!("its wall clock is {} s {side} this hub's: set the wrong one", apart.as_secs());
    condition("ClockSynced", Some(false), "ClocksApart", &message)
}
