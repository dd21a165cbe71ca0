//! In whose name a workload's objects are made and changed.

use serde::{Deserialize, Serialize};

use crate::Error;

/// In whose name. Without one it is the agent's own.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Executor {
    /// Whose rights count.
    pub subject: Subject,
}

/// Whose rights count.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Subject {
    /// What sort of subject.
    #[serde(rename = "type", default)]
    pub kind: SubjectType,
    /// Which one.
    pub service_account: ServiceAccount,
}

/// What sort of subject: Open Cluster Management knows one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
pub enum SubjectType {
    /// A service account of the cluster.
    #[default]
    ServiceAccount,
}

/// A service account of the cluster.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ServiceAccount {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

impl Executor {
    /// Its name as Kubernetes' authorizers know it.
    pub fn user(&self) -> String {
        let ServiceAccount { namespace, name } = &self.subject.service_account;
        format!("system:serviceaccount:{namespace}:{name}")
    }

    pub(crate) fn validate(&self) -> Result<(), Error> {
        let ServiceAccount { namespace, name } = &self.subject.service_account;
        let parts = [("namespace", namespace, 63), ("name", name, 253)];
        let bad = parts.into_iter().find(|(_, value, bytes_max)| {
            let plain =
                |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-.".contains(&byte);
            value.is_empty() || value.len() > *bytes_max || !value.bytes().all(plain)
        });
        bad.map_or(Ok(()), |(part, value, _)| Err(Error::ServiceAccount { part, value: value.clone() }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_executor_is_a_service_account_and_nobody_else() {
        let read = |namespace: &str, name: &str| {
            let account = ServiceAccount { namespace: namespace.into(), name: name.into() };
            Executor { subject: Subject { kind: SubjectType::ServiceAccount, service_account: account } }
        };
        let good = read("line-7", "installer");
        assert_eq!(good.validate(), Ok(()));
        assert_eq!(good.user(), "system:serviceaccount:line-7:installer");
        for (namespace, name) in [("", "a"), ("line-7", ""), ("a:b", "c"), ("a", "b c"), ("a", "b\r\nX: y")] {
            assert!(matches!(read(namespace, name).validate(), Err(Error::ServiceAccount { .. })));
        }
    }
}
