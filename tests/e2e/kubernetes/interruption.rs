//! Zero interruption, measured: a client that retries nothing asks pods on real nodes, through each
//! cluster's own Service, while versions roll and labels move.

use std::net::SocketAddr;
use std::time::Instant;

use anyhow::{Result, ensure};
use canopy_testbed::{Cluster, Fleet, Images, Load, Machines, Outcome, POD_IMAGE, Place, bed, tools, until};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Pod;
use kube::api::ListParams;
use kube::{Api, Client};

/// The ports of the two Services on every node.
const WEB: u16 = 30080;
const SHOP: u16 = 30081;

/// A Deployment as its makers mean it: ready before it is asked, asked no longer before it ends.
fn workload(name: &str, version: &str, port: u16) -> String {
    format!(
        "apiVersion: canopy.dev/v1alpha1
kind: Placement
metadata: {{name: {name}}}
spec:
  predicates:
    - requiredClusterSelector: {{labelSelector: {{matchLabels: {{{name}: here}}}}}}
---
apiVersion: canopy.dev/v1alpha1
kind: Workload
metadata: {{name: {name}}}
spec:
  placements: [{{name: {name}}}]
  manifests:
    - apiVersion: v1
      kind: Service
      metadata: {{name: {name}, namespace: default}}
      spec:
        type: NodePort
        selector: {{app: {name}}}
        ports: [{{port: 80, targetPort: 8080, nodePort: {port}}}]
    - apiVersion: apps/v1
      kind: Deployment
      metadata: {{name: {name}, namespace: default}}
      spec:
        replicas: 2
        strategy: {{rollingUpdate: {{maxUnavailable: 0, maxSurge: 1}}}}
        selector: {{matchLabels: {{app: {name}}}}}
        template:
          metadata: {{labels: {{app: {name}}}}}
          spec:
            terminationGracePeriodSeconds: 20
            containers:
              - name: serve
                image: {POD_IMAGE}
                imagePullPolicy: Never
                env: [{{name: VERSION, value: {version}}}]
                readinessProbe: {{httpGet: {{path: /readyz, port: 8080}}, periodSeconds: 1}}
                lifecycle: {{preStop: {{sleep: {{seconds: 4}}}}}}
"
    )
}

/// Waits until a cluster runs this version of a workload and nothing else of it.
async fn settled(client: &Client, name: &str, version: &str) -> Result<()> {
    let deployments: Api<Deployment> = Api::namespaced(client.clone(), "default");
    let pods: Api<Pod> = Api::namespaced(client.clone(), "default");
    let of_it = ListParams::default().labels(&format!("app={name}"));
    until(&format!("{name} is {version}"), async || {
        let status = deployments.get_opt(name).await?.and_then(|deployment| deployment.status);
        let ready = status.and_then(|status| status.ready_replicas) == Some(2);
        let pods = pods.list(&of_it).await?.items;
        let is_current = |pod: &Pod| {
            let spec = pod.spec.as_ref();
            let env = spec.and_then(|spec| spec.containers[0].env.as_ref()?.first()?.value.as_deref());
            env == Some(version)
        };
        Ok((ready && pods.len() == 2 && pods.iter().all(is_current)).then_some(()))
    })
    .await
}

/// Waits until a cluster has no pod of a workload.
async fn gone(client: &Client, name: &str) -> Result<()> {
    let pods: Api<Pod> = Api::namespaced(client.clone(), "default");
    let of_it = ListParams::default().labels(&format!("app={name}"));
    until(&format!("{name} is gone"), async || Ok(pods.list(&of_it).await?.items.is_empty().then_some(())))
        .await
}

fn unbroken(what: &str, outcome: &Outcome) -> Result<()> {
    let failed = outcome.failed();
    eprintln!("{what}: {} requests, {} failed", outcome.sent(), failed.len());
    ensure!(failed.is_empty(), "{what}: {failed:?}");
    Ok(())
}

#[tokio::test]
async fn no_request_fails_while_a_version_rolls_and_a_label_moves() -> Result<()> {
    let (Some(tools), Some(mut bed)) = (tools(), bed()?) else { return Ok(()) };
    let images = Images::build(bed.folder())?;
    let [root, eu, left, right] = ["root", "eu", "press-a", "press-b"].map(|name| bed.site(name));
    let (left, right) = (left?, right?);
    let machines = Machines::Real { images: &images };
    let (left, right) =
        tokio::try_join!(Cluster::start(&tools, &left, machines), Cluster::start(&tools, &right, machines))?;
    let mut fleet = Fleet::start_at([Place::Site(root?), Place::Site(eu?)]).await?;
    fleet.add_agent("eu", &left, "any").await?;
    fleet.add_agent("eu", &right, "any").await?;
    let told = story(&fleet, &left, &right).await;
    fleet.explain(&told, &["root", "eu", "press-a", "press-b"]);
    told
}

async fn story(fleet: &Fleet, left: &Cluster, right: &Cluster) -> Result<()> {
    let at = |cluster: &Cluster, port| SocketAddr::from((cluster.site.address(), port));
    let (a, b) = (left.plane.client().await?, right.plane.client().await?);
    fleet.ask(&["label", "cluster", "eu/press-a", "web=here"])?;
    fleet.ask(&["label", "cluster", "eu/press-b", "shop=here"])?;
    fleet.ask(&["apply", "-f", &fleet.file("web-1.yaml", &workload("web", "web-1", WEB))?])?;
    fleet.ask(&["apply", "-f", &fleet.file("shop.yaml", &workload("shop", "shop-1", SHOP))?])?;
    settled(&a, "web", "web-1").await?;
    settled(&b, "shop", "shop-1").await?;
    for target in [at(left, WEB), at(right, SHOP)] {
        until("the Service carries", async || Ok(Load::ask(target).is_ok().then_some(()))).await?;
    }

    let (web, shop) = (Load::start(at(left, WEB)), Load::start(at(right, SHOP)));
    fleet.ask(&["apply", "-f", &fleet.file("web-2.yaml", &workload("web", "web-2", WEB))?])?;
    settled(&a, "web", "web-2").await?;
    let web = web.stop();
    unbroken("a version rolled", &web)?;
    ensure!(web.answered("web-1").is_some() && web.answered("web-2").is_some(), "nothing rolled under load");
    unbroken("a cluster not concerned, meanwhile", &shop.stop())?;

    let (old, new) = (Load::start(at(left, WEB)), Load::start(at(right, WEB)));
    let shop = Load::start(at(right, SHOP));
    let moved = Instant::now();
    fleet.ask(&["label", "cluster", "eu/press-b", "web=here"])?;
    fleet.ask(&["label", "cluster", "eu/press-a", "web=gone", "--overwrite"])?;
    settled(&b, "web", "web-2").await?;
    gone(&a, "web").await?;
    let (old, new) = (old.stop(), new.stop());
    unbroken("a workload not concerned, beside one that came", &shop.stop())?;
    let last = old.answered("web-2").map(|(_, last)| last - moved);
    let first = new.answered("web-2").map(|(first, _)| first - moved);
    let (Some(last), Some(first)) = (last, first) else { anyhow::bail!("{old:?}\n{new:?}") };
    eprintln!(
        "a label moved: last answer of the old cluster after {} ms, first of the new after {} ms: {}",
        last.as_millis(),
        first.as_millis(),
        match first.checked_sub(last) {
            Some(gap) => format!("a gap of {} ms", gap.as_millis()),
            None => "no gap".to_owned(),
        }
    );
    Ok(())
}
