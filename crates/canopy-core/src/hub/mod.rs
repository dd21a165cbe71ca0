//! The machine of a hub at any tier.
//!
//! Every input only changes what is wanted or observed and names what that touches; [`settle`]
//! then decides about the touched things alone, from the whole state. Nothing is decided before the
//! hub is ready: before it knows its parent's wishes in its present incarnation, it grows nothing,
//! removes nothing, and sends neither snapshot nor removal downward.
//!
//! - [`state`]: what a hub knows, and how it is loaded;
//! - [`children`]: what is recorded about children, and the rows that they are told;
//! - [`links`]: connections and greetings; [`learned`]: what received rows touch;
//! - [`commands`]: what administrators ask for; [`objects`]: what they write; [`release`]: how children
//!   are let go;
//! - [`assign`]: which of its own clusters run a workload;
//! - [`share`]: how a number of clusters is split among children;
//! - [`selected`]: how many clusters a placement without a number selects;
//! - [`fold`]: what is told upward;
//! - [`orphans`]: work whose wish is unknown;
//! - [`since`]: since when conditions have been so;
//! - [`rehearse`]: what a command would come to;
//! - [`events`]: what happened here;
//! - [`view`]: the rows that each child is to see; [`read`]: the questions that users ask.

mod assign;
mod children;
mod commands;
pub mod events;
#[cfg(test)]
mod fixture;
mod fold;
mod index;
mod learned;
mod links;
mod objects;
mod orphans;
pub mod read;
pub mod rehearse;
mod release;
pub mod selected;
mod settle;
mod share;
mod since;
mod state;
mod view;

use canopy_model::{Now, Uptime};

use crate::durable::Change;
use crate::input::Input;
use crate::link::EdgeId;
use crate::seam::{Machine, Step};
use settle::Touched;
pub use state::{Child, Hub};

impl Machine for Hub {
    fn handle(&mut self, now: Now, input: Input) -> Step {
        let mut step = Step::default();
        let mut touched = Touched::default();
        match input {
            Input::Started { boot } => self.started(now, boot, &mut touched, &mut step),
            Input::Connected { edge, session } => self.connected(now, edge, session, &mut touched, &mut step),
            Input::Disconnected { edge, session } => {
                self.disconnected(edge, session, &mut touched, &mut step)
            }
            Input::Received { edge, session, frame } => {
                self.received(now, edge, session, frame, &mut touched, &mut step);
            }
            Input::Command(command) => self.command(now, command, &mut touched, &mut step),
            Input::Wake => self.woken(now, &mut touched, &mut step),
            Input::Fetched { .. } | Input::Cluster(_) | Input::Hold(_) => {}
        }
        self.settle(now, touched, &mut step);
        self.tell_readiness();
        self.events.write(now, &mut step);
        self.pump(&mut step);
        self.seal(&mut step);
        step
    }

    fn wake_at(&self) -> Option<Uptime> {
        [self.heartbeat_at, self.grace_until].into_iter().flatten().min()
    }
}

impl Hub {
    /// Writes the history if this step took a new version.
    fn seal(&mut self, step: &mut Step) {
        if self.history.version != self.sealed_version {
            self.sealed_version = self.history.version;
            step.put(self.history_change());
        }
    }

    fn history_change(&self) -> Change {
        Change::Put(crate::durable::Slot::History, crate::durable::Value::History(self.history.clone()))
    }

    /// Sends on every edge what has changed since.
    fn pump(&mut self, step: &mut Step) {
        for id in std::mem::take(&mut self.pending) {
            let Some(mut edge) = self.take_edge(&id) else { continue };
            let open = match &id {
                EdgeId::Parent => true,
                EdgeId::Child(name) => self.may_tell(name, &edge),
            };
            if open {
                edge.pump(&self.history, &|key| self.value(&id, key), step);
            }
            self.return_edge(edge);
        }
    }
}
