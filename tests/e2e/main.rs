//! The whole tree as separate processes. What runs is read from the clusters themselves.
//!
//! - [`kubernetes`]: on real clusters: the main job, and what it does to requests under way;
//! - [`machine`]: what people at a machine may say, with embedded clusters;
//! - [`partition`]: lines that are cut one way or both, with embedded clusters at sites of a bed;
//! - [`refusals`]: bad input of every sort, which is told and stops nothing, with embedded clusters.

#![allow(clippy::unwrap_used, reason = "a test says by failing what went wrong")]

mod kubernetes;
mod machine;
mod partition;
mod refusals;

const PLACEMENT: &str = "apiVersion: canopy.dev/v1alpha1
kind: Placement
metadata: {name: cnc}
spec:
  predicates:
    - requiredClusterSelector: {labelSelector: {matchLabels: {line: cnc}}}
";

/// A Deployment of this image and, with rules, a ConfigMap.
fn workload(image: &str, rules: Option<&str>) -> String {
    let rules = rules.map_or(String::new(), |rules| {
        format!("    - {{apiVersion: v1, kind: ConfigMap, metadata: {{name: rules, namespace: default}}, data: {{spindle: \"{rules}\"}}}}\n")
    });
    format!(
        "apiVersion: canopy.dev/v1alpha1
kind: Workload
metadata: {{name: proposals}}
spec:
  placements: [{{name: cnc}}]
  manifests:
{rules}    - apiVersion: apps/v1
      kind: Deployment
      metadata: {{name: proposals, namespace: default}}
      spec:
        replicas: 2
        selector: {{matchLabels: {{app: proposals}}}}
        template:
          metadata: {{labels: {{app: proposals}}}}
          spec: {{containers: [{{name: serve, image: \"{image}\"}}]}}
"
    )
}
