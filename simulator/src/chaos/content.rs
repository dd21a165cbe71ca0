//! What a revision holds: drawn with its digest, so that every cluster sees the same.

use canopy_core::cluster::object::{Id, Object, Template};
use canopy_model::{Digest, Uid};

/// Of so many revisions one never gets well.
const FAILING: u8 = 8;

/// The objects of a workload at a revision.
pub(crate) fn objects(workload: Uid, revision: Digest) -> Vec<Object> {
    let id = Id {
        group: "apps".to_owned(),
        kind: "Deployment".to_owned(),
        namespace: Some("default".to_owned()),
        name: workload.to_string(),
    };
    let pods = Some(Template { digest: revision, replicas: 1 });
    let fails = fails(revision);
    let (version, create_only, stays) = ("v1".to_owned(), false, false);
    vec![Object { id, version, rejected: None, fails, pods, defines: None, create_only, stays }]
}

/// Whether the pods of a revision fail.
pub(crate) fn fails(revision: Digest) -> bool {
    revision.0[0].is_multiple_of(FAILING)
}
