//! A real cluster at a site: a control plane, and machines where they are wanted.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::core::v1::Node;
use kube::api::{Api, PostParams};
use tokio::time::{Instant, sleep};

use crate::bed::{CNI_PLUGINS, Site};
use crate::images::{Images, PAUSE_IMAGE};
use crate::place::Place;
use crate::plane::ControlPlane;
use crate::process::Process;
use crate::tools::Tools;

/// The longest wait for a machine. It takes six seconds on an idle one with two cores.
const READY_WAIT: Duration = Duration::from_secs(120);

/// Between two looks whether it is ready.
const READY_POLL: Duration = Duration::from_millis(100);

/// What runs pods.
#[derive(Debug, Clone, Copy)]
pub enum Machines<'a> {
    /// Nothing: pods stay Pending.
    None,
    /// kwok: pods are said to run, and nothing does.
    Fake,
    /// One real node: kubelet, containerd, runc, and kube-proxy for Services.
    Real {
        /// What pods are made of: there is no registry.
        images: &'a Images,
    },
}

/// A running cluster.
#[derive(Debug)]
pub struct Cluster {
    // In the order in which they are to end.
    machines: Vec<Process>,
    /// Its control plane.
    pub plane: ControlPlane,
    /// Where it is.
    pub site: Site,
}

impl Cluster {
    /// Starts a cluster at a site, and waits until it is ready for pods.
    ///
    /// # Errors
    /// A program is missing, ends by itself, or is not ready in time.
    pub async fn start(tools: &Tools, site: &Site, machines: Machines<'_>) -> Result<Self> {
        let plane = ControlPlane::start_at(tools, site).await?;
        let mut cluster = Self { machines: Vec::new(), plane, site: site.clone() };
        match machines {
            Machines::None => return Ok(cluster),
            Machines::Fake => cluster.start_fake(tools).await?,
            Machines::Real { images } => cluster.start_real(tools, images).await?,
        }
        cluster.ready().await.with_context(|| format!("the machine of the cluster {}", site.name()))?;
        Ok(cluster)
    }

    async fn start_fake(&mut self, tools: &Tools) -> Result<()> {
        self.start_scheduler(tools)?;
        let kubeconfig = self.kubeconfig();
        self.start_program(
            &tools.find("kwok")?,
            "kwok",
            &[kubeconfig, "--manage-all-nodes=true".to_owned()],
        )?;
        let room = serde_json::json!({"cpu": "64", "memory": "256Gi", "pods": "2000"});
        let node = serde_json::json!({
            "metadata": {"name": self.site.name(), "annotations": {"kwok.x-k8s.io/node": "fake"}},
            "status": {"allocatable": room, "capacity": room},
        });
        let nodes = Api::<Node>::all(self.plane.client().await?);
        nodes.create(&PostParams::default(), &serde_json::from_value(node)?).await?;
        Ok(())
    }

    async fn start_real(&mut self, tools: &Tools, images: &Images) -> Result<()> {
        self.start_scheduler(tools)?;
        let network = NETWORK.replace("PODS", &self.site.pods());
        self.site.script("mkdir -p /run/cni && printf %s \"$1\" > /run/cni/10-pods.conflist", &[&network])?;
        let runtime = RUNTIME.replace("PAUSE", PAUSE_IMAGE).replace("PLUGINS", CNI_PLUGINS);
        let config = format!("--config={}", self.write("containerd.toml", &runtime)?);
        self.start_program(Path::new("containerd"), "containerd", &[config])?;
        self.until("containerd answers", async |cluster| Ok(cluster.site.script("ctr version", &[]).is_ok()))
            .await?;
        for image in &images.archives {
            self.import(image)?;
        }
        let kubelet = KUBELET.replace("GROUP", &self.site.control_group()?);
        let args = [
            format!("--config={}", self.write("kubelet.yaml", &kubelet)?),
            self.kubeconfig(),
            format!("--hostname-override={}", self.site.name()),
            format!("--node-ip={}", self.site.address()),
        ];
        self.start_program(&tools.find("kubelet")?, "kubelet", &args)?;
        let kubeconfig = self.plane.kubeconfig().display().to_string();
        let proxy = PROXY
            .replace("KUBECONFIG", &kubeconfig)
            .replace("NAME", self.site.name())
            .replace("PODS", &self.site.pods());
        let config = format!("--config={}", self.write("kube-proxy.yaml", &proxy)?);
        self.start_program(&tools.find("kube-proxy")?, "kube-proxy", &[config])
    }

    /// Makes the images in an archive known to the node.
    ///
    /// # Errors
    /// There is no real node, or the archive is none.
    pub fn import(&self, archive: &Path) -> Result<()> {
        let archive = archive.to_str().context("a path of an archive is text")?;
        self.site.script("ctr --namespace k8s.io images import \"$1\"", &[archive])
    }

    fn start_scheduler(&mut self, tools: &Tools) -> Result<()> {
        let args = [self.kubeconfig(), "--leader-elect=false".to_owned(), "--secure-port=0".to_owned()];
        self.start_program(&tools.find("kube-scheduler")?, "kube-scheduler", &args)
    }

    fn start_program(&mut self, program: &Path, name: &'static str, args: &[String]) -> Result<()> {
        let place = Place::Site(self.site.clone());
        self.machines.push(Process::start(&place, program, name, self.site.folder(), args)?);
        Ok(())
    }

    fn kubeconfig(&self) -> String {
        format!("--kubeconfig={}", self.plane.kubeconfig().display())
    }

    fn write(&self, name: &str, text: &str) -> Result<String> {
        let path = self.site.folder().join(name);
        fs::write(&path, text).with_context(|| format!("writing {}", path.display()))?;
        Ok(path.display().to_string())
    }

    /// Waits until the machine says that it is ready.
    async fn ready(&mut self) -> Result<()> {
        let nodes = Api::<Node>::all(self.plane.client().await?);
        self.until("the node is ready", async |cluster| {
            let node = nodes.get_opt(cluster.site.name()).await?;
            let conditions = node.and_then(|node| node.status?.conditions).unwrap_or_default();
            Ok(conditions.iter().any(|condition| condition.type_ == "Ready" && condition.status == "True"))
        })
        .await
    }

    async fn until(&mut self, what: &str, look: impl AsyncFn(&Self) -> Result<bool>) -> Result<()> {
        let deadline = Instant::now() + READY_WAIT;
        while !look(self).await? {
            self.machines.iter_mut().try_for_each(Process::check)?;
            ensure!(Instant::now() < deadline, "{what}: not within {READY_WAIT:?}");
            sleep(READY_POLL).await;
        }
        Ok(())
    }
}

/// Pods hang on a bridge; what leaves it is routed, not translated.
const NETWORK: &str = r#"{"cniVersion": "0.4.0", "name": "pods", "plugins": [{
  "type": "bridge", "bridge": "pods", "isGateway": true, "hairpinMode": true,
  "ipam": {"type": "host-local", "ranges": [[{"subnet": "PODS"}]], "routes": [{"dst": "0.0.0.0/0"}]}
}]}"#;

/// Some machines for tests do not let a container's score for the killer at low memory be lowered, and
/// have no profiles.
const RUNTIME: &str = r#"version = 2
[plugins."io.containerd.grpc.v1.cri"]
restrict_oom_score_adj = true
disable_apparmor = true
sandbox_image = "PAUSE"
[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "PLUGINS"
conf_dir = "/run/cni"
"#;

/// The machine's disk and swap are none of the test's business. Whoever reaches this kubelet is the test.
const KUBELET: &str = "apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
authentication: {anonymous: {enabled: true}, webhook: {enabled: false}}
authorization: {mode: AlwaysAllow}
cgroupDriver: cgroupfs
cgroupRoot: GROUP
containerRuntimeEndpoint: unix:///run/containerd/containerd.sock
enforceNodeAllocatable: []
evictionHard: {imagefs.available: 0%, memory.available: 0%, nodefs.available: 0%, nodefs.inodesFree: 0%}
failCgroupV1: false
failSwapOn: false
resolvConf: ''
";

const PROXY: &str = "apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
clientConnection: {kubeconfig: 'KUBECONFIG'}
clusterCIDR: PODS
hostnameOverride: NAME
mode: nftables
";
