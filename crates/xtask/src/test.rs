//! The chore `test`: everything that a change must pass, cheapest first.

use std::env;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};

use crate::deps;
use crate::process::{self, cargo};
use crate::tools::{self, Tools};

/// Each seed is one simulated fleet with its own faults.
const CHAOS_SEEDS: &str = "300";

/// How programs end on a failure that they found themselves; clap's usage errors are 2, panics 101.
const EXIT_FAILED: i32 = 1;

/// The end-to-end tests need programs that `cargo test --workspace` can't count on.
const END_TO_END: &str = "canopy-e2e";

struct Step {
    name: &'static str,
    run: fn() -> Result<Outcome>,
}

enum Outcome {
    Passed,
    Skipped(String),
}

const STEPS: &[Step] = &[
    Step { name: "format", run: || passed(&["fmt", "--all", "--check"]) },
    Step { name: "dependencies", run: || deps::check().map(|()| Outcome::Passed) },
    Step {
        name: "lints",
        run: || passed(&["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]),
    },
    Step { name: "tests", run: cargo_tests },
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
    if let Tools::Ready(folder) = tools::ensure()? {
        test.env("CANOPY_TOOLS", folder);
    }
    process::run(&mut test).map(|()| Outcome::Passed)
}

fn documentation() -> Result<Outcome> {
    let mut doc = cargo(&["doc", "--workspace", "--no-deps"]);
    process::run(doc.env("RUSTDOCFLAGS", "-D warnings -A rustdoc::private_intra_doc_links"))
        .map(|()| Outcome::Passed)
}

/// The demo checks itself: with an agent that does the wrong thing it must say so and fail.
fn sabotaged_demo() -> Result<Outcome> {
    let status = process::status(&mut cargo(&["run", "--release", "--", "demo", "--sabotage"]))?;
    let expected = status.code() == Some(EXIT_FAILED);
    ensure!(expected, "the sabotaged demo ended with {status}, it must notice and exit with {EXIT_FAILED}");
    Ok(Outcome::Passed)
}

fn end_to_end() -> Result<Outcome> {
    if !process::root().join("tests/Cargo.toml").is_file() {
        return Ok(Outcome::Skipped("there is no tests/Cargo.toml".to_owned()));
    }
    match tools::ensure()? {
        Tools::Ready(folder) => {
            let mut test = cargo(&["test", "--package", END_TO_END]);
            process::run(test.env("CANOPY_TOOLS", folder)).map(|()| Outcome::Passed)
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
        let failed = Err(anyhow::anyhow!("cargo test ended with 101"));
        assert_eq!(line("tests", took, &failed), "  FAILED    12.3 s  tests: cargo test ended with 101");
    }
}
