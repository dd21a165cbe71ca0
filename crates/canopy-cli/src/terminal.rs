//! Where a command reads and writes.

use std::error::Error as StdError;
use std::fmt;
use std::io::{Read, Write};
use std::time::{Instant, SystemTime};

use canopy_proto::admin::v1::Unanswered;
use canopy_proto::convert::one_line;

use crate::age;
use crate::error::Error;
use crate::table::printable;

/// Standard input, output and error, and the clock by which ages count.
pub struct Terminal<'a> {
    pub(crate) input: &'a mut dyn Read,
    pub(crate) out: &'a mut dyn Write,
    err: &'a mut dyn Write,
    began_ms: u64,
    began: Instant,
}

/// What the machine's clock tells, in milliseconds since 1970.
pub(crate) fn now_ms() -> u64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_millis()).unwrap_or(u64::MAX)
}

impl<'a> Terminal<'a> {
    /// Reads and writes there; ages count by the machine's clock.
    pub fn new(input: &'a mut dyn Read, out: &'a mut dyn Write, err: &'a mut dyn Write) -> Self {
        Self::at(input, out, err, now_ms())
    }

    /// As [`Terminal::new`], with a clock that is at this moment now, in milliseconds since 1970.
    pub fn at(input: &'a mut dyn Read, out: &'a mut dyn Write, err: &'a mut dyn Write, now_ms: u64) -> Self {
        Self { input, out, err, began_ms: now_ms, began: Instant::now() }
    }

    /// The present moment, in milliseconds since 1970.
    pub(crate) fn now_ms(&self) -> u64 {
        let elapsed = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.began_ms.saturating_add(elapsed)
    }

    /// Prints a line of the answer.
    pub(crate) fn line(&mut self, line: impl fmt::Display) -> Result<(), Error> {
        writeln!(self.out, "{line}").map_err(Error::Write)
    }

    /// Prints an error with its causes on one line of the standard error.
    pub(crate) fn error(&mut self, error: &dyn StdError) {
        self.beside("error", &one_line(error));
    }

    /// Names the regions without which the answer is incomplete.
    pub(crate) fn warn(&mut self, unanswered: &[Unanswered]) {
        for Unanswered { path, reason } in unanswered {
            self.beside("warning", &format!("incomplete: no answer from {path}: {reason}"));
        }
    }

    /// Prints a line beside the answer. When even that cannot be written, nobody is there to tell.
    pub(crate) fn beside(&mut self, word: &str, text: &str) {
        let _ = writeln!(self.err, "{word}: {}", printable(text));
    }

    /// How long ago a moment was; `<unknown>` if it was never set.
    pub(crate) fn since(&self, moment_ms: u64) -> String {
        if moment_ms == 0 {
            "<unknown>".to_owned()
        } else {
            age::text(self.now_ms().saturating_sub(moment_ms))
        }
    }
}
