//! Hub and agents as an administrator installs them: images, charts, kustomizations, with nothing but
//! helm and kubectl, and the tree run from there.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use canopy_testbed::{Bed, Cluster, Images, Machines, POD_IMAGE, Tools, bed, tools, until};
use k8s_openapi::api::apps::v1::Deployment;
use kube::{Api, Client};

use super::charts::deploy;

/// How hubs and clusters outside reach the hub's Service, on its node.
const LINK: u16 = 30443;
/// The folder that `cargo xtask image` wrote.
const IMAGES: &str = "CANOPY_IMAGES";

/// A cluster, and an administrator who has its kubeconfig.
struct Target<'a> {
    cluster: Cluster,
    tools: &'a Tools,
}

impl Target<'_> {
    /// Runs helm or kubectl on this cluster, and returns what it printed.
    fn run(&self, program: &str, words: &str) -> Result<String> {
        let mut command = Command::new(self.tools.find(program)?);
        command.args(words.split_whitespace()).env("KUBECONFIG", self.cluster.plane.kubeconfig());
        let output = command.output().with_context(|| format!("starting {program}"))?;
        let why = String::from_utf8_lossy(&output.stderr).into_owned();
        ensure!(output.status.success(), "{program} {words}: {why}");
        Ok(String::from_utf8(output.stdout)?)
    }

    fn kubectl(&self, words: &str) -> Result<String> {
        self.run("kubectl", words)
    }

    /// Offers a folder of the node as a volume. It is root's, so that it is `fsGroup` that lets the
    /// programs in.
    fn add_volume(&self) -> Result<()> {
        let folder = self.cluster.site.folder();
        let path = folder.join("volume");
        fs::create_dir(&path)?;
        let node = self.cluster.site.name();
        let volume = serde_json::json!({
            "apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": "volume"},
            "spec": {
                "capacity": {"storage": "4Gi"},
                "accessModes": ["ReadWriteOnce"],
                "local": {"path": path},
                "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [
                    {"key": "kubernetes.io/hostname", "operator": "In", "values": [node]}]}]}},
            },
        });
        let file = folder.join("volume.json");
        fs::write(&file, volume.to_string())?;
        self.kubectl(&format!("apply -f {}", file.display())).map(drop)
    }

    /// What it tells of itself when something went wrong.
    fn explain(&self) {
        let namespaces = ["canopy", "canopy-system"];
        let mut asked = vec!["get pods,pvc,deployments --all-namespaces -o wide".to_owned()];
        asked.extend(
            namespaces.map(|namespace| format!("-n {namespace} get events --sort-by=.lastTimestamp")),
        );
        asked.extend(namespaces.map(|namespace| {
            format!("-n {namespace} logs --all-containers --tail=30 -l app.kubernetes.io/part-of=canopy")
        }));
        for words in asked {
            let said = self.kubectl(&words).unwrap_or_else(|error| format!("{error:#}"));
            eprintln!("--- {}: {words}\n{said}", self.cluster.site.name());
        }
    }
}

/// The command line, with a context of the hub.
struct Desk {
    program: PathBuf,
    context: PathBuf,
}

impl Desk {
    fn ask(&self, words: &[&str]) -> Result<String> {
        let output = Command::new(&self.program).arg("--config").arg(&self.context).args(words).output()?;
        let why = String::from_utf8_lossy(&output.stderr).into_owned();
        ensure!(output.status.success(), "canopy {words:?}: {why}");
        Ok(String::from_utf8(output.stdout)?)
    }

    /// Asks until the hub answers; an error says why it did not.
    async fn ask_until(&self, words: &[&str]) -> Result<String> {
        let mut said = Ok(String::new());
        let answered = until("the hub answers", async || {
            said = self.ask(words);
            Ok(said.is_ok().then_some(()))
        });
        let answered = answered.await;
        said.and_then(|said| answered.map(|()| said))
    }

    /// Puts a token where the agent of a cluster looks for it.
    fn invite(&self, target: &Target<'_>, line: &str) -> Result<()> {
        let (name, label) = (target.cluster.site.name(), format!("line={line}"));
        let words = ["token", "create", "--parent", "/", "--agent", "--name", name, "--label", &label];
        let said = self.ask(&words)?;
        let token = said.split_whitespace().last().context("a token is printed")?;
        target.kubectl("create namespace canopy-system")?;
        target
            .kubectl(&format!(
                "-n canopy-system create secret generic canopy-agent-token --from-literal=token={token}"
            ))
            .map(drop)
    }
}

/// The programs' images, where they were made.
fn images(bed: &Bed) -> Result<Option<Images>> {
    let Some(folder) = std::env::var_os(IMAGES).map(PathBuf::from) else {
        let reason = format!("no images: run `cargo xtask image` and set {IMAGES} to its folder");
        assert!(std::env::var("CI").as_deref() != Ok("true"), "{reason}");
        eprintln!("skipped: {reason}");
        return Ok(None);
    };
    let mut images = Images::build(bed.folder())?;
    images.archives.extend(["canopy-hub.tar", "canopy-agent.tar"].map(|name| folder.join(name)));
    Ok(Some(images))
}

fn command_line() -> Result<PathBuf> {
    // Together with the others, as other tests build them: the same features, built once.
    let built = Command::new(env!("CARGO"))
        .args(["build", "--quiet", "-p", "canopy-hub", "-p", "canopy-agent", "-p", "canopy-cli"])
        .status()?;
    ensure!(built.success(), "the command line does not build");
    let test = std::env::current_exe()?;
    Ok(test.ancestors().nth(2).context("the test stands in target/*/deps")?.join("canopy"))
}

fn workload(version: &str) -> String {
    crate::workload(POD_IMAGE, None).replace(
        &format!("image: \"{POD_IMAGE}\""),
        &format!(
            "image: \"{POD_IMAGE}\", imagePullPolicy: Never, env: [{{name: VERSION, value: {version}}}]"
        ),
    )
}

/// Waits until a cluster runs this version in two ready pods, or nothing.
async fn runs(what: &str, client: &Client, wanted: Option<&str>) -> Result<()> {
    let deployments: Api<Deployment> = Api::namespaced(client.clone(), "default");
    until(what, async || {
        let Some(found) = deployments.get_opt("proposals").await? else {
            return Ok(wanted.is_none().then_some(()));
        };
        let status = found.status.unwrap_or_default();
        let spec = found.spec.template.spec.context("a pod has a spec")?;
        let env = spec.containers[0].env.as_ref().and_then(|env| env.first()?.value.clone());
        let current = status.observed_generation == found.metadata.generation;
        let settled = status.updated_replicas == Some(2) && status.ready_replicas == Some(2);
        Ok((env.as_deref() == wanted && current && settled && status.replicas == Some(2)).then_some(()))
    })
    .await
}

#[tokio::test]
async fn a_hub_by_its_chart_and_agents_by_chart_and_kustomize() -> Result<()> {
    let (Some(tools), Some(mut bed)) = (tools(), bed()?) else { return Ok(()) };
    let Some(images) = images(&bed)? else { return Ok(()) };
    let [hq, left, right] = ["hq", "press-a", "press-b"].map(|name| bed.site(name));
    let (hq, left, right) = (hq?, left?, right?);
    let machines = Machines::Real { images: &images };
    let (hq, left, right) = tokio::try_join!(
        Cluster::start(&tools, &hq, machines),
        Cluster::start(&tools, &left, machines),
        Cluster::start(&tools, &right, machines)
    )?;
    let targets = [hq, left, right].map(|cluster| Target { cluster, tools: &tools });
    let told = story(&bed, &targets).await;
    if told.is_err() {
        targets.iter().for_each(Target::explain);
    }
    told
}

async fn story(bed: &Bed, [hq, left, right]: &[Target<'_>; 3]) -> Result<()> {
    for target in [hq, left, right] {
        target.add_volume()?;
    }
    let chart = |name: &str| deploy("helm").join(name).display().to_string();
    let address = hq.cluster.site.address();
    let notes = hq.run(
        "helm",
        &format!(
            "install canopy-hub {} --namespace canopy --create-namespace --set service.type=NodePort --set \
             service.nodePort={LINK} --set advertise={{{address}:{LINK}}} --wait --timeout 2m",
            chart("canopy-hub")
        ),
    )?;
    ensure!(notes.contains("exec canopy-hub-0 -- canopy-hub admin --context-file -"), "{notes}");

    let admins = hq.kubectl("-n canopy get service canopy-hub-admin -o jsonpath={.spec.clusterIP}")?;
    let context = hq.kubectl(&format!(
        "-n canopy exec canopy-hub-0 -c hub -- canopy-hub admin --context-file - --admin-server {admins}:7444"
    ))?;
    let desk = Desk { program: command_line()?, context: bed.folder().join("context.yaml") };
    let mut file = fs::OpenOptions::new().create_new(true).write(true).mode(0o600).open(&desk.context)?;
    file.write_all(context.as_bytes())?;
    desk.ask_until(&["status"]).await?;

    desk.invite(left, "cnc")?;
    let wide = format!(
        "install canopy-agent {} --namespace canopy-system --set persistence.type=none --wait --timeout 2m",
        chart("canopy-agent")
    );
    left.run("helm", &wide)?;
    desk.invite(right, "paint")?;
    let namespaced = deploy("kustomize/agent/overlays/namespaced");
    right.kubectl(&format!("apply -k {}", namespaced.display()))?;
    right.kubectl("-n canopy-system rollout status deployment/canopy-agent --timeout=2m")?;
    let status =
        left.kubectl("-n canopy-system exec deployment/canopy-agent -c agent -- canopy-agent status")?;
    ensure!(status.contains("Hub:     connected"), "{status}");

    let (a, b) = (left.cluster.plane.client().await?, right.cluster.plane.client().await?);
    let file = |name: &str, text: &str| -> Result<String> {
        let path = bed.folder().join(name);
        fs::write(&path, text)?;
        Ok(path.display().to_string())
    };
    let (placement, first) = (file("placement.yaml", crate::PLACEMENT)?, file("1.yaml", &workload("one"))?);
    desk.ask(&["apply", "-f", &placement, "-f", &first])?;
    runs("placed by its label", &a, Some("one")).await?;
    desk.ask(&["label", "cluster", "press-b", "line=cnc", "--overwrite"])?;
    desk.ask(&["label", "cluster", "press-a", "line=paint", "--overwrite"])?;
    runs("runs where the label went, with rights in one namespace", &b, Some("one")).await?;
    runs("removed where the label was", &a, None).await?;

    // Pods come and go: who they are is on their volumes, closed to everybody else as before, or in a Secret,
    // and the tokens are needed no more.
    for agent in [left, right] {
        agent.kubectl("-n canopy-system delete secret canopy-agent-token")?;
        agent.kubectl("-n canopy-system rollout restart deployment/canopy-agent")?;
    }
    hq.kubectl("-n canopy delete pod canopy-hub-0")?;
    for agent in [left, right] {
        agent.kubectl("-n canopy-system rollout status deployment/canopy-agent --timeout=2m")?;
    }
    hq.kubectl("-n canopy rollout status statefulset/canopy-hub --timeout=2m")?;
    let second = file("2.yaml", &workload("two"))?;
    desk.ask_until(&["apply", "-f", &second]).await?;
    runs("rolled after everything began again", &b, Some("two")).await
}
