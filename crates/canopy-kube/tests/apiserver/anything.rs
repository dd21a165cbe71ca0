//! Manifests as other projects ship them: operators with definitions, webhooks and roles that a
//! controller fills, and more objects than fit into one answer.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use canopy_kube::ApplyError;
use canopy_model::Uid;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use k8s_openapi::api::rbac::v1::ClusterRole;
use kube::ResourceExt as _;
use kube::api::{Api, ListParams};
use serde_json::{Value, json};

use crate::bed::{Bed, PATIENCE, bundle, delete_completely};

const OPERATOR: &str = include_str!("operator.yaml");

fn operator() -> Result<Vec<Value>> {
    Ok(serde_saphyr::from_str(OPERATOR)?)
}

fn named<'a>(manifests: &'a mut [Value], kind: &str) -> Result<&'a mut Value> {
    manifests.iter_mut().find(|manifest| manifest["kind"] == kind).with_context(|| format!("no {kind}"))
}

#[tokio::test]
async fn an_operator_with_its_webhook_and_definitions_comes_and_goes() -> Result<()> {
    let Some(bed) = Bed::new("operator-tests").await? else { return Ok(()) };
    let mut manifests = operator()?;
    let of = manifests.len();
    let error = bed.cluster.apply(&bundle(0x121, "r1", manifests.clone())).await.unwrap_err();
    let ApplyError::Refused { refusals, of: all } = &error else { panic!("{error:?}") };
    assert_eq!((all, refusals.len()), (&of, 1), "all but what its webhook refuses: {error}");
    let refusal = refusals[0].to_string();
    assert!(refusal.starts_with("Conveyor conveyors/first: "), "{refusal}");
    assert!(refusal.contains("failed calling webhook"), "{refusal}");

    // The webhook comes up, here by not being asked.
    named(&mut manifests, "ValidatingWebhookConfiguration")?["webhooks"][0]["failurePolicy"] =
        json!("Ignore");
    let workload = bundle(0x121, "r2", manifests);
    let began = Instant::now();
    while let Err(error) = bed.cluster.apply(&workload).await {
        anyhow::ensure!(began.elapsed() < PATIENCE, "never applied: {error:#}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }

    // A controller fills the aggregated role, whatever its manifest says.
    let roles = Api::<ClusterRole>::all(bed.client.clone());
    let filled = async {
        while roles.get("conveyors-admin").await?.rules.unwrap_or_default().is_empty() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        anyhow::Ok(())
    };
    tokio::time::timeout(PATIENCE, filled).await.context("the role was never filled")??;
    let before = roles.get("conveyors-admin").await?.resource_version();
    bed.cluster.apply(&workload).await?;
    let after = roles.get("conveyors-admin").await?.resource_version();
    assert_eq!(after, before, "nobody undoes the controller");

    delete_completely(&bed.cluster, 0x121).await?;
    let namespaces = Api::<Namespace>::all(bed.client.clone());
    assert!(namespaces.get_opt("conveyors").await?.is_none());
    assert!(roles.get_opt("conveyors-admin").await?.is_none());
    assert!(bed.inventory(0x121).await?.is_none());
    Ok(())
}

#[tokio::test]
async fn thousands_of_objects_in_five_mebibytes_come_change_and_go() -> Result<()> {
    const OBJECTS: usize = 2_000;
    let Some(bed) = Bed::new("many").await? else { return Ok(()) };
    let text = "x".repeat(5 * 1024 * 1024 / OBJECTS);
    let manifests: Vec<_> = (0..OBJECTS).map(|n| bed.config_map(&format!("rules-{n}"), &text)).collect();
    bed.cluster.apply(&bundle(0x122, "r1", manifests.clone())).await?;
    let ours = ListParams::default().labels(&format!("canopy.dev/workload-uid={}", Uid(0x122)));
    let count = async || anyhow::Ok(bed.api::<ConfigMap>().list_metadata(&ours).await?.items.len());
    assert_eq!(count().await?, OBJECTS);
    bed.cluster.apply(&bundle(0x122, "r2", manifests[..OBJECTS / 2].to_vec())).await?;
    assert_eq!(count().await?, OBJECTS / 2);
    delete_completely(&bed.cluster, 0x122).await?;
    assert_eq!(count().await?, 0);
    Ok(())
}
