//! What a hello says to the link and not to the core: protocol versions, and the limits that the
//! parent sets for the session.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use canopy_core::link::HEARTBEAT_EVERY;
use canopy_proto::link::v1;

use crate::limits::MESSAGE_BYTES_MAX;

/// The versions of the protocol that this program speaks, oldest and newest.
pub const PROTOCOL: (u32, u32) = (1, 1);

/// The heartbeats that a child takes from its parent: faster ones would be a load, and with slower
/// ones a broken line would go unnoticed for an hour.
const HEARTBEAT_ACCEPTED: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(1200));

/// Why a peer's hello is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// No version in common.
    #[error(
        "the peer speaks protocol versions {min} to {max}, this program {} to {}: update the older one",
        PROTOCOL.0,
        PROTOCOL.1
    )]
    Protocol {
        /// The peer's oldest.
        min: u32,
        /// The peer's newest.
        max: u32,
    },
    /// A parent that sets no limits.
    #[error("the parent's hello sets no limits")]
    NoLimits,
}

/// The limits of one session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Limits {
    /// The largest message, in bytes.
    pub(crate) message_bytes_max: usize,
    /// How often both ends show that the line is alive.
    pub(crate) heartbeat: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { message_bytes_max: MESSAGE_BYTES_MAX, heartbeat: HEARTBEAT_EVERY }
    }
}

/// The terms of one session, as one side knows them.
#[derive(Debug)]
pub(crate) struct Terms {
    setter: bool,
    limits: Mutex<Limits>,
}

impl Terms {
    /// The side that sets the limits.
    pub(crate) fn parent(limits: Limits) -> Self {
        Self { setter: true, limits: Mutex::new(limits) }
    }

    /// The side that takes them, and until then keeps to the usual ones.
    pub(crate) fn child() -> Self {
        Self { setter: false, limits: Mutex::default() }
    }

    pub(crate) fn message_bytes_max(&self) -> usize {
        self.limits().message_bytes_max
    }

    pub(crate) fn heartbeat(&self) -> Duration {
        self.limits().heartbeat
    }

    fn limits(&self) -> Limits {
        *self.limits.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes this side's terms into its hello.
    pub(crate) fn state(&self, hello: &mut v1::Hello) {
        let (min, max) = PROTOCOL;
        hello.protocol = Some(v1::Protocol { min, max });
        let Limits { message_bytes_max, heartbeat } = self.limits();
        hello.limits = self.setter.then(|| v1::Limits {
            message_bytes_max: u32::try_from(message_bytes_max).unwrap_or(u32::MAX),
            heartbeat_ms: u32::try_from(heartbeat.as_millis()).unwrap_or(u32::MAX),
        });
    }

    /// Checks the peer's hello, and takes the limits if the peer is the parent. No limit is taken
    /// that exceeds this program's own.
    pub(crate) fn accept(&self, hello: &v1::Hello) -> Result<(), Error> {
        let v1::Protocol { min, max } = hello.protocol.unwrap_or_default();
        if min > PROTOCOL.1 || max < PROTOCOL.0 {
            return Err(Error::Protocol { min, max });
        }
        if !self.setter {
            let set = hello.limits.ok_or(Error::NoLimits)?;
            let (shortest, longest) = HEARTBEAT_ACCEPTED;
            let heartbeat = Duration::from_millis(set.heartbeat_ms.into()).clamp(shortest, longest);
            let message_bytes_max = MESSAGE_BYTES_MAX.min(set.message_bytes_max as usize);
            *self.limits.lock().unwrap_or_else(PoisonError::into_inner) =
                Limits { message_bytes_max, heartbeat };
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hello(protocol: (u32, u32), limits: Option<(u32, u32)>) -> v1::Hello {
        let limits =
            limits.map(|(message_bytes_max, heartbeat_ms)| v1::Limits { message_bytes_max, heartbeat_ms });
        let protocol = Some(v1::Protocol { min: protocol.0, max: protocol.1 });
        v1::Hello { protocol, limits, ..v1::Hello::default() }
    }

    #[test]
    fn a_child_takes_what_its_parent_states_within_reason() {
        let stated = Limits { message_bytes_max: 1000, heartbeat: Duration::from_secs(7) };
        let mut greeting = v1::Hello::default();
        Terms::parent(stated).state(&mut greeting);
        let child = Terms::child();
        child.accept(&greeting).unwrap();
        assert_eq!(child.limits(), stated);

        child.accept(&hello(PROTOCOL, Some((u32::MAX, 0)))).unwrap();
        assert_eq!(
            child.limits(),
            Limits { message_bytes_max: MESSAGE_BYTES_MAX, heartbeat: HEARTBEAT_ACCEPTED.0 }
        );
    }

    #[test]
    fn a_parent_takes_no_limits_from_a_child() {
        let parent = Terms::parent(Limits::default());
        parent.accept(&hello(PROTOCOL, Some((1, 1)))).unwrap();
        assert_eq!(parent.limits(), Limits::default());
    }

    #[test]
    fn no_common_version_is_an_error_that_names_both() {
        let newer = PROTOCOL.1 + 1;
        assert_eq!(Terms::child().accept(&hello((PROTOCOL.1, newer), None)), Err(Error::NoLimits));
        let error = Terms::child().accept(&hello((newer, newer), Some((1, 1)))).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the peer speaks protocol versions 2 to 2, this program 1 to 1: update the older one"
        );
        assert!(Terms::child().accept(&v1::Hello::default()).is_err(), "a hello must state its versions");
    }
}
