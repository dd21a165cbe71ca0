//! What an agent does with few rights, and what it tells of those that it lacks.

use std::time::Duration;

use anyhow::{Context, Result};
use canopy_kube::{ApplyError, Bundle, Cluster, Reason};
use canopy_model::Health;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Service};
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use kube::ResourceExt;
use kube::api::{Api, Patch, PatchParams};
use serde_json::{Value, json};

use crate::bed::{Bed, PATIENCE, bundle, delete_completely, kept, until};

/// Grants a user rights in one namespace, or takes back all but these.
async fn grant(bed: &Bed, namespace: &str, user: &str, rules: &Value) -> Result<()> {
    let patch = PatchParams::apply("tests").force();
    let role = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role",
        "metadata": {"name": user.replace(':', ".")}, "rules": rules});
    let roles = Api::<Role>::namespaced(bed.client.clone(), namespace);
    roles.patch(&user.replace(':', "."), &patch, &Patch::Apply(&role)).await?;
    let binding = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
        "metadata": {"name": user.replace(':', ".")},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": user.replace(':', ".")},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user}]});
    let bindings = Api::<RoleBinding>::namespaced(bed.client.clone(), namespace);
    bindings.patch(&user.replace(':', "."), &patch, &Patch::Apply(&binding)).await?;
    Ok(())
}

fn rule(group: &str, resources: &[&str], verbs: &[&str]) -> Value {
    json!({"apiGroups": [group], "resources": resources, "verbs": verbs})
}

const ALL: [&str; 6] = ["get", "list", "watch", "create", "patch", "delete"];

/// An agent that has its inventories, and these rights in the namespace of the test.
async fn narrow_agent(bed: &Bed, namespace: &str, rules: &Value) -> Result<Cluster> {
    let system = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "canopy-system"}});
    let namespaces = Api::<Namespace>::all(bed.client.clone());
    namespaces.patch("canopy-system", &PatchParams::apply("tests"), &Patch::Apply(&system)).await?;
    grant(bed, "canopy-system", namespace, &json!([rule("", &["configmaps"], &ALL)])).await?;
    grant(bed, namespace, namespace, rules).await?;
    bed.as_user(namespace).await
}

/// Applies until it comes to this; rights take a moment until they count.
async fn apply_until(
    cluster: &Cluster,
    bundle: &Bundle,
    wanted: impl Fn(&Result<(), ApplyError>) -> bool,
) -> Result<Result<(), ApplyError>> {
    let applied = async {
        loop {
            let outcome = cluster.apply(bundle).await;
            if wanted(&outcome) {
                return outcome;
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    tokio::time::timeout(PATIENCE, applied).await.context("it never came to that")
}

fn refused(outcome: &Result<(), ApplyError>) -> Option<Vec<String>> {
    let Err(ApplyError::Refused { refusals, .. }) = outcome else { return None };
    Some(refusals.iter().map(ToString::to_string).collect())
}

#[tokio::test]
async fn rights_in_its_namespaces_are_enough() -> Result<()> {
    let Some(bed) = Bed::new("narrow").await? else { return Ok(()) };
    let agent = narrow_agent(&bed, "narrow", &json!([rule("", &["configmaps", "services"], &ALL)])).await?;
    let mut observed = agent.watch();
    let first = bundle(0x111, "r1", vec![bed.config_map("rules", "1"), bed.service("web")]);
    apply_until(&agent, &first, Result::is_ok).await??;
    until(&mut observed, |seen| seen.health == Health::Healthy && !seen.drifted).await?;
    bed.edit::<ConfigMap>("rules", json!({"data": {"speed": "9"}})).await?;
    until(&mut observed, |seen| seen.drifted).await?;

    agent.apply(&bundle(0x111, "r2", vec![bed.config_map("rules", "2")])).await?;
    assert!(bed.api::<Service>().get_opt("web").await?.is_none(), "pruned");
    until(&mut observed, |seen| seen.health == Health::Healthy && !seen.drifted).await?;
    bed.api::<ConfigMap>().delete("rules", &Default::default()).await?;
    until(&mut observed, |seen| seen.health == Health::Missing).await?;
    agent.apply(&bundle(0x111, "r2", vec![bed.config_map("rules", "2")])).await?;

    let restarted = bed.as_user("narrow").await?;
    delete_completely(&restarted, 0x111).await?;
    assert!(bed.api::<ConfigMap>().get_opt("rules").await?.is_none());
    assert!(bed.inventory(0x111).await?.is_none());
    Ok(())
}

#[tokio::test]
async fn a_right_that_is_missing_lost_and_regained_is_told_and_keeps_nothing_else() -> Result<()> {
    let Some(bed) = Bed::new("short").await? else { return Ok(()) };
    let config_maps = rule("", &["configmaps"], &ALL);
    let agent = narrow_agent(&bed, "short", &json!([config_maps])).await?;
    let workload = bundle(0x112, "r1", vec![bed.config_map("rules", "1"), bed.deployment("web", 0, "web:1")]);
    let outcome =
        apply_until(&agent, &workload, |outcome| refused(outcome).is_some_and(|told| told.len() == 1))
            .await?;
    let told = refused(&outcome).context("nothing was refused")?;
    assert_eq!(
        told,
        [
            "Deployment short/web: short may not get deployments: grant it by a Role in namespace short with the \
          rule {apiGroups: [\"apps\"], resources: [\"deployments\"], verbs: [\"get\"]}"
        ]
    );
    assert!(bed.api::<ConfigMap>().get_opt("rules").await?.is_some(), "the other is applied");

    let all = json!([config_maps, rule("apps", &["deployments"], &ALL)]);
    grant(&bed, "short", "short", &all).await?;
    apply_until(&agent, &workload, Result::is_ok).await??;
    let mut observed = agent.watch();
    until(&mut observed, |seen| seen.health == Health::Healthy).await?;

    grant(&bed, "short", "short", &json!([config_maps])).await?;
    let newer = bundle(0x112, "r2", vec![bed.config_map("rules", "2"), bed.deployment("web", 0, "web:1")]);
    apply_until(&agent, &newer, |outcome| refused(outcome).is_some_and(|told| told.len() == 1))
        .await?
        .unwrap_err();
    let rules = bed.api::<ConfigMap>().get("rules").await?;
    assert_eq!(rules.data.context("no data")?["speed"], "2");
    grant(&bed, "short", "short", &all).await?;
    apply_until(&agent, &newer, Result::is_ok).await??;
    delete_completely(&agent, 0x112).await
}

#[tokio::test]
async fn an_executor_gives_its_rights_and_no_others() -> Result<()> {
    let Some(bed) = Bed::new("executor").await? else { return Ok(()) };
    let installer = "system:serviceaccount:executor:installer";
    let without_deletion = ["get", "list", "create", "patch"];
    grant(&bed, "executor", installer, &json!([rule("", &["configmaps"], &without_deletion)])).await?;
    let executor = json!({"executor": {"subject": {"type": "ServiceAccount",
        "serviceAccount": {"namespace": "executor", "name": "installer"}}}});
    let workload = kept(0x113, "r1", vec![bed.config_map("rules", "1"), bed.service("web")], executor)?;
    let outcome =
        apply_until(&bed.cluster, &workload, |outcome| refused(outcome).is_some_and(|told| told.len() == 1))
            .await?;
    let Err(ApplyError::Refused { refusals, .. }) = outcome else { unreachable!("asked for above") };
    let Reason::Forbidden(missing) = &refusals[0].reason else { panic!("{refusals:?}") };
    assert_eq!((missing.user.as_str(), missing.resource.as_str()), (installer, "services"));
    assert!(bed.api::<ConfigMap>().get("rules").await?.labels().contains_key("canopy.dev/workload-uid"));
    assert!(bed.api::<Service>().get_opt("web").await?.is_none(), "the agent's own rights do not count");

    // A new process deletes in the same name.
    let restarted = Cluster::connect(Some(&bed.plane.kubeconfig()), None).await?;
    let error = restarted.delete(canopy_model::Uid(0x113)).await.unwrap_err();
    let source = std::error::Error::source(&error).context("no cause")?.to_string();
    assert!(source.starts_with(&format!("{installer} may not delete configmaps: ")), "{source}");
    grant(&bed, "executor", installer, &json!([rule("", &["configmaps"], &ALL)])).await?;
    let deleted = async {
        while delete_completely(&restarted, 0x113).await.is_err() {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    tokio::time::timeout(PATIENCE, deleted).await.context("never deleted")?;
    assert!(bed.api::<ConfigMap>().get_opt("rules").await?.is_none());
    Ok(())
}
