//! What travels between a parent and a child.

use canopy_model::{Boot, Cursor, Incarnation, Record, Wall};

use crate::row::{Key, Payload};

/// About how many bytes of rows one frame carries at most; a single larger row goes alone.
pub const BATCH_BYTES_MAX: usize = 256 * 1024;

/// Names one connection; drawn by the shell and never used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(pub u64);

/// A message with its place in the session. A repeated frame is ignored; after a missing one the
/// session ends.
#[derive(Debug, Clone, PartialEq)]
pub struct Frame {
    /// Counts the frames of one direction of a session, from 0.
    pub seq: u64,
    /// What it says.
    pub message: Message,
}

/// What a frame says.
#[derive(Debug, Clone, PartialEq)]
pub enum Message {
    /// The first frame each way.
    Hello(Hello),
    /// A snapshot begins: every row that is live at this version follows.
    Begin {
        /// The version at which it was begun.
        version: u64,
    },
    /// Rows of the snapshot, or changes in the order of their versions.
    Rows {
        /// The rows.
        rows: Vec<Row>,
        /// The version that is complete with these rows; none when more rows of it follow, and in
        /// a snapshot.
        through: Option<u64>,
        /// The sender's last version then. A row that changed again since stands at its newest
        /// version, so these rows may leave out what follows until here.
        seen: u64,
    },
    /// The snapshot is complete.
    End {
        /// How many rows it had.
        count: u64,
        /// The sender's last version then: it may show what changed while it was sent.
        seen: u64,
    },
    /// Everything up to this frame is durable at the receiver.
    Ack {
        /// The acknowledged frame of the other direction.
        seq: u64,
    },
    /// The line is alive.
    Heartbeat {
        /// The version up to which everything was sent; none while a batch is under way.
        sent: Option<u64>,
        /// The age of the stalest state below, in milliseconds.
        stalest_ms: u64,
    },
}

/// The first frame each way.
#[derive(Debug, Clone, PartialEq)]
pub struct Hello {
    /// The sender's present boot.
    pub boot: Boot,
    /// The sender's present incarnation.
    pub incarnation: Incarnation,
    /// Up to where the receiver's table arrived here, in this incarnation.
    pub cursor: Option<Cursor>,
    /// The receiver's last version when it told what led to the cursor; of the same boot. Whoever
    /// never reached it was restored from an old copy.
    pub seen: u64,
    /// The sender's wall clock.
    pub wall: Wall,
    /// From a child: what its parent last recorded about it.
    pub record: Option<Record>,
}

/// One row on its way.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// Its key.
    pub key: Key,
    /// The commit that changed it last.
    pub version: u64,
    /// Its value; none when it was removed.
    pub payload: Option<Payload>,
}

impl Row {
    /// About how many bytes the row takes on the wire; rarely fewer than it does.
    pub fn size_hint(&self) -> usize {
        /// Its key and version.
        const HEAD_BYTES: usize = 64;
        HEAD_BYTES + self.payload.as_ref().map_or(0, Payload::size_hint)
    }
}
