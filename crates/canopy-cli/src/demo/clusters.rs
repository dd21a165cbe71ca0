//! What runs in the embedded clusters, read from the files that are their only truth: no word of
//! Canopy's own status is believed here.

use std::fs;
use std::path::{Path, PathBuf};

use canopy_agent::cluster::embedded::file::{Contents, Running};

use super::check::Seen;

/// The embedded clusters of a fleet.
pub(super) struct Clusters {
    folder: PathBuf,
}

impl Clusters {
    /// Those of the agents whose data folders are named by their paths below `folder`.
    pub(super) fn new(folder: &Path) -> Self {
        Self { folder: folder.to_owned() }
    }

    /// What one workload has in one cluster.
    pub(super) fn running(&self, cluster: &str, workload: &str) -> Result<Option<Running>, String> {
        let contents = self.contents(cluster)?;
        Ok(contents.workloads.into_values().find(|running| running.name == workload))
    }

    /// Expects a workload at this revision in each of the clusters.
    pub(super) fn run(&self, workload: &str, revision: &str, clusters: &[&str]) -> Seen {
        for cluster in clusters {
            match self.running(cluster, workload)? {
                Some(running) if running.revision.as_deref() == Some(revision) => {}
                Some(running) => {
                    let other = running.revision.unwrap_or_default();
                    return Err(format!("{cluster} has revision {}", short(&other)));
                }
                None => return Err(format!("{cluster} does not have it")),
            }
        }
        Ok(())
    }

    /// Expects nothing of a workload in any of the clusters.
    pub(super) fn lack(&self, workload: &str, clusters: &[&str]) -> Seen {
        for cluster in clusters {
            if self.running(cluster, workload)?.is_some() {
                return Err(format!("{cluster} still has it"));
            }
        }
        Ok(())
    }

    /// Those of the clusters in which a workload is.
    pub(super) fn holders<'a>(&self, workload: &str, clusters: &[&'a str]) -> Result<Vec<&'a str>, String> {
        let mut holders = Vec::new();
        for cluster in clusters {
            if self.running(cluster, workload)?.is_some() {
                holders.push(*cluster);
            }
        }
        Ok(holders)
    }

    /// How many clusters have a workload, and in how many of them it is healthy.
    pub(super) fn count(&self, workload: &str, clusters: &[&str]) -> Result<(u32, u32), String> {
        let (mut all, mut healthy) = (0, 0);
        for cluster in clusters {
            let running = self.running(cluster, workload)?;
            all += u32::from(running.is_some());
            healthy += u32::from(running.is_some_and(|running| running.health == "Healthy"));
        }
        Ok((all, healthy))
    }

    /// Expects in each of the clusters that as many pods of earlier templates serve as are wanted.
    pub(super) fn serve_old(&self, workload: &str, clusters: &[&str]) -> Seen {
        for cluster in clusters {
            let running = self.running(cluster, workload)?.ok_or(format!("{cluster} does not have it"))?;
            let pods: Vec<_> = running.objects.into_iter().filter_map(|object| object.pods).collect();
            if pods.is_empty() || pods.iter().any(|pods| (pods.ready, pods.old_ready) != (0, pods.wanted)) {
                return Err(format!("{cluster} has {pods:?}"));
            }
        }
        Ok(())
    }

    /// Expects that nothing at all runs in any of the clusters.
    pub(super) fn empty(&self, clusters: &[&str]) -> Seen {
        for cluster in clusters {
            if let Some(running) = self.contents(cluster)?.workloads.into_values().next() {
                return Err(format!("{cluster} still has {}", running.name));
            }
        }
        Ok(())
    }

    fn contents(&self, cluster: &str) -> Result<Contents, String> {
        let file = self.folder.join(cluster).join("data/embedded-cluster.json");
        let text = fs::read(&file).map_err(|error| format!("{cluster} has no cluster file: {error}"))?;
        serde_json::from_slice(&text).map_err(|error| format!("the file of {cluster} is unreadable: {error}"))
    }
}

/// The beginning of a revision, for people.
fn short(revision: &str) -> &str {
    let end = revision.len().min("blake3:".len() + 12);
    revision.get(..end).unwrap_or_default()
}
