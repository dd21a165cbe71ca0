//! A small tree under faults drawn from a seed.
//!
//! - [`world`]: nodes with their disks, the virtual clock and the queue of events;
//! - [`process`]: how a node starts, commits, performs effects and crashes;
//! - [`network`]: connections that delay, repeat, reorder, fall silent and break;
//! - [`administrator`]: who writes objects, moves labels and resolves what only a person can;
//! - [`faults`]: what goes wrong;
//! - [`content`]: what a revision holds;
//! - [`witness`]: what was wanted when, kept apart from Canopy, and the promises checked against it;
//! - [`occurrences`]: how often each situation occurred, so that a green run means something.

mod administrator;
mod content;
mod faults;
mod network;
mod occurrences;
mod process;
mod witness;
mod world;

use std::process::ExitCode;

use occurrences::Occurrences;
use world::World;

/// What to run.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// How many seeds to run, one after the other.
    #[arg(long, default_value_t = 300)]
    seeds: u64,
    /// The first seed. A single seed prints its log of events when it fails.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Print the log of events of every seed.
    #[arg(long)]
    log: bool,
}

/// How many lines of a failed seed's log are shown.
const LOG_LINES: usize = 400;
/// From this many seeds on, every situation must have occurred.
const SEEDS_FOR_ALL: u64 = 300;

/// Runs the seeds; fails when a promise was broken, or when a situation never occurred.
pub fn run(args: &Args) -> ExitCode {
    let mut occurrences = Occurrences::default();
    let mut failed = 0;
    for seed in args.seed..args.seed.saturating_add(args.seeds) {
        let mut world = World::new(seed);
        let outcome = world.run();
        occurrences.add(&world.occurrences);
        if args.log || outcome.is_err() && failed == 0 {
            let skipped = if args.log { 0 } else { world.log.len().saturating_sub(LOG_LINES) };
            for line in &world.log[skipped..] {
                say(line);
            }
        }
        if let Err(broken) = outcome {
            failed += 1;
            say(&format!("seed {seed}: {broken}"));
            say(&format!("replay: canopy-sim chaos --seeds 1 --seed {seed} --log"));
        }
    }
    say(&occurrences.to_string());
    let missing = occurrences.missing();
    if args.seeds >= SEEDS_FOR_ALL && !missing.is_empty() {
        say(&format!("never occurred: {}", missing.join(", ")));
        failed += 1;
    }
    say(&format!("chaos: {} seeds, {failed} failed", args.seeds));
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

#[allow(clippy::print_stdout, reason = "the program's output")]
fn say(line: &str) {
    println!("{line}");
}
