//! Where the programs of a cluster are.

use std::env;
use std::ffi::OsString;
use std::path::PathBuf;

use anyhow::{Context as _, Result};

/// The variables that may name the folders, as `PATH` does, in order of precedence.
const FOLDERS: [&str; 2] = ["CANOPY_TOOLS", "KUBEBUILDER_ASSETS"];

/// The folders with `etcd`, `kube-apiserver`, `kube-controller-manager` and their like.
#[derive(Debug, Clone)]
pub struct Tools(OsString);

impl Tools {
    /// The path of a program.
    ///
    /// # Errors
    /// None of the folders has it.
    pub fn find(&self, name: &str) -> Result<PathBuf> {
        let mut programs = env::split_paths(&self.0).map(|folder| folder.join(name));
        programs.find(|program| program.is_file()).with_context(|| {
            let folders = self.0.display();
            format!(
                "no {name} in {folders}: run 'cargo xtask tools' and set {} to what it prints",
                FOLDERS[0]
            )
        })
    }
}

/// The programs of a control plane. None, with a line on stderr, where a developer has none; a test
/// then has nothing to do. Where `CI` is `true` that is a failure.
pub fn tools() -> Option<Tools> {
    let found = FOLDERS.iter().find_map(env::var_os);
    if found.is_none() {
        skip(&format!(
            "no Kubernetes control plane: set {} to what 'cargo xtask tools' prints, or {} to a folder with etcd, \
             kube-apiserver and kube-controller-manager",
            FOLDERS[0], FOLDERS[1]
        ));
    }
    found.map(Tools)
}

/// Says why a test has nothing to do here; fails where `CI` is `true`: a test that is skipped unseen
/// proves nothing.
pub(crate) fn skip(reason: &str) {
    assert!(env::var("CI").as_deref() != Ok("true"), "{reason}");
    eprintln!("skipped: {reason}");
}
