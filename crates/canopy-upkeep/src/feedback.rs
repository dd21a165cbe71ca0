//! What a workload asks to be told of its objects: values of their fields, beside their health.

use jsonpath_rust::parser::parse_json_path;
use serde::{Deserialize, Serialize};

use crate::{Error, bounded};

/// The longest path of a value, in bytes: filters included, as much as a person reads on one line.
pub const PATH_BYTES_MAX: usize = 256;

/// The longest name of a value, in bytes.
pub const NAME_BYTES_MAX: usize = 63;

/// Which values to tell.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FeedbackRule {
    /// Who names them.
    #[serde(rename = "type")]
    pub kind: FeedbackType,
    /// For [`FeedbackType::JSONPaths`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub json_paths: Vec<JsonPath>,
}

/// Who names the values that are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum FeedbackType {
    /// Those that say most of a kind, such as a Deployment's ReadyReplicas. Most kinds have none.
    WellKnownStatus,
    /// The rule.
    JSONPaths,
}

/// One value to tell.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct JsonPath {
    /// What it is called.
    pub name: String,
    /// Where it stands in the object: `.status.readyReplicas`,
    /// `.status.conditions[?(@.type=="Ready")].status`.
    pub path: String,
}

impl JsonPath {
    /// The path as the query language has it. `kubectl` leaves out the root and puts braces around.
    pub fn query(&self) -> String {
        let path = self.path.strip_prefix('{').and_then(|path| path.strip_suffix('}')).unwrap_or(&self.path);
        if path.starts_with('$') { path.to_owned() } else { format!("${path}") }
    }

    fn validate(&self, field: &str) -> Result<(), Error> {
        if self.name.is_empty() || self.name.len() > NAME_BYTES_MAX {
            return Err(Error::FeedbackName { field: format!("{field}.name"), name: self.name.clone() });
        }
        if self.path.len() > PATH_BYTES_MAX || self.query() == "$" || parse_json_path(&self.query()).is_err()
        {
            return Err(Error::FeedbackPath { field: format!("{field}.path"), path: self.path.clone() });
        }
        Ok(())
    }
}

impl FeedbackRule {
    pub(crate) fn validate(&self, field: &str) -> Result<(), Error> {
        bounded(&format!("{field}.jsonPaths"), self.json_paths.len())?;
        if self.kind == FeedbackType::WellKnownStatus && !self.json_paths.is_empty() {
            let field = format!("{field}.jsonPaths");
            return Err(Error::Meaningless { field, unless: "type is JSONPaths" });
        }
        let mut paths = self.json_paths.iter().enumerate();
        paths.try_for_each(|(at, path)| path.validate(&format!("{field}.jsonPaths[{at}]")))
    }

    /// The values that it asks for of a kind.
    pub(crate) fn paths(&self, group: &str, kind: &str) -> Vec<JsonPath> {
        match self.kind {
            FeedbackType::JSONPaths => self.json_paths.clone(),
            FeedbackType::WellKnownStatus => {
                let known = well_known(group, kind).iter();
                known.map(|(name, path)| JsonPath { name: (*name).into(), path: (*path).into() }).collect()
            }
        }
    }
}

/// Open Cluster Management's names, and StatefulSets beside them.
fn well_known(group: &str, kind: &str) -> &'static [(&'static str, &'static str)] {
    match (group, kind) {
        ("apps", "Deployment" | "StatefulSet") => &[
            ("ReadyReplicas", ".status.readyReplicas"),
            ("Replicas", ".status.replicas"),
            ("AvailableReplicas", ".status.availableReplicas"),
        ],
        ("apps", "DaemonSet") => &[
            ("NumberReady", ".status.numberReady"),
            ("DesiredNumberScheduled", ".status.desiredNumberScheduled"),
            ("NumberAvailable", ".status.numberAvailable"),
        ],
        ("batch", "Job") => &[
            ("JobComplete", ".status.conditions[?(@.type==\"Complete\")].status"),
            ("JobSucceeded", ".status.succeeded"),
        ],
        ("", "Pod") => {
            &[("PodReady", ".status.conditions[?(@.type==\"Ready\")].status"), ("PodPhase", ".status.phase")]
        }
        _ => &[],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_read_as_kubectl_writes_them() {
        let check = |path: &str| {
            let rule = JsonPath { name: "a".into(), path: path.into() };
            rule.validate("rule").map(|()| rule.query())
        };
        let ready = "$.status.conditions[?(@.type==\"Ready\")].status";
        for path in [ready, &ready[1..], &format!("{{{}}}", &ready[1..])] {
            assert_eq!(check(path).as_deref(), Ok(ready));
        }
        assert_eq!(check("['status']['a.b/c']").as_deref(), Ok("$['status']['a.b/c']"));
        for bad in ["", "status.", ".status[", "{.status", ".status.conditions[?(]"] {
            assert!(matches!(check(bad), Err(Error::FeedbackPath { .. })), "{bad}");
        }
        assert!(matches!(check(&".a".repeat(PATH_BYTES_MAX)), Err(Error::FeedbackPath { .. })));
    }

    #[test]
    fn every_well_known_path_is_one() {
        for (group, kind) in [("apps", "Deployment"), ("apps", "DaemonSet"), ("batch", "Job"), ("", "Pod")] {
            let rule = FeedbackRule { kind: FeedbackType::WellKnownStatus, json_paths: Vec::new() };
            let paths = rule.paths(group, kind);
            assert!(!paths.is_empty() && paths.iter().all(|path| path.validate("").is_ok()), "{kind}");
        }
    }
}
