//! Figures, as a table for people and as JSON for comparisons.

use std::fs;
use std::io::{self, Write as _};
use std::path::Path;

use anyhow::{Context as _, Result};
use serde_json::json;

/// One measured figure.
pub(crate) struct Figure {
    pub(crate) name: &'static str,
    pub(crate) value: f64,
    pub(crate) unit: &'static str,
    /// How many things or times it stands for.
    pub(crate) n: usize,
    /// What to know beside it.
    pub(crate) note: String,
}

/// Prints the figures below a line about the machine, and writes them where asked.
pub(crate) fn report(figures: &[Figure], file: Option<&Path>) -> Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "\n{}\n", machine())?;
    writeln!(out, "{:<28} {:>10} {:<9} {:>6}  NOTE", "FIGURE", "VALUE", "UNIT", "N")?;
    for figure in figures {
        let Figure { name, value, unit, n, note } = figure;
        writeln!(out, "{name:<28} {value:>10.2} {unit:<9} {n:>6}  {note}")?;
    }
    let Some(file) = file else { return Ok(()) };
    let figures: Vec<_> = figures
        .iter()
        .map(|Figure { name, value, unit, n, note }| json!({"name": name, "value": value, "unit": unit, "n": n, "note": note}))
        .collect();
    fs::write(file, serde_json::to_string_pretty(&figures)?)
        .with_context(|| format!("writing {}", file.display()))
}

/// The processor, how many, and the memory.
fn machine() -> String {
    let read = |path| fs::read_to_string(path).unwrap_or_default();
    let (processors, memory) = (read("/proc/cpuinfo"), read("/proc/meminfo"));
    let value = |text: &str, key: &str| {
        let line = text.lines().find(|line| line.starts_with(key))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    };
    let cores = processors.lines().filter(|line| line.starts_with("processor")).count();
    format!(
        "{}, {cores} cores, memory {}, Linux {}",
        value(&processors, "model name").unwrap_or_else(|| "unknown processor".to_owned()),
        value(&memory, "MemTotal").unwrap_or_default(),
        read("/proc/sys/kernel/osrelease").trim()
    )
}

/// The value below which so many percent of sorted ones lie.
pub(crate) fn percentile(sorted: &[f64], percent: usize) -> f64 {
    sorted[(sorted.len() * percent).div_ceil(100).saturating_sub(1)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[allow(clippy::float_cmp, reason = "they are taken, not calculated")]
    fn percentiles_are_values_that_were_measured() {
        let values: Vec<_> = (1..=200).map(f64::from).collect();
        assert_eq!([50, 99, 100].map(|percent| percentile(&values, percent)), [100.0, 198.0, 200.0]);
        assert_eq!(percentile(&[7.0], 99), 7.0);
    }
}
