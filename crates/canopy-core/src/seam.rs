//! The seam between decisions and the world: a node is a [`Machine`] that turns one input into one
//! [`Step`].
//!
//! A step's effects can only be had by committing its changes first, so nothing is ever said that
//! would not survive a crash. No effect is the only record of an intention: after a restart
//! [`Input::Started`] yields again every effect whose result is missing.

use canopy_model::{Now, Uptime};

use crate::durable::Change;
use crate::effect::Effect;
use crate::input::Input;

/// A pure node: a hub or an agent.
pub trait Machine {
    /// Handles one input; decides from desired and observed state, never from the input alone.
    fn handle(&mut self, now: Now, input: Input) -> Step;

    /// When to hand in [`Input::Wake`] at the latest, if nothing else happens before.
    fn wake_at(&self) -> Option<Uptime>;
}

/// What one input led to: changes to make durable, and effects to perform after that.
#[must_use]
#[derive(Debug, Default)]
pub struct Step {
    pub(crate) changes: Vec<Change>,
    pub(crate) effects: Vec<Effect>,
}

impl Step {
    /// Makes the changes durable through `write` and only then releases the effects.
    ///
    /// # Errors
    /// Those of `write`. The effects are lost then and the machine is ahead of its disk: the caller
    /// must end the process.
    pub fn commit<E>(self, write: impl FnOnce(&[Change]) -> Result<(), E>) -> Result<Vec<Effect>, E> {
        if !self.changes.is_empty() {
            write(&self.changes)?;
        }
        Ok(self.effects)
    }

    /// Adds the next step's changes and effects, so that one commit serves both.
    pub fn append(&mut self, mut next: Step) {
        self.changes.append(&mut next.changes);
        self.effects.append(&mut next.effects);
    }

    pub(crate) fn put(&mut self, change: Change) {
        self.changes.push(change);
    }

    pub(crate) fn effect(&mut self, effect: Effect) {
        self.effects.push(effect);
    }
}
