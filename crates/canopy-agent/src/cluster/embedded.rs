//! The embedded cluster: nothing real runs in it.
//!
//! Like a real cluster it lives on when its agent is killed: what it holds is in a file, which is
//! replaced as a whole after each change and before the change is answered. Tests and
//! demonstrations read that file to see what "runs", whatever Canopy says about it.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use canopy_core::cluster;
use canopy_core::effect::{Apply, ClusterOrder};
use canopy_core::input::{ClusterEvent, Found};
use canopy_model::{Boot, Claims, Cursor, Digest, Health, Home, Incarnation, ObjectName, Uid};
use canopy_node::clock;
use canopy_proto::convert::one_line;
use canopy_proto::revision::Content;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tempfile::NamedTempFile;
use tokio::sync::{Notify, mpsc};
use tokio::time::sleep;

use super::Cluster;

/// Events that wait for the agent.
const EVENTS_MAX: usize = 64;

/// Why there is no embedded cluster.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be read or written.
    #[error("the embedded cluster's file {} cannot be used", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The file holds something else.
    #[error("{} does not hold an embedded cluster: move it away to begin with an empty one", path.display())]
    Form {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: serde_json::Error,
    },
}

/// The file: what "runs" in one embedded cluster, by the workload's uid.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Contents {
    /// By uid.
    pub workloads: BTreeMap<String, Running>,
}

/// What one workload has in the cluster.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Running {
    /// The workload's name.
    pub name: String,
    /// Its project.
    pub project: String,
    /// The digest that was applied last; none before the first apply was complete.
    pub revision: Option<String>,
    /// Healthy or Progressing.
    pub health: String,
    /// Its objects as `Kind/name`.
    pub objects: Vec<String>,
    /// Path of the workload's home.
    pub home: String,
    /// When in the home's history it was created: incarnation, boot and version in hexadecimal.
    pub born: (String, String, String),
    /// Uids of the placements for which it runs.
    pub placements: Vec<String>,
}

/// The embedded cluster.
#[derive(Clone)]
pub struct Embedded(Arc<Shared>);

struct Shared {
    inner: Mutex<Inner>,
    file: PathBuf,
    /// Says that it applied, and does not.
    lies: bool,
    /// Wakes the task that waits for pods to become ready.
    changed: Notify,
    events: mpsc::Sender<ClusterEvent>,
    watcher: Mutex<Option<mpsc::Receiver<ClusterEvent>>>,
}

#[derive(Default)]
struct Inner {
    cluster: cluster::Cluster,
    objects: BTreeMap<Uid, Vec<String>>,
}

impl Embedded {
    /// The cluster of this file; an empty one if there is none.
    pub fn open(file: &Path, lies: bool) -> Result<Self, Error> {
        let contents = match fs::read(file) {
            Ok(bytes) => serde_json::from_slice(&bytes)
                .map_err(|source| Error::Form { path: file.to_owned(), source })?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Contents::default(),
            Err(source) => return Err(Error::File { path: file.to_owned(), source }),
        };
        let mut inner = Inner::default();
        for (uid, running) in contents.workloads {
            let Some(found) = running.found(&uid) else {
                let source = serde::de::Error::custom(format!("workload {uid} is not valid"));
                return Err(Error::Form { path: file.to_owned(), source });
            };
            inner.objects.insert(found.uid, running.objects);
            inner.cluster.restore(clock::now(), found, running.health == format!("{:?}", Health::Healthy));
        }
        let (events, watcher) = mpsc::channel(EVENTS_MAX);
        let embedded = Self(Arc::new(Shared {
            inner: Mutex::new(inner),
            file: file.to_owned(),
            lies,
            changed: Notify::new(),
            events,
            watcher: Mutex::new(Some(watcher)),
        }));
        embedded.write(&embedded.lock())?;
        tokio::spawn(embedded.clone().live());
        Ok(embedded)
    }

    /// Pods become ready in time.
    async fn live(self) {
        loop {
            let due = self.lock().cluster.wake_at().map(|at| at.since(clock::now().uptime));
            match due {
                Some(due) => tokio::select! {
                    () = sleep(due) => {}
                    () = self.0.changed.notified() => continue,
                },
                None => {
                    self.0.changed.notified().await;
                    continue;
                }
            }
            let events = {
                let mut inner = self.lock();
                let events = inner.cluster.wake(clock::now());
                if let Err(error) = self.write(&inner) {
                    tracing::warn!(
                        reason = canopy_proto::convert::one_line(&error),
                        "pods became ready unseen"
                    );
                }
                events
            };
            self.tell(events).await;
        }
    }

    /// Gives an order, writes down what it changed and returns its answer; the rest is told.
    async fn obey(&self, order: ClusterOrder, objects: Option<Vec<String>>) -> Result<ClusterEvent, String> {
        let uid = match &order {
            ClusterOrder::Apply(apply) => Some(apply.uid),
            ClusterOrder::Delete { uid, .. } => Some(*uid),
            ClusterOrder::Survey => None,
        };
        let mut events = {
            let mut inner = self.lock();
            let events = inner.cluster.obey(clock::now(), order);
            match (uid, objects) {
                (Some(uid), Some(objects)) => drop(inner.objects.insert(uid, objects)),
                (Some(uid), None) => drop(inner.objects.remove(&uid)),
                (None, _) => {}
            }
            self.write(&inner).map_err(|error| canopy_proto::convert::one_line(&error))?;
            events
        };
        self.0.changed.notify_one();
        let answer = events.remove(0);
        self.tell(events).await;
        Ok(answer)
    }

    async fn tell(&self, events: Vec<ClusterEvent>) {
        for event in events {
            // Nobody watches while the agent starts or stops; it asks again.
            let _ = self.0.events.send(event).await;
        }
    }

    /// Replaces the file. No sync: it has to survive the agent, not the machine.
    fn write(&self, inner: &Inner) -> Result<(), Error> {
        let failed = |source| Error::File { path: self.0.file.clone(), source };
        let folder = self.0.file.parent().unwrap_or(Path::new("."));
        let mut draft = NamedTempFile::new_in(folder).map_err(failed)?;
        let text = serde_json::to_vec_pretty(&inner.contents()).expect("texts can be written as JSON");
        draft.write_all(&text).map_err(failed)?;
        draft.persist(&self.0.file).map_err(|error| failed(error.error))?;
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Cluster for Embedded {
    async fn apply(&self, order: &Apply, content: &[u8]) -> Result<(), String> {
        let objects = objects(content)?;
        if self.0.lies {
            return Ok(());
        }
        match self.obey(ClusterOrder::Apply(order.clone()), Some(objects)).await? {
            ClusterEvent::Applied { error: Some(error), .. } => Err(error),
            _ => Ok(()),
        }
    }

    async fn delete(&self, uid: Uid) -> Result<(), String> {
        match self.obey(ClusterOrder::Delete { uid, attempt: 0 }, None).await? {
            ClusterEvent::Deleted { error: Some(error), .. } => Err(error),
            _ => Ok(()),
        }
    }

    /// Nothing real runs: what is in the file stays there.
    async fn orphan(&self, _uid: Uid) -> Result<(), String> {
        Ok(())
    }

    async fn survey(&self) -> Result<Vec<Found>, String> {
        match self.obey(ClusterOrder::Survey, None).await? {
            ClusterEvent::Surveyed(found) => Ok(found),
            other => unreachable!("a survey is answered first, not with {other:?}"),
        }
    }

    async fn claims(&self) -> Result<Claims, String> {
        let claims = [("product", "Embedded"), ("platform", "Other")];
        Ok(claims.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect())
    }

    fn watch(&self) -> mpsc::Receiver<ClusterEvent> {
        let mut watcher = self.0.watcher.lock().unwrap_or_else(PoisonError::into_inner);
        watcher.take().expect("the cluster is watched once")
    }

    fn forgets(&self) -> bool {
        false
    }
}

/// The objects of a content as `Kind/name`.
fn objects(content: &[u8]) -> Result<Vec<String>, String> {
    #[derive(Deserialize)]
    struct Manifest {
        kind: String,
        metadata: Metadata,
    }
    #[derive(Deserialize)]
    struct Metadata {
        name: String,
    }
    let content = Content::read(content).map_err(|error| one_line(&error))?;
    let name = |manifest: Value| {
        let manifest: Manifest =
            serde_json::from_value(manifest).map_err(|error| format!("a manifest is no object: {error}"))?;
        Ok(format!("{}/{}", manifest.kind, manifest.metadata.name))
    };
    content.manifests.into_iter().map(name).collect()
}

impl Inner {
    fn contents(&self) -> Contents {
        let now = clock::now();
        let running = self.cluster.sets().map(|(uid, set)| {
            let Found { name, home, placements, revision, .. } = &set.found;
            let Cursor { incarnation, boot, version } = home.born;
            let running = Running {
                name: name.name.to_string(),
                project: name.project.to_string(),
                revision: revision.as_ref().map(Digest::to_string),
                health: format!("{:?}", set.health(now)),
                objects: self.objects.get(&uid).cloned().unwrap_or_default(),
                home: home.path.to_string(),
                born: (format!("{:x}", incarnation.0), format!("{:x}", boot.0), format!("{version:x}")),
                placements: placements.iter().map(Uid::to_string).collect(),
            };
            (uid.to_string(), running)
        });
        Contents { workloads: running.collect() }
    }
}

impl Running {
    /// As a survey finds it; none when a field is not valid.
    fn found(&self, uid: &str) -> Option<Found> {
        let (incarnation, boot, version) = &self.born;
        let born = Cursor {
            incarnation: Incarnation(u128::from_str_radix(incarnation, 16).ok()?),
            boot: Boot(u128::from_str_radix(boot, 16).ok()?),
            version: u64::from_str_radix(version, 16).ok()?,
        };
        Some(Found {
            uid: uid.parse().ok()?,
            name: ObjectName { project: self.project.parse().ok()?, name: self.name.parse().ok()? },
            home: Home { path: self.home.parse().ok()?, born },
            placements: self.placements.iter().map(|uid| uid.parse().ok()).collect::<Option<_>>()?,
            revision: self.revision.as_deref().map(str::parse).transpose().ok()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use canopy_model::Revision;

    use super::*;

    const MANIFESTS: &[u8] = br#"{"manifests":[{"kind": "ConfigMap", "metadata": {"name": "rules"}}]}"#;

    fn order() -> Apply {
        let born = Cursor { incarnation: Incarnation(1), boot: Boot(2), version: 3 };
        Apply {
            uid: Uid(7),
            attempt: 1,
            name: ObjectName { project: "default".parse().unwrap(), name: "line".parse().unwrap() },
            home: Home { path: "eu/plant-7".parse().unwrap(), born },
            placements: vec![Uid(8)],
            revision: Revision { digest: Digest([4; 32]), size: MANIFESTS.len() as u64, inline: None },
        }
    }

    fn contents(file: &Path) -> Contents {
        serde_json::from_slice(&fs::read(file).unwrap()).unwrap()
    }

    #[tokio::test]
    async fn what_was_applied_is_there_for_the_next_process_until_it_is_deleted() {
        let place = tempfile::tempdir().unwrap();
        let file = place.path().join("embedded-cluster.json");
        let cluster = Embedded::open(&file, false).unwrap();
        cluster.apply(&order(), MANIFESTS).await.unwrap();
        let running = &contents(&file).workloads[&Uid(7).to_string()];
        assert_eq!(
            (running.name.as_str(), &running.objects[..]),
            ("line", &["ConfigMap/rules".to_owned()][..])
        );

        let next = Embedded::open(&file, false).unwrap();
        let Apply { uid, name, home, placements, revision, .. } = order();
        let found = Found { uid, name, home, placements, revision: Some(revision.digest) };
        assert_eq!(next.survey().await.unwrap(), [found]);
        next.delete(Uid(7)).await.unwrap();
        assert_eq!(contents(&file), Contents::default());
    }

    #[tokio::test]
    async fn content_that_is_no_manifests_is_refused_and_changes_nothing() {
        let place = tempfile::tempdir().unwrap();
        let file = place.path().join("embedded-cluster.json");
        let cluster = Embedded::open(&file, false).unwrap();
        assert!(
            cluster
                .apply(&order(), br#"{"manifests":[{}]}"#)
                .await
                .unwrap_err()
                .contains("missing field `kind`")
        );
        assert_eq!(contents(&file), Contents::default());
    }

    #[tokio::test]
    async fn a_liar_says_that_it_applied_and_did_not() {
        let place = tempfile::tempdir().unwrap();
        let file = place.path().join("embedded-cluster.json");
        Embedded::open(&file, true).unwrap().apply(&order(), MANIFESTS).await.unwrap();
        assert_eq!(contents(&file), Contents::default());
    }
}
