//! Tells what became of the applied sets: their health, and whether somebody drifted them.
//!
//! One watch per kind in use, on Canopy's own label, so that memory follows what Canopy applied and
//! not what runs in the cluster (per kind and namespace where the agent may not watch all); and one per object that is only watched, which has no label. Watches
//! enter with the first set that needs them and leave with the last. A conclusion is sent after each
//! apply, and then when it differs from the last one sent; while the receiver is busy only the newest
//! waits. Conclusions follow from the newest state of each object, be it from the watch or from the
//! answer to an apply, so a watch that lags behind an apply shows no drift.
//!
//! Sets that this process has not applied are not observed: apply them (which changes nothing) first.
//! A cut watch says nothing; whether the API server answers is told by any request.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use canopy_model::{FeedbackValue, Health, Uid};
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use kube::Client;
use kube::api::{DynamicObject, TypeMeta};
use kube::runtime::watcher::{self, Event};
use kube::runtime::{WatchStreamExt, watcher as watch_objects};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio_stream::StreamMap;

use crate::applied::Sets;
use crate::applyset::LABEL_UID;
use crate::cluster::{Cluster, RequestError};
use crate::health::shorten;
use crate::kinds::Kind;
use crate::object::{GroupKind, ObjectName};
use crate::view::{Conclusion, View};
use crate::why::{LOOKS_MAX, looks};

/// Conclusions that wait for the receiver; further ones are merged per workload until it reads.
const OBSERVED_MAX: usize = 64;

/// What one watch is about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Scope {
    /// All objects of a kind that carry Canopy's label.
    Ours(GroupKind),
    /// Those in one namespace, for an agent that has rights in its namespaces alone.
    OursIn(GroupKind, String),
    /// One object, whoever it belongs to.
    One(ObjectName),
}

impl Scope {
    /// The kind of what is watched.
    pub(crate) fn kind(&self) -> &GroupKind {
        match self {
            Self::Ours(kind) | Self::OursIn(kind, _) => kind,
            Self::One(name) => &name.kind,
        }
    }
}

/// What became of one workload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observed {
    /// The workload's uid.
    pub uid: Uid,
    /// Whether somebody changed or removed what was applied; applying again corrects it.
    pub drifted: bool,
    /// The health of its worst object.
    pub health: Health,
    /// That object, and what is the matter; empty when all is well.
    pub message: String,
    /// What the workload asks to be told of its objects, in their order.
    pub feedback: Vec<FeedbackValue>,
}

impl Cluster {
    /// Starts to observe the sets that are applied through this cluster or its clones. Ends when the
    /// receiver is dropped.
    pub fn watch(&self) -> mpsc::Receiver<Observed> {
        let (observed, receiver) = mpsc::channel(OBSERVED_MAX);
        let observer = Observer {
            client: self.client.clone(),
            applied: self.applied.subscribe(),
            watches: StreamMap::new(),
            view: View::default(),
            looks: StreamMap::new(),
            places: Arc::new(Semaphore::new(LOOKS_MAX)),
            whys: BTreeMap::new(),
            unsaid: BTreeSet::new(),
            said: BTreeMap::new(),
        };
        tokio::spawn(observer.run(observed));
        receiver
    }
}

type Events = BoxStream<'static, watcher::Result<Event<DynamicObject>>>;

struct Observer {
    client: Client,
    applied: watch::Receiver<Sets>,
    watches: StreamMap<Scope, Events>,
    view: View,
    /// What is found out below objects that are not well, by the workload that they speak for.
    looks: StreamMap<(Uid, ObjectName), BoxStream<'static, Option<String>>>,
    places: Arc<Semaphore>,
    whys: BTreeMap<Uid, String>,
    /// Workloads to conclude about again.
    unsaid: BTreeSet<Uid>,
    said: BTreeMap<Uid, Observed>,
}

impl Observer {
    async fn run(mut self, observed: mpsc::Sender<Observed>) {
        self.adopt();
        loop {
            tokio::select! {
                () = observed.closed() => return,
                changed = self.applied.changed() => match changed {
                    Ok(()) => self.adopt(),
                    Err(_) => return,
                },
                Some((scope, event)) = self.watches.next() => match event {
                    Ok(event) => self.unsaid.extend(self.view.take(&scope, event)),
                    Err(error) => self.interrupted(&scope, &error),
                },
                Some(((uid, _), why)) = self.looks.next() => {
                    if self.whys.get(&uid) != why.as_ref() {
                        self.unsaid.insert(uid);
                    }
                    match why {
                        Some(why) => self.whys.insert(uid, why),
                        None => self.whys.remove(&uid),
                    };
                }
                Ok(permit) = observed.reserve(), if !self.unsaid.is_empty() => {
                    let Some(uid) = self.unsaid.pop_first() else { continue };
                    let Some(newest) = self.conclude(uid) else { continue };
                    if self.said.get(&uid) != Some(&newest) {
                        self.said.insert(uid, newest.clone());
                        permit.send(newest);
                    }
                }
            }
        }
    }

    /// What became of a workload, and why as far as that is known. Begins to look below the object that
    /// speaks for it, if that is not well.
    fn conclude(&mut self, uid: Uid) -> Option<Observed> {
        let Conclusion { mut observed, unwell } = self.view.conclude(uid)?;
        let looked_at = unwell.as_ref().map(|(_, name)| (uid, name.clone()));
        let old: Vec<_> = self
            .looks
            .keys()
            .filter(|look| look.0 == uid && Some(*look) != looked_at.as_ref())
            .cloned()
            .collect();
        for old in old {
            self.stop_looking(&old);
        }
        if let Some((kind, name)) = unwell {
            if !self.looks.contains_key(&(uid, name.clone())) {
                let look = looks(self.client.clone(), kind, name.clone(), self.places.clone());
                self.looks.insert((uid, name), look);
            }
            if let Some(why) = self.whys.get(&uid) {
                observed.message = shorten(&format!("{}: {why}", observed.message));
            }
        }
        Some(observed)
    }

    /// What was found out stays until the next look, which comes soon.
    fn look_anew(&mut self, uid: Uid) {
        let looks: Vec<_> = self.looks.keys().filter(|look| look.0 == uid).cloned().collect();
        for look in looks {
            self.looks.remove(&look);
        }
    }

    fn stop_looking(&mut self, look: &(Uid, ObjectName)) {
        self.looks.remove(look);
        self.whys.remove(&look.0);
    }

    fn interrupted(&mut self, scope: &Scope, error: &watcher::Error) {
        let Some(message) = forbidden(error) else {
            tracing::debug!(?scope, %error, "watch interrupted; it goes on by itself");
            return;
        };
        if self.view.narrow(scope) {
            tracing::info!(?scope, message, "watching each namespace by itself");
            self.adopt();
            return;
        }
        let concerned = self.view.forbid(scope, &shorten(&message));
        if !concerned.is_empty() {
            tracing::warn!(?scope, message, "the agent may not watch what it applied");
        }
        self.unsaid.extend(concerned);
    }

    /// Takes over the newest sets: starts and stops watches, and looks again at every set that changed.
    fn adopt(&mut self) {
        let sets = self.applied.borrow_and_update().clone();
        let mut scopes = BTreeMap::new();
        for (name, member) in sets.values().flat_map(|set| &set.members) {
            if let Some(kind) = member.kind.as_ref().filter(|kind| kind.watchable) {
                scopes.entry(self.view.scope(name, member)).or_insert(kind);
            }
        }
        let watched: BTreeSet<_> = self.watches.keys().cloned().collect();
        for left in watched.iter().filter(|scope| !scopes.contains_key(scope)) {
            self.watches.remove(left);
        }
        for (scope, kind) in scopes.iter().filter(|(scope, _)| !watched.contains(scope)) {
            self.watches.insert(scope.clone(), events(&self.client, kind, scope));
        }
        self.said.retain(|uid, _| sets.contains_key(uid));
        let of_nobody: Vec<_> =
            self.looks.keys().filter(|(uid, _)| !sets.contains_key(uid)).cloned().collect();
        for look in of_nobody {
            self.stop_looking(&look);
        }
        let scopes = scopes.into_keys().collect();
        for changed in self.view.adopt(sets, &scopes) {
            self.said.remove(&changed);
            self.look_anew(changed);
            self.unsaid.insert(changed);
        }
    }
}

/// Why the server forbids a watch; none when something else is wrong.
pub(crate) fn forbidden(error: &watcher::Error) -> Option<String> {
    let status = match error {
        watcher::Error::InitialListFailed(kube::Error::Api(status))
        | watcher::Error::WatchStartFailed(kube::Error::Api(status))
        | watcher::Error::WatchFailed(kube::Error::Api(status))
        | watcher::Error::WatchError(status) => status,
        _ => return None,
    };
    (status.code == 403).then(|| RequestError::Answer(status.clone()).to_string())
}

fn events(client: &Client, kind: &Kind, scope: &Scope) -> Events {
    let (namespace, config) = match scope {
        Scope::Ours(_) => (None, watcher::Config::default().labels(LABEL_UID)),
        Scope::OursIn(_, namespace) => {
            (Some(namespace.as_str()), watcher::Config::default().labels(LABEL_UID))
        }
        Scope::One(name) => {
            let only = watcher::Config::default().fields(&format!("metadata.name={}", name.name));
            (name.namespace.as_deref(), only)
        }
    };
    let types = TypeMeta { api_version: kind.resource.api_version.clone(), kind: kind.resource.kind.clone() };
    let named = move |event| match event {
        Event::InitApply(object) => Event::InitApply(DynamicObject { types: Some(types.clone()), ..object }),
        event => event,
    };
    // The objects of a list do not say their kind, and how they are judged depends on it.
    watch_objects(kind.api(client, namespace), config).default_backoff().map_ok(named).boxed()
}
