//! Tells what became of the applied sets: their health, and whether somebody drifted them.
//!
//! One watch per kind in use, on Canopy's own label, so that memory follows what Canopy applied and
//! not what runs in the cluster. Kinds enter with the first set that has them and leave with the
//! last. A conclusion is sent when it differs from the last one sent; while the receiver is busy only
//! the newest waits. Conclusions follow from the newest state of each object, be it from the watch or
//! from the answer to an apply, so a watch that lags behind an apply shows no drift.
//!
//! Sets that this process has not applied are not observed: apply them (which changes nothing) first.
//! A cut watch says nothing; whether the API server answers is told by any request.

use std::collections::{BTreeMap, BTreeSet};

use canopy_model::Uid;
use futures::StreamExt;
use futures::stream::BoxStream;
use kube::Client;
use kube::api::DynamicObject;
use kube::runtime::watcher::{self, Event};
use kube::runtime::{WatchStreamExt, watcher as watch_objects};
use tokio::sync::{mpsc, watch};
use tokio_stream::StreamMap;

use crate::applyset::LABEL_UID;
use crate::cluster::Cluster;
use crate::health::Health;
use crate::kinds::Kind;
use crate::object::GroupKind;
use crate::registry::Sets;
use crate::view::View;

/// Conclusions that wait for the receiver; further ones are merged per workload until it reads.
const OBSERVED_MAX: usize = 64;

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
}

impl Cluster {
    /// Starts to observe the sets that are applied through this cluster or its clones. Ends when the
    /// receiver is dropped.
    pub fn watch(&self) -> mpsc::Receiver<Observed> {
        let (observed, receiver) = mpsc::channel(OBSERVED_MAX);
        let observer = Observer {
            client: self.client.clone(),
            applied: self.registry.subscribe(),
            watches: StreamMap::new(),
            view: View::default(),
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
    watches: StreamMap<GroupKind, Events>,
    view: View,
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
                Some((kind, event)) = self.watches.next() => match event {
                    Ok(event) => self.unsaid.extend(self.view.take(&kind, event)),
                    Err(error) => tracing::debug!(%kind, %error, "watch interrupted; it goes on by itself"),
                },
                Ok(permit) = observed.reserve(), if !self.unsaid.is_empty() => {
                    let Some(uid) = self.unsaid.pop_first() else { continue };
                    let Some(newest) = self.view.conclude(uid) else { continue };
                    if self.said.get(&uid) != Some(&newest) {
                        self.said.insert(uid, newest.clone());
                        permit.send(newest);
                    }
                }
            }
        }
    }

    /// Takes over the newest sets: starts and stops watches, and looks again at every set that changed.
    fn adopt(&mut self) {
        let sets = self.applied.borrow_and_update().clone();
        let mut kinds = BTreeMap::new();
        for member in sets.values().flat_map(|set| set.members.values()) {
            if let Some(kind) = member.kind.as_ref().filter(|kind| kind.watchable) {
                kinds.entry(kind.group_kind()).or_insert(kind);
            }
        }
        let watched: BTreeSet<_> = self.watches.keys().cloned().collect();
        for left in watched.iter().filter(|kind| !kinds.contains_key(kind)) {
            self.watches.remove(left);
        }
        for (name, kind) in kinds.iter().filter(|(name, _)| !watched.contains(name)) {
            self.watches.insert(name.clone(), events(&self.client, kind));
        }
        self.said.retain(|uid, _| sets.contains_key(uid));
        let kinds = kinds.into_keys().collect();
        self.unsaid.extend(self.view.adopt(sets, &kinds));
    }
}

fn events(client: &Client, kind: &Kind) -> Events {
    let ours = watcher::Config::default().labels(LABEL_UID);
    watch_objects(kind.api(client, None), ours).default_backoff().boxed()
}
