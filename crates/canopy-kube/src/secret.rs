//! One Secret that this program keeps for itself, such as its identity.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Api, Patch, PatchParams};
use kube::core::ObjectMeta;

use crate::applyset::FIELD_MANAGER;
use crate::cluster::{Cluster, Failed, bounded};

/// Where a Secret is: `NAMESPACE/NAME`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretName {
    namespace: String,
    name: String,
}

/// A text that names no Secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected NAMESPACE/NAME of a Secret, such as canopy-system/canopy-agent")]
pub struct NoSecretName;

impl FromStr for SecretName {
    type Err = NoSecretName;

    fn from_str(text: &str) -> Result<Self, NoSecretName> {
        let (namespace, name) = text.split_once('/').ok_or(NoSecretName)?;
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-.".contains(&byte);
        let good = |part: &str| (1..=253).contains(&part.len()) && part.bytes().all(plain);
        let named = Self { namespace: namespace.to_owned(), name: name.to_owned() };
        if good(namespace) && good(name) { Ok(named) } else { Err(NoSecretName) }
    }
}

impl fmt::Display for SecretName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

impl Cluster {
    /// What a Secret holds, by key; none when it is not there, or holds nothing yet.
    pub async fn secret(&self, name: &SecretName) -> Result<Option<BTreeMap<String, Vec<u8>>>, Failed> {
        let found = bounded(self.secrets(name).get_opt(&name.name)).await;
        let found = found.map_err(|error| error.while_doing(format!("reading Secret {name}")))?;
        let data = found.and_then(|secret| secret.data).filter(|data| !data.is_empty());
        Ok(data.map(|data| data.into_iter().map(|(key, ByteString(value))| (key, value)).collect()))
    }

    /// Has a Secret hold exactly this of ours; it is made if it is not there.
    pub async fn keep_secret(
        &self,
        name: &SecretName,
        data: BTreeMap<String, Vec<u8>>,
    ) -> Result<(), Failed> {
        let metadata = ObjectMeta {
            name: Some(name.name.clone()),
            namespace: Some(name.namespace.clone()),
            ..ObjectMeta::default()
        };
        let data = data.into_iter().map(|(key, value)| (key, ByteString(value))).collect();
        let secret = Secret { metadata, data: Some(data), ..Secret::default() };
        let params = PatchParams::apply(FIELD_MANAGER).force();
        let kept = bounded(self.secrets(name).patch(&name.name, &params, &Patch::Apply(&secret))).await;
        kept.map(drop).map_err(|error| error.while_doing(format!("writing Secret {name}")))
    }

    fn secrets(&self, name: &SecretName) -> Api<Secret> {
        Api::namespaced(self.client.clone(), &name.namespace)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_named_with_its_namespace() {
        let named: SecretName = "canopy-system/canopy-agent".parse().unwrap();
        assert_eq!(named.to_string(), "canopy-system/canopy-agent");
        for bad in ["canopy-agent", "/a", "a/", "a/b/c", "A/b"] {
            assert_eq!(bad.parse::<SecretName>(), Err(NoSecretName), "{bad}");
        }
    }
}
