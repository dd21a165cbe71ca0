//! Which right an agent lacks, in the form in which an administrator grants it.
//!
//! What an agent needs is little, and what it lacks is told of the object that it lacks it for while
//! everything else goes on:
//!
//! | where | what | what for |
//! |---|---|---|
//! | namespace canopy-system | `get list create patch delete` of configmaps | inventories: without them it holds nothing |
//! | where its workloads are, or everywhere | `get list watch create patch delete` of their kinds | `create patch delete` not for workloads with an executor |
//! | the same | `list` of pods and events | why something does not start; told less without |
//! | namespace kube-system | `get` of the namespace itself | which cluster this is; another one is not noticed without |
//! | everywhere | `list` of nodes | the claim `platform` |
//! | where its identity is kept | `get create patch` of that Secret | an agent that runs as a pod |
//! | where executors are | `impersonate` of these serviceaccounts | workloads with an executor |
//!
//! Whoever applies Roles needs the rights in them as well, or `escalate` and `bind`. An agent that may
//! not list or watch a kind everywhere does so in each namespace of its workloads. The namespace
//! canopy-system is made when it is missing, which needs `create` and `patch` of namespaces.

use std::fmt;

/// A right that a user lacks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MissingRight {
    /// Who.
    pub user: String,
    /// What.
    pub verb: String,
    /// With which resource, with its subresource if it is one: `deployments`, `pods/log`.
    pub resource: String,
    /// Of which group; empty for the core group.
    pub group: String,
    /// Where; none for the whole cluster.
    pub namespace: Option<String>,
    /// On which object, for a right that may be granted for one alone.
    pub name: Option<String>,
}

impl MissingRight {
    /// Reads what Kubernetes' authorizers say; none when something else was refused, such as a quota or
    /// an admission webhook.
    pub fn read(message: &str) -> Option<Self> {
        let (before, rest) = message.split_once("User \"")?;
        let (user, rest) = rest.split_once("\" cannot ")?;
        let (verb, rest) = rest.split_once(" resource \"")?;
        let (resource, rest) = rest.split_once("\" in API group \"")?;
        let (group, rest) = rest.split_once('"')?;
        let namespace = rest.strip_prefix(" in the namespace \"").and_then(|rest| rest.split_once('"'));
        let name = before.split_once('"').and_then(|(_, rest)| rest.split_once('"'));
        let one = |text: &str| text.to_owned();
        Some(Self {
            user: one(user),
            verb: one(verb),
            resource: one(resource),
            group: one(group),
            namespace: namespace.map(|(namespace, _)| one(namespace)),
            name: name.map(|(name, _)| one(name)),
        })
    }
}

impl fmt::Display for MissingRight {
    /// Writes the rule as it stands in a Role or ClusterRole.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { user, verb, resource, group, namespace, name } = self;
        write!(f, "{user} may not {verb} {resource}: grant it ")?;
        match namespace {
            Some(namespace) => write!(f, "by a Role in namespace {namespace}")?,
            None => f.write_str("by a ClusterRole")?,
        }
        // A service account is impersonated by its name alone.
        let named = name.as_ref().filter(|_| verb == "impersonate");
        let named = named.map_or(String::new(), |name| format!(", resourceNames: [\"{name}\"]"));
        write!(
            f,
            " with the rule {{apiGroups: [\"{group}\"], resources: [\"{resource}\"], verbs: [\"{verb}\"]{named}}}"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_right_is_told_as_the_rule_that_grants_it() {
        for (message, expected) in [
            (
                "deployments.apps \"web\" is forbidden: User \"system:serviceaccount:canopy-system:canopy-agent\" cannot \
                 patch resource \"deployments\" in API group \"apps\" in the namespace \"line-7\"",
                "system:serviceaccount:canopy-system:canopy-agent may not patch deployments: grant it by a Role in \
                 namespace line-7 with the rule {apiGroups: [\"apps\"], resources: [\"deployments\"], verbs: [\"patch\"]}",
            ),
            (
                "namespaces is forbidden: User \"agent\" cannot list resource \"namespaces\" in API group \"\" at the cluster scope",
                "agent may not list namespaces: grant it by a ClusterRole with the rule {apiGroups: [\"\"], \
                 resources: [\"namespaces\"], verbs: [\"list\"]}",
            ),
            (
                "serviceaccounts \"installer\" is forbidden: User \"agent\" cannot impersonate resource \
                 \"serviceaccounts\" in API group \"\" in the namespace \"line-7\"",
                "agent may not impersonate serviceaccounts: grant it by a Role in namespace line-7 with the rule \
                 {apiGroups: [\"\"], resources: [\"serviceaccounts\"], verbs: [\"impersonate\"], resourceNames: [\"installer\"]}",
            ),
        ] {
            assert_eq!(MissingRight::read(message).unwrap().to_string(), expected);
        }
    }

    #[test]
    fn what_admission_refuses_is_no_missing_right() {
        for message in [
            "pods \"web\" is forbidden: exceeded quota: small, requested: pods=1, used: pods=1, limited: pods=1",
            "admission webhook \"policy.example\" denied the request: User \"x\" is not welcome",
            "",
        ] {
            assert_eq!(MissingRight::read(message), None, "{message}");
        }
    }
}
