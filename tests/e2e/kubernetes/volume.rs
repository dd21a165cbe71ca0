//! An agent that runs as a pod of its own cluster: its volume may go, and its cluster may be another one.

use std::fs;

use anyhow::{Context as _, Result};
use canopy_testbed::{Cluster, Fleet, Machines, Place, bed, tools, until};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Namespace, Pod, Secret};
use kube::api::{ListParams, Patch, PatchParams};
use kube::{Api, Client, ResourceExt as _};
use serde_json::json;

use super::runs;
use crate::{PLACEMENT, workload};

#[tokio::test]
async fn an_agent_whose_volume_is_gone_is_the_same_agent_and_its_work_stays() -> Result<()> {
    let (Some(tools), Some(mut bed)) = (tools(), bed()?) else { return Ok(()) };
    let [root, eu, press] = ["v-root", "v-eu", "v-press"].map(|name| bed.site(name));
    let (root, eu, press) = (root?, eu?, press?);
    let cluster = Cluster::start(&tools, &press, Machines::None).await?;
    let client = cluster.plane.client().await?;
    let mut fleet = Fleet::start_at([Place::Site(root), Place::Site(eu)]).await?;
    let told = story(&mut fleet, &cluster, &client).await;
    fleet.explain(&told, &["root", "eu", "v-press"]);
    told
}

async fn story(fleet: &mut Fleet, cluster: &Cluster, client: &Client) -> Result<()> {
    let system = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "canopy-system"}});
    let namespaces = Api::<Namespace>::all(client.clone());
    namespaces.patch("canopy-system", &PatchParams::apply("installer"), &Patch::Apply(&system)).await?;
    fleet.add_agent_with("eu", cluster, "cnc", &["--identity-secret", "canopy-system/canopy-agent"]).await?;
    let secrets = Api::<Secret>::namespaced(client.clone(), "canopy-system");
    until("the identity in its Secret", async || Ok(secrets.get_opt("canopy-agent").await?.map(drop)))
        .await?;

    let placement = fleet.file("placement.yaml", PLACEMENT)?;
    let first = fleet.file("first.yaml", &workload("proposals:1", Some("slow")))?;
    fleet.ask(&["apply", "-f", &placement, "-f", &first])?;
    runs("placed", client, Some("proposals:1")).await?;
    let deployments = Api::<Deployment>::namespaced(client.clone(), "default");
    let before = deployments.get("proposals").await?.uid();
    explains_what_keeps_a_pod(fleet, client).await?;

    fleet.kill("v-press")?;
    fs::remove_dir_all(fleet.data("v-press"))?;
    fleet.restart("v-press")?;
    let second = fleet.file("second.yaml", &workload("proposals:2", Some("fast")))?;
    fleet.ask(&["apply", "-f", &second])?;
    runs("updated by the same agent", client, Some("proposals:2")).await?;
    assert_eq!(deployments.get("proposals").await?.uid(), before, "nothing was deleted meanwhile");

    another_cluster(fleet, client).await
}

/// What a kubelet says of a pod is read at the root.
async fn explains_what_keeps_a_pod(fleet: &Fleet, client: &Client) -> Result<()> {
    let pods = Api::<Pod>::namespaced(client.clone(), "default");
    let pod = until("a pod", async || Ok(pods.list(&ListParams::default()).await?.items.pop())).await?;
    let waiting = json!({"reason": "ErrImagePull", "message": "proposals:1: not found"});
    let status = json!({"status": {"phase": "Pending", "containerStatuses": [{"name": "serve",
        "image": "proposals:1", "imageID": "", "ready": false, "restartCount": 0, "state": {"waiting": waiting}}]}});
    pods.patch_status(&pod.name_any(), &PatchParams::default(), &Patch::Merge(status)).await?;
    let why = "container serve: ImagePullBackOff: image proposals:1 can't be pulled: proposals:1: not found";
    until("why the pod does not start, at the root", async || {
        Ok(fleet.ask(&["describe", "workload", "proposals"])?.contains(why).then_some(()))
    })
    .await
}

/// Behind the address stands another cluster than before: it is told, and left as it is.
async fn another_cluster(fleet: &mut Fleet, client: &Client) -> Result<()> {
    let id = format!("{}/cluster-id", fleet.data("v-press"));
    let known = fs::read_to_string(&id).context("the agent noted no cluster")?;
    fleet.kill("v-press")?;
    fs::write(&id, "00000000-0000-0000-0000-000000000001\n")?;
    fleet.restart("v-press")?;
    let third = fleet.file("third.yaml", &workload("proposals:3", None))?;
    fleet.ask(&["apply", "-f", &third])?;
    until("that it is another cluster", async || {
        Ok(fleet
            .ask(&["describe", "workload", "proposals"])?
            .contains("this is another cluster")
            .then_some(()))
    })
    .await?;
    runs("as it was", client, Some("proposals:2")).await?;
    fs::write(&id, known)?;
    runs("updated once it is the right one again", client, Some("proposals:3")).await
}
