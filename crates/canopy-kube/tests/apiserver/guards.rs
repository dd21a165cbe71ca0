//! What is never deleted, never lost, and never waits for another workload.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use canopy_kube::{ApplyError, Cluster, Reason};
use canopy_model::{Health, Uid};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::ResourceExt;
use kube::api::{Api, ListParams, Patch, PatchParams};
use serde_json::{Value, json};

use crate::bed::{Bed, PATIENCE, bundle, delete_completely, held, kept, kinds, until};

#[tokio::test]
async fn an_inventory_that_somebody_spoilt_stops_its_workload_and_no_other() -> Result<()> {
    let Some(bed) = Bed::new("spoilt").await? else { return Ok(()) };
    let workload = |uid, name: &str| bundle(uid, "r1", vec![bed.config_map(name, "1")]);
    bed.cluster.apply(&workload(0xa2, "a")).await?;
    bed.cluster.apply(&workload(0xb2, "b")).await?;
    let name = bed.inventory(0xa2).await?.context("no inventory")?.name_any();
    let set = async |placements: &str| {
        let spoilt = json!({"metadata": {"annotations": {"canopy.dev/placements": placements}}});
        let inventories = Api::<ConfigMap>::namespaced(bed.client.clone(), "canopy-system");
        inventories.patch(&name, &PatchParams::default(), &Patch::Merge(spoilt)).await
    };
    set("everywhere").await?;

    let restarted = Cluster::connect(Some(&bed.plane.kubeconfig()), None).await?;
    assert!(held(&restarted, 0xa2).await?.context("left out")?.is_err());
    assert!(held(&restarted, 0xb2).await?.context("left out")?.is_ok());
    assert!(restarted.delete(Uid(0xa2)).await.is_err(), "it is not gone");
    assert!(restarted.apply(&bundle(0xa2, "r2", vec![bed.service("a")])).await.is_err());
    let inventory = bed.inventory(0xa2).await?.context("no inventory")?;
    assert_eq!(kinds(&inventory), "ConfigMap", "what it may hold is not forgotten");
    delete_completely(&restarted, 0xb2).await?;

    set("").await?;
    delete_completely(&restarted, 0xa2).await?;
    assert!(bed.api::<ConfigMap>().get_opt("a").await?.is_none());
    Ok(())
}

fn definition(scope: &str) -> Value {
    json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "lathes.guards.example"},
        "spec": {"group": "guards.example", "scope": scope,
            "names": {"plural": "lathes", "singular": "lathe", "kind": "Lathe"},
            "versions": [{"name": "v1", "served": true, "storage": true,
                "schema": {"openAPIV3Schema": {"type": "object"}}}]}})
}

#[tokio::test]
async fn only_what_the_workload_made_is_made_anew() -> Result<()> {
    let Some(bed) = Bed::new("not-ours").await? else { return Ok(()) };
    let definitions = Api::<CustomResourceDefinition>::all(bed.client.clone());
    let there = serde_json::from_value(definition("Cluster"))?;
    let there = definitions.create(&Default::default(), &there).await?;
    let mut web = bed.deployment("web", 0, "web:1");
    let before = serde_json::from_value::<Deployment>(web.clone())?;
    let before = bed.api::<Deployment>().create(&Default::default(), &before).await?;
    web["spec"]["selector"]["matchLabels"]["app"] = json!("other");
    web["spec"]["template"]["metadata"]["labels"]["app"] = json!("other");

    let anew = json!({"manifestConfigs": [{"updateStrategy": {"recreate": true}, "resourceIdentifier": {}}]});
    let workload = kept(0xc2, "r1", vec![definition("Namespaced"), web], anew)?;
    let error = bed.cluster.apply(&workload).await.unwrap_err();
    let ApplyError::Refused { refusals, .. } = error else { panic!("{error:?}") };
    assert_eq!(refusals.len(), 2, "{refusals:?}");
    assert!(refusals.iter().all(|refusal| matches!(refusal.reason, Reason::Immutable(_))), "{refusals:?}");
    assert_eq!(definitions.get("lathes.guards.example").await?.uid(), there.uid());
    assert_eq!(bed.api::<Deployment>().get("web").await?.uid(), before.uid());
    Ok(())
}

#[tokio::test]
async fn what_a_controller_made_with_our_labels_is_neither_pruned_nor_deleted() -> Result<()> {
    let Some(bed) = Bed::new("mirrored").await? else { return Ok(()) };
    let own = json!({"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
        "metadata": {"name": "own", "namespace": "mirrored"}, "endpoints": [{"addresses": ["10.0.0.1"]}]});
    let workload = bundle(0xd3, "r1", vec![bed.service("web"), own]);
    bed.cluster.apply(&workload).await?;
    let ours = ListParams::default().labels("kubernetes.io/service-name=web,canopy.dev/workload-uid");
    let began = Instant::now();
    let made = loop {
        let slices = bed.api::<EndpointSlice>().list(&ours).await?;
        match slices.items.into_iter().next() {
            Some(slice) => break slice,
            None if began.elapsed() > PATIENCE => bail!("no controller made a slice with our labels"),
            None => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    };
    bed.cluster.apply(&workload).await?;
    let still = bed.api::<EndpointSlice>().get(&made.name_any()).await?;
    assert_eq!((still.uid(), still.metadata.deletion_timestamp), (made.uid(), None));
    delete_completely(&bed.cluster, 0xd3).await?;
    assert!(bed.api::<EndpointSlice>().get_opt("own").await?.is_none());
    assert!(bed.api::<Service>().get_opt("web").await?.is_none());
    Ok(())
}

#[tokio::test]
async fn no_workload_waits_for_what_hinders_another() -> Result<()> {
    let Some(bed) = Bed::new("stuck").await? else { return Ok(()) };
    let mut stuck = bed.config_map("stuck", "1");
    stuck["metadata"]["finalizers"] = json!(["guards.example/never"]);
    stuck["immutable"] = json!(true);
    let anew = json!({"manifestConfigs": [{"updateStrategy": {"recreate": true}, "resourceIdentifier": {}}]});
    bed.cluster.apply(&kept(0xe2, "r1", vec![stuck.clone()], anew.clone())?).await?;
    stuck["data"]["speed"] = json!("2");
    let slow = kept(0xe2, "r2", vec![stuck], anew)?;
    let other = bundle(0xf2, "r1", vec![bed.config_map("other", "1")]);
    tokio::select! {
        biased;
        slow = bed.cluster.apply(&slow) => bail!("the finalizer did not hinder it: {slow:?}"),
        other = bed.cluster.apply(&other) => other?,
    }
    let left = bed.cluster.delete(Uid(0xe2)).await?;
    assert_eq!(left.remaining.len(), 1, "it says at once what is left");
    delete_completely(&bed.cluster, 0xf2).await?;
    bed.edit::<ConfigMap>("stuck", json!({"metadata": {"finalizers": []}})).await?;
    delete_completely(&bed.cluster, 0xe2).await
}

#[tokio::test]
async fn what_may_not_be_watched_names_the_missing_right() -> Result<()> {
    let Some(bed) = Bed::new("blind").await? else { return Ok(()) };
    let rule = |resource: &str| json!({"apiGroups": [""], "resources": [resource], "verbs": ["get", "list", "create", "patch"]});
    let role = json!({"metadata": {"name": "blind"}, "rules": [rule("configmaps"), rule("namespaces")]});
    let binding = json!({"metadata": {"name": "blind"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "blind"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "blind"}]});
    let roles = Api::<ClusterRole>::all(bed.client.clone());
    roles.create(&Default::default(), &serde_json::from_value(role)?).await?;
    let bindings = Api::<ClusterRoleBinding>::all(bed.client.clone());
    bindings.create(&Default::default(), &serde_json::from_value(binding)?).await?;
    let blind = bed.as_user("blind").await?;

    let mut observed = blind.watch();
    let rules = bundle(0xa3, "r1", vec![bed.config_map("rules", "1")]);
    let began = Instant::now();
    while let Err(error) = blind.apply(&rules).await {
        anyhow::ensure!(began.elapsed() < PATIENCE, "its rights never took effect: {error:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let told = until(&mut observed, |seen| seen.health == Health::Unknown).await?;
    assert_eq!(
        told.message,
        "ConfigMap blind/rules: what becomes of it is not seen: blind may not watch configmaps: grant it by a \
         Role in namespace blind with the rule {apiGroups: [\"\"], resources: [\"configmaps\"], verbs: [\"watch\"]}"
    );
    assert_eq!(blind.claims().await?["platform"], "Other", "nodes may not be listed");
    let counted = blind.watch_machines().recv().await.context("nothing is told")?;
    assert_eq!(counted.machines, None);
    assert!(counted.inventory.problem.contains("may not list nodes"), "{counted:?}");
    Ok(())
}
