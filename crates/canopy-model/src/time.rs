//! The two clocks: uptime for every wait, wall time for display, windows and certificates.
//!
//! A wall clock may jump by years; nothing that starts or deletes work may depend on it.

use std::fmt;
use std::ops::Add;
use std::time::Duration;

/// Milliseconds since the node was booted, sleep included; it never runs backwards.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Uptime(pub u64);

/// Milliseconds since the Unix epoch, as the node's clock tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Wall(pub u64);

/// The moment at which an input is handled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Now {
    /// For display, windows and certificates.
    pub wall: Wall,
    /// For waits, leases, retries and ages.
    pub uptime: Uptime,
}

impl Now {
    /// What the node's clock told at an earlier moment, if it has not been set since.
    pub fn wall_at(self, earlier: Uptime) -> Wall {
        let ago = u64::try_from(self.uptime.since(earlier).as_millis()).unwrap_or(u64::MAX);
        Wall(self.wall.0.saturating_sub(ago))
    }
}

impl Uptime {
    /// The time from `earlier` to this, zero if it lies ahead.
    pub fn since(self, earlier: Uptime) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Uptime {
    type Output = Uptime;

    fn add(self, wait: Duration) -> Uptime {
        Uptime(self.0.saturating_add(u64::try_from(wait.as_millis()).unwrap_or(u64::MAX)))
    }
}

impl fmt::Display for Uptime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:03}s", self.0 / 1000, self.0 % 1000)
    }
}
