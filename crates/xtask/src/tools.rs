//! The chore `tools`: the programs of real Kubernetes clusters for tests.
//!
//! `tests/tools` pins them in two Go modules. Each program that is missing is built, once, into
//! `<cache>/tools/<module>-<key>`, where the key is the content of the module and the cache is
//! `$CANOPY_CACHE`, else `$XDG_CACHE_HOME/canopy`, else `~/.cache/canopy`. After a change of a module Go's
//! own build cache keeps what did not change cheap. Programs in `$KUBEBUILDER_ASSETS`, where that is set,
//! are used instead of our own.
//!
//! Real nodes also need programs of the operating system: containerd, runc, the CNI plugins and a static
//! busybox. `.ci/run` installs them on Debian; the test bed says which one is missing.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result};

use crate::process;

/// A Go module that pins programs.
struct Module {
    name: &'static str,
    /// Its folder below the root of the workspace.
    folder: &'static str,
    /// Each program with the Go package that it is built from.
    programs: &'static [(&'static str, &'static str)],
}

const MODULES: [Module; 2] = [
    Module {
        name: "kubernetes",
        folder: "tests/tools",
        programs: &[
            ("etcd", "go.etcd.io/etcd/server/v3"),
            ("kube-apiserver", "k8s.io/kubernetes/cmd/kube-apiserver"),
            ("kube-controller-manager", "k8s.io/kubernetes/cmd/kube-controller-manager"),
            ("kube-scheduler", "k8s.io/kubernetes/cmd/kube-scheduler"),
            ("kubelet", "k8s.io/kubernetes/cmd/kubelet"),
        ],
    },
    Module { name: "kwok", folder: "tests/tools/kwok", programs: &[("kwok", "sigs.k8s.io/kwok/cmd/kwok")] },
];

/// Without these there is no test on Kubernetes at all; without the others there are no nodes.
const CONTROL_PLANE: [&str; 3] = ["etcd", "kube-apiserver", "kube-controller-manager"];

/// Without the version clients take the server for v0.0.0.
const LINKER_FLAGS: &str = "-s -w -X k8s.io/component-base/version.gitVersion=v1.37.2";

/// Where the programs are, or why there are none.
pub(crate) enum Tools {
    /// The folders that hold them, written as `$PATH` is: the value of `CANOPY_TOOLS`.
    Ready(OsString),
    /// There is no control plane, and it can't be built here, for this reason.
    Unavailable(String),
}

/// Finds the programs, and builds those that are not there yet.
pub(crate) fn ensure() -> Result<Tools> {
    let mut folders: Vec<_> = env::var_os("KUBEBUILDER_ASSETS").map(PathBuf::from).into_iter().collect();
    let mut missing = Vec::new();
    for module in &MODULES {
        let source = process::root().join(module.folder);
        folders.push(cache()?.join("tools").join(format!("{}-{}", module.name, key(&source)?)));
        for (program, package) in module.programs {
            if folders.iter().any(|folder| folder.join(program).is_file()) {
                continue;
            }
            match folders.last().filter(|_| has_go()) {
                Some(folder) => build(&source, package, &folder.join(program))?,
                None => missing.push(*program),
            }
        }
    }
    if !missing.is_empty() {
        let why = format!(
            "no {}: install Go 1.26 or newer, or point KUBEBUILDER_ASSETS to a folder that has them",
            missing.join(", ")
        );
        if CONTROL_PLANE.iter().any(|program| missing.contains(program)) {
            return Ok(Tools::Unavailable(why));
        }
        eprintln!("there will be no nodes: {why}");
    }
    Ok(Tools::Ready(env::join_paths(folders).context("a folder with programs has a colon in its path")?))
}

/// Builds into a file of this process and renames it when it is whole: a half build is never used,
/// and of two builds at once the last wins.
fn build(module: &Path, package: &str, program: &Path) -> Result<()> {
    eprintln!("building {}: some minutes, once", program.display());
    let partial = program.with_extension(format!("partial-{}", std::process::id()));
    let mut go = Command::new("go");
    go.args(["build", "-trimpath", "-ldflags", LINKER_FLAGS, "-o"]).arg(&partial).arg(package);
    process::run(go.current_dir(module).env("CGO_ENABLED", "0"))?;
    fs::rename(&partial, program).with_context(|| format!("naming the finished {}", program.display()))
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
