//! The chore `test`: everything that a change must pass, cheapest first.

use std::env;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};

use crate::process::{self, cargo};
use crate::programs::Program;
use crate::tools::{self, Tools};
use crate::{deps, guards, image};

/// Each seed is one simulated fleet with its own faults.
const CHAOS_SEEDS: &str = "300";

/// How programs end on a failure that they found themselves; clap's usage errors are 2, panics 101.
const EXIT_FAILED: i32 = 1;

/// The end-to-end tests build programs, which `cargo test --workspace` would do meanwhile.
const END_TO_END: &str = "canopy-e2e";
/// Those of them that need a real control plane.
const ON_KUBERNETES: &str = "kubernetes::";

struct Step {
    name: &'static str,
    run: fn() -> Result<Outcome>,
}

enum Outcome {
    Passed,
    /// Passed but for what was left out, and why.
    InPart(String),
    Skipped(String),
}

const STEPS: &[Step] = &[
    Step { name: "format", run: || passed(&["fmt", "--all", "--check"]) },
    Step { name: "dependencies", run: || deps::check().map(|()| Outcome::Passed) },
    Step { name: "patches of the guards", run: || guards::check().map(|()| Outcome::Passed) },
    Step {
        name: "lints",
        run: || passed(&["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]),
    },
    Step { name: "tests", run: cargo_tests },
    Step {
        name: "end to end on embedded clusters",
        run: || passed(&["test", "--package", END_TO_END, "--", "--skip", ON_KUBERNETES]),
    },
    Step { name: "documentation", run: documentation },
    Step {
        name: "chaos",
        run: || passed(&["run", "--release", "--bin", "canopy-sim", "--", "chaos", "--seeds", CHAOS_SEEDS]),
    },
    Step { name: "demo", run: || passed(&["run", "--release", "--", "demo"]) },
    Step { name: "demo, sabotaged", run: sabotaged_demo },
    Step { name: "end to end on Kubernetes", run: end_to_end },
];

/// Runs the steps and stops at the first that fails; ends with a line for each.
pub(crate) fn run() -> Result<()> {
    let started = Instant::now();
    let mut summary = Vec::new();
    let result = STEPS.iter().try_for_each(|step| {
        eprintln!("\n== {}", step.name);
        let began = Instant::now();
        let outcome = (step.run)();
        summary.push(line(step.name, began.elapsed(), &outcome));
        outcome.map(drop).with_context(|| format!("step {:?}", step.name))
    });
    let not_run = STEPS[summary.len()..].iter().map(|step| format!("  not run          {}", step.name));
    summary.extend(not_run);
    eprintln!("\n== summary\n{}\n  total {:>7.1} s", summary.join("\n"), started.elapsed().as_secs_f64());
    result
}

/// One line of the summary.
fn line(name: &str, took: Duration, outcome: &Result<Outcome>) -> String {
    let (verdict, why) = match outcome {
        Ok(Outcome::Passed) => ("passed ", String::new()),
        Ok(Outcome::InPart(why)) => ("in part", format!(": {why}")),
        Ok(Outcome::Skipped(why)) => ("skipped", format!(": {why}")),
        Err(error) => ("FAILED ", format!(": {error}")),
    };
    format!("  {verdict} {:>6.1} s  {name}{why}", took.as_secs_f64())
}

fn passed(words: &[&str]) -> Result<Outcome> {
    process::run(&mut cargo(words)).map(|()| Outcome::Passed)
}

/// The adapter to Kubernetes is tested against a real API server where there is one.
fn cargo_tests() -> Result<Outcome> {
    let mut test = cargo(&["test", "--workspace", "--exclude", END_TO_END]);
    let outcome = match tools::ensure()? {
        Tools::Ready(folders) => {
            test.env("CANOPY_TOOLS", folders);
            Outcome::Passed
        }
        Tools::Unavailable(why) => {
            Outcome::InPart(format!("without those of canopy-kube on an API server: {why}"))
        }
    };
    process::run(&mut test).map(|()| outcome)
}

fn documentation() -> Result<Outcome> {
    let mut doc = cargo(&["doc", "--workspace", "--no-deps"]);
    process::run(doc.env("RUSTDOCFLAGS", "-D warnings -A rustdoc::private_intra_doc_links"))
        .map(|()| Outcome::Passed)
}

/// The demo checks itself: with an agent that does the wrong thing it must say so and fail. Any other
/// failure is none that it noticed.
fn sabotaged_demo() -> Result<Outcome> {
    let (status, said) = process::said(&mut cargo(&["run", "--release", "--", "demo", "--sabotage"]))?;
    let last = said.lines().last().unwrap_or_default();
    let noticed = status.code() == Some(EXIT_FAILED) && failures(last).is_some_and(|failed| failed > 0);
    ensure!(
        noticed,
        "the sabotaged demo ended with {status} and the line {last:?}: it must count what failed and exit with \
         {EXIT_FAILED}"
    );
    Ok(Outcome::Passed)
}

/// How many checks failed, of the demo's last line.
fn failures(line: &str) -> Option<usize> {
    let counts = line.strip_prefix("demo: ")?.strip_suffix(" failed")?;
    counts.split_once(" checks passed, ")?.1.parse().ok()
}

fn end_to_end() -> Result<Outcome> {
    match tools::ensure()? {
        Tools::Ready(folders) => {
            let images = image::run(&[Program::Hub, Program::Agent], image::PREFIX, None)?;
            let mut test = cargo(&["test", "--package", END_TO_END, ON_KUBERNETES]);
            test.env("CANOPY_TOOLS", folders).env("CANOPY_IMAGES", images);
            process::run(&mut test).map(|()| Outcome::Passed)
        }
        Tools::Unavailable(why) if env::var_os("CI").is_some_and(|ci| ci == "true") => {
            bail!("continuous integration must run this step: {why}")
        }
        Tools::Unavailable(why) => Ok(Outcome::Skipped(why)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_says_why_a_step_was_skipped_or_failed() {
        let took = Duration::from_millis(12_340);
        assert_eq!(line("demo", took, &Ok(Outcome::Passed)), "  passed    12.3 s  demo");
        let skipped = Ok(Outcome::Skipped("no Go".to_owned()));
        assert_eq!(line("e2e", took, &skipped), "  skipped   12.3 s  e2e: no Go");
        let in_part = Ok(Outcome::InPart("no API server".to_owned()));
        assert_eq!(line("tests", took, &in_part), "  in part   12.3 s  tests: no API server");
        let failed = Err(anyhow::anyhow!("cargo test ended with 101"));
        assert_eq!(line("tests", took, &failed), "  FAILED    12.3 s  tests: cargo test ended with 101");
    }

    #[test]
    fn only_counted_failures_are_noticed_ones() {
        assert_eq!(failures("demo: 40 checks passed, 3 failed"), Some(3));
        assert_eq!(failures("demo: 43 checks passed, 0 failed"), Some(0));
        assert_eq!(failures("error: no port is free"), None);
    }
}
