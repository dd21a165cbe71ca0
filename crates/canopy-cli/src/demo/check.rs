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

/// The fewest checks of a whole demonstration that read the clusters themselves: what Canopy says of
/// itself proves little.
const IN_CLUSTERS_MIN: usize = 25;

/// Where a state is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    /// In the clusters' own files, which only their agents write.
    Cluster,
    /// In what hubs answer.
    Hub,
}

/// Whether a state is there; if not, what is there instead.
pub(super) type Seen = Result<(), String>;

/// The checks of one demonstration.
pub(super) struct Checks<'a, 'b> {
    terminal: &'a mut Terminal<'b>,
    passed: usize,
    failed: usize,
    in_clusters: usize,
}

impl<'a, 'b> Checks<'a, 'b> {
    pub(super) fn new(terminal: &'a mut Terminal<'b>) -> Self {
        Self { terminal, passed: 0, failed: 0, in_clusters: 0 }
    }

    /// Tells what happens next.
    pub(super) fn tell(&mut self, line: &str) -> Result<(), Error> {
        self.terminal.line(line)
    }

    /// Expects that a state comes, and looks for it until it does or patience ends.
    pub(super) async fn comes(
        &mut self,
        source: Source,
        what: &str,
        look: impl AsyncFn() -> Seen,
    ) -> Result<(), Error> {
        let (began, patience) = (Instant::now(), self.patience());
        loop {
            match look().await {
                Ok(()) => return self.note(source, what, began.elapsed(), Ok(())),
                Err(instead) if began.elapsed() >= patience => {
                    return self.note(source, what, began.elapsed(), Err(instead));
                }
                Err(_) => sleep(LOOK_EVERY).await,
            }
        }
    }

    /// Expects that a state is there now.
    pub(super) fn is(&mut self, source: Source, what: &str, seen: Seen) -> Result<(), Error> {
        self.note(source, what, Duration::ZERO, seen)
    }

    /// Tells what was checked in which time, and in the last line how it went.
    pub(super) fn tell_end(&mut self, took: Duration) -> Result<(), Error> {
        let Self { terminal, passed, failed, in_clusters } = self;
        assert!(*failed > 0 || *in_clusters >= IN_CLUSTERS_MIN, "{in_clusters} checks read the clusters");
        let from_hubs = *passed + *failed - *in_clusters;
        terminal.line(format_args!(
            "\nAll of this took {:.1} s. {in_clusters} checks were read from the clusters' own files, {from_hubs} \
             from what hubs and programs said.",
            took.as_secs_f64()
        ))?;
        terminal.line(format_args!("demo: {passed} checks passed, {failed} failed"))
    }

    /// Failed checks are an error.
    pub(super) fn verdict(&self) -> Result<(), Error> {
        if self.failed > 0 { Err(Error::Some(self.failed, self.passed + self.failed)) } else { Ok(()) }
    }

    fn patience(&self) -> Duration {
        if self.failed == 0 { PATIENCE } else { PATIENCE_AFTER_FAILURE }
    }

    fn note(&mut self, source: Source, what: &str, took: Duration, seen: Seen) -> Result<(), Error> {
        let mark = match source {
            Source::Cluster => "[cluster]",
            Source::Hub => "[hub]    ",
        };
        self.in_clusters += usize::from(source == Source::Cluster);
        match seen {
            Ok(()) => {
                self.passed += 1;
                self.terminal.line(format_args!("  ✓ {mark} {what} ({} ms)", took.as_millis()))
            }
            Err(instead) => {
                self.failed += 1;
                self.terminal.line(format_args!("  ✗ {mark} {what}: {instead}"))
            }
        }
    }
}
