//! What a hello says to the link and not to the core: protocol versions, and the limits that the
//! parent sets for the session.

use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use canopy_core::link::HEARTBEAT_EVERY;
use canopy_identity::{Peer, Role};
use canopy_proto::link::v1;

use crate::limits::FRAME_BYTES_MAX;

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
        "{peer} speaks protocol versions {min} to {max}, {} {} to {}: update {} first",
        .peer.this(), PROTOCOL.0, PROTOCOL.1, .peer.older(*.max)
    )]
    Protocol {
        /// On which side it is.
        peer: Side,
        /// The peer's oldest.
        min: u32,
        /// The peer's newest.
        max: u32,
    },
    /// A child that offers what was recorded about another node.
    #[error("the hello of {0} offers the record of another node")]
    Record(Peer),
    /// A parent that sets no limits.
    #[error("the parent's hello sets no limits")]
    NoLimits,
}

/// An end of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The hub above.
    Parent,
    /// The hub or agent below.
    Child,
}

/// The limits of one session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Limits {
    /// The largest frame, in bytes.
    pub(crate) message_bytes_max: usize,
    /// How often both ends show that the line is alive.
    pub(crate) heartbeat: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { message_bytes_max: FRAME_BYTES_MAX, heartbeat: HEARTBEAT_EVERY }
    }
}

/// The terms of one session, as one side knows them.
#[derive(Debug)]
pub(crate) struct Terms {
    /// Who the peer is, on the side of its parent, which sets the limits.
    child: Option<Peer>,
    limits: Mutex<Limits>,
}

impl Terms {
    /// The side that sets the limits, to this child.
    pub(crate) fn parent(limits: Limits, child: Peer) -> Self {
        Self { child: Some(child), limits: Mutex::new(limits) }
    }

    /// The side that takes them, and until then keeps to the usual ones.
    pub(crate) fn child() -> Self {
        Self { child: None, limits: Mutex::default() }
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
        hello.limits = self.child.is_some().then(|| v1::Limits {
            message_bytes_max: u32::try_from(message_bytes_max).unwrap_or(u32::MAX),
            heartbeat_ms: u32::try_from(heartbeat.as_millis()).unwrap_or(u32::MAX),
        });
    }

    /// Checks the peer's hello, and takes the limits if the peer is the parent. No limit is taken
    /// that exceeds this program's own.
    pub(crate) fn accept(&self, hello: &v1::Hello) -> Result<(), Error> {
        let v1::Protocol { min, max } = hello.protocol.unwrap_or_default();
        if min > PROTOCOL.1 || max < PROTOCOL.0 {
            let peer = if self.child.is_some() { Side::Child } else { Side::Parent };
            return Err(Error::Protocol { peer, min, max });
        }
        if let Some(child) = &self.child {
            if hello.record.as_ref().is_some_and(|record| !is_about(record, child)) {
                return Err(Error::Record(child.clone()));
            }
        } else {
            let set = hello.limits.ok_or(Error::NoLimits)?;
            let (shortest, longest) = HEARTBEAT_ACCEPTED;
            let heartbeat = Duration::from_millis(set.heartbeat_ms.into()).clamp(shortest, longest);
            let message_bytes_max = FRAME_BYTES_MAX.min(set.message_bytes_max as usize);
            *self.limits.lock().unwrap_or_else(PoisonError::into_inner) =
                Limits { message_bytes_max, heartbeat };
        }
        Ok(())
    }
}

impl Side {
    /// The program that speaks of this peer.
    fn this(self) -> &'static str {
        match self {
            Self::Parent => "this node",
            Self::Child => "this hub",
        }
    }

    /// Which of the two is too old, if the peer's newest version is `max`.
    fn older(self, max: u32) -> String {
        if max < PROTOCOL.0 { self.to_string() } else { self.this().to_owned() }
    }
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Parent => "the hub above",
            Self::Child => "the node below",
        })
    }
}

/// Whether a record is this node's own. The hub takes it from a hello when it has lost its own.
fn is_about(record: &v1::Record, node: &Peer) -> bool {
    let role = match node.role {
        Role::Hub => v1::Role::Hub,
        Role::Agent | Role::Admin => v1::Role::Agent,
    };
    record.uid == node.uid.0.to_be_bytes() && record.role() == role
}

#[cfg(test)]
mod tests {
    use canopy_model::Uid;

    use super::*;

    fn press() -> Peer {
        Peer { role: Role::Agent, path: "press-3".parse().unwrap(), uid: Uid(7) }
    }

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
        Terms::parent(stated, press()).state(&mut greeting);
        let child = Terms::child();
        child.accept(&greeting).unwrap();
        assert_eq!(child.limits(), stated);

        child.accept(&hello(PROTOCOL, Some((u32::MAX, 0)))).unwrap();
        assert_eq!(
            child.limits(),
            Limits { message_bytes_max: FRAME_BYTES_MAX, heartbeat: HEARTBEAT_ACCEPTED.0 }
        );
    }

    #[test]
    fn a_parent_takes_no_limits_from_a_child() {
        let parent = Terms::parent(Limits::default(), press());
        parent.accept(&hello(PROTOCOL, Some((1, 1)))).unwrap();
        assert_eq!(parent.limits(), Limits::default());
    }

    #[test]
    fn a_child_offers_its_own_record_and_no_other() {
        let parent = Terms::parent(Limits::default(), press());
        let offering = |uid: u128, role: v1::Role| {
            let record =
                v1::Record { uid: uid.to_be_bytes().to_vec(), role: role.into(), ..Default::default() };
            v1::Hello { record: Some(record), ..hello(PROTOCOL, None) }
        };
        parent.accept(&offering(7, v1::Role::Agent)).unwrap();
        for other in [offering(8, v1::Role::Agent), offering(7, v1::Role::Hub)] {
            assert_eq!(parent.accept(&other), Err(Error::Record(press())));
        }
    }

    #[test]
    fn no_common_version_is_an_error_that_names_both() {
        let newer = PROTOCOL.1 + 1;
        assert_eq!(Terms::child().accept(&hello((PROTOCOL.1, newer), None)), Err(Error::NoLimits));
        let child = Terms::child().accept(&hello((newer, newer), Some((1, 1)))).unwrap_err();
        assert_eq!(
            child.to_string(),
            "the hub above speaks protocol versions 2 to 2, this node 1 to 1: update this node first"
        );
        let parent =
            Terms::parent(Limits::default(), press()).accept(&hello((newer, newer), None)).unwrap_err();
        assert_eq!(
            parent.to_string(),
            "the node below speaks protocol versions 2 to 2, this hub 1 to 1: update this hub first"
        );
        let older = Terms::child().accept(&hello((0, 0), Some((1, 1)))).unwrap_err();
        assert!(older.to_string().ends_with("update the hub above first"), "{older}");
        assert!(Terms::child().accept(&v1::Hello::default()).is_err(), "a hello must state its versions");
    }
}
