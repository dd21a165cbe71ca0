//! The words of the [ApplySet](https://git.k8s.io/enhancements/keps/sig-cli/3659-kubectl-apply-prune)
//! specification: what the objects of a set are labelled with.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use canopy_model::Uid;
use kube::api::ListParams;
use sha2::{Digest, Sha256};

/// Who owns the fields that Canopy applies.
pub(crate) const FIELD_MANAGER: &str = "canopy";
/// Where the inventories are kept.
pub(crate) const NAMESPACE: &str = "canopy-system";
/// On every object: the uid of its workload.
pub(crate) const LABEL_UID: &str = "canopy.dev/workload-uid";
/// On every object: the id of its set.
pub(crate) const LABEL_PART_OF: &str = "applyset.kubernetes.io/part-of";

/// The beginning of an inventory's name; the workload's uid follows.
const INVENTORY: &str = "workload-";

/// The id of a workload's set, as the specification computes it from the object that stands for the set.
pub(crate) fn id(uid: Uid) -> String {
    let stands_for_it = format!("{}.{NAMESPACE}.ConfigMap.", inventory_name(uid));
    format!("applyset-{}-v1", URL_SAFE_NO_PAD.encode(Sha256::digest(stands_for_it)))
}

/// Selects the objects of a workload's set that still carry its uid.
pub(crate) fn members(uid: Uid) -> ListParams {
    ListParams::default().labels(&format!("{LABEL_PART_OF}={},{LABEL_UID}={uid}", id(uid)))
}

/// The name of a workload's inventory.
pub(crate) fn inventory_name(uid: Uid) -> String {
    format!("{INVENTORY}{uid}")
}

/// The workload whose inventory has this name; none when it is no inventory's name.
pub(crate) fn inventory_of(name: &str) -> Option<Uid> {
    name.strip_prefix(INVENTORY)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_is_that_of_the_specification() {
        // printf %s workload-00000000-0000-0000-0000-000000000007.canopy-system.ConfigMap. | sha256sum, in base64url
        assert_eq!(id(Uid(7)), "applyset-7WPN300CWc-GeUQE3S1lPy2DlgkSLmFHbUYo7ZOqiVI-v1");
        assert!(id(Uid(7)).len() <= canopy_model::labels::LABEL_BYTES_MAX);
        assert_eq!(inventory_of(&inventory_name(Uid(7))), Some(Uid(7)));
    }
}
