//! One check after the other: what is expected, whether it came to be, and how long that took.

use std::time::{Duration, Instant};

use tokio::time::sleep;

use crate::error::Error;
use crate::terminal::Terminal;

/// How long a state may take to come. Far longer than it takes on an idle machine.
const PATIENCE: Duration = Duration::from_secs(20);
/// After a failure the rest is expected to fail too; nobody wants to wait for each.
const PATIENCE_AFTER_FAILURE: Duration = Duration::from_secs(2);
/// Between two looks at a state.
const LOOK_EVERY: Duration = Duration::from_millis(25);

/// Whether a state is there; if not, what is there instead.
pub(super) type Seen = Result<(), String>;

/// The checks of one demonstration.
pub(super) struct Checks<'a, 'b> {
    terminal: &'a mut Terminal<'b>,
    passed: usize,
    failed: usize,
}

impl<'a, 'b> Checks<'a, 'b> {
    pub(super) fn new(terminal: &'a mut Terminal<'b>) -> Self {
        Self { terminal, passed: 0, failed: 0 }
    }

    /// Tells what happens next.
    pub(super) fn tell(&mut self, line: &str) -> Result<(), Error> {
        self.terminal.line(line)
    }

    /// Expects that a state comes, and looks for it until it does or patience ends.
    pub(super) async fn comes(&mut self, what: &str, look: impl AsyncFn() -> Seen) -> Result<(), Error> {
        let (began, patience) = (Instant::now(), self.patience());
        loop {
            match look().await {
                Ok(()) => return self.note(what, began.elapsed(), Ok(())),
                Err(instead) if began.elapsed() >= patience => {
                    return self.note(what, began.elapsed(), Err(instead));
                }
                Err(_) => sleep(LOOK_EVERY).await,
            }
        }
    }

    /// Expects that a state is there now.
    pub(super) fn is(&mut self, what: &str, seen: Seen) -> Result<(), Error> {
        self.note(what, Duration::ZERO, seen)
    }

    /// Tells how long everything took.
    pub(super) fn tell_time(&mut self, took: Duration) -> Result<(), Error> {
        self.terminal.line(format_args!("\nAll of this took {:.1} s.", took.as_secs_f64()))
    }

    /// Prints the last line. Failed checks are an error.
    pub(super) fn end(self) -> Result<(), Error> {
        let Self { terminal, passed, failed } = self;
        terminal.line(format_args!("demo: {passed} checks passed, {failed} failed"))?;
        if failed > 0 { Err(Error::Some(failed, passed + failed)) } else { Ok(()) }
    }

    fn patience(&self) -> Duration {
        if self.failed == 0 { PATIENCE } else { PATIENCE_AFTER_FAILURE }
    }

    fn note(&mut self, what: &str, took: Duration, seen: Seen) -> Result<(), Error> {
        match seen {
            Ok(()) => {
                self.passed += 1;
                self.terminal.line(format_args!("  ✓ {what} ({} ms)", took.as_millis()))
            }
            Err(instead) => {
                self.failed += 1;
                self.terminal.line(format_args!("  ✗ {what}: {instead}"))
            }
        }
    }
}
