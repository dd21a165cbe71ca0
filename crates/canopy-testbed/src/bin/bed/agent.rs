//! What an agent costs, and how fast it is: three tiers of hubs above a real cluster that runs 20
//! workloads of ours among 1,000 pods of others.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use canopy_testbed::{Bed, Cluster, Fleet, Machines, Place, Site, until};
use futures::{Stream, StreamExt as _, TryStreamExt as _, stream};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Pod, ServiceAccount};
use kube::api::{Api, ListParams, PostParams};
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Client, ResourceExt as _};
use serde_json::{Value, json};

use crate::figures::{Figure, percentile, report};

const FOREIGN_PODS: usize = 1000;
/// At once, and how many are to run before more are made: a fake node takes them one after the other.
const PODS_AT_ONCE: usize = 10;
const PODS_TOGETHER: usize = 200;

const WORKLOADS: usize = 20;
const CHANGES: usize = 200;
const OBJECTS: usize = 1000;

/// How long an idle agent is watched. The system counts processor time in hundredths of a second, so
/// that this tells 0.02 % of a core.
const IDLE: Duration = Duration::from_secs(60);

/// After the last change, until an agent may be called idle.
const SETTLE: Duration = Duration::from_secs(20);

/// Of the counts in /proc.
const TICKS_PER_SECOND: f64 = 100.0;

/// Measures and reports.
pub(crate) async fn bench(file: Option<&Path>) -> Result<()> {
    let tools = canopy_testbed::tools().context("there are no clusters without these programs")?;
    let mut bed = Bed::start()?;
    let [root, eu, plant] = ["root", "eu", "plant"].map(|name| bed.site(name).map(Place::Site));
    let press = bed.site("press")?;
    let cluster = Cluster::start(&tools, &press, Machines::Fake).await?;
    let client = cluster.plane.client().await?;
    eprintln!("making {FOREIGN_PODS} pods of others");
    make_foreign_pods(&client).await?;
    eprintln!("starting the fleet and {WORKLOADS} workloads");
    let mut fleet = Fleet::start_at([root?, eu?]).await?;
    fleet.add_hub("eu", "plant", plant?).await?;
    fleet.add_agent("eu/plant", &cluster, "cnc").await?;
    apply_workloads(&fleet, &client).await?;

    eprintln!("watching the idle agent for {} s", IDLE.as_secs());
    let agent = Agent { pid: fleet.pid("press").context("the agent runs")?, site: press };
    tokio::time::sleep(SETTLE).await;
    let (mut figures, requests_per_second) = idle(&agent, &client).await?;
    eprintln!("making {CHANGES} changes");
    figures.push(changes(&fleet, &client).await?);
    eprintln!("applying {OBJECTS} objects");
    figures.push(objects(&fleet, &client, requests_per_second).await?);
    figures[0].note += &format!("; {:.1} MB at the end", agent.resident()?);
    report(&figures, file)?;
    report_generator()
}

/// The generator's own share, so that nobody takes it for the agent's.
fn report_generator() -> Result<()> {
    use std::io::Write as _;
    let seconds = ticks("self", &[13, 14, 15, 16])? / TICKS_PER_SECOND;
    Ok(writeln!(std::io::stdout(), "\nthe generator with its commands used {seconds:.1} s of a core")?)
}

struct Agent {
    pid: u32,
    site: Site,
}

impl Agent {
    /// Megabytes in memory.
    fn resident(&self) -> Result<f64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid))?;
        let line =
            status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("a process has a size")?;
        let kib: f64 = line.trim().trim_end_matches("kB").trim().parse()?;
        Ok(kib * 1024.0 / 1e6)
    }

    /// Seconds of a core used so far.
    fn processor(&self) -> Result<f64> {
        Ok(ticks(&self.pid.to_string(), &[13, 14])? / TICKS_PER_SECOND)
    }
}

/// The sum of these fields of a process, counted from 0 as proc(5) does from 1.
fn ticks(process: &str, fields: &[usize]) -> Result<f64> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat"))?;
    // The second field is a name in parentheses, which may hold spaces.
    let rest = stat.rsplit_once(") ").context("a process has a name")?.1;
    let words: Vec<&str> = rest.split(' ').collect();
    fields.iter().map(|field| Ok(words[field - 2].parse::<f64>()?)).sum()
}

async fn make_foreign_pods(client: &Client) -> Result<()> {
    let name = json!({"metadata": {"name": "foreign"}});
    Api::<Namespace>::all(client.clone())
        .create(&PostParams::default(), &serde_json::from_value(name)?)
        .await?;
    let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), "foreign");
    until("an account for pods", async || Ok(accounts.get_opt("default").await?.map(drop))).await?;
    let pods: Api<Pod> = Api::namespaced(client.clone(), "foreign");
    for first in (0..FOREIGN_PODS).step_by(PODS_TOGETHER) {
        let made = stream::iter(first..first + PODS_TOGETHER).map(|number| {
            let pods = pods.clone();
            async move {
                let pod = serde_json::from_value(foreign_pod(number))?;
                anyhow::Ok(pods.create(&PostParams::default(), &pod).await.map(drop)?)
            }
        });
        made.buffer_unordered(PODS_AT_ONCE).try_collect::<()>().await?;
        let running = ListParams::default().fields("status.phase=Running");
        until("the pods of others run", async || {
            let count = pods.list_metadata(&running).await?.items.len();
            Ok((count >= first + PODS_TOGETHER).then_some(()))
        })
        .await?;
    }
    Ok(())
}

/// As large as pods are.
fn foreign_pod(number: usize) -> Value {
    let env: Vec<_> = (0..20)
        .map(|n| json!({"name": format!("SETTING_{n}"), "value": format!("value {n} of pod {number}")}))
        .collect();
    json!({
        "metadata": {"name": format!("pod-{number}"), "labels": {"app": "foreign", "number": number.to_string()}},
        "spec": {"containers": [{
            "name": "serve", "image": "registry.invalid/foreign:1", "env": env,
            "resources": {"requests": {"cpu": "10m", "memory": "16Mi"}},
            "readinessProbe": {"httpGet": {"path": "/readyz", "port": 8080}},
        }]},
    })
}

const PLACEMENT: &str = "apiVersion: canopy.dev/v1alpha1
kind: Placement
metadata: {name: cnc}
spec: {predicates: [{requiredClusterSelector: {labelSelector: {matchLabels: {line: cnc}}}}]}
";

fn workload(name: &str, manifests: &[Value]) -> String {
    let workload = json!({
        "apiVersion": "canopy.dev/v1alpha1", "kind": "Workload", "metadata": {"name": name},
        "spec": {"placements": [{"name": "cnc"}], "manifests": manifests},
    });
    workload.to_string()
}

fn config_map(name: &str, value: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": "default"},
        "data": {"value": value},
    })
}

async fn apply_workloads(fleet: &Fleet, client: &Client) -> Result<()> {
    fleet.ask(&["apply", "-f", &fleet.file("placement.yaml", PLACEMENT)?])?;
    for number in 0..WORKLOADS {
        let name = format!("workload-{number}");
        let labels = json!({"app": name});
        let deployment = json!({
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name, "namespace": "default"},
            "spec": {"replicas": 2, "selector": {"matchLabels": labels}, "template": {
                "metadata": {"labels": labels},
                "spec": {"containers": [{"name": "serve", "image": "registry.invalid/ours:1"}]},
            }},
        });
        let text = workload(&name, &[deployment, config_map(&name, "first")]);
        fleet.ask(&["apply", "-f", &fleet.file("workload.yaml", &text)?])?;
    }
    let deployments: Api<Deployment> = Api::namespaced(client.clone(), "default");
    until("our workloads run", async || {
        let all = deployments.list(&ListParams::default()).await?.items;
        let ready =
            |one: &&Deployment| one.status.as_ref().and_then(|status| status.ready_replicas) == Some(2);
        Ok((all.iter().filter(ready).count() == WORKLOADS).then_some(()))
    })
    .await
}

/// The figures of an idle agent, and the requests per second that others send meanwhile.
async fn idle(agent: &Agent, client: &Client) -> Result<(Vec<Figure>, f64)> {
    let (requests, carried, processor) = (requests(client).await?, agent.site.carried()?, agent.processor()?);
    let began = Instant::now();
    tokio::time::sleep(IDLE).await;
    let carried = agent.site.carried()? - carried;
    let (seconds, used) = (began.elapsed().as_secs_f64(), agent.processor()? - processor);
    let rate = (self::requests(client).await? - requests) / seconds;
    let note = format!("{WORKLOADS} workloads, {FOREIGN_PODS} pods of others");
    #[allow(clippy::cast_precision_loss, reason = "less than 2^52 bytes are carried")]
    let kib_per_hour = carried as f64 / 1024.0 / seconds * 3600.0;
    let figures = vec![
        Figure { name: "agent.rss_mb", value: agent.resident()?, unit: "MB", n: 1, note: note.clone() },
        Figure {
            name: "agent.idle_cpu_percent",
            value: used / seconds * 100.0,
            unit: "% of core",
            n: 1,
            note: format!("over {seconds:.0} s"),
        },
        Figure {
            name: "agent.idle_kib_per_hour",
            value: kib_per_hour,
            unit: "KiB/h",
            n: 1,
            note: format!("between agent and hub, both ways, frames included, over {seconds:.0} s"),
        },
    ];
    Ok((figures, rate))
}

/// The ConfigMaps of a cluster as they change.
fn config_maps(client: &Client) -> impl Stream<Item = watcher::Result<ConfigMap>> + Unpin + use<> {
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), "default");
    watcher(maps, watcher::Config::default())
        .try_filter_map(|event| async move {
            Ok(match event {
                Event::Apply(map) | Event::InitApply(map) => Some(map),
                Event::Delete(_) | Event::Init | Event::InitDone => None,
            })
        })
        .boxed_local()
}

/// From the command at the root until the object in the cluster is new.
async fn changes(fleet: &Fleet, client: &Client) -> Result<Figure> {
    let mut maps = config_maps(client);
    let (mut applied, mut commands) = (Vec::new(), Vec::new());
    for number in 0..=CHANGES {
        let value = number.to_string();
        let file = fleet.file("change.yaml", &workload("change", &[config_map("change", &value)]))?;
        let mut command = tokio::process::Command::from(fleet.command(&format!("canopy apply -f {file}")));
        let began = Instant::now();
        let command = async {
            let output = command.output().await?;
            ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            Ok(began.elapsed())
        };
        let seen = async {
            loop {
                let map = maps.next().await.context("the watch ended")??;
                let data = map.data.as_ref().and_then(|data| data.get("value"));
                if map.name_any() == "change" && data == Some(&value) {
                    return Ok(began.elapsed());
                }
            }
        };
        let (command, seen) = tokio::try_join!(command, seen)?;
        // The first makes the object and fills caches.
        if number > 0 {
            commands.push(command.as_secs_f64() * 1000.0);
            applied.push(seen.as_secs_f64() * 1000.0);
        }
    }
    applied.sort_by(f64::total_cmp);
    commands.sort_by(f64::total_cmp);
    let note = format!(
        "three tiers up; p50 {:.0}, max {:.0}; from the start of the command 'canopy apply', which takes {:.0} itself",
        percentile(&applied, 50),
        percentile(&applied, 100),
        percentile(&commands, 50)
    );
    let value = percentile(&applied, 99);
    Ok(Figure { name: "agent.apply_p99_ms", value, unit: "ms", n: applied.len(), note })
}

/// One workload of many objects: how many requests each costs the API server.
async fn objects(fleet: &Fleet, client: &Client, requests_per_second: f64) -> Result<Figure> {
    let manifests: Vec<_> =
        (0..OBJECTS).map(|number| config_map(&format!("object-{number}"), "first")).collect();
    let file = fleet.file("objects.yaml", &workload("objects", &manifests))?;
    let mut maps = config_maps(client);
    let before = requests(client).await?;
    let began = Instant::now();
    fleet.ask(&["apply", "-f", &file])?;
    let mut seen = std::collections::BTreeSet::new();
    while seen.len() < OBJECTS {
        let map = maps.next().await.context("the watch ended")??;
        if map.name_any().starts_with("object-") {
            seen.insert(map.name_any());
        }
    }
    let seconds = began.elapsed().as_secs_f64();
    fleet.ask(&["wait", "workload", "objects", "--for=condition=Ready", "--timeout=60s"])?;
    let whole = began.elapsed().as_secs_f64();
    let sent = requests(client).await? - before - requests_per_second * whole;
    #[allow(clippy::cast_precision_loss, reason = "it is a thousand")]
    let value = sent / OBJECTS as f64;
    let note = format!("all there after {seconds:.1} s; reads and writes, without what others send");
    Ok(Figure { name: "agent.requests_per_object", value, unit: "requests", n: OBJECTS, note })
}

/// How many requests the API server has answered; open watches are none yet.
async fn requests(client: &Client) -> Result<f64> {
    let metrics = client.request_text(http::Request::get("/metrics").body(Vec::new())?).await?;
    let counts = metrics.lines().filter(|line| line.starts_with("apiserver_request_total{"));
    let asked = counts.filter(|line| !line.contains("verb=\"WATCH\""));
    asked.map(|line| Ok(line.rsplit(' ').next().context("a metric has a value")?.parse::<f64>()?)).sum()
}
