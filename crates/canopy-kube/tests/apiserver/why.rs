//! What is told of objects: what keeps one that is not well, and what its workload asks to be told.

use anyhow::{Context, Result};
use canopy_model::{FieldValue, Health};
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{Event, Pod, ResourceQuota};
use kube::ResourceExt;
use kube::api::{ListParams, Patch, PatchParams};
use serde_json::{Value, json};

use crate::bed::{Bed, PATIENCE, bundle, kept, until};

/// The first pod that a controller made.
async fn first_pod(bed: &Bed) -> Result<Pod> {
    let pods = bed.api::<Pod>();
    let made = async {
        loop {
            if let Some(pod) = pods.list(&ListParams::default().limit(1)).await?.items.pop() {
                return anyhow::Ok(pod);
            }
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(PATIENCE, made).await.context("no pod was made")?
}

#[tokio::test]
async fn what_keeps_a_pod_is_told_of_its_deployment() -> Result<()> {
    let Some(bed) = Bed::new("why-pods").await? else { return Ok(()) };
    let mut observed = bed.cluster.watch();
    bed.cluster.apply(&bundle(0x101, "r1", vec![bed.deployment("web", 1, "web:1")])).await?;
    let pod = first_pod(&bed).await?;
    let waiting = json!({"waiting": {"reason": "ImagePullBackOff", "message": "Back-off pulling image"}});
    let status = json!({"status": {"phase": "Pending", "containerStatuses": [{"name": "main", "image": "web:1",
        "imageID": "", "ready": false, "restartCount": 0, "state": waiting}]}});
    bed.api::<Pod>().patch_status(&pod.name_any(), &PatchParams::default(), &Patch::Merge(status)).await?;
    let told = until(&mut observed, |seen| seen.message.contains("ImagePullBackOff")).await?;
    assert_eq!(told.health, Health::Progressing);
    assert_eq!(
        told.message,
        format!(
            "Deployment why-pods/web: 0 of 1 replicas available: pod {}: container main: \
             ImagePullBackOff: image web:1 can't be pulled",
            pod.name_any()
        )
    );
    Ok(())
}

#[tokio::test]
async fn a_warning_tells_what_a_pod_does_not() -> Result<()> {
    let Some(bed) = Bed::new("why-events").await? else { return Ok(()) };
    let mut observed = bed.cluster.watch();
    bed.cluster.apply(&bundle(0x102, "r1", vec![bed.deployment("web", 1, "web:1")])).await?;
    let pod = first_pod(&bed).await?;
    let warning: Event = serde_json::from_value(
        json!({"metadata": {"name": "web.1", "namespace": "why-events"},
        "type": "Warning", "reason": "FailedMount", "message": "configmap \"line\" not found",
        "involvedObject": {"kind": "Pod", "namespace": "why-events", "name": pod.name_any(), "uid": pod.uid()}}),
    )?;
    bed.api::<Event>().create(&Default::default(), &warning).await?;
    let told = until(&mut observed, |seen| seen.message.contains("FailedMount")).await?;
    assert!(told.message.ends_with("FailedMount: configmap \"line\" not found"), "{told:?}");
    Ok(())
}

#[tokio::test]
async fn what_keeps_an_object_from_having_pods_is_told() -> Result<()> {
    let Some(bed) = Bed::new("why-quota").await? else { return Ok(()) };
    let none: ResourceQuota = serde_json::from_value(
        json!({"metadata": {"name": "none", "namespace": "why-quota"}, "spec": {"hard": {"pods": "0"}}}),
    )?;
    let quotas = bed.api::<ResourceQuota>();
    quotas.create(&Default::default(), &none).await?;
    quotas
        .patch_status(
            "none",
            &PatchParams::default(),
            &Patch::Merge(json!({"status": {"hard": {"pods": "0"}, "used": {"pods": "0"}}})),
        )
        .await?;
    let mut stateful: Value = bed.deployment("store", 1, "store:1");
    stateful["kind"] = json!("StatefulSet");
    stateful["spec"]["serviceName"] = json!("store");
    let mut observed = bed.cluster.watch();
    bed.cluster.apply(&bundle(0x103, "r1", vec![stateful])).await?;
    let told = until(&mut observed, |seen| seen.message.contains("exceeded quota")).await?;
    assert!(
        told.message.starts_with("StatefulSet why-quota/store: 0 of 1 replicas made: FailedCreate: "),
        "{told:?}"
    );

    bed.cluster.apply(&bundle(0x104, "r1", vec![bed.deployment("web", 1, "web:1")])).await?;
    let told = until(&mut observed, |seen| seen.health == Health::Degraded).await?;
    assert!(
        told.message.starts_with("Deployment why-quota/web: ReplicaFailure=True: FailedCreate: "),
        "{told:?}"
    );
    assert!(told.message.contains("exceeded quota: none"), "{told:?}");
    Ok(())
}

#[tokio::test]
async fn what_a_list_tells_is_judged_by_its_kind() -> Result<()> {
    let Some(bed) = Bed::new("why-list").await? else { return Ok(()) };
    let mut stateful: Value = bed.deployment("store", 1, "store:1");
    stateful["kind"] = json!("StatefulSet");
    stateful["spec"]["serviceName"] = json!("store");
    bed.cluster.apply(&bundle(0x106, "r1", vec![stateful])).await?;
    first_pod(&bed).await?;
    // Its controller has spoken of the pod, so that the list of this watch is newer than the answer.
    let sets = bed.api::<StatefulSet>();
    let made = async {
        while sets.get("store").await?.status.is_none_or(|status| status.replicas == 0) {
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
        anyhow::Ok(())
    };
    tokio::time::timeout(PATIENCE, made).await.context("its status never told of the pod")??;
    let mut observed = bed.cluster.watch();
    let told = until(&mut observed, |seen| seen.message.contains("replicas ready")).await?;
    assert_eq!(told.health, Health::Progressing);
    Ok(())
}

#[tokio::test]
async fn what_a_workload_asks_for_is_told_and_follows_the_object_and_the_rules() -> Result<()> {
    let Some(bed) = Bed::new("why-feedback").await? else { return Ok(()) };
    let rules = |rules: Value| json!({"manifestConfigs": [{"resourceIdentifier": {"kind": "ConfigMap"}, "feedbackRules": rules}]});
    let speed =
        rules(json!([{"type": "JSONPaths", "jsonPaths": [{"name": "speed", "path": ".data.speed"}]}]));
    let workload =
        |upkeep| kept(0x105, "r1", vec![bed.config_map("rules", "1"), bed.config_map("more", "2")], upkeep);
    let text = |text: &str| FieldValue::String(text.to_owned());
    let mut observed = bed.cluster.watch();
    bed.cluster.apply(&workload(speed)?).await?;
    let told = until(&mut observed, |seen| seen.feedback.len() == 2).await?;
    let values: Vec<_> =
        told.feedback.iter().map(|it| (it.object.as_str(), it.name.as_str(), it.value.clone())).collect();
    let expected = [
        ("ConfigMap why-feedback/more", "speed", text("2")),
        ("ConfigMap why-feedback/rules", "speed", text("1")),
    ];
    assert_eq!(values, expected);
    bed.edit::<k8s_openapi::api::core::v1::ConfigMap>("rules", json!({"data": {"speed": "9"}})).await?;
    until(&mut observed, |seen| seen.feedback.get(1).is_some_and(|it| it.value == text("9"))).await?;

    let name =
        rules(json!([{"type": "JSONPaths", "jsonPaths": [{"name": "is", "path": "{.metadata.name}"}]}]));
    bed.cluster.apply(&workload(name)?).await?;
    let told = until(&mut observed, |seen| seen.feedback.iter().all(|it| it.name == "is")).await?;
    assert_eq!(
        told.feedback.iter().map(|it| it.value.clone()).collect::<Vec<_>>(),
        [text("more"), text("rules")]
    );
    Ok(())
}
