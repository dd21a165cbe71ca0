//! One control plane: how its programs are wired, and when it is ready.

use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1::Namespace;
use kube::Client;
use kube::api::Api;
use kube::config::{KubeConfigOptions, Kubeconfig};
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

use crate::process::Process;
use crate::tools::Tools;

/// The longest wait until it is ready. It takes three seconds on an idle machine; beside a build on
/// two cores it takes far longer.
const READY_WAIT: Duration = Duration::from_secs(120);

/// Between two looks whether it is ready.
const READY_POLL: Duration = Duration::from_millis(100);

/// The token of the only user, a member of `system:masters`. It opens a cluster on loopback that
/// lives as long as a test.
const TOKEN: &str = "testbed";

/// A running Kubernetes control plane.
#[derive(Debug)]
pub struct ControlPlane {
    // In the order in which they are to end.
    controller_manager: Option<Process>,
    apiserver: Option<Process>,
    etcd: Process,
    tools: Tools,
    ports: Ports,
    folder: TempDir,
}

#[derive(Debug)]
struct Ports {
    etcd: u16,
    etcd_peer: u16,
    apiserver: u16,
}

impl ControlPlane {
    /// Starts one and waits until it is ready. The name shows in its folder's name.
    pub async fn start(tools: &Tools, name: &str) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix(&format!("canopy-{name}-")).tempdir()?;
        let [etcd, etcd_peer, apiserver] = free_ports()?;
        let ports = Ports { etcd, etcd_peer, apiserver };
        write_credentials(folder.path(), &ports)?;
        let etcd = Process::start(tools, "etcd", folder.path(), &etcd_args(folder.path(), &ports))?;
        let mut plane =
            Self { controller_manager: None, apiserver: None, etcd, tools: tools.clone(), ports, folder };
        plane.resume().await?;
        Ok(plane)
    }

    /// A kubeconfig of an administrator.
    pub fn kubeconfig(&self) -> PathBuf {
        kubeconfig_in(self.folder.path())
    }

    /// A client of an administrator.
    pub async fn client(&self) -> Result<Client> {
        client(&self.kubeconfig()).await
    }

    /// Kills API server and controllers, as a power cut does; what was stored stays.
    pub fn kill(&mut self) {
        self.controller_manager = None;
        self.apiserver = None;
    }

    /// Starts what [`Self::kill`] ended, and waits until it is ready.
    pub async fn resume(&mut self) -> Result<()> {
        let folder = self.folder.path();
        let args = apiserver_args(folder, &self.ports);
        let apiserver = self.apiserver.insert(Process::start(&self.tools, "kube-apiserver", folder, &args)?);
        let deadline = Instant::now() + READY_WAIT;
        loop {
            self.etcd.check()?;
            apiserver.check()?;
            if is_ready(&kubeconfig_in(folder)).await {
                break;
            }
            ensure!(Instant::now() < deadline, "the API server was not ready within {READY_WAIT:?}");
            sleep(READY_POLL).await;
        }
        let args = controller_manager_args(folder);
        let controllers = Process::start(&self.tools, "kube-controller-manager", folder, &args)?;
        self.controller_manager = Some(controllers);
        Ok(())
    }
}

/// A client for the cluster of a kubeconfig; never through a proxy of the environment.
async fn client(kubeconfig: &Path) -> Result<Client> {
    let file = Kubeconfig::read_from(kubeconfig)?;
    let mut config = kube::Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await?;
    config.proxy_url = None;
    Ok(Client::try_from(config)?)
}

/// Whether it answers, and has made the namespaces that every cluster has.
async fn is_ready(kubeconfig: &Path) -> bool {
    let ready = async {
        // The certificate is the API server's own: it is there once the server has started.
        let client = client(kubeconfig).await?;
        let namespaces = Api::<Namespace>::all(client);
        for name in ["default", "kube-system"] {
            namespaces.get(name).await?;
        }
        anyhow::Ok(())
    };
    ready.await.is_ok()
}

fn free_ports<const N: usize>() -> Result<[u16; N]> {
    // All are held until the last is known, so that they differ.
    let listeners: Vec<_> =
        (0..N).map(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0))).collect::<Result<_, _>>()?;
    let mut ports = [0; N];
    for (port, listener) in ports.iter_mut().zip(&listeners) {
        *port = listener.local_addr()?.port();
    }
    Ok(ports)
}

fn kubeconfig_in(folder: &Path) -> PathBuf {
    folder.join("kubeconfig")
}

fn write_credentials(folder: &Path, ports: &Ports) -> Result<()> {
    let key = rcgen::KeyPair::generate().context("making the key of service accounts")?;
    fs::write(folder.join("service-accounts.key"), key.serialize_pem())?;
    fs::write(folder.join("service-accounts.pub"), key.public_key_pem())?;
    fs::write(folder.join("tokens.csv"), format!("{TOKEN},testbed,testbed,system:masters\n"))?;
    let kubeconfig = format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: testbed\n\
         clusters: [{{name: testbed, cluster: {{server: 'https://127.0.0.1:{}', certificate-authority: '{}'}}}}]\n\
         users: [{{name: testbed, user: {{token: {TOKEN}}}}}]\n\
         contexts: [{{name: testbed, context: {{cluster: testbed, user: testbed}}}}]\n",
        ports.apiserver,
        folder.join("certificates/apiserver.crt").display(),
    );
    Ok(fs::write(kubeconfig_in(folder), kubeconfig)?)
}

fn etcd_args(folder: &Path, ports: &Ports) -> Vec<String> {
    let (clients, peers) =
        (format!("http://127.0.0.1:{}", ports.etcd), format!("http://127.0.0.1:{}", ports.etcd_peer));
    vec![
        format!("--data-dir={}", folder.join("etcd").display()),
        format!("--listen-client-urls={clients}"),
        format!("--advertise-client-urls={clients}"),
        format!("--listen-peer-urls={peers}"),
        format!("--initial-advertise-peer-urls={peers}"),
        format!("--initial-cluster=default={peers}"),
        "--unsafe-no-fsync".to_owned(),
    ]
}

fn apiserver_args(folder: &Path, ports: &Ports) -> Vec<String> {
    let file = |name: &str| folder.join(name).display().to_string();
    vec![
        format!("--etcd-servers=http://127.0.0.1:{}", ports.etcd),
        "--bind-address=127.0.0.1".to_owned(),
        format!("--secure-port={}", ports.apiserver),
        format!("--cert-dir={}", file("certificates")),
        format!("--service-account-key-file={}", file("service-accounts.pub")),
        format!("--service-account-signing-key-file={}", file("service-accounts.key")),
        "--service-account-issuer=https://testbed.invalid".to_owned(),
        format!("--token-auth-file={}", file("tokens.csv")),
        "--authorization-mode=RBAC".to_owned(),
        "--service-cluster-ip-range=10.0.0.0/24".to_owned(),
        "--disable-admission-plugins=ServiceAccount".to_owned(),
        // An advertised address on loopback is refused, and nobody reads the endpoints here.
        "--endpoint-reconciler-type=none".to_owned(),
    ]
}

fn controller_manager_args(folder: &Path) -> Vec<String> {
    vec![
        format!("--kubeconfig={}", kubeconfig_in(folder).display()),
        format!("--service-account-private-key-file={}", folder.join("service-accounts.key").display()),
        "--leader-elect=false".to_owned(),
        "--secure-port=0".to_owned(),
    ]
}
