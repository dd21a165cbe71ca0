//! What the objects of a cluster are called, independent of the version that they are written in.

use std::fmt;

use kube::ResourceExt;
use kube::api::{DynamicObject, TypeMeta};

/// A kind without its version, as an ApplySet lists it: `Deployment.apps`, or `ConfigMap` for the core group.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupKind {
    /// The API group; empty for the core group.
    pub group: String,
    /// The kind.
    pub kind: String,
}

impl GroupKind {
    /// Reads the group out of an `apiVersion`.
    pub fn new(api_version: &str, kind: &str) -> Self {
        let group = api_version.split_once('/').map_or("", |(group, _)| group);
        Self { group: group.to_owned(), kind: kind.to_owned() }
    }

    /// Reads the form that [`fmt::Display`] writes.
    pub fn read(text: &str) -> Self {
        let (kind, group) = text.split_once('.').unwrap_or((text, ""));
        Self { group: group.to_owned(), kind: kind.to_owned() }
    }

    /// Whether other objects need this one to exist before they can be applied: it comes first and goes last.
    pub(crate) fn is_foundation(&self) -> bool {
        matches!(
            (self.group.as_str(), self.kind.as_str()),
            ("", "Namespace") | ("apiextensions.k8s.io", "CustomResourceDefinition")
        )
    }
}

impl GroupKind {
    /// Whether no controller makes anything for objects of this kind: one that is deleted is gone at once.
    /// Waiting for Kubernetes' collector instead, which takes some twenty objects in a second, would keep
    /// thousands of them for minutes.
    pub(crate) fn stands_alone(&self) -> bool {
        match self.group.as_str() {
            "" => matches!(self.kind.as_str(), "ConfigMap" | "Secret" | "ServiceAccount" | "LimitRange"),
            "rbac.authorization.k8s.io" | "scheduling.k8s.io" | "admissionregistration.k8s.io" => true,
            "networking.k8s.io" => self.kind == "NetworkPolicy",
            _ => false,
        }
    }
}

impl fmt::Display for GroupKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.kind)?;
        if self.group.is_empty() { Ok(()) } else { write!(f, ".{}", self.group) }
    }
}

/// The name of one object in a cluster.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectName {
    /// Its kind.
    pub kind: GroupKind,
    /// Its namespace; none for an object of the whole cluster.
    pub namespace: Option<String>,
    /// Its name.
    pub name: String,
}

impl ObjectName {
    /// The name of a live object of a known kind.
    pub(crate) fn of(kind: &GroupKind, object: &impl ResourceExt) -> Self {
        Self { kind: kind.clone(), namespace: object.namespace(), name: object.name_any() }
    }
}

impl fmt::Display for ObjectName {
    /// Writes `Deployment line-7/web`, or `Namespace line-7` for an object of the whole cluster.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ", self.kind.kind)?;
        if let Some(namespace) = &self.namespace {
            write!(f, "{namespace}/")?;
        }
        f.write_str(&self.name)
    }
}

/// The kind that an object says it has; empty when it says nothing.
pub(crate) fn kind_of(object: &DynamicObject) -> GroupKind {
    let TypeMeta { api_version, kind } = object.types.clone().unwrap_or_default();
    GroupKind::new(&api_version, &kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_kind_reads_what_it_writes() {
        for (api_version, kind, text) in [
            ("apps/v1", "Deployment", "Deployment.apps"),
            ("v1", "ConfigMap", "ConfigMap"),
            ("networking.k8s.io/v1", "Ingress", "Ingress.networking.k8s.io"),
        ] {
            let group_kind = GroupKind::new(api_version, kind);
            assert_eq!(group_kind.to_string(), text);
            assert_eq!(GroupKind::read(text), group_kind);
        }
    }

    #[test]
    fn an_object_is_named_as_people_name_it() {
        let mut name = ObjectName {
            kind: GroupKind::new("apps/v1", "Deployment"),
            namespace: Some("line-7".into()),
            name: "web".into(),
        };
        assert_eq!(name.to_string(), "Deployment line-7/web");
        name.namespace = None;
        assert_eq!(name.to_string(), "Deployment web");
    }
}
