//! The machines of a cluster, as a real API server tells of its nodes.

use anyhow::{Context, Result};
use canopy_kube::Counted;
use canopy_model::Machine;
use k8s_openapi::api::core::v1::Node;
use kube::api::{Api, Patch, PatchParams};
use serde_json::json;
use tokio::sync::mpsc;

use crate::bed::{Bed, PATIENCE};

/// The machine of this name, once it is told in the wanted state; none when it is no longer told.
async fn told(
    counted: &mut mpsc::Receiver<Counted>,
    name: &str,
    wanted: impl Fn(Option<&Machine>) -> bool,
) -> Result<Option<Machine>> {
    let found = async {
        loop {
            let machines = counted.recv().await?.machines.unwrap_or_default();
            let machine = machines.into_values().find(|machine| machine.name == name);
            if wanted(machine.as_ref()) {
                return Some(machine);
            }
        }
    };
    tokio::time::timeout(PATIENCE, found).await.ok().flatten().context("the state was never told")
}

#[tokio::test]
async fn machines_are_told_as_they_come_change_and_go() -> Result<()> {
    let Some(bed) = Bed::new("machines").await? else { return Ok(()) };
    let nodes = Api::<Node>::all(bed.client.clone());
    let mut counted = bed.cluster.watch_machines();
    let node = json!({"metadata": {"name": "robot-cell-7"}, "spec": {"providerID": "k3s://robot-cell-7"}});
    nodes.create(&Default::default(), &serde_json::from_value(node)?).await?;
    let status = json!({"status": {
        "capacity": {"cpu": "8", "memory": "16Gi", "nvidia.com/gpu": "1"},
        "allocatable": {"cpu": "7500m", "memory": "15Gi", "nvidia.com/gpu": "1"},
        "conditions": [{"type": "Ready", "status": "True", "reason": "KubeletReady", "message": ""}],
        "images": [{"names": ["registry.example/vision"], "sizeBytes": 1}],
    }});
    nodes.patch_status("robot-cell-7", &PatchParams::default(), &Patch::Merge(status)).await?;
    let ready = |machine: Option<&Machine>| machine.is_some_and(|machine| machine.ready == Some(true));
    let machine = told(&mut counted, "robot-cell-7", ready).await?.context("it is there")?;
    assert_eq!((machine.capacity["cpu"], machine.allocatable["cpu"]), (8000, 7500));
    assert_eq!(machine.capacity["nvidia.com/gpu"], 1);

    let closed = json!({"spec": {"unschedulable": true}});
    nodes.patch("robot-cell-7", &PatchParams::default(), &Patch::Merge(closed)).await?;
    told(&mut counted, "robot-cell-7", |machine| machine.is_some_and(|it| !it.schedulable)).await?;
    nodes.delete("robot-cell-7", &Default::default()).await?;
    told(&mut counted, "robot-cell-7", |machine| machine.is_none()).await?;
    Ok(())
}
