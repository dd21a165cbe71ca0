//! Frames.
//!
//! The protocol range and the limits of a hello are no matter of the core: they are absent here, and
//! canopy-link adds and checks them.

use canopy_core::link::{Frame, Hello, Message};
use canopy_model::Wall;

use super::part::{bytes, read_boot, read_incarnation};
use super::{Error, required};
use crate::link::v1;

impl From<&Frame> for v1::Frame {
    fn from(frame: &Frame) -> Self {
        use v1::frame::Message as Wire;
        let message = match &frame.message {
            Message::Hello(hello) => Wire::Hello(hello.into()),
            Message::Begin { version } => Wire::Begin(v1::Begin { version: *version }),
            Message::Rows { rows, through, seen } => {
                let rows = rows.iter().map(Into::into).collect();
                Wire::Rows(v1::Rows { rows, through: *through, seen: *seen })
            }
            Message::End { count, seen } => Wire::End(v1::End { count: *count, seen: *seen }),
            Message::Ack { seq } => Wire::Ack(v1::Ack { seq: *seq }),
            Message::Heartbeat { sent, stalest_ms } => {
                Wire::Heartbeat(v1::Heartbeat { sent: *sent, stalest_ms: *stalest_ms })
            }
        };
        Self { seq: frame.seq, message: Some(message) }
    }
}

impl TryFrom<v1::Frame> for Frame {
    type Error = Error;

    fn try_from(frame: v1::Frame) -> Result<Self, Error> {
        use v1::frame::Message as Wire;
        let message = match required("frame.message", frame.message)? {
            Wire::Hello(hello) => Message::Hello(hello.try_into()?),
            Wire::Begin(begin) => Message::Begin { version: begin.version },
            Wire::Rows(rows) => Message::Rows {
                rows: rows.rows.into_iter().map(TryInto::try_into).collect::<Result<_, _>>()?,
                through: rows.through,
                seen: rows.seen,
            },
            Wire::End(end) => Message::End { count: end.count, seen: end.seen },
            Wire::Ack(ack) => Message::Ack { seq: ack.seq },
            Wire::Heartbeat(beat) => Message::Heartbeat { sent: beat.sent, stalest_ms: beat.stalest_ms },
        };
        Ok(Self { seq: frame.seq, message })
    }
}

impl From<&Hello> for v1::Hello {
    fn from(hello: &Hello) -> Self {
        Self {
            boot: bytes(hello.boot.0),
            incarnation: bytes(hello.incarnation.0),
            cursor: hello.cursor.map(Into::into),
            wall_ms: hello.wall.0,
            record: hello.record.as_ref().map(Into::into),
            protocol: None,
            limits: None,
            seen: hello.seen,
        }
    }
}

impl TryFrom<v1::Hello> for Hello {
    type Error = Error;

    fn try_from(hello: v1::Hello) -> Result<Self, Error> {
        Ok(Self {
            boot: read_boot(&hello.boot)?,
            incarnation: read_incarnation(&hello.incarnation)?,
            cursor: hello.cursor.map(TryInto::try_into).transpose()?,
            seen: hello.seen,
            wall: Wall(hello.wall_ms),
            record: hello.record.map(TryInto::try_into).transpose()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use prost::Message as _;

    use super::*;
    use crate::arbitrary;

    proptest! {
        #[test]
        fn every_frame_is_read_back(frame in arbitrary::frame()) {
            let bytes = v1::Frame::from(&frame).encode_to_vec();
            let read = Frame::try_from(v1::Frame::decode(&bytes[..]).unwrap());
            prop_assert_eq!(read, Ok(frame));
        }

        #[test]
        fn damaged_frames_are_refused_without_a_panic(frame in arbitrary::frame(), at: usize, byte: u8) {
            let mut bytes = v1::Frame::from(&frame).encode_to_vec();
            if !bytes.is_empty() {
                let at = at % bytes.len();
                bytes[at] = byte;
            }
            let _ = v1::Frame::decode(&bytes[..]).map(Frame::try_from);
        }
    }

    #[test]
    fn a_frame_without_a_known_message_is_refused() {
        assert_eq!(
            Frame::try_from(v1::Frame { seq: 1, message: None }),
            Err(Error::Missing("frame.message"))
        );
    }
}
