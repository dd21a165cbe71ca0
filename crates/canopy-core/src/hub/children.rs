//! The children: what is recorded about them, and the rows that they are to be told.

use canopy_model::{Name, Now, Record, ResourceVersion, Role, labels, taint};

use super::commands::{Result, check_labels, expect};
use super::settle::Touched;
use super::state::{Child, Hub};
use crate::command::{Amendment, Outcome, Refusal};
use crate::durable::{Change, Slot, Value};
use crate::link::{Edge, EdgeId};
use crate::row::{Key, RowKind};
use crate::seam::Step;

impl Hub {
    /// The names of the children with this role that are recorded.
    pub(super) fn names(&self, role: Role) -> Vec<Name> {
        match role {
            Role::Hub => self.hubs.iter().cloned().collect(),
            Role::Agent => {
                let agents = self
                    .children
                    .iter()
                    .filter(|(name, it)| it.record.is_some() && !self.hubs.contains(*name));
                agents.map(|(name, _)| name.clone()).collect()
            }
        }
    }

    /// Whether every recorded child has reported in the present incarnation.
    pub(super) fn children_heard(&self) -> bool {
        self.children.values().all(|child| child.record.is_none() || self.has_heard(child))
    }

    /// Whether a child has reported in the present incarnation.
    pub(super) fn has_heard(&self, child: &Child) -> bool {
        child.edge.inbox.is_heard(self.history.incarnation)
    }

    /// The same by name; no child, no report.
    pub(super) fn has_heard_of(&self, name: &Name) -> bool {
        self.children.get(name).is_some_and(|child| self.has_heard(child))
    }

    /// Notes a child's record.
    pub(super) fn record_child(&mut self, name: &Name, record: Record) {
        match record.role {
            Role::Hub => self.hubs.insert(name.clone()),
            Role::Agent => self.hubs.remove(name),
        };
        self.child_mut(name).record = Some(record);
    }

    /// Forgets a child and what was recorded about it.
    pub(super) fn forget_child(&mut self, name: &Name) -> Option<Child> {
        self.hubs.remove(name);
        self.children.remove(name)
    }

    pub(super) fn child_mut(&mut self, name: &Name) -> &mut Child {
        let fresh = || Child { record: None, edge: Edge::new(EdgeId::Child(name.clone())) };
        self.children.entry(name.clone()).or_insert_with(fresh)
    }

    /// A child that was never here, or was released since: it begins with a snapshot, whatever it
    /// remembers.
    pub(super) fn meet_child(&mut self, name: &Name, step: &mut Step) {
        if self.children.contains_key(name) {
            return;
        }
        let version = self.version();
        let edge = &mut self.child_mut(name).edge;
        edge.outbox.begin(&edge.id, version, step);
    }

    pub(super) fn set_record(
        &mut self,
        name: &Name,
        mut record: Record,
        touched: &mut Touched,
        step: &mut Step,
    ) {
        self.meet_child(name, step);
        record.version = ResourceVersion(self.version());
        step.put(Change::Put(Slot::Child(name.clone()), Value::Child(record.clone())));
        let (uid, role) = (record.uid, record.role);
        let before = self.child_mut(name).record.clone();
        self.record_child(name, record);
        self.recount_selected(name, before.as_ref(), touched);
        self.touch_child_row(name, Key::new(RowKind::Record, uid), true, step);
        if before.is_none() && role == Role::Hub {
            self.open_view(name, step);
        }
        touched.children.insert(name.clone());
        touched.fleet = true;
        self.pending.insert(EdgeId::Child(name.clone()));
    }

    pub(super) fn accept(
        &mut self,
        name: &Name,
        record: Record,
        touched: &mut Touched,
        step: &mut Step,
    ) -> Result<Outcome> {
        check_labels(&record.labels)?;
        let recorded = self.children.get(name).and_then(|child| child.record.clone());
        match recorded {
            Some(old) if old.uid != record.uid => {
                Err(Refusal::OtherIdentity { name: name.clone(), recorded: old.uid, offered: record.uid })
            }
            Some(old) => Ok(Outcome::Unchanged(old.uid)),
            None => {
                let uid = record.uid;
                self.set_record(name, record, touched, step);
                Ok(Outcome::Created(uid))
            }
        }
    }

    pub(super) fn amend(
        &mut self,
        now: Now,
        name: &Name,
        record: Record,
        amendment: Amendment,
        touched: &mut Touched,
        step: &mut Step,
    ) -> Result<Outcome> {
        let amended = amended(now, &record, amendment)?;
        if amended == record {
            return Ok(Outcome::Unchanged(record.uid));
        }
        self.set_record(name, amended, touched, step);
        Ok(Outcome::Configured(record.uid))
    }

    /// What is recorded about the child with this role and name.
    pub(super) fn record(
        &self,
        (role, name): (Role, &Name),
        expected: Option<ResourceVersion>,
    ) -> Result<Record> {
        let record = self.children.get(name).and_then(|child| child.record.clone());
        let record = record.filter(|record| record.role == role);
        let record = record.ok_or_else(|| self.not_found(role.kind(), self.path.child(name).to_string()))?;
        expect(expected, record.version)?;
        Ok(record)
    }

    pub(super) fn touch_child_row(&mut self, name: &Name, key: Key, live: bool, step: &mut Step) {
        let version = self.version();
        let Some(child) = self.children.get_mut(name) else { return };
        child.edge.outbox.touch(&child.edge.id, key, live, version, step);
        self.pending.insert(child.edge.id.clone());
    }
}

/// The record of a child as it is to be.
pub(super) fn amended(now: Now, record: &Record, amendment: Amendment) -> Result<Record> {
    let Amendment { labels, taints, overwrite } = amendment;
    let labels = labels::change(&record.labels, labels, overwrite)?;
    check_labels(&labels)?;
    let taints = taint::change(&record.taints, &taints, overwrite, now.wall)?;
    Ok(Record { labels, taints, ..record.clone() })
}
