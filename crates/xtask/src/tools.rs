//! The chore `tools`: a real Kubernetes control plane for the end-to-end tests.
//!
//! `tests/tools/go.mod` pins the programs. They are built once per content of that module into
//! `<cache>/tools/<key>`, where the cache is `$CANOPY_CACHE`, else `$XDG_CACHE_HOME/canopy`, else
//! `~/.cache/canopy`. Where `$KUBEBUILDER_ASSETS` is set, its programs are used instead.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result};

use crate::process;

/// The programs, each with the Go package that it is built from.
const PROGRAMS: [(&str, &str); 3] = [
    ("etcd", "go.etcd.io/etcd/server/v3"),
    ("kube-apiserver", "k8s.io/kubernetes/cmd/kube-apiserver"),
    ("kube-controller-manager", "k8s.io/kubernetes/cmd/kube-controller-manager"),
];

/// Without the version clients take the server for v0.0.0.
const LINKER_FLAGS: &str = "-s -w -X k8s.io/component-base/version.gitVersion=v1.37.2";

/// Where the programs are, or why there are none.
pub(crate) enum Tools {
    /// A folder that holds all of them.
    Ready(PathBuf),
    /// They can't be built here, for this reason.
    Unavailable(String),
}

/// Finds the programs, and builds them when they are not there yet.
pub(crate) fn ensure() -> Result<Tools> {
    if let Some(folder) = env::var_os("KUBEBUILDER_ASSETS").map(PathBuf::from) {
        return Ok(match missing(&folder) {
            None => Tools::Ready(folder),
            Some(program) => Tools::Unavailable(format!(
                "KUBEBUILDER_ASSETS is {}, which has no {program}: add it there or unset the variable",
                folder.display()
            )),
        });
    }
    let module = process::root().join("tests/tools");
    let folder = cache()?.join("tools").join(key(&module)?);
    if missing(&folder).is_some() {
        if !has_go() {
            let why = "Go is not installed: install Go 1.26 or newer, or point KUBEBUILDER_ASSETS to a folder with \
                       etcd, kube-apiserver and kube-controller-manager";
            return Ok(Tools::Unavailable(why.to_owned()));
        }
        build(&module, &folder)?;
    }
    Ok(Tools::Ready(folder))
}

/// Builds into a folder of this process and renames it when it is whole: a half build is never
/// used, and of two builds at once the first wins.
fn build(module: &Path, folder: &Path) -> Result<()> {
    eprintln!("building Kubernetes' control plane into {}: about ten minutes, once", folder.display());
    let partial = folder.with_extension(format!("partial-{}", std::process::id()));
    fs::create_dir_all(&partial).with_context(|| format!("making the folder {}", partial.display()))?;
    for (program, package) in PROGRAMS {
        let mut go = Command::new("go");
        go.args(["build", "-trimpath", "-ldflags", LINKER_FLAGS, "-o"])
            .arg(partial.join(program))
            .arg(package);
        process::run(go.current_dir(module).env("CGO_ENABLED", "0"))?;
    }
    match fs::rename(&partial, folder) {
        Err(_) if missing(folder).is_none() => {
            fs::remove_dir_all(&partial).context("removing our second build")
        }
        renamed => renamed.with_context(|| format!("naming the finished build {}", folder.display())),
    }
}

/// The first program that the folder does not hold.
fn missing(folder: &Path) -> Option<&'static str> {
    PROGRAMS.iter().map(|(program, _)| *program).find(|program| !folder.join(program).is_file())
}

/// A name for exactly what would be built.
fn key(module: &Path) -> Result<String> {
    let mut hasher = blake3::Hasher::new();
    for name in ["go.mod", "go.sum"] {
        let path = module.join(name);
        hasher.update(&fs::read(&path).with_context(|| format!("reading {}", path.display()))?);
    }
    hasher.update(LINKER_FLAGS.as_bytes());
    Ok(hasher.finalize().to_hex()[..16].to_owned())
}

/// The folder for build products that outlive a checkout.
pub(crate) fn cache() -> Result<PathBuf> {
    let set = |name| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    set("CANOPY_CACHE")
        .or_else(|| Some(set("XDG_CACHE_HOME")?.join("canopy")))
        .or_else(|| Some(set("HOME")?.join(".cache/canopy")))
        .context("no folder for build products: set CANOPY_CACHE")
}

fn has_go() -> bool {
    let version = Command::new("go").arg("version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    version.is_ok_and(|status| status.success())
}
