//! The embedded cluster: nothing real runs in it.
//!
//! Like a real cluster it lives on when its agent is killed: what it holds is in a file, which is
//! replaced as a whole after each change and before the change is answered. Tests and
//! demonstrations read that file to see what "runs", whatever Canopy says about it.
//!
//! - [`mod@file`]: that file; `manifest`: what the cluster looks at in a manifest.

pub mod file;
mod manifest;

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use canopy_core::cluster;
use canopy_core::effect::Apply;
use canopy_core::input::{ClusterEvent, Survey};
use canopy_model::{Claims, Inventory, Machine, Resources, Uid, Wall};
use canopy_node::clock;
use canopy_proto::convert::one_line;
use tempfile::NamedTempFile;
use tokio::sync::{Notify, mpsc};
use tokio::time::sleep;

use super::Cluster;
use file::{Contents, Running};

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

/// The embedded cluster.
#[derive(Clone)]
pub struct Embedded(Arc<Shared>);

struct Shared {
    cluster: Mutex<cluster::Cluster>,
    file: PathBuf,
    /// Says that it applied, and does not.
    lies: bool,
    /// Wakes the task that waits for pods to become ready.
    changed: Notify,
    events: mpsc::Sender<ClusterEvent>,
    watcher: Mutex<Option<mpsc::Receiver<ClusterEvent>>>,
}

impl Embedded {
    /// The cluster of this file; an empty one if there is none.
    pub fn open(path: &Path, lies: bool) -> Result<Self, Error> {
        let contents = match fs::read(path) {
            Ok(bytes) => serde_json::from_slice(&bytes)
                .map_err(|source| Error::Form { path: path.to_owned(), source })?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Contents::default(),
            Err(source) => return Err(Error::File { path: path.to_owned(), source }),
        };
        let invalid = |why| {
            let source = serde::de::Error::custom::<String>(why);
            Error::Form { path: path.to_owned(), source }
        };
        let mut cluster = cluster::Cluster::default();
        let now = clock::now();
        for (uid, running) in contents.workloads {
            let found = running.found(&uid);
            let Some((found, kept)) = found.zip(file::kept(now, running.objects)) else {
                return Err(invalid(format!("workload {uid} is not valid")));
            };
            cluster.restore(now, found, kept);
        }
        let left = file::kept(now, contents.left);
        cluster.restore_left(left.ok_or_else(|| invalid("what was left is not valid".to_owned()))?);
        let (events, watcher) = mpsc::channel(EVENTS_MAX);
        let embedded = Self(Arc::new(Shared {
            cluster: Mutex::new(cluster),
            file: path.to_owned(),
            lies,
            changed: Notify::new(),
            events,
            watcher: Mutex::new(Some(watcher)),
        }));
        embedded.write(&embedded.lock())?;
        tokio::spawn(embedded.clone().live());
        Ok(embedded)
    }

    /// Tells how workloads are doing, now and as time passes.
    async fn live(self) {
        // Nobody listens while the agent stops; it asks again.
        let _ = self.0.events.send(machine()).await;
        loop {
            let due = self.lock().wake_at().map(|at| at.since(clock::now().uptime));
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
                let mut cluster = self.lock();
                let events = cluster.wake(clock::now());
                if let Err(error) = self.write(&cluster) {
                    tracing::warn!(reason = one_line(&error), "what became of pods was not written down");
                }
                events
            };
            for event in events {
                // Nobody watches while the agent starts or stops; it asks again.
                let _ = self.0.events.send(event).await;
            }
        }
    }

    /// Asks something of the cluster, and writes down what that changed.
    fn ask<T>(&self, question: impl FnOnce(&mut cluster::Cluster) -> T) -> Result<T, String> {
        let mut cluster = self.lock();
        let answer = question(&mut cluster);
        self.write(&cluster).map_err(|error| one_line(&error))?;
        self.0.changed.notify_one();
        Ok(answer)
    }

    /// Replaces the file. No sync: it has to survive the agent, not the machine.
    fn write(&self, cluster: &cluster::Cluster) -> Result<(), Error> {
        let failed = |source| Error::File { path: self.0.file.clone(), source };
        let folder = self.0.file.parent().unwrap_or(Path::new("."));
        let mut draft = NamedTempFile::new_in(folder).map_err(failed)?;
        let now = clock::now();
        let workloads = cluster.sets().map(|(uid, set)| (uid.to_string(), Running::new(now, set))).collect();
        let left = file::objects(now, cluster.left());
        let text =
            serde_json::to_vec_pretty(&Contents { workloads, left }).expect("texts can be written as JSON");
        draft.write_all(&text).map_err(failed)?;
        draft.persist(&self.0.file).map_err(|error| failed(error.error))?;
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, cluster::Cluster> {
        self.0.cluster.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The one machine of an embedded cluster: nothing real runs on it.
fn machine() -> ClusterEvent {
    const GI: u64 = 1 << 30;
    let capacity: Resources =
        [("cpu".to_owned(), 4000), ("memory".to_owned(), 8 * GI), ("pods".to_owned(), 110)].into();
    let machine = Machine {
        name: "embedded".to_owned(),
        ready: Some(true),
        schedulable: true,
        capacity: capacity.clone(),
        allocatable: capacity,
        kubelet: String::new(),
        architecture: std::env::consts::ARCH.replace("x86_64", "amd64").replace("aarch64", "arm64"),
        os_image: "embedded".to_owned(),
        created: Wall(0),
    };
    let inventory = Inventory::of([&machine]);
    ClusterEvent::Machines { machines: Some([(Uid(1), machine)].into()), inventory }
}

impl Cluster for Embedded {
    async fn apply(&self, order: &Apply, content: &[u8]) -> Result<(), String> {
        let objects = manifest::objects(content)?;
        if self.0.lies {
            return Ok(());
        }
        let applied = self.ask(|cluster| cluster.apply(clock::now(), order.clone(), objects))?;
        applied.map_err(|refused| refused.to_string())
    }

    async fn delete(&self, uid: Uid) -> Result<(), String> {
        self.ask(|cluster| cluster.delete(uid))
    }

    /// Nothing real runs: what is in the file stays there.
    async fn orphan(&self, _uid: Uid) -> Result<(), String> {
        Ok(())
    }

    async fn survey(&self) -> Result<Survey, String> {
        self.ask(|cluster| cluster.survey(clock::now())).map(Survey::from)
    }

    async fn claims(&self) -> Result<Claims, String> {
        let claims = [("product", "Embedded"), ("platform", "Other")];
        Ok(claims.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect())
    }

    fn watch(&self) -> mpsc::Receiver<ClusterEvent> {
        let mut watcher = self.0.watcher.lock().unwrap_or_else(PoisonError::into_inner);
        watcher.take().expect("the cluster is watched once")
    }
}

#[cfg(test)]
mod tests {
    use canopy_core::input::Found;
    use canopy_kube::object::GroupKind;
    use canopy_kube::{ApplyError, Reason, Refusal};
    use canopy_model::{Boot, Cursor, Digest, Health, Home, Incarnation, ObjectName, Revision};

    use super::*;

    const MANIFESTS: &[u8] = br#"{"manifests": [
        {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "rules", "namespace": "default"}}]}"#;

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
        let [pod] = &running.objects[..] else { panic!("{running:?}") };
        assert_eq!((running.name.as_str(), pod.kind.as_str(), pod.name.as_str()), ("line", "Pod", "rules"));

        let next = Embedded::open(&file, false).unwrap();
        let again = &contents(&file).workloads[&Uid(7).to_string()];
        assert_eq!(again.objects, running.objects);
        let Apply { uid, name, home, placements, revision, .. } = order();
        let found = Found { uid, name, home, placements, revision: Some(revision.digest) };
        assert_eq!(next.survey().await.unwrap().found, [found]);
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
                .contains("manifest 0 has no apiVersion")
        );
        assert_eq!(contents(&file), Contents::default());
    }

    /// A cluster that holds `MANIFESTS` for workload 7, and what it tells of it.
    async fn running(folder: &Path) -> (Embedded, mpsc::Receiver<ClusterEvent>) {
        let cluster = Embedded::open(&folder.join("embedded-cluster.json"), false).unwrap();
        cluster.apply(&order(), MANIFESTS).await.unwrap();
        let events = cluster.watch();
        (cluster, events)
    }

    #[tokio::test]
    async fn pods_are_told_as_they_become_ready() {
        let place = tempfile::tempdir().unwrap();
        let (_cluster, mut events) = running(place.path()).await;
        let mut healths = Vec::new();
        while healths.last() != Some(&Health::Healthy) {
            match events.recv().await.expect("the cluster tells for ever") {
                ClusterEvent::Observed { health, .. } => healths.push(health),
                // Its only machine is told as well, before or after.
                event => assert!(matches!(event, ClusterEvent::Machines { .. }), "{event:?}"),
            }
        }
        assert_eq!(healths, [Health::Progressing, Health::Healthy]);
        let told = &contents(&place.path().join("embedded-cluster.json")).workloads[&Uid(7).to_string()];
        assert_eq!((told.health.as_str(), told.objects[0].pods.as_ref().unwrap().ready), ("Healthy", 1));
    }

    /// Operators read the same words whatever the cluster is.
    #[tokio::test]
    async fn refusals_are_told_as_by_a_real_cluster() {
        let place = tempfile::tempdir().unwrap();
        let (cluster, _events) = running(place.path()).await;
        let pod = |namespace: Option<&str>, name: &str| canopy_kube::ObjectName {
            kind: GroupKind::new("v1", "Pod"),
            namespace: namespace.map(str::to_owned),
            name: name.to_owned(),
        };
        let told = cluster.apply(&Apply { uid: Uid(8), ..order() }, MANIFESTS).await.unwrap_err();
        let conflict = ApplyError::Conflict {
            object: pod(Some("default"), "rules"),
            owner: Uid(7).to_string(),
            owner_name: Some("line".to_owned()),
        };
        assert_eq!(told, conflict.to_string());

        let robot = canopy_kube::ObjectName { kind: GroupKind::new("a/v1", "Robot"), ..pod(None, "r2") };
        let unknown = Reason::UnknownKind { api_version: "a/v1".to_owned(), kind: "Robot".to_owned() };
        let reasons = [
            (pod(None, "a"), Reason::NoNamespace),
            (pod(Some("line"), "b"), Reason::NamespaceNotFound("line".to_owned())),
            (robot, unknown),
        ];
        let content = br#"{"manifests": [
            {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}},
            {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "b", "namespace": "line"}},
            {"apiVersion": "a/v1", "kind": "Robot", "metadata": {"name": "r2"}}]}"#;
        let refusals = reasons.map(|(object, reason)| Refusal { object, reason }).to_vec();
        let refused = ApplyError::Refused { refusals, of: 3 };
        assert_eq!(cluster.apply(&order(), content).await.unwrap_err(), refused.to_string());
    }

    #[tokio::test]
    async fn a_liar_says_that_it_applied_and_did_not() {
        let place = tempfile::tempdir().unwrap();
        let file = place.path().join("embedded-cluster.json");
        Embedded::open(&file, true).unwrap().apply(&order(), MANIFESTS).await.unwrap();
        assert_eq!(contents(&file), Contents::default());
    }
}
