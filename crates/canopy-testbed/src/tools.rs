//! Where the programs of a control plane are.

use std::env;
use std::path::PathBuf;

/// The variables that may name the folder, in order of precedence.
const FOLDERS: [&str; 2] = ["CANOPY_TOOLS", "KUBEBUILDER_ASSETS"];

/// The folder with `etcd`, `kube-apiserver` and `kube-controller-manager`.
#[derive(Debug, Clone)]
pub struct Tools(pub(crate) PathBuf);

/// The programs of a control plane. None, with a line on stderr, where a developer has none; a test
/// then has nothing to do. Where `CI` is `true` that is a failure: a test that is skipped unseen
/// proves nothing.
pub fn tools() -> Option<Tools> {
    let found = FOLDERS.iter().find_map(env::var_os);
    if found.is_none() {
        let reason = format!(
            "no Kubernetes control plane: set {} to a folder with etcd, kube-apiserver and kube-controller-manager",
            FOLDERS.join(" or ")
        );
        assert!(env::var("CI").as_deref() != Ok("true"), "{reason}");
        eprintln!("skipped: {reason}");
    }
    found.map(|folder| Tools(folder.into()))
}
