//! The chore `deps`: the borders between crates that the compiler does not guard.

use std::collections::BTreeSet;

use anyhow::{Result, ensure};

use crate::process;

/// Packages that must not be found below some part of the workspace.
struct Rule {
    /// The crate whose dependencies are read; none means every crate with its tests.
    below: Option<&'static str>,
    forbidden: &'static [&'static str],
    why: &'static str,
}

const NOT_PURE: &[&str] = &["fastrand", "getrandom", "prost", "rand", "serde", "sled", "tokio", "tonic"];
const PURE: &str = "the model and the core are pure: no async, IO, clock, randomness or serializer";

const RULES: &[Rule] = &[
    Rule {
        below: None,
        forbidden: &["native-tls", "openssl", "openssl-sys", "ring"],
        why: "there is one TLS stack: rustls with aws-lc-rs",
    },
    Rule {
        below: Some("canopy-hub"),
        forbidden: &["canopy-kube"],
        why: "a hub never talks to Kubernetes itself: agents do",
    },
    Rule { below: Some("canopy-model"), forbidden: NOT_PURE, why: PURE },
    Rule { below: Some("canopy-core"), forbidden: NOT_PURE, why: PURE },
];

/// A package that one crate alone depends on, so that no other comes to know it.
struct Border {
    package: &'static str,
    inside: &'static str,
    why: &'static str,
}

const BORDERS: &[Border] =
    &[Border { package: "sled", inside: "canopy-store", why: "only canopy-store sees a storage engine" }];

/// Checks all rules and reports every breach at once.
pub(crate) fn check() -> Result<()> {
    let mut breaches = Vec::new();
    for rule in RULES {
        breaches.extend(rule.breaches(&rule.dependencies()?));
    }
    for border in BORDERS {
        breaches.extend(border.breaches(&border.dependants()?));
    }
    ensure!(breaches.is_empty(), "forbidden dependencies:\n  {}", breaches.join("\n  "));
    Ok(())
}

impl Rule {
    /// The names of all packages below, themselves included.
    fn dependencies(&self) -> Result<BTreeSet<String>> {
        tree(&self.scope())
    }

    /// Tests may use what the crate itself may not, except where a rule is for the whole workspace.
    fn scope(&self) -> String {
        match self.below {
            Some(package) => format!("--edges normal,build --package {package}"),
            None => "--edges normal,build,dev --workspace".to_owned(),
        }
    }

    fn breaches(&self, found: &BTreeSet<String>) -> Vec<String> {
        let breach =
            |name: &&str| format!("{name}: {}; see `cargo tree {} --invert {name}`", self.why, self.scope());
        self.forbidden.iter().filter(|name| found.contains(**name)).map(breach).collect()
    }
}

impl Border {
    fn scope(&self) -> String {
        format!("--workspace --edges normal,build,dev --depth 1 --invert {}", self.package)
    }

    /// The names of all packages that depend on it directly, itself included.
    fn dependants(&self) -> Result<BTreeSet<String>> {
        tree(&self.scope())
    }

    fn breaches(&self, found: &BTreeSet<String>) -> Vec<String> {
        let outside = found.iter().filter(|name| *name != self.package && *name != self.inside);
        outside
            .map(|name| format!("{name}: {}, {}; see `cargo tree {}`", self.package, self.why, self.scope()))
            .collect()
    }
}

/// The names of the packages that `cargo tree` lists.
fn tree(scope: &str) -> Result<BTreeSet<String>> {
    let mut words = vec!["tree", "--prefix", "none", "--format", "{p}"];
    words.extend(scope.split(' '));
    let listing = process::output(&mut process::cargo(&words))?;
    Ok(listing.lines().filter_map(|line| Some(line.split_once(' ')?.0.to_owned())).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_breach_names_package_reason_and_where_to_look() {
        let rule = Rule { below: Some("canopy-core"), forbidden: &["rand", "tokio"], why: "it is pure" };
        let found = ["bytes", "tokio"].map(str::to_owned).into();
        let expected =
            "tokio: it is pure; see `cargo tree --edges normal,build --package canopy-core --invert tokio`";
        assert_eq!(rule.breaches(&found), [expected]);
    }

    #[test]
    fn who_crosses_a_border_is_named() {
        let border = Border { package: "sled", inside: "canopy-store", why: "it is an engine" };
        let found = ["sled", "canopy-store", "canopy-hub"].map(str::to_owned).into();
        let expected = "canopy-hub: sled, it is an engine; see `cargo tree --workspace --edges \
                        normal,build,dev --depth 1 --invert sled`";
        assert_eq!(border.breaches(&found), [expected]);
        assert!(border.dependants().unwrap().contains("canopy-store"));
    }

    #[test]
    fn a_listing_holds_the_crate_itself() {
        let rule = Rule { below: Some("canopy-model"), forbidden: &[], why: "" };
        assert!(rule.dependencies().unwrap().contains("thiserror"));
    }
}
