//! What the objects on disk say about each cluster, at each moment.

use std::sync::Arc;

use canopy_core::durable::Slot;
use canopy_core::link::EdgeId;
use canopy_core::row::Body;
use canopy_model::{Fit, Name, Object, ObjectName, Placement, Role, Spec, Uid};

use super::numbers::SETTLED_MS;
use crate::chaos::world::World;

/// A workload or placement on its home's disk.
pub(super) struct Homed {
    pub home: usize,
    pub object: Arc<Object>,
}

impl World {
    pub(super) fn homed(&self) -> Vec<Homed> {
        let mut homed = Vec::new();
        for (home, node) in self.nodes.iter().enumerate() {
            homed.extend(node.view().own_objects().map(|object| Homed { home, object: object.clone() }));
        }
        homed
    }

    pub(super) fn placement_of<'a>(
        &self,
        homed: &'a [Homed],
        workload: &Homed,
        name: &Name,
    ) -> Option<&'a Homed> {
        let wanted =
            ObjectName { project: workload.object.metadata.name.project.clone(), name: name.clone() };
        homed.iter().find(|it| {
            it.home == workload.home && it.object.placement().is_some() && it.object.metadata.name == wanted
        })
    }

    /// Whether this cluster is a place for a placement, by the record on its hub's disk. Unknown when
    /// the hub has no record.
    pub(super) fn fit(&self, placement: &Placement, home: usize, agent: usize) -> Option<Fit> {
        let it = &self.nodes[agent];
        let hub = it.parent.expect("an agent has a hub");
        let name = it.path.name().expect("an agent has a name");
        let record = self.nodes[hub].view().record(&name)?;
        let in_scope = self.nodes[home].path.contains(&it.path);
        let open = in_scope && !record.leaving;
        Some(if open { placement.fit(&record.labels, &record.taints) } else { Fit::Never })
    }

    /// Whether its hub's disk says that a cluster runs, or ran, a workload for a placement.
    pub(super) fn assigned_for(&self, workload: Uid, agent: usize, placement: Uid) -> Option<bool> {
        let hub = self.nodes[agent].parent.expect("an agent has a hub");
        let name = self.nodes[agent].path.name().expect("an agent has a name");
        let assigned = self.nodes[hub].view().assigned(&name, workload)?;
        Some(assigned.placements.contains(&placement))
    }

    /// Whether a cluster gave its slot of a placement back and its hub has no other to give: the hub
    /// above took back what seemed of no use.
    fn is_given_back(&self, placement: Uid, agent: usize) -> bool {
        let hub = self.nodes[agent].parent.expect("an agent has a hub");
        let name = self.nodes[agent].path.name().expect("an agent has a name");
        let view = self.nodes[hub].view();
        let none_left = view.quota(placement).is_some_and(|quota| view.granted(placement) >= quota);
        view.share(placement, &name).grant == 0 && none_left
    }

    /// Notes for every workload and cluster whether the wishes on disk select it now.
    pub(super) fn note_wishes(&mut self) {
        let homed = self.homed();
        for it in &homed {
            let uid = it.object.metadata.uid;
            if let (Some(Spec::Placement(old)), Some(new)) =
                (self.witness.written.get(&uid), it.object.placement())
                && old.number_of_clusters != new.number_of_clusters
            {
                if let (Some(old), Some(new)) = (old.number_of_clusters, new.number_of_clusters)
                    && new < old
                {
                    self.occurrences.note("number lowered");
                }
                self.witness.given_back_until.insert(uid, self.now + SETTLED_MS);
            }
            self.witness.written.insert(uid, it.object.spec.clone());
            if it.object.metadata.deleted.is_some() {
                self.witness.deleted.insert(uid);
            }
        }
        let agents = self.present(Role::Agent);
        self.note_view(&homed, &agents, true);
        for hub in self.present(Role::Hub) {
            let own: Vec<usize> =
                agents.iter().copied().filter(|agent| self.nodes[*agent].parent == Some(hub)).collect();
            self.note_view(&self.known(hub), &own, self.is_current(hub));
        }
    }

    /// Whether a hub has heard its parent since its disk was last exchanged.
    fn is_current(&self, hub: usize) -> bool {
        let cursor = self.nodes[hub].disk.get(&Slot::Position(EdgeId::Parent));
        self.witness.exchanged.get(&hub).is_none_or(|old| cursor.is_some() && cursor != old.as_ref())
    }

    /// The objects that apply at a hub, as its disk has them; not those in doubt.
    fn known(&self, hub: usize) -> Vec<Homed> {
        let view = self.nodes[hub].view();
        let inherited = view.rows(&EdgeId::Parent).filter_map(|(key, row)| match &row.payload.body {
            Body::Object(object) if !view.is_in_doubt(key.uid) => Some(object),
            _ => None,
        });
        let objects = view.own_objects().chain(inherited).cloned();
        let home =
            |object: &Object| self.nodes.iter().position(|node| node.path == object.metadata.home.path);
        objects.filter_map(|object| Some(Homed { home: home(&object)?, object })).collect()
    }

    /// Notes what these wishes say about these clusters. Those of an old disk were wishes once: they
    /// justify what is started for them, and no removal.
    fn note_view(&mut self, view: &[Homed], agents: &[usize], current: bool) {
        for workload in view {
            let Some(spec) = workload.object.workload() else { continue };
            let uid = workload.object.metadata.uid;
            let deleted = workload.object.metadata.deleted.is_some();
            let chosen: Vec<&Homed> =
                spec.placements.iter().filter_map(|name| self.placement_of(view, workload, name)).collect();
            for agent in agents {
                let (mut selected, mut selectable, mut doubtful) = (false, false, false);
                for placement in &chosen {
                    let Some(policy) = placement.object.placement() else { continue };
                    let fit = self.fit(policy, placement.home, *agent);
                    let here = self.assigned_for(uid, *agent, placement.object.metadata.uid);
                    let kept =
                        here == Some(true) && !self.is_given_back(placement.object.metadata.uid, *agent);
                    selectable |= fit > Some(Fit::IfThere);
                    if policy.number_of_clusters.is_some() {
                        selected |= fit > Some(Fit::Never) && kept;
                        doubtful |= fit.is_none() || here.is_none();
                    } else {
                        // What is closed to new work keeps what it has, whatever that is.
                        selected |= fit > Some(Fit::IfThere);
                        doubtful |= fit.is_none() || fit == Some(Fit::IfThere);
                    }
                }
                if selectable && !deleted {
                    self.witness.wanted.insert((uid, *agent));
                }
                if current && (deleted || !selected && !doubtful) {
                    self.witness.unwanted.insert((uid, *agent));
                }
            }
        }
    }
}
