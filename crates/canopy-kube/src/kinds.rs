//! Which kinds the cluster serves: discovery on demand, remembered.
//!
//! One kind costs one request on its first use. A kind that is not served is never remembered, so
//! that a definition which arrives later is found by the next attempt.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use kube::Client;
use kube::api::{Api, DynamicObject};
use kube::core::GroupVersionKind;
use kube::discovery::{self, ApiCapabilities, ApiResource, Scope, verbs};
use kube::error::DiscoveryError;

use crate::cluster::{RequestError, bounded};
use crate::object::GroupKind;

/// A kind that the cluster serves.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Kind {
    pub(crate) resource: ApiResource,
    pub(crate) namespaced: bool,
    pub(crate) watchable: bool,
}

impl Kind {
    /// Access to its objects in one namespace, or to all of them.
    pub(crate) fn api(&self, client: &Client, namespace: Option<&str>) -> Api<DynamicObject> {
        match namespace {
            Some(namespace) if self.namespaced => {
                Api::namespaced_with(client.clone(), namespace, &self.resource)
            }
            _ => Api::all_with(client.clone(), &self.resource),
        }
    }

    /// The kind without its version.
    pub(crate) fn group_kind(&self) -> GroupKind {
        GroupKind { group: self.resource.group.clone(), kind: self.resource.kind.clone() }
    }
}

impl From<(ApiResource, ApiCapabilities)> for Kind {
    fn from((resource, capabilities): (ApiResource, ApiCapabilities)) -> Self {
        Self {
            namespaced: capabilities.scope == Scope::Namespaced,
            watchable: capabilities.supports_operation(verbs::WATCH),
            resource,
        }
    }
}

/// The kinds seen so far.
pub(crate) struct Kinds {
    client: Client,
    /// By `apiVersion` and kind. Bounded by the kinds that bundles name and the cluster serves.
    known: Mutex<BTreeMap<(String, String), Kind>>,
}

impl Kinds {
    pub(crate) fn new(client: Client) -> Self {
        Self { client, known: Mutex::default() }
    }

    /// The kind at exactly this version; none when the cluster does not serve it.
    pub(crate) async fn find(&self, api_version: &str, kind: &str) -> Result<Option<Kind>, RequestError> {
        let key = (api_version.to_owned(), kind.to_owned());
        if let Some(known) = self.with(|known| known.get(&key).cloned()) {
            return Ok(Some(known));
        }
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        let gvk = GroupVersionKind::gvk(group, version, kind);
        let found = served(bounded(discovery::pinned_kind(&self.client, &gvk)).await)?.map(Kind::from);
        if let Some(found) = &found {
            self.with(|known| known.insert(key, found.clone()));
        }
        Ok(found)
    }

    /// The kind at any version that the cluster serves.
    pub(crate) async fn find_any(&self, wanted: &GroupKind) -> Result<Option<Kind>, RequestError> {
        if let Some(known) =
            self.with(|known| known.values().find(|kind| kind.group_kind() == *wanted).cloned())
        {
            return Ok(Some(known));
        }
        let group = served(bounded(discovery::group(&self.client, &wanted.group)).await)?;
        Ok(group.and_then(|group| group.recommended_kind(&wanted.kind)).map(Kind::from))
    }

    /// Drops what is remembered of a kind, after the server denied it.
    pub(crate) fn forget(&self, kind: &Kind) {
        self.with(|known| known.retain(|_, other| other != kind));
    }

    fn with<T>(&self, look: impl FnOnce(&mut BTreeMap<(String, String), Kind>) -> T) -> T {
        look(&mut self.known.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Turns the ways of saying 'not served' into none.
fn served<T>(found: Result<T, RequestError>) -> Result<Option<T>, RequestError> {
    match found {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.is_not_found() => Ok(None),
        Err(RequestError::Transport(error)) => match *error {
            kube::Error::Discovery(
                DiscoveryError::MissingKind(_)
                | DiscoveryError::MissingApiGroup(_)
                | DiscoveryError::MissingResource(_),
            ) => Ok(None),
            other => Err(RequestError::Transport(Box::new(other))),
        },
        Err(error) => Err(error),
    }
}
