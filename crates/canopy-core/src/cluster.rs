//! The embedded cluster: a Kubernetes cluster in memory with a plausible life, as a pure machine.
//!
//! It refuses what a real one refuses, gives each object to one workload only, and rolls its pods,
//! which take time and can fail. It survives the agent's restart as a real cluster does. Agents run
//! it with `--embedded`; simulations drive it in virtual time.
//!
//! - [`object`]: what it looks at in an object; [`pods`]: how pods come and go;
//! - `kinds`: what it serves without a definition; `refusal`: why an apply is not done.

mod kinds;
pub mod object;
pub mod pods;
mod refusal;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use canopy_model::{Digest, Feedback, Health, Now, Uid, Uptime};

use crate::effect::Apply;
use crate::input::{ClusterEvent, Found};
use object::{Id, Kept, Object};

pub use pods::ROLL;
pub use refusal::{Reason, Refusal, Refused};

/// The namespaces that every cluster has.
const NAMESPACES: [&str; 4] = ["default", "kube-node-lease", "kube-public", "kube-system"];

/// A Kubernetes cluster in memory.
#[derive(Debug, Default)]
pub struct Cluster {
    sets: BTreeMap<Uid, Set>,
    /// What stayed when its workload left.
    left: BTreeMap<Id, Kept>,
}

/// What one workload has in the cluster.
#[derive(Debug, Clone)]
pub struct Set {
    /// As a survey would find it.
    pub found: Found,
    /// Its objects.
    pub objects: BTreeMap<Id, Kept>,
    /// Somebody changed it by hand.
    pub drifted: bool,
    /// When there is something to tell.
    due: Option<Uptime>,
}

impl Set {
    /// How its objects are doing, and why in a few words.
    pub fn health(&self, now: Now) -> (Health, String) {
        let said = self.objects.iter().filter_map(|(id, kept)| {
            let (health, message) = kept.trouble(now)?;
            Some((health, format!("{id}: {message}")))
        });
        let mut said: Vec<_> = said.collect();
        said.sort_by_key(|(health, _)| *health != Health::Degraded);
        said.into_iter().next().unwrap_or((Health::Healthy, String::new()))
    }

    fn observed(&self, now: Now) -> ClusterEvent {
        let (health, message) = self.health(now);
        let feedback = Feedback::default();
        ClusterEvent::Observed { uid: self.found.uid, drifted: self.drifted, health, message, feedback }
    }
}

impl Kept {
    /// What keeps it from being healthy.
    fn trouble(&self, now: Now) -> Option<(Health, String)> {
        let Some(pods) = &self.pods else {
            let stalled = "Stalled=True: it never gets well, as its annotation canopy.dev/embedded asks";
            return self.fails.then(|| (Health::Degraded, stalled.to_owned()));
        };
        let (ready, wanted) = (pods.ready(now), pods.template().replicas);
        if pods.have_failed(now) {
            let failed = "Progressing=False: ProgressDeadlineExceeded: its pods fail, as their annotation canopy.dev/embedded asks";
            return Some((Health::Degraded, format!("{failed}; {ready} of {wanted} pods are ready")));
        }
        (ready < wanted).then(|| (Health::Progressing, format!("{ready} of {wanted} pods are ready")))
    }
}

impl Cluster {
    /// What is in the cluster, by workload.
    pub fn sets(&self) -> impl Iterator<Item = (Uid, &Set)> {
        self.sets.iter().map(|(uid, set)| (*uid, set))
    }

    /// What stayed when its workload left: it is nobody's, and whoever names it next has it.
    pub fn left(&self) -> &BTreeMap<Id, Kept> {
        &self.left
    }

    /// Puts back what had stayed when the cluster was written down.
    pub fn restore_left(&mut self, left: BTreeMap<Id, Kept>) {
        self.left = left;
    }

    /// Puts back what was in the cluster when it was written down.
    pub fn restore(&mut self, now: Now, found: Found, objects: BTreeMap<Id, Kept>) {
        let set = Set { found, objects, drifted: false, due: Some(now.uptime) };
        self.sets.insert(set.found.uid, set);
    }

    /// The revision that runs for a workload.
    pub fn revision(&self, uid: Uid) -> Option<Digest> {
        self.sets.get(&uid)?.found.revision
    }

    /// Makes the cluster hold exactly these objects for a workload.
    ///
    /// # Errors
    /// Another workload has one of them: then nothing was changed. Or some were refused: then all
    /// others were applied, and nothing was deleted.
    pub fn apply(&mut self, now: Now, apply: Apply, mut objects: Vec<Object>) -> Result<(), Refused> {
        let Apply { uid, name, home, placements, revision, .. } = apply;
        self.refuse_conflict(uid, &objects)?;
        let revision_before = self.revision(uid);
        let found = Found { uid, name, home, placements, revision: revision_before };
        let due = Some(now.uptime);
        match self.sets.get_mut(&uid) {
            Some(set) => (set.found, set.due) = (found, due),
            None => {
                let set = Set { found, objects: BTreeMap::new(), drifted: false, due };
                self.sets.insert(uid, set);
            }
        }
        let of = objects.len();
        let named: BTreeSet<Id> = objects.iter().map(|object| object.id.clone()).collect();
        objects.sort_by_key(|object| !object.id.is_foundation());
        let mut refusals = Vec::new();
        for object in objects {
            match self.admit(&object) {
                Ok(()) => self.keep(now, uid, object),
                Err(reason) => refusals.push(Refusal { object: object.id, reason }),
            }
        }
        if !refusals.is_empty() {
            refusals.sort_by(|left, right| left.object.cmp(&right.object));
            return Err(Refused::Objects { refusals, of });
        }
        if let Some(set) = self.sets.get_mut(&uid) {
            let pruned = set.objects.extract_if(.., |id, _| !named.contains(id));
            self.left.extend(pruned.filter(|(_, kept)| kept.stays));
            set.found.revision = Some(revision.digest);
            set.drifted = false;
        }
        Ok(())
    }

    /// Refuses objects that another workload has. Namespaces and definitions are for all.
    fn refuse_conflict(&self, uid: Uid, objects: &[Object]) -> Result<(), Refused> {
        for object in objects.iter().filter(|object| !object.id.is_foundation()) {
            let mut others = self.sets.iter().filter(|(other, _)| **other != uid);
            if let Some((_, owner)) = others.find(|(_, set)| set.objects.contains_key(&object.id)) {
                let owner = owner.found.name.name.clone();
                return Err(Refused::Conflict { object: object.id.clone(), owner });
            }
        }
        Ok(())
    }

    /// Whether an API server takes an object.
    fn admit(&self, object: &Object) -> Result<(), Reason> {
        let Object { id: Id { group, kind, namespace, .. }, version, rejected, .. } = object;
        let defined = || {
            let mut definitions = self.objects().filter_map(|(_, kept)| kept.defines.as_ref());
            let definition = definitions
                .find(|it| (&it.group, &it.kind) == (group, kind) && it.versions.contains(version));
            definition.map(|it| it.namespaced)
        };
        let namespaced = kinds::is_namespaced(group, version, kind).or_else(defined).ok_or_else(|| {
            let api_version = if group.is_empty() { version.clone() } else { format!("{group}/{version}") };
            Reason::UnknownKind { api_version, kind: kind.clone() }
        })?;
        match namespace.as_deref().filter(|_| namespaced) {
            None if namespaced => return Err(Reason::NoNamespace),
            Some(name) if !self.has_namespace(name) => {
                return Err(Reason::NamespaceNotFound(name.to_owned()));
            }
            _ => {}
        }
        rejected.clone().map_or(Ok(()), |why| Err(Reason::Rejected(why)))
    }

    /// Whether a namespace is there: it stays as long as there is something in it.
    fn has_namespace(&self, name: &str) -> bool {
        let made = |id: &Id| id.is_foundation() && id.kind == "Namespace" && id.name == name;
        NAMESPACES.contains(&name)
            || self.objects().any(|(id, _)| made(id) || id.namespace.as_deref() == Some(name))
    }

    fn objects(&self) -> impl Iterator<Item = (&Id, &Kept)> {
        self.sets.values().flat_map(|set| &set.objects).chain(&self.left)
    }

    fn keep(&mut self, now: Now, uid: Uid, object: Object) {
        if let Some(set) = self.sets.get_mut(&uid) {
            let id = object.id.clone();
            let old = set.objects.remove(&id).or_else(|| self.left.remove(&id));
            let stays = object.stays;
            let kept = match old {
                Some(old) if object.create_only => Kept { stays, ..old },
                old => Kept::new(now, object, old.as_ref()),
            };
            set.objects.insert(id, kept);
        }
    }

    /// Deletes all that belongs to a workload, but for what is to stay.
    pub fn delete(&mut self, uid: Uid) {
        let objects = self.sets.remove(&uid).map(|set| set.objects).unwrap_or_default();
        self.left.extend(objects.into_iter().filter(|(_, kept)| kept.stays));
    }

    /// All that the cluster holds; how it is doing is told by [`Self::wake`].
    pub fn survey(&mut self, now: Now) -> Vec<Found> {
        let told = self.sets.values_mut().map(|set| {
            set.due = Some(now.uptime);
            set.found.clone()
        });
        told.collect()
    }

    /// When there is something to tell.
    pub fn wake_at(&self) -> Option<Uptime> {
        self.sets.values().filter_map(|set| set.due).min()
    }

    /// Tells how those workloads are doing for which that may have changed.
    pub fn wake(&mut self, now: Now) -> Vec<ClusterEvent> {
        let due = self.sets.values_mut().filter(|set| set.due.is_some_and(|due| due <= now.uptime));
        let told = due.map(|set| {
            let pods = set.objects.values().filter_map(|kept| kept.pods.as_ref());
            set.due = pods.filter_map(|pods| pods.next_change(now)).min();
            set.observed(now)
        });
        told.collect()
    }

    /// Somebody edits what a workload applied.
    pub fn edit(&mut self, now: Now, uid: Uid) -> Option<ClusterEvent> {
        let set = self.sets.get_mut(&uid)?;
        set.drifted = true;
        Some(set.observed(now))
    }

    /// The cluster is built anew: nothing is left.
    pub fn wipe(&mut self) {
        self.sets.clear();
        self.left.clear();
    }
}
