//! The rows that each neighbour is to see. Values are made when they are sent.

use std::sync::Arc;

use canopy_model::{Digest, Name, Object, Uid};

use super::state::Hub;
use crate::effect::Effect;
use crate::link::{Edge, EdgeId};
use crate::row::{Assignment, Body, Key, Payload, RowKind, Run};
use crate::seam::Step;

impl Hub {
    /// Whether this child may be sent its table: this hub is ready, the child is recorded, and it
    /// has reported in this incarnation.
    pub(super) fn may_tell(&self, name: &Name, edge: &Edge) -> bool {
        let recorded = self.children.get(name).is_some_and(|child| child.record.is_some());
        self.is_ready() && recorded && edge.inbox.is_heard(self.history.incarnation)
    }

    /// The present value of a row for a neighbour.
    pub(super) fn value(&self, id: &EdgeId, key: &Key) -> Option<Payload> {
        let EdgeId::Child(name) = id else {
            return self.told.get(key).cloned().map(Payload::from);
        };
        let body = match key.kind {
            RowKind::Object => return self.object_row(key),
            RowKind::Other(_) => return self.parent.as_ref()?.inbox.get(key).cloned(),
            RowKind::Grant => {
                Body::Grant(self.shares.get(&(key.uid, name.clone())).map_or(0, |share| share.grant))
            }
            RowKind::Record => Body::Record(self.children.get(name)?.record.clone()?),
            RowKind::Verdict => Body::Verdict,
            RowKind::Doubt => Body::Doubt,
            RowKind::Assignment => Body::Assignment(self.assignment(key.uid, name)?),
            RowKind::Report | RowKind::Claims | RowKind::Machine | RowKind::Inventory => return None,
            RowKind::Summary => return None,
            RowKind::Offer | RowKind::Selected | RowKind::Orphan | RowKind::Fleet => return None,
        };
        Some(body.into())
    }

    fn object_row(&self, key: &Key) -> Option<Payload> {
        match self.objects.get(&key.uid) {
            Some(object) => Some(Body::Object(object.clone()).into()),
            None => self.parent.as_ref()?.inbox.get(key).cloned(),
        }
    }

    fn assignment(&self, uid: Uid, name: &Name) -> Option<Assignment> {
        let (assigned, _) = self.assigned.get(&(uid, name.clone()))?;
        if !assigned.run {
            return Some(Assignment::Remove);
        }
        let Some(object) = self.object(uid) else { return Some(Assignment::Keep) };
        Some(Assignment::Run(Run {
            name: object.metadata.name.clone(),
            home: object.metadata.home.clone(),
            placements: assigned.placements.clone(),
            revision: object.workload()?.revision.clone(),
        }))
    }

    /// Whether a row of this child's table names the content: an object for a hub below, a
    /// workload to run for an agent. What no row names is not the child's to have, whatever it
    /// reports.
    pub fn may_fetch(&self, name: &Name, digest: Digest) -> bool {
        let Some(child) = self.children.get(name) else { return false };
        let live = |kind, uid| child.edge.outbox.version(&Key::new(kind, uid)).is_some();
        let runs = |uid| self.assigned.get(&(uid, name.clone())).is_some_and(|(assigned, _)| assigned.run);
        let told = |object: &Arc<Object>| {
            let uid = object.metadata.uid;
            live(RowKind::Object, uid) || runs(uid) && live(RowKind::Assignment, uid)
        };
        let names = |object: &&Arc<Object>| {
            object.workload().is_some_and(|workload| workload.revision.digest == digest)
        };
        self.all_objects().filter(names).any(told)
    }

    /// A new hub below sees every object that applies here.
    pub(super) fn open_view(&mut self, name: &Name, step: &mut Step) {
        let inherited = self.parent.iter().flat_map(|edge| edge.inbox.rows()).map(|(key, _)| *key);
        let inherited = inherited.filter(|key| matches!(key.kind, RowKind::Object | RowKind::Other(_)));
        let own = self.objects.keys().map(|uid| Key::new(RowKind::Object, *uid));
        for key in own.chain(inherited).collect::<Vec<_>>() {
            self.touch_child_row(name, key, true, step);
            if self.is_in_doubt(key.uid) {
                self.touch_child_row(name, Key::new(RowKind::Doubt, key.uid), true, step);
            }
        }
    }

    /// Content that is too large for a row is fetched from the parent before it is asked for.
    pub(super) fn fetch_blob(&self, uid: Uid, step: &mut Step) {
        let digest: Option<Digest> =
            self.object(uid).and_then(|object| object.workload()).and_then(|workload| {
                let revision = &workload.revision;
                revision.inline.is_none().then_some(revision.digest)
            });
        if let Some(digest) = digest {
            step.effect(Effect::Fetch(digest));
        }
    }

    pub(super) fn fetch_blobs(&self, step: &mut Step) {
        let inherited = self.parent.iter().flat_map(|edge| edge.inbox.rows());
        for (key, _) in inherited.filter(|(key, _)| key.kind == RowKind::Object) {
            self.fetch_blob(key.uid, step);
        }
    }
}
