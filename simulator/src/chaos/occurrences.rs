//! How often each situation occurred.

use std::collections::BTreeMap;
use std::fmt;

/// What a run of many seeds must have met to mean anything.
const SITUATIONS: [&str; 37] = [
    "crash before the commit",
    "crash after the commit, before the effects",
    "partition",
    "half-open connection",
    "frame repeated",
    "frame out of order",
    "hub lost its disk",
    "agent lost its disk",
    "hub restored from an old copy",
    "agent restored from an old copy",
    "restored node met a newer neighbour",
    "node learned that its history was lost",
    "wall clock jumped",
    "cluster joined",
    "cluster left",
    "released node tried to return",
    "revocation made up for after a crash",
    "label moved",
    "label moved to and fro",
    "cluster cordoned",
    "cluster drained",
    "cluster to be spared",
    "cluster opened again",
    "deleted while a cluster was dark",
    "deleted without waiting",
    "deletion hindered",
    "late write refused",
    "content could not be fetched",
    "machine held by people",
    "object homed at a region changed while it was cut off",
    "number lowered",
    "grant moved to another child",
    "pods failed",
    "orphan deleted by its home",
    "orphan adopted",
    "orphan dropped",
    "command repeated",
];

/// Counts of situations.
#[derive(Debug, Default)]
pub(crate) struct Occurrences(BTreeMap<&'static str, u64>);

impl Occurrences {
    pub(crate) fn note(&mut self, situation: &'static str) {
        debug_assert!(SITUATIONS.contains(&situation), "{situation} is not listed");
        *self.0.entry(situation).or_default() += 1;
    }

    pub(crate) fn add(&mut self, other: &Self) {
        for (situation, count) in &other.0 {
            *self.0.entry(situation).or_default() += count;
        }
    }

    pub(crate) fn missing(&self) -> Vec<&'static str> {
        SITUATIONS.into_iter().filter(|situation| !self.0.contains_key(situation)).collect()
    }
}

impl fmt::Display for Occurrences {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for situation in SITUATIONS {
            writeln!(f, "{:>10}  {situation}", self.0.get(situation).copied().unwrap_or(0))?;
        }
        Ok(())
    }
}
