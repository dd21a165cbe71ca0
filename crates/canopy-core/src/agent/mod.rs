//! The machine of an agent: the leaf of the tree, with one cluster.
//!
//! It knows assignments only. What it holds is durable before the cluster is asked for it, and
//! stays until the cluster has confirmed that it is gone. An assignment that its parent merely
//! forgot is kept and shown; work is removed only on an explicit wish.
//!
//! - [`state`]: what an agent knows, and how it is loaded;
//! - [`events`]: what the parent and the cluster tell;
//! - [`pursue`]: what to ask of the cluster, and what to report;
//! - [`hold`]: people at the machine want nothing changed;
//! - [`inventory`]: the machines of the cluster.

mod events;
mod hold;
mod inventory;
mod pursue;
mod state;
#[cfg(test)]
mod tests;

use canopy_model::{Now, Uptime};

use crate::durable::{Change, Slot, Value};
use crate::input::Input;
use crate::seam::{Machine, Step};
pub use state::Agent;

impl Machine for Agent {
    fn handle(&mut self, now: Now, input: Input) -> Step {
        let mut step = Step::default();
        match input {
            Input::Started { boot } => self.started(now, boot, &mut step),
            Input::Connected { session, .. } => self.connected(now, session, &mut step),
            Input::Disconnected { session, .. } => {
                self.parent.ended(session, &mut step);
            }
            Input::Received { session, frame, .. } => self.received(now, session, frame, &mut step),
            Input::Cluster(event) => self.cluster(now, event, &mut step),
            Input::Fetched { digest, error } => self.fetched(now, digest, error, &mut step),
            Input::Hold(reason) => self.held_by_people(now, reason, &mut step),
            Input::Wake => self.woken(now, &mut step),
            Input::Command(_) => {}
        }
        self.pump(&mut step);
        self.seal(&mut step);
        step
    }

    fn wake_at(&self) -> Option<Uptime> {
        let retries = self.retries.values().filter_map(|retry| retry.at);
        retries.chain(self.heartbeat_at).min()
    }
}

impl Agent {
    fn pump(&mut self, step: &mut Step) {
        if self.surveyed != Some(self.history.incarnation) {
            return;
        }
        let Self { parent, history, held, cluster, .. } = self;
        parent.pump(history, &|key| state::value(held, cluster, key), step);
    }

    fn seal(&mut self, step: &mut Step) {
        if self.history.version != self.sealed_version {
            self.sealed_version = self.history.version;
            step.put(Change::Put(Slot::History, Value::History(self.history.clone())));
        }
    }
}
