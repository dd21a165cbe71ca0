//! The chore `tools`: the programs of real Kubernetes clusters for tests.
//!
//! `tests/tools` pins them, one Go module in each of its folders. A program that is missing is built
//! once, into `<cache>/tools/<module>-<key>`, where the key is the content of the module and the cache is
//! `$CANOPY_CACHE`, else `$XDG_CACHE_HOME/canopy`, else `~/.cache/canopy`. After a change of a module Go's
//! own build cache keeps what did not change cheap. Programs in `$KUBEBUILDER_ASSETS`, where that is set,
//! are used instead of our own.
//!
//! Real nodes also need programs of the operating system: containerd, runc, the CNI plugins, iproute2 and
//! nftables. `.ci/run` installs them on Debian.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result};

use crate::process;

/// The modules, and the Go package of each of their programs.
const MODULES: &[(&str, &[(&str, &str)])] = &[
    (
        "kubernetes",
        &[
            ("etcd", "go.etcd.io/etcd/server/v3"),
            ("kube-apiserver", "k8s.io/kubernetes/cmd/kube-apiserver"),
            ("kube-controller-manager", "k8s.io/kubernetes/cmd/kube-controller-manager"),
            ("kube-proxy", "k8s.io/kubernetes/cmd/kube-proxy"),
            ("kube-scheduler", "k8s.io/kubernetes/cmd/kube-scheduler"),
            ("kubelet", "k8s.io/kubernetes/cmd/kubelet"),
            ("kubectl", "k8s.io/kubernetes/cmd/kubectl"),
        ],
    ),
    ("kwok", &[("kwok", "sigs.k8s.io/kwok/cmd/kwok")]),
    ("helm", &[("helm", "helm.sh/helm/v4/cmd/helm")]),
    ("kstatus", &[("kstatus", ".")]),
];

/// Without these there is no test on Kubernetes at all; without others some tests are left out.
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
    for (module, programs) in MODULES {
        let source = process::root().join("tests/tools").join(module);
        let folder = cache()?.join("tools").join(format!("{module}-{}", key(&source)?));
        folders.push(folder.clone());
        for (program, package) in *programs {
            if folders.iter().any(|folder| folder.join(program).is_file()) {
                continue;
            }
            if has_go() {
                build(&source, package, &folder.join(program))?;
            } else {
                missing.push(*program);
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
        eprintln!("tests that need them are left out: {why}");
    }
    Ok(Tools::Ready(env::join_paths(folders).context("a folder with programs has a colon in its path")?))
}

/// Builds into a file of this process and renames it when it is whole: a half build is never used,
/// and of two builds at once the last wins.
fn build(module: &Path, package: &str, program: &Path) -> Result<()> {
    eprintln!("building {}: some minutes, once", program.display());
    let partial = program.with_extension(format!("partial-{}", std::process::id()));
    let mut go = Command::new("go");
    go.args(["build", "-buildvcs=false", "-trimpath", "-ldflags", LINKER_FLAGS, "-o"])
        .arg(&partial)
        .arg(package);
    process::run(go.current_dir(module).env("CGO_ENABLED", "0"))?;
    fs::rename(&partial, program).with_context(|| format!("naming the finished {}", program.display()))
}

/// A name for exactly what would be built.
fn key(module: &Path) -> Result<String> {
    let mut files = Vec::new();
    for entry in fs::read_dir(module).with_context(|| format!("reading the folder {}", module.display()))? {
        files.push(entry?.path());
    }
    files.sort();
    let mut hasher = blake3::Hasher::new();
    for file in files {
        hasher.update(&fs::read(&file).with_context(|| format!("reading {}", file.display()))?);
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
