//! What is kept although its wish is unknown.

use canopy_model::{Kind, Name, Role, Uid};

use crate::hub::state::Hub;
use crate::row::Orphan;

/// Something that is kept although its wish is unknown.
#[derive(Debug)]
pub struct OrphanView {
    /// Its uid.
    pub uid: Uid,
    /// What sort of object it was.
    pub kind: Kind,
    /// What it was called, and where it was at home.
    pub orphan: Orphan,
    /// Own clusters that still run it.
    pub clusters: u32,
}

impl Hub {
    /// Everything that is orphaned here or below.
    pub fn orphan_views(&self) -> Vec<OrphanView> {
        let view = |(uid, orphan)| {
            let kind = self.orphan_kind(uid).unwrap_or(Kind::Workload);
            let agents = self.names(Role::Agent);
            let runs = |name: &&Name| self.report(uid, name).is_some_and(|report| report.work.is_some());
            let clusters = u32::try_from(agents.iter().filter(runs).count()).unwrap_or(u32::MAX);
            OrphanView { uid, kind, orphan, clusters }
        };
        self.orphans().into_iter().map(view).collect()
    }

    /// What sort of object an orphan is, if anybody here can tell: its own form, or what runs of it.
    pub(in crate::hub) fn orphan_kind(&self, uid: Uid) -> Option<Kind> {
        if let Some(object) = self.object(uid) {
            return Some(object.spec.kind());
        }
        let runs = |name| self.report(uid, name).is_some_and(|report| report.work.is_some());
        self.children.keys().any(runs).then_some(Kind::Workload)
    }
}
