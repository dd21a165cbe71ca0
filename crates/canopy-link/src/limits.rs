//! Every bound of a connection, and why it is what it is.

use std::time::Duration;

/// The handshakes that go on at once. One costs 190 µs of a core, so the bound is for memory and
/// descriptors; those who wait stay in the kernel's backlog.
pub const HANDSHAKES_MAX: usize = 128;

/// How long a client may take for its handshake and its first byte: enough for a satellite link
/// that loses packets, too short to block others for long.
pub const HANDSHAKE_MAX: Duration = Duration::from_secs(10);

/// The connections from one address: a region behind one NAT fits, and no single machine can use
/// up the 20,000 descriptors of a process.
pub const CONNECTIONS_PER_ADDRESS_MAX: usize = 4_096;

/// How long to wait when the system gives no more connections (no descriptors, no memory).
pub const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How long one address may take to resolve, connect and shake hands before the next is tried.
pub const CONNECT_MAX: Duration = Duration::from_secs(15);

/// How long a connection may be silent before it is asked for a sign of life. Shorter than the
/// five minutes after which common firewalls forget a connection.
pub const KEEP_ALIVE_EVERY: Duration = Duration::from_secs(30);

/// How long that sign of life may take. Half-open connections hang for hours otherwise.
pub const KEEP_ALIVE_WAIT: Duration = Duration::from_secs(20);

/// The largest message in either direction, decompressed. Batches are cut to a quarter of it.
pub const MESSAGE_BYTES_MAX: usize = 4 * 1024 * 1024;

/// The largest message of the enroll service, which answers strangers: a chain of eight
/// certificates has 6 KiB.
pub const ENROLL_BYTES_MAX: usize = 32 * 1024;

/// The headers of one request: ours have about 200 bytes.
pub const HEADER_BYTES_MAX: u32 = 8 * 1024;

/// The streams that one client has open at once: two of the link, and content.
pub const STREAMS_MAX: u32 = 64;

/// The streams that a client may reset before the server has looked at them, against rapid reset.
pub const PENDING_RESETS_MAX: usize = 32;

/// The bounds of a listener.
#[derive(Debug, Clone, Copy)]
pub struct Admission {
    /// Handshakes at once.
    pub handshakes: usize,
    /// The longest handshake.
    pub handshake: Duration,
    /// Connections from one address at once.
    pub per_address: usize,
}

impl Default for Admission {
    fn default() -> Self {
        Self {
            handshakes: HANDSHAKES_MAX,
            handshake: HANDSHAKE_MAX,
            per_address: CONNECTIONS_PER_ADDRESS_MAX,
        }
    }
}

/// When a silent connection is given up.
#[derive(Debug, Clone, Copy)]
pub struct KeepAlive {
    /// The silence before a sign of life is asked for.
    pub every: Duration,
    /// How long that may take.
    pub wait: Duration,
}

impl Default for KeepAlive {
    fn default() -> Self {
        Self { every: KEEP_ALIVE_EVERY, wait: KEEP_ALIVE_WAIT }
    }
}
