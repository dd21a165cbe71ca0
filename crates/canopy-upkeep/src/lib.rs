//! How the objects of a workload are kept in a cluster, and what becomes of them when it leaves.
//!
//! The field names are those of Open Cluster Management's ManifestWork. An object is named by its
//! kind, as its manifest names it, not by the plural that an API server serves it under.
//!
//! - here: how objects are kept, and what becomes of them;
//! - [`feedback`]: what is told of them; [`executor`]: in whose name they are made.

pub mod executor;
pub mod feedback;

pub use executor::Executor;
pub use feedback::{FeedbackRule, FeedbackType, JsonPath};
use serde::{Deserialize, Serialize};

/// The most rules of one sort that one workload may have.
pub const RULES_MAX: usize = 64;

/// How the objects of a workload are kept.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Upkeep {
    /// What becomes of them when the workload leaves a cluster.
    #[serde(default, skip_serializing_if = "is_default")]
    pub delete_option: DeleteOption,
    /// Exceptions from how they are kept; the first that matches an object counts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub manifest_configs: Vec<ManifestConfig>,
    /// In whose name they are made, changed and deleted; the agent's own without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub executor: Option<Executor>,
}

/// What becomes of objects when their workload leaves.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DeleteOption {
    /// For all of them.
    #[serde(default)]
    pub propagation_policy: PropagationPolicy,
    /// Which ones stay, with [`PropagationPolicy::SelectivelyOrphan`].
    #[serde(default, skip_serializing_if = "is_default")]
    pub selectively_orphans: SelectivelyOrphans,
}

/// What becomes of objects when their workload leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum PropagationPolicy {
    /// They are deleted, and the workload is gone once they are.
    #[default]
    Foreground,
    /// They stay, and are nobody's.
    Orphan,
    /// Those that a rule names stay; the others are deleted.
    SelectivelyOrphan,
}

/// The rules of [`PropagationPolicy::SelectivelyOrphan`].
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SelectivelyOrphans {
    /// An object that any of them names stays.
    #[serde(default)]
    pub orphaning_rules: Vec<ResourceIdentifier>,
}

/// How some objects are kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ManifestConfig {
    /// Which ones.
    pub resource_identifier: ResourceIdentifier,
    /// How.
    #[serde(default)]
    pub update_strategy: UpdateStrategy,
    /// Which values of them are told.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub feedback_rules: Vec<FeedbackRule>,
}

/// Names objects; an empty field matches any.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ResourceIdentifier {
    /// The API group.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub group: String,
    /// The kind.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub kind: String,
    /// The namespace.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub namespace: String,
    /// The name.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
}

/// How an object is brought to what its manifest says.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct UpdateStrategy {
    /// The strategy.
    #[serde(default, rename = "type")]
    pub kind: StrategyType,
    /// For [`StrategyType::ServerSideApply`].
    #[serde(default, skip_serializing_if = "is_default")]
    pub server_side_apply: ServerSideApply,
    /// Whether an object that the workload made is deleted and made anew when a field that can't be
    /// changed differs.
    #[serde(default, skip_serializing_if = "is_default")]
    pub recreate: bool,
}

/// How an object is brought to what its manifest says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum StrategyType {
    /// Its fields are Canopy's; what others add beside them stays.
    #[default]
    ServerSideApply,
    /// Its manifest is merged over what is there, lists as a whole; fields that the manifest does not
    /// name stay, also those that an earlier revision named.
    Update,
    /// Made when it is absent, never changed.
    CreateOnly,
    /// Neither made nor changed nor deleted; only watched.
    ReadOnly,
}

/// Options of [`StrategyType::ServerSideApply`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ServerSideApply {
    /// Whether fields that other managers hold are taken from them; without, they are a conflict.
    #[serde(default = "yes")]
    pub force: bool,
    /// Fields that others may set.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ignore_fields: Vec<IgnoreFields>,
}

/// Fields that others may set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct IgnoreFields {
    /// From when on.
    #[serde(default)]
    pub condition: IgnoreCondition,
    /// Paths such as `.spec.replicas` or `.metadata.annotations['a.b/c']`.
    pub json_paths: Vec<String>,
}

/// From when on a field is left to others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum IgnoreCondition {
    /// From when the object is there.
    #[default]
    OnSpokePresent,
    /// From when somebody else has changed it.
    OnSpokeChange,
}

impl Default for ServerSideApply {
    fn default() -> Self {
        Self { force: true, ignore_fields: Vec::new() }
    }
}

/// Why upkeep is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// More rules than [`RULES_MAX`].
    #[error("{field} has {count} entries, more than {RULES_MAX}")]
    TooMany {
        /// Where.
        field: String,
        /// How many.
        count: usize,
    },
    /// Rules that nothing would read.
    #[error("{field} has no meaning unless {unless}")]
    Meaningless {
        /// Where.
        field: String,
        /// What would give it one.
        unless: &'static str,
    },
    /// A path that names no field.
    #[error(
        "{field} is {path:?}, expected the path of a field such as .spec.replicas or .metadata.annotations['a.b/c']"
    )]
    Path {
        /// Where.
        field: String,
        /// What stands there.
        path: String,
    },
    /// A path that names no values.
    #[error(
        "{field} is {path:?}, expected a JSONPath of at most {max} bytes such as .status.readyReplicas or \
         .status.conditions[?(@.type==\"Ready\")].status",
        max = feedback::PATH_BYTES_MAX
    )]
    FeedbackPath {
        /// Where.
        field: String,
        /// What stands there.
        path: String,
    },
    /// A value without a name.
    #[error("{field} is {name:?}, expected a name of 1 to {max} bytes", max = feedback::NAME_BYTES_MAX)]
    FeedbackName {
        /// Where.
        field: String,
        /// What stands there.
        name: String,
    },
    /// A service account that can't be.
    #[error(
        "spec.executor.subject.serviceAccount.{part} is {value:?}, expected the {part} of a service account"
    )]
    ServiceAccount {
        /// Which part of its name.
        part: &'static str,
        /// What stands there.
        value: String,
    },
}

impl Upkeep {
    /// Checks what the types leave open.
    pub fn validate(&self) -> Result<(), Error> {
        let rules = &self.delete_option.selectively_orphans.orphaning_rules;
        bounded("spec.deleteOption.selectivelyOrphans.orphaningRules", rules.len())?;
        bounded("spec.manifestConfigs", self.manifest_configs.len())?;
        if !rules.is_empty() && self.delete_option.propagation_policy != PropagationPolicy::SelectivelyOrphan
        {
            return Err(Error::Meaningless {
                field: "spec.deleteOption.selectivelyOrphans".to_owned(),
                unless: "propagationPolicy is SelectivelyOrphan",
            });
        }
        for (at, config) in self.manifest_configs.iter().enumerate() {
            let field = format!("spec.manifestConfigs[{at}].updateStrategy.serverSideApply");
            config.update_strategy.validate(&field)?;
            let field = format!("spec.manifestConfigs[{at}].feedbackRules");
            bounded(&field, config.feedback_rules.len())?;
            for (index, rule) in config.feedback_rules.iter().enumerate() {
                rule.validate(&format!("{field}[{index}]"))?;
            }
        }
        self.executor.as_ref().map_or(Ok(()), Executor::validate)
    }

    /// How an object is kept.
    pub fn strategy(&self, group: &str, kind: &str, namespace: Option<&str>, name: &str) -> UpdateStrategy {
        let config = self.config(group, kind, namespace, name);
        config.map(|config| config.update_strategy.clone()).unwrap_or_default()
    }

    /// Which values of an object are told.
    pub fn feedback(&self, group: &str, kind: &str, namespace: Option<&str>, name: &str) -> Vec<JsonPath> {
        let rules = self.config(group, kind, namespace, name).map(|config| &config.feedback_rules);
        rules.into_iter().flatten().flat_map(|rule| rule.paths(group, kind)).collect()
    }

    fn config(
        &self,
        group: &str,
        kind: &str,
        namespace: Option<&str>,
        name: &str,
    ) -> Option<&ManifestConfig> {
        let mut configs = self.manifest_configs.iter();
        configs.find(|config| config.resource_identifier.matches(group, kind, namespace, name))
    }
}

impl DeleteOption {
    /// Whether an object stays when its workload leaves.
    pub fn orphans(&self, group: &str, kind: &str, namespace: Option<&str>, name: &str) -> bool {
        match self.propagation_policy {
            PropagationPolicy::Foreground => false,
            PropagationPolicy::Orphan => true,
            PropagationPolicy::SelectivelyOrphan => {
                let rules = &self.selectively_orphans.orphaning_rules;
                rules.iter().any(|rule| rule.matches(group, kind, namespace, name))
            }
        }
    }
}

impl ResourceIdentifier {
    /// Whether it names this object.
    pub fn matches(&self, group: &str, kind: &str, namespace: Option<&str>, name: &str) -> bool {
        let one = |wanted: &str, is: &str| wanted.is_empty() || wanted == is;
        // The core group is the empty one: it is meant when only the kind is given, as any other is.
        one(&self.group, group)
            && one(&self.kind, kind)
            && one(&self.namespace, namespace.unwrap_or_default())
            && one(&self.name, name)
    }
}

impl UpdateStrategy {
    fn validate(&self, field: &str) -> Result<(), Error> {
        if self.kind != StrategyType::ServerSideApply && self.server_side_apply != ServerSideApply::default()
        {
            return Err(Error::Meaningless {
                field: field.to_owned(),
                unless: "updateStrategy.type is ServerSideApply",
            });
        }
        for (at, ignored) in self.server_side_apply.ignore_fields.iter().enumerate() {
            for (index, path) in ignored.json_paths.iter().enumerate() {
                if fields(path).is_none() {
                    let field = format!("{field}.ignoreFields[{at}].jsonPaths[{index}]");
                    return Err(Error::Path { field, path: path.clone() });
                }
            }
        }
        Ok(())
    }
}

/// The names of the fields along a path; none when it is no path of plain fields.
pub fn fields(path: &str) -> Option<Vec<String>> {
    let mut names = Vec::new();
    let mut rest = path;
    while !rest.is_empty() {
        let (name, after) = if let Some(quoted) = rest.strip_prefix("['") {
            quoted.split_once("']")?
        } else {
            let plain = rest.strip_prefix('.')?;
            plain.split_at(plain.find(['.', '[']).unwrap_or(plain.len()))
        };
        if name.is_empty() || name.contains(['*', '[', ']']) {
            return None;
        }
        names.push(name.to_owned());
        rest = after;
    }
    (!names.is_empty()).then_some(names)
}

fn bounded(field: &str, count: usize) -> Result<(), Error> {
    let too_many = || Error::TooMany { field: field.to_owned(), count };
    if count > RULES_MAX { Err(too_many()) } else { Ok(()) }
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

fn yes() -> bool {
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_name_plain_fields() {
        let names = |path| fields(path).map(|names| names.join("|"));
        assert_eq!(names(".spec.replicas").as_deref(), Some("spec|replicas"));
        assert_eq!(names(".metadata.annotations['a.b/c']").as_deref(), Some("metadata|annotations|a.b/c"));
        assert_eq!(names("['spec'].replicas").as_deref(), Some("spec|replicas"));
        for bad in ["", ".", "spec", ".spec.", ".spec..x", ".spec.containers[0]", ".spec.*", "['spec"] {
            assert_eq!(names(bad), None, "{bad}");
        }
    }

    #[test]
    fn the_first_rule_that_matches_counts() {
        let config = |kind: &str, strategy| ManifestConfig {
            resource_identifier: ResourceIdentifier { kind: kind.into(), ..Default::default() },
            update_strategy: UpdateStrategy { kind: strategy, ..Default::default() },
            feedback_rules: Vec::new(),
        };
        let upkeep = Upkeep {
            manifest_configs: vec![
                config("ConfigMap", StrategyType::CreateOnly),
                config("", StrategyType::ReadOnly),
            ],
            ..Default::default()
        };
        assert_eq!(upkeep.strategy("", "ConfigMap", Some("a"), "b").kind, StrategyType::CreateOnly);
        assert_eq!(upkeep.strategy("apps", "Deployment", Some("a"), "b").kind, StrategyType::ReadOnly);
        assert_eq!(Upkeep::default().strategy("", "ConfigMap", None, "b"), UpdateStrategy::default());
    }

    #[test]
    fn rules_that_nothing_reads_are_refused() {
        let mut upkeep = Upkeep::default();
        upkeep.delete_option.selectively_orphans.orphaning_rules.push(ResourceIdentifier::default());
        assert!(matches!(upkeep.validate(), Err(Error::Meaningless { .. })));
        upkeep.delete_option.propagation_policy = PropagationPolicy::SelectivelyOrphan;
        assert_eq!(upkeep.validate(), Ok(()));
        assert!(upkeep.delete_option.orphans("", "Secret", None, "x"));
    }
}
