//! Finds objects by name, and the workloads of a placement, without looking at all objects.

use std::collections::{BTreeMap, BTreeSet};

use canopy_model::{Kind, Name, Object, ObjectName, Path, Spec, Uid};

type Address = (Kind, Path, ObjectName);

/// The objects that apply at a hub, by what they are called and what they refer to.
#[derive(Debug, Default)]
pub(super) struct Index {
    entries: BTreeMap<Uid, Entry>,
    by_address: BTreeMap<Address, Uid>,
    users: BTreeMap<Address, BTreeSet<Uid>>,
    numbered: BTreeSet<Uid>,
}

#[derive(Debug)]
struct Entry {
    address: Address,
    refers: Vec<Address>,
}

impl Index {
    /// Notes an object as it is now; none when it is gone. A placement that is gone stays known as
    /// one, so that its users can be found for the last time.
    ///
    /// An object that is in doubt gives way to another of the same name.
    pub(super) fn update(&mut self, uid: Uid, object: Option<&Object>, in_doubt: bool) {
        if let Some(old) = self.entries.get(&uid) {
            for address in &old.refers {
                if let Some(users) = self.users.get_mut(address) {
                    users.remove(&uid);
                }
            }
            if self.by_address.get(&old.address) == Some(&uid) {
                self.by_address.remove(&old.address);
            }
            self.numbered.remove(&uid);
        }
        let Some(object) = object else { return };
        let home = &object.metadata.home.path;
        let project = &object.metadata.name.project;
        let address = (object.spec.kind(), home.clone(), object.metadata.name.clone());
        let refers = match &object.spec {
            Spec::Placement(placement) => {
                if placement.number_of_clusters.is_some() {
                    self.numbered.insert(uid);
                }
                Vec::new()
            }
            Spec::Workload(workload) => {
                workload.placements.iter().map(|name| placement_address(home, project, name)).collect()
            }
        };
        for address in &refers {
            self.users.entry(address.clone()).or_default().insert(uid);
        }
        if !in_doubt || !self.by_address.contains_key(&address) {
            self.by_address.insert(address.clone(), uid);
        }
        self.entries.insert(uid, Entry { address, refers });
    }

    /// Forgets what [`Index::update`] kept of an object that is gone.
    pub(super) fn forget(&mut self, uid: Uid) {
        self.update(uid, None, false);
        self.entries.remove(&uid);
    }

    pub(super) fn find(&self, kind: Kind, home: &Path, name: &ObjectName) -> Option<Uid> {
        self.by_address.get(&(kind, home.clone(), name.clone())).copied()
    }

    pub(super) fn is_placement(&self, uid: Uid) -> bool {
        self.entries.get(&uid).is_some_and(|entry| entry.address.0 == Kind::Placement)
    }

    /// The workloads that name this placement.
    pub(super) fn users(&self, placement: Uid) -> Vec<Uid> {
        let address = self.entries.get(&placement).map(|entry| &entry.address);
        address.and_then(|address| self.users.get(address)).into_iter().flatten().copied().collect()
    }

    /// The placements that exist of those that this workload names.
    pub(super) fn placements_of(&self, workload: Uid) -> Vec<Uid> {
        let refers = self.entries.get(&workload).map(|entry| entry.refers.as_slice()).unwrap_or_default();
        refers.iter().filter_map(|address| self.by_address.get(address)).copied().collect()
    }

    /// The placements with a number.
    pub(super) fn numbered(&self) -> &BTreeSet<Uid> {
        &self.numbered
    }

    /// All workloads.
    pub(super) fn workloads(&self) -> Vec<Uid> {
        let present = |(uid, entry): &(&Uid, &Entry)| self.by_address.get(&entry.address) == Some(uid);
        let workloads =
            self.entries.iter().filter(present).filter(|(_, entry)| entry.address.0 == Kind::Workload);
        workloads.map(|(uid, _)| *uid).collect()
    }
}

fn placement_address(home: &Path, project: &Name, name: &Name) -> Address {
    (Kind::Placement, home.clone(), ObjectName { project: project.clone(), name: name.clone() })
}
