//! Every bound of a connection, and why it is what it is.

use std::time::Duration;

use canopy_core::link::BATCH_BYTES_MAX;

/// The handshakes that go on at once. One costs 190 µs of a core, so the bound is for memory and
/// descriptors; those who wait stay in the kernel's backlog.
pub const HANDSHAKES_MAX: usize = 128;

/// How long a client may take for its handshake and its first byte: enough for a satellite link
/// that loses packets, too short to block others for long.
pub const HANDSHAKE_MAX: Duration = Duration::from_secs(10);

/// The handshakes of one address that go on at once. One machine that connects and says nothing
/// takes these and no more, so it takes eight to make all others wait. Those behind one NAT that
/// are refused by it come again within a minute.
pub const HANDSHAKES_PER_ADDRESS_MAX: usize = 16;

/// The connections of one address that presented no certificate. Those join or renew, which takes
/// a few round trips, one after the other if many do it behind one NAT.
pub const STRANGERS_PER_ADDRESS_MAX: usize = 32;

/// How long a connection without a certificate lives: joining takes a second, and its answer may
/// take half a minute on a bad disk.
pub const STRANGER_MAX: Duration = Duration::from_secs(60);

/// How often the log says that addresses take more than their share.
pub const TOLD_EVERY: Duration = Duration::from_secs(60);

/// The connections from one address: a region behind one NAT fits, and no single machine can use
/// up the 20,000 descriptors of a process.
pub const CONNECTIONS_PER_ADDRESS_MAX: usize = 4_096;

/// How long to wait when the system gives no more connections (no descriptors, no memory).
pub const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How long one address may take to resolve, connect and shake hands before the next is tried.
pub const CONNECT_MAX: Duration = Duration::from_secs(15);

/// How long one of the sockets that a name resolves to may take to accept a connection, which is
/// three attempts of the system to reach it.
pub const SOCKET_MAX: Duration = Duration::from_secs(8);

/// How long one socket has before the next is tried beside it: an address that swallows packets
/// does not cost the time in which another would have answered.
pub const SOCKET_STAGGER: Duration = Duration::from_millis(250);

/// The sockets of one name that are tried.
pub const SOCKETS_MAX: usize = 8;

/// How long a connection may be silent before it is asked for a sign of life. Shorter than the
/// five minutes after which common firewalls forget a connection.
pub const KEEP_ALIVE_EVERY: Duration = Duration::from_secs(30);

/// How long that sign of life may take. Half-open connections hang for hours otherwise.
pub const KEEP_ALIVE_WAIT: Duration = Duration::from_secs(20);

/// The largest message on the stream of questions and answers, in either direction: a page of a list, or
/// a workload with 5 MiB of manifests and what stands beside them.
pub const MESSAGE_BYTES_MAX: usize = 8 * 1024 * 1024;

/// The largest frame that a session takes: four batches, since the core counts a batch's bytes only
/// roughly. Queues of frames bound memory by it.
pub const FRAME_BYTES_MAX: usize = 4 * BATCH_BYTES_MAX;

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
    /// Handshakes of one address at once.
    pub handshakes_per_address: usize,
    /// Connections from one address at once.
    pub per_address: usize,
    /// Those of them without a certificate.
    pub strangers_per_address: usize,
    /// How long a connection without a certificate lives.
    pub stranger: Duration,
}

impl Default for Admission {
    fn default() -> Self {
        Self {
            handshakes: HANDSHAKES_MAX,
            handshake: HANDSHAKE_MAX,
            handshakes_per_address: HANDSHAKES_PER_ADDRESS_MAX,
            per_address: CONNECTIONS_PER_ADDRESS_MAX,
            strangers_per_address: STRANGERS_PER_ADDRESS_MAX,
            stranger: STRANGER_MAX,
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
