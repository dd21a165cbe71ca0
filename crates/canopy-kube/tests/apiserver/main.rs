//! What a real API server does with bundles: one control plane, a namespace for each test.
//!
//! - [`bed`]: that control plane, and what the tests ask of it;
//! - [`guards`]: what is never deleted, never lost, and never waits for another workload;
//! - [`anything`]: manifests as other projects ship them; [`machines`]: the nodes;
//! - [`rights`]: what an agent does with few rights; [`why`]: what is told of objects.

mod anything;
mod bed;
mod guards;
mod machines;
mod rights;
mod why;

use anyhow::{Context, Result};
use bed::{Bed, bundle, delete_completely, held, kept, kinds, revision, until};
use canopy_kube::{ApplyError, Cluster, Reason};
use canopy_model::{Health, Uid};
use canopy_testbed::{ControlPlane, tools};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Service};
use kube::ResourceExt;
use kube::api::Api;
use serde_json::{Value, json};

#[tokio::test]
async fn a_newer_revision_replaces_the_older_and_prunes_what_it_dropped() -> Result<()> {
    let Some(bed) = Bed::new("prune").await? else { return Ok(()) };
    let first = vec![bed.deployment("web", 1, "web:1"), bed.service("web"), bed.config_map("rules", "1")];
    bed.cluster.apply(&bundle(0xa1, "r1", first.clone())).await?;
    let before = bed.api::<Deployment>().get("web").await?;
    assert_eq!(before.labels()["canopy.dev/workload-uid"], Uid(0xa1).to_string());
    let inventory = bed.inventory(0xa1).await?.context("no inventory")?;
    assert_eq!(
        before.labels()["applyset.kubernetes.io/part-of"],
        inventory.labels()["applyset.kubernetes.io/id"]
    );
    assert_eq!(kinds(&inventory), "ConfigMap,Deployment.apps,Service");
    assert_eq!(inventory.annotations()["applyset.kubernetes.io/additional-namespaces"], "prune");

    bed.cluster.apply(&bundle(0xa1, "r1", first)).await?;
    let again = bed.api::<Deployment>().get("web").await?;
    assert_eq!(again.metadata.generation, before.metadata.generation, "applying again changes nothing");

    let second = vec![bed.deployment("web", 1, "web:2"), bed.service("web")];
    bed.cluster.apply(&bundle(0xa1, "r2", second)).await?;
    let live = serde_json::to_value(bed.api::<Deployment>().get("web").await?)?;
    assert_eq!(live["spec"]["template"]["spec"]["containers"][0]["image"], "web:2");
    assert!(bed.api::<ConfigMap>().get_opt("rules").await?.is_none(), "the dropped object is pruned");
    assert!(bed.api::<Service>().get_opt("web").await?.is_some());
    let inventory = bed.inventory(0xa1).await?.context("no inventory")?;
    assert_eq!(kinds(&inventory), "Deployment.apps,Service", "the inventory is narrowed");
    assert_eq!(inventory.annotations()["canopy.dev/revision"], revision("r2").to_string());
    Ok(())
}

#[tokio::test]
async fn drift_is_seen_and_corrected_by_applying_again() -> Result<()> {
    let Some(bed) = Bed::new("drift").await? else { return Ok(()) };
    let manifests = vec![bed.config_map("rules", "1"), bed.service("web"), bed.deployment("web", 0, "web:1")];
    let workload = bundle(0xb1, "r1", manifests);
    let mut observed = bed.cluster.watch();
    for _ in ["an apply", "another one that changes nothing"] {
        bed.cluster.apply(&workload).await?;
        let told = until(&mut observed, |seen| seen.health == Health::Healthy).await?;
        assert!(!told.drifted, "whoever ordered it waits to be told");
    }

    bed.edit::<ConfigMap>("rules", json!({"data": {"added": "by hand"}})).await?;
    bed.edit::<Service>("web", json!({"spec": {"selector": {"app": "other"}}})).await?;
    let seen = until(&mut observed, |seen| seen.drifted).await?;
    assert_eq!(
        seen.message, "Service drift/web was changed by somebody else",
        "a field beside ours is no drift, a changed field is"
    );
    bed.cluster.apply(&workload).await?;
    until(&mut observed, |seen| !seen.drifted).await?;
    let selector = bed.api::<Service>().get("web").await?.spec.and_then(|spec| spec.selector);
    assert_eq!(selector.context("no selector")?["app"], "web");

    bed.api::<ConfigMap>().delete("rules", &Default::default()).await?;
    let seen = until(&mut observed, |seen| seen.drifted).await?;
    assert_eq!(seen.health, Health::Missing);
    assert_eq!(seen.message, "ConfigMap drift/rules: was deleted by somebody else");
    bed.cluster.apply(&workload).await?;
    until(&mut observed, |seen| !seen.drifted && seen.health == Health::Healthy).await?;
    assert!(bed.api::<ConfigMap>().get_opt("rules").await?.is_some());
    Ok(())
}

#[tokio::test]
async fn a_deployment_without_nodes_is_progressing() -> Result<()> {
    let Some(bed) = Bed::new("health").await? else { return Ok(()) };
    let mut observed = bed.cluster.watch();
    bed.cluster.apply(&bundle(0xc1, "r1", vec![bed.deployment("web", 2, "web:1")])).await?;
    let waiting = "Deployment health/web: 0 of 2 replicas available";
    let seen = until(&mut observed, |seen| seen.message == waiting).await?;
    assert_eq!((seen.health, seen.drifted), (Health::Progressing, false));
    Ok(())
}

#[tokio::test]
async fn an_object_of_another_workload_is_a_conflict_and_nothing_changes() -> Result<()> {
    let Some(bed) = Bed::new("conflict").await? else { return Ok(()) };
    bed.cluster.apply(&bundle(0xd1, "r1", vec![bed.config_map("shared", "first")])).await?;
    let second = bundle(0xd2, "r1", vec![bed.config_map("own", "1"), bed.config_map("shared", "second")]);
    let error = bed.cluster.apply(&second).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "ConfigMap conflict/shared belongs to workload workload-d1: remove it from one of the two workloads"
    );
    let ApplyError::Conflict { owner, .. } = error else { panic!("{error:?}") };
    assert_eq!(owner, Uid(0xd1).to_string());
    let shared = bed.api::<ConfigMap>().get("shared").await?;
    assert_eq!(shared.data.context("no data")?["speed"], "first");
    assert!(bed.api::<ConfigMap>().get_opt("own").await?.is_none());
    assert!(bed.inventory(0xd2).await?.is_none());
    Ok(())
}

#[tokio::test]
async fn refused_objects_are_named_and_the_others_are_applied() -> Result<()> {
    let Some(bed) = Bed::new("refused").await? else { return Ok(()) };
    bed.cluster.apply(&bundle(0xe1, "r1", vec![bed.config_map("old", "1"), bed.service("web")])).await?;
    let mut invalid = bed.deployment("invalid", 1, "web:1");
    invalid["spec"]["selector"]["matchLabels"]["app"] = json!("another");
    let mut homeless = bed.config_map("homeless", "1");
    homeless["metadata"]["namespace"] = Value::Null;
    let mut nowhere = bed.config_map("nowhere", "1");
    nowhere["metadata"]["namespace"] = json!("not-there");
    let unknown = json!({"apiVersion": "example.dev/v1", "kind": "Robot", "metadata": {"name": "arm"}});
    let manifests = vec![invalid, homeless, nowhere, unknown, bed.config_map("good", "1")];

    let error = bed.cluster.apply(&bundle(0xe1, "r2", manifests)).await.unwrap_err();
    let ApplyError::Refused { refusals, of: 5 } = error else { panic!("{error:?}") };
    let [homeless, nowhere, invalid, unknown] = &refusals[..] else { panic!("{refusals:?}") };
    assert_eq!(homeless.to_string(), "ConfigMap homeless: names no namespace: set metadata.namespace");
    assert_eq!(
        nowhere.to_string(),
        "ConfigMap not-there/nowhere: namespace not-there does not exist: \
         add it to the workload's manifests or create it"
    );
    assert_eq!(
        unknown.to_string(),
        "Robot arm: the cluster serves no kind Robot in example.dev/v1: install its definition first"
    );
    assert_eq!(invalid.object.to_string(), "Deployment refused/invalid");
    let Reason::Rejected { reason, message } = &invalid.reason else { panic!("{invalid}") };
    assert!(reason == "Invalid" && message.contains("selector"), "{invalid}");

    assert!(bed.api::<ConfigMap>().get_opt("good").await?.is_some(), "the good one is applied");
    assert!(bed.api::<ConfigMap>().get_opt("old").await?.is_some(), "nothing is pruned meanwhile");
    let inventory = bed.inventory(0xe1).await?.context("no inventory")?;
    let complete = &inventory.annotations()["canopy.dev/revision"];
    assert_eq!(*complete, revision("r1").to_string(), "the new revision is not complete");
    assert_eq!(
        kinds(&inventory),
        "ConfigMap,Deployment.apps,Robot.example.dev,Service",
        "the inventory stays wide"
    );
    Ok(())
}

#[tokio::test]
async fn delete_takes_what_is_ours_and_nothing_else() -> Result<()> {
    let Some(bed) = Bed::new("delete").await? else { return Ok(()) };
    let foreign = serde_json::from_value(bed.config_map("foreign", "1"))?;
    bed.api::<ConfigMap>().create(&Default::default(), &foreign).await?;
    let manifests =
        vec![bed.deployment("web", 1, "web:1"), bed.config_map("ours", "1"), bed.config_map("taken", "1")];
    bed.cluster.apply(&bundle(0xf1, "r1", manifests)).await?;
    let other_uid = json!({"metadata": {"labels": {"canopy.dev/workload-uid": "somebody-else"}}});
    bed.edit::<ConfigMap>("taken", other_uid).await?;

    delete_completely(&bed.cluster, 0xf1).await?;
    assert!(bed.api::<Deployment>().get_opt("web").await?.is_none());
    assert!(bed.api::<ConfigMap>().get_opt("ours").await?.is_none());
    assert!(bed.api::<ConfigMap>().get_opt("taken").await?.is_some(), "its label names somebody else");
    assert!(bed.api::<ConfigMap>().get_opt("foreign").await?.is_some());
    assert!(bed.inventory(0xf1).await?.is_none());
    assert!(bed.cluster.delete(Uid(0xf1)).await?.is_done(), "deleting again is done at once");
    Ok(())
}

#[tokio::test]
async fn a_new_process_finds_and_deletes_what_an_old_one_applied() -> Result<()> {
    let Some(bed) = Bed::new("restart").await? else { return Ok(()) };
    let workload = bundle(0x11, "r1", vec![bed.config_map("rules", "1"), bed.deployment("web", 1, "web:1")]);
    bed.cluster.apply(&workload).await?;

    let restarted = Cluster::connect(Some(&bed.plane.kubeconfig()), None).await?;
    let found = held(&restarted, 0x11).await?.context("not listed")??;
    assert_eq!(found.name, workload.name);
    assert_eq!((found.home, found.placements), (workload.home, workload.placements));
    assert_eq!(found.revision, Some(workload.revision));
    delete_completely(&restarted, 0x11).await?;
    assert!(bed.api::<Deployment>().get_opt("web").await?.is_none());
    assert!(held(&restarted, 0x11).await?.is_none());
    Ok(())
}

#[tokio::test]
async fn namespaces_and_definitions_come_before_what_needs_them() -> Result<()> {
    let Some(bed) = Bed::new("order").await? else { return Ok(()) };
    let robot = json!({"apiVersion": "factory.example/v1", "kind": "Robot",
        "metadata": {"name": "arm", "namespace": "order-made"}, "spec": {"axes": 6}});
    let definition = json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "robots.factory.example"},
        "spec": {"group": "factory.example", "scope": "Namespaced",
            "names": {"plural": "robots", "singular": "robot", "kind": "Robot"},
            "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema":
                {"type": "object", "x-kubernetes-preserve-unknown-fields": true}}}]}});
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "order-made"}});
    bed.cluster.apply(&bundle(0x21, "r1", vec![robot, definition, namespace])).await?;
    delete_completely(&bed.cluster, 0x21).await?;
    assert!(Api::<Namespace>::all(bed.client.clone()).get_opt("order-made").await?.is_none());
    Ok(())
}

#[tokio::test]
async fn each_object_is_kept_as_its_workload_asks() -> Result<()> {
    let Some(bed) = Bed::new("strategies").await? else { return Ok(()) };
    let create = |name: &str| serde_json::from_value::<ConfigMap>(bed.config_map(name, "theirs"));
    bed.api::<ConfigMap>().create(&Default::default(), &create("watched")?).await?;
    let strategy = |name: &str, strategy: Value| json!({"resourceIdentifier": {"kind": "ConfigMap", "name": name}, "updateStrategy": strategy});
    let upkeep = json!({"manifestConfigs": [
        strategy("once", json!({"type": "CreateOnly"})),
        strategy("merged", json!({"type": "Update"})),
        strategy("watched", json!({"type": "ReadOnly"})),
        strategy("polite", json!({"serverSideApply": {"force": false}})),
        strategy("scaled", json!({"serverSideApply": {"ignoreFields": [{"jsonPaths": [".data.speed"]}]}})),
    ]});
    let names = ["once", "merged", "watched", "polite", "scaled"];
    let workload = |revision: &str, value: &str| {
        kept(0x61, revision, names.map(|name| bed.config_map(name, value)).to_vec(), upkeep.clone())
    };
    let mut observed = bed.cluster.watch();
    bed.cluster.apply(&workload("r1", "1")?).await?;
    until(&mut observed, |seen| seen.health == Health::Healthy && !seen.drifted).await?;
    bed.edit::<ConfigMap>("scaled", json!({"data": {"speed": "9"}})).await?;
    bed.edit::<ConfigMap>("polite", json!({"data": {"speed": "9"}})).await?;

    let error = bed.cluster.apply(&workload("r2", "2")?).await.unwrap_err();
    let ApplyError::Refused { refusals, .. } = error else { panic!("{error:?}") };
    let [polite] = &refusals[..] else { panic!("{refusals:?}") };
    assert!(polite.to_string().contains("conflict with \"by-hand\""), "{polite}");
    let mut speeds = Vec::new();
    for name in names {
        let data = bed.api::<ConfigMap>().get(name).await?.data.context("no data")?;
        speeds.push((name, data["speed"].clone()));
    }
    let wanted = [("once", "1"), ("merged", "2"), ("watched", "theirs"), ("polite", "9"), ("scaled", "9")];
    assert_eq!(speeds, wanted.map(|(name, speed)| (name, speed.to_owned())));

    let gone = "ConfigMap strategies/watched: was deleted by somebody else";
    bed.api::<ConfigMap>().delete("watched", &Default::default()).await?;
    until(&mut observed, |seen| seen.message == gone && seen.health == Health::Missing).await?;
    bed.api::<ConfigMap>().create(&Default::default(), &create("watched")?).await?;
    delete_completely(&bed.cluster, 0x61).await?;
    assert!(bed.api::<ConfigMap>().get_opt("once").await?.is_none());
    assert!(bed.api::<ConfigMap>().get_opt("watched").await?.is_some(), "it never was ours");
    Ok(())
}

#[tokio::test]
async fn what_is_to_be_orphaned_stays() -> Result<()> {
    let Some(bed) = Bed::new("orphan").await? else { return Ok(()) };
    let upkeep = json!({"deleteOption": {"propagationPolicy": "SelectivelyOrphan",
        "selectivelyOrphans": {"orphaningRules": [{"kind": "ConfigMap", "name": "kept"}]}}});
    let manifests = vec![bed.config_map("kept", "1"), bed.config_map("taken", "1")];
    bed.cluster.apply(&kept(0x71, "r1", manifests, upkeep)?).await?;
    // A new process finds the rule in the inventory.
    delete_completely(&Cluster::connect(Some(&bed.plane.kubeconfig()), None).await?, 0x71).await?;
    assert!(bed.api::<ConfigMap>().get_opt("taken").await?.is_none());
    let stays = bed.api::<ConfigMap>().get("kept").await?;
    assert!(!stays.labels().contains_key("canopy.dev/workload-uid"), "and is nobody's");
    Ok(())
}

#[tokio::test]
async fn a_field_that_cannot_change_says_so_and_the_object_is_made_anew_when_asked() -> Result<()> {
    let Some(bed) = Bed::new("immutable").await? else { return Ok(()) };
    let selecting = |app: &str| {
        let mut deployment = bed.deployment("web", 0, "web:1");
        deployment["spec"]["selector"]["matchLabels"]["app"] = json!(app);
        deployment["spec"]["template"]["metadata"]["labels"]["app"] = json!(app);
        vec![deployment]
    };
    bed.cluster.apply(&bundle(0x81, "r1", selecting("a"))).await?;
    let before = bed.api::<Deployment>().get("web").await?.uid();
    let error = bed.cluster.apply(&bundle(0x81, "r2", selecting("b"))).await.unwrap_err();
    let told = error.to_string();
    assert!(told.contains("immutable") && told.contains("updateStrategy.recreate"), "{told}");
    assert_eq!(bed.api::<Deployment>().get("web").await?.uid(), before);

    let upkeep = json!({"manifestConfigs": [
        {"resourceIdentifier": {"kind": "Deployment"}, "updateStrategy": {"recreate": true}}]});
    bed.cluster.apply(&kept(0x81, "r2", selecting("b"), upkeep)?).await?;
    assert_ne!(bed.api::<Deployment>().get("web").await?.uid(), before);
    Ok(())
}

#[tokio::test]
async fn a_namespace_is_deleted_by_its_maker_once_nobody_else_uses_it() -> Result<()> {
    let Some(bed) = Bed::new("was-there").await? else { return Ok(()) };
    let namespaces = Api::<Namespace>::all(bed.client.clone());
    let manifests = |namespace: &str, name: &str| {
        let mut rules = bed.config_map(name, "1");
        rules["metadata"]["namespace"] = json!(namespace);
        vec![
            json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace, "labels": {"tier": name}}}),
            rules,
        ]
    };
    bed.cluster.apply(&bundle(0x51, "r1", manifests("was-there", "a"))).await?;
    assert_eq!(namespaces.get("was-there").await?.labels()["tier"], "a");
    delete_completely(&bed.cluster, 0x51).await?;
    assert!(namespaces.get("was-there").await?.metadata.deletion_timestamp.is_none(), "it was there before");

    bed.cluster.apply(&bundle(0x52, "r1", manifests("shared", "a"))).await?;
    bed.cluster.apply(&bundle(0x53, "r1", manifests("shared", "b"))).await?;
    delete_completely(&bed.cluster, 0x52).await?;
    let shared = namespaces.get("shared").await?;
    assert!(shared.metadata.deletion_timestamp.is_none(), "another workload uses it");
    let rules = Api::<ConfigMap>::namespaced(bed.client.clone(), "shared");
    assert!(rules.get_opt("a").await?.is_none() && rules.get_opt("b").await?.is_some());

    bed.cluster.apply(&bundle(0x54, "r1", manifests("made", "a"))).await?;
    delete_completely(&bed.cluster, 0x54).await?;
    assert!(namespaces.get_opt("made").await?.is_none(), "its maker takes it away");
    Ok(())
}

#[tokio::test]
async fn a_cluster_says_what_it_is() -> Result<()> {
    let Some(bed) = Bed::new("claims").await? else { return Ok(()) };
    let claims = bed.cluster.claims().await?;
    let system = Api::<Namespace>::all(bed.client.clone()).get("kube-system").await?;
    assert_eq!(Some(&claims["id.k8s.io"]), system.uid().as_ref());
    assert!(claims["kubeversion"].starts_with("v1."), "{claims:?}");
    assert_eq!((claims["product"].as_str(), claims["platform"].as_str()), ("Other", "Other"));
    Ok(())
}

#[tokio::test]
async fn the_example_is_accepted_by_a_cluster() -> Result<()> {
    let Some(bed) = Bed::new("example").await? else { return Ok(()) };
    let text = include_str!("../../../../deploy/examples/line-reconfiguration/workload.yaml");
    let workload: Value = serde_saphyr::from_str(text)?;
    let manifests = workload["spec"]["manifests"].as_array().context("no manifests")?.clone();
    bed.cluster.apply(&bundle(0x31, "r1", manifests)).await?;
    Ok(())
}

#[tokio::test]
async fn a_watch_survives_a_crash_of_the_api_server() -> Result<()> {
    let Some(tools) = tools() else { return Ok(()) };
    let mut plane = ControlPlane::start(&tools, "crash").await?;
    let cluster = Cluster::connect(Some(&plane.kubeconfig()), None).await?;
    let rules = json!({"apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": "rules", "namespace": "default"}, "data": {"speed": "1"}});
    let workload = bundle(0x41, "r1", vec![rules]);
    let mut observed = cluster.watch();
    cluster.apply(&workload).await?;
    until(&mut observed, |seen| seen.health == Health::Healthy).await?;

    plane.kill();
    let error = cluster.apply(&workload).await.unwrap_err();
    assert!(matches!(error, ApplyError::Failed(_)), "{error:?}");
    plane.resume().await?;
    let config_maps = Api::<ConfigMap>::namespaced(plane.client().await?, "default");
    config_maps.delete("rules", &Default::default()).await?;
    let seen = until(&mut observed, |seen| seen.drifted).await?;
    assert_eq!(seen.health, Health::Missing);
    cluster.apply(&workload).await?;
    until(&mut observed, |seen| !seen.drifted && seen.health == Health::Healthy).await?;
    Ok(())
}
