//! The two clocks of the machine that a program runs on.

use std::time::{SystemTime, UNIX_EPOCH};

use canopy_model::{Now, Uptime, Wall};
use rustix::time::{ClockId, clock_gettime};

/// The present moment. The uptime goes on while the machine sleeps.
pub fn now() -> Now {
    let uptime = clock_gettime(ClockId::Boottime);
    let milliseconds = uptime.tv_sec * 1000 + uptime.tv_nsec / 1_000_000;
    Now { wall: wall(), uptime: Uptime(u64::try_from(milliseconds).unwrap_or(0)) }
}

/// The wall clock; the epoch if it stands before that.
pub fn wall() -> Wall {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Wall(u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX))
}

/// The wall clock in seconds since 1970, as certificates count.
pub fn seconds() -> u64 {
    wall().0 / 1000
}
