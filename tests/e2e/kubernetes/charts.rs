//! The charts, as helm sees them, and the kustomizations that are made from them.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use anyhow::{Context as _, Result, ensure};
use canopy_testbed::{Tools, tools};

/// Set to write the kustomizations anew after a change of the charts.
const WRITE: &str = "CANOPY_WRITE_KUSTOMIZE";

/// Each file of a kustomization that a chart writes: chart, templates, values.
const WRITTEN: [(&str, &str, &[&str], &[&str]); 4] = [
    ("agent/base/agent.yaml", "canopy-agent", &["deployment", "account"], &[]),
    ("agent/overlays/wide/rights.yaml", "canopy-agent", &["wide"], &[]),
    (
        "agent/overlays/namespaced/rights.yaml",
        "canopy-agent",
        &["namespaced"],
        &["rbac.level=namespaced", "rbac.namespaces={default}"],
    ),
    ("hub/hub.yaml", "canopy-hub", &["statefulset", "service", "disruption-budget"], &[]),
];

/// What is refused, and what the refusal names.
const REFUSED: [(&str, &[&str], &str); 8] = [
    ("canopy-hub", &["role=leaf"], "/role"),
    ("canopy-hub", &["advertise={hub.example.com}"], "/advertise/0"),
    ("canopy-hub", &["replicas=2"], "replicas"),
    ("canopy-hub", &["image.digest=sha256:12"], "/image/digest"),
    ("canopy-agent", &["rbac.level=admin"], "/rbac/level"),
    ("canopy-agent", &["rbac.level=namespaced"], "/rbac/namespaces"),
    ("canopy-agent", &["persistence.type=hostPath", "persistence.hostPath=data"], "/persistence/hostPath"),
    ("canopy-agent", &["rbac.executors[0].namespace=line-7"], "names"),
];

/// A file of the workspace.
pub(super) fn deploy(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy").join(path)
}

fn helm(tools: &Tools, verb: &str, chart: &str, values: &[&str], more: &[&str]) -> Result<Output> {
    let namespace = if chart == "canopy-agent" { "canopy-system" } else { "canopy" };
    let mut helm = Command::new(tools.find("helm")?);
    helm.arg(verb).args((verb == "template").then_some(chart)).arg(deploy("helm").join(chart));
    helm.args(["--namespace", namespace]).args(values.iter().flat_map(|value| ["--set", value])).args(more);
    helm.output().context("starting helm")
}

fn said(output: Output) -> Result<String> {
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?)
}

#[test]
fn charts_are_sound_and_refuse_what_they_cannot_mean() -> Result<()> {
    let Some(tools) = tools() else { return Ok(()) };
    for chart in ["canopy-hub", "canopy-agent"] {
        let linted = said(helm(&tools, "lint", chart, &[], &["--strict"])?)?;
        ensure!(linted.contains("1 chart(s) linted, 0 chart(s) failed"), "{linted}");
    }
    for (chart, values, named) in REFUSED {
        let output = helm(&tools, "template", chart, values, &[])?;
        let why = String::from_utf8_lossy(&output.stderr).into_owned();
        ensure!(!output.status.success() && why.contains(named), "{chart} {values:?}: {why}");
    }
    let elsewhere = helm(&tools, "template", "canopy-agent", &[], &["--namespace", "default"])?;
    let why = String::from_utf8_lossy(&elsewhere.stderr).into_owned();
    ensure!(why.contains("add --namespace canopy-system"), "{why}");
    Ok(())
}

#[test]
fn kustomizations_are_what_the_charts_say() -> Result<()> {
    let Some(tools) = tools() else { return Ok(()) };
    for (file, chart, templates, values) in WRITTEN {
        let shown: Vec<_> = templates.iter().map(|name| format!("templates/{name}.yaml")).collect();
        let shown: Vec<_> = shown.iter().flat_map(|path| ["--show-only", path.as_str()]).collect();
        let rendered = said(helm(&tools, "template", chart, values, &shown)?)?;
        let lines = rendered.lines().filter(|line| !line.contains("managed-by: Helm"));
        let lines = lines.filter(|line| !line.contains("helm.sh/resource-policy"));
        let text = lines.map(|line| format!("{line}\n")).collect::<String>();
        let path = deploy("kustomize").join(file);
        if env::var_os(WRITE).is_some() {
            fs::write(&path, &text)?;
        }
        let found = fs::read_to_string(&path).unwrap_or_default();
        ensure!(found == text, "{file} is not what the chart says: run this test again with {WRITE}=1");
    }
    for folder in ["hub", "agent/overlays/wide", "agent/overlays/namespaced"] {
        let mut kubectl = Command::new(tools.find("kubectl")?);
        let built = said(kubectl.arg("kustomize").arg(deploy("kustomize").join(folder)).output()?)?;
        ensure!(
            built.contains("kind: Namespace") && built.contains("readOnlyRootFilesystem: true"),
            "{built}"
        );
    }
    Ok(())
}
