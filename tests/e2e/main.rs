//! The whole tree as separate processes. What runs is read from the clusters themselves.
//!
//! - [`kubernetes`]: the main job, against two real control planes;
//! - [`machine`]: what people at a machine may say, with embedded clusters;
//! - [`refusals`]: bad input of every sort, which is told and stops nothing, with embedded clusters;
//! - [`fleet`]: the processes.

#![allow(clippy::unwrap_used, reason = "a test says by failing what went wrong")]

mod fleet;
mod kubernetes;
mod machine;
mod refusals;

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// How long a state may take to come about.
pub(crate) const STATE_MAX: Duration = Duration::from_secs(60);

/// Waits for a state.
pub(crate) async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Result<Option<T>>) -> Result<T> {
    let began = Instant::now();
    loop {
        if let Some(found) = look().await? {
            return Ok(found);
        }
        if began.elapsed() > STATE_MAX {
            bail!("{what}: not within {} s", STATE_MAX.as_secs());
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

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
