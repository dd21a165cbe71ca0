//! The main job on real Kubernetes: a root, a region and two agents, each a process at a site of its
//! own, with two real control planes. Everything is read from the clusters themselves.
//!
//! - [`charts`], [`installed`]: hub and agents as an administrator installs them;
//! - [`interruption`]: requests to pods on real nodes, none of which may fail;
//! - [`volume`]: an agent whose volume is gone, or whose cluster is another one.

mod charts;
mod installed;
mod interruption;
mod volume;

use anyhow::Result;
use canopy_testbed::{Cluster, Cut, Fleet, Machines, Place, Site, bed, tools, until};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Client};

use crate::{PLACEMENT, workload};

async fn deployment(client: &Client) -> Result<Option<Deployment>> {
    Ok(Api::namespaced(client.clone(), "default").get_opt("proposals").await?)
}

/// The image that is wanted of the cluster, whether its controllers know yet or not.
async fn image(client: &Client) -> Result<Option<String>> {
    let pod = deployment(client).await?.and_then(|deployment| deployment.spec.template.spec);
    Ok(pod.and_then(|pod| pod.containers.into_iter().next()?.image))
}

/// Waits until a cluster is asked for an image, or for none, and its controllers have heard of it.
async fn runs(what: &str, client: &Client, wanted: Option<&str>) -> Result<()> {
    until(what, async || {
        let observed = deployment(client).await?.is_none_or(|deployment| {
            let observed = deployment.status.and_then(|status| status.observed_generation);
            observed.is_some() && observed == deployment.metadata.generation
        });
        Ok((observed && image(client).await?.as_deref() == wanted).then_some(()))
    })
    .await
}

async fn rules(client: &Client, name: &str) -> Result<Option<String>> {
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), "default");
    Ok(maps.get_opt(name).await?.and_then(|map| map.data?.remove("spindle")))
}

#[tokio::test]
async fn a_workload_follows_labels_through_faults_and_vanishes() -> Result<()> {
    let (Some(tools), Some(mut bed)) = (tools(), bed()?) else { return Ok(()) };
    let [root, eu, left, right] = ["root", "eu", "press-a", "press-b"].map(|name| bed.site(name));
    let (root, eu, left, right) = (root?, eu?, left?, right?);
    let (left, right) = tokio::try_join!(
        Cluster::start(&tools, &left, Machines::None),
        Cluster::start(&tools, &right, Machines::None)
    )?;
    let (a, b) = (left.plane.client().await?, right.plane.client().await?);
    let mut fleet = Fleet::start_at([Place::Site(root), Place::Site(eu.clone())]).await?;
    fleet.add_agent("eu", &left, "cnc").await?;
    fleet.add_agent("eu", &right, "paint").await?;
    let told = story(&mut fleet, &eu, &a, &b).await;
    fleet.explain(&told, &["root", "eu", "press-a", "press-b"]);
    told
}

async fn story(fleet: &mut Fleet, eu: &Site, a: &Client, b: &Client) -> Result<()> {
    let maps: Api<ConfigMap> = Api::namespaced(b.clone(), "default");
    let foreign = serde_json::from_value(
        serde_json::json!({"metadata": {"name": "foreign"}, "data": {"spindle": "mine"}}),
    )?;
    maps.create(&PostParams::default(), &foreign).await?;

    let placement = fleet.file("placement.yaml", PLACEMENT)?;
    let first = fleet.file("first.yaml", &workload("proposals:1", Some("slow")))?;
    fleet.ask(&["apply", "-f", &placement, "-f", &first])?;
    runs("placed by its label", a, Some("proposals:1")).await?;
    assert_eq!(image(b).await?, None);

    fleet.ask(&["label", "cluster", "eu/press-b", "line=cnc", "--overwrite"])?;
    fleet.ask(&["label", "cluster", "eu/press-a", "line=paint", "--overwrite"])?;
    runs("deployed where the label went", b, Some("proposals:1")).await?;
    runs("removed where the label was", a, None).await?;
    assert_eq!(rules(a, "rules").await?, None);

    let second = fleet.file("second.yaml", &workload("proposals:2", Some("fast")))?;
    fleet.ask(&["apply", "-f", &second])?;
    runs("rolled to the update", b, Some("proposals:2")).await?;

    let edit = Patch::Merge(serde_json::json!({"data": {"spindle": "by hand"}}));
    maps.patch("rules", &PatchParams::default(), &edit).await?;
    until(
        "drift corrected",
        async || Ok((rules(b, "rules").await?.as_deref() == Some("fast")).then_some(())),
    )
    .await?;

    let third = fleet.file("third.yaml", &workload("proposals:3", None))?;
    fleet.ask(&["apply", "-f", &third])?;
    runs("rolled again", b, Some("proposals:3")).await?;
    until("pruned", async || Ok(rules(b, "rules").await?.is_none().then_some(()))).await?;

    eu.cut(Cut::Both)?;
    let fourth = fleet.file("fourth.yaml", &workload("proposals:4", None))?;
    fleet.ask(&["apply", "-f", &fourth])?;
    fleet.kill("eu")?;
    fleet.kill("press-b")?;
    fleet.restart("eu")?;
    fleet.restart("press-b")?;
    maps.patch(
        "foreign",
        &PatchParams::default(),
        &Patch::Merge(serde_json::json!({"data": {"cut": "yes"}})),
    )
    .await?;
    let deployments: Api<Deployment> = Api::namespaced(b.clone(), "default");
    let scale = Patch::Merge(serde_json::json!({"spec": {"replicas": 7}}));
    deployments.patch("proposals", &PatchParams::default(), &scale).await?;
    let replicas = async || anyhow::Ok(deployments.get("proposals").await?.spec.replicas);
    until(
        "drift corrected while the root is away",
        async || Ok((replicas().await? == Some(2)).then_some(())),
    )
    .await?;
    assert_eq!(image(b).await?.as_deref(), Some("proposals:3"), "the cut line let an update through");
    eu.mend()?;
    runs("caught up after the cut", b, Some("proposals:4")).await?;

    fleet.ask(&["delete", "workload", "proposals"])?;
    runs("deleted", b, None).await?;
    assert_eq!(rules(b, "foreign").await?.as_deref(), Some("mine"), "what is not ours stays");
    until("its name is free", async || {
        Ok((!fleet.canopy(&["get", "workload", "proposals"])?.status.success()).then_some(()))
    })
    .await
}
