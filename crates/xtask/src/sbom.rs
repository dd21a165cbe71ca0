//! What a program is made of, as CycloneDX tells it: a file that scanners of vulnerabilities read.
//!
//! Cargo knows the packages below a program, with features as the whole workspace needs them: the list
//! may name a package too many, never one too few. The C library is none of Cargo's, and is in the
//! program too.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result};
use cargo_metadata::{DependencyKind, Metadata, Node, Package, PackageId};
use serde_json::{Value, json};

use crate::process;
use crate::programs::{Program, Release};

/// The list of one program, as JSON.
pub(crate) fn of(release: &Release, program: Program) -> Result<Vec<u8>> {
    let mut bom = describe(&release.metadata, program)?;
    let library = c_library()?;
    bom["components"].as_array_mut().expect("it was made so").push(library);
    Ok(serde_json::to_vec_pretty(&bom)?)
}

fn describe(metadata: &Metadata, program: Program) -> Result<Value> {
    let graph = metadata.resolve.as_ref().context("cargo told no dependencies")?;
    let nodes: BTreeMap<_, _> = graph.nodes.iter().map(|node| (&node.id, node)).collect();
    let packages: BTreeMap<_, _> = metadata.packages.iter().map(|package| (&package.id, package)).collect();
    let own = metadata.packages.iter().find(|package| *package.name == program.package());
    let own = own.with_context(|| format!("there is no package {}", program.package()))?;
    let inside = below(&own.id, &nodes);
    let components = inside.iter().filter(|id| **id != &own.id).map(|id| component(packages[*id], "library"));
    let dependencies = inside.iter().map(|id| {
        let needs: Vec<_> = linked(nodes[*id]).map(|id| purl(packages[id])).collect();
        json!({ "ref": purl(packages[*id]), "dependsOn": needs })
    });
    Ok(json!({
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": { "component": component(own, "application") },
        "components": components.collect::<Vec<_>>(),
        "dependencies": dependencies.collect::<Vec<_>>(),
    }))
}

/// A package and all that is linked with it.
fn below<'a>(own: &'a PackageId, nodes: &BTreeMap<&'a PackageId, &'a Node>) -> BTreeSet<&'a PackageId> {
    let (mut found, mut waiting) = (BTreeSet::new(), vec![own]);
    while let Some(id) = waiting.pop() {
        if found.insert(id) {
            waiting.extend(linked(nodes[id]));
        }
    }
    found
}

fn linked(node: &Node) -> impl Iterator<Item = &PackageId> {
    let is_linked =
        |kinds: &[cargo_metadata::DepKindInfo]| kinds.iter().any(|kind| kind.kind == DependencyKind::Normal);
    node.deps.iter().filter(move |needed| is_linked(&needed.dep_kinds)).map(|needed| &needed.pkg)
}

fn component(package: &Package, kind: &str) -> Value {
    let mut component = json!({
        "type": kind,
        "bom-ref": purl(package),
        "name": package.name,
        "version": package.version,
        "purl": purl(package),
    });
    if let Some(license) = &package.license {
        component["licenses"] = json!([{ "expression": license }]);
    }
    component
}

/// How scanners call a package.
fn purl(package: &Package) -> String {
    format!("pkg:cargo/{}@{}", package.name, package.version)
}

/// The C library of this machine, which is linked into the programs.
fn c_library() -> Result<Value> {
    let said = process::output(std::process::Command::new("getconf").arg("GNU_LIBC_VERSION"))?;
    let version = said.trim().rsplit(' ').next().unwrap_or_default();
    let purl = format!("pkg:generic/glibc@{version}");
    Ok(json!({ "type": "library", "bom-ref": purl, "name": "glibc", "version": version, "purl": purl }))
}

#[cfg(test)]
mod tests {
    use cargo_metadata::MetadataCommand;

    use super::*;

    #[test]
    fn what_is_linked_is_listed_and_what_only_tests_need_is_not() {
        let metadata = MetadataCommand::new().current_dir(process::root()).exec().unwrap();
        let listed = |program: Program| {
            let bom = describe(&metadata, program).unwrap();
            let components = bom["components"].as_array().unwrap();
            components.iter().map(|found| found["name"].as_str().unwrap().to_owned()).collect::<BTreeSet<_>>()
        };
        let (hub, agent) = (listed(Program::Hub), listed(Program::Agent));
        assert!(hub.contains("sled") && hub.contains("aws-lc-sys") && !hub.contains("canopy-kube"));
        assert!(agent.contains("kube-client") && !agent.contains("insta") && !agent.contains("prost-build"));
    }
}
