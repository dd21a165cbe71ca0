//! One control plane: how its programs are wired, and when it is ready.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1::Namespace;
use kube::Client;
use kube::api::Api;
use kube::config::{KubeConfigOptions, Kubeconfig};
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

use crate::bed::Site;
use crate::place::Place;
use crate::process::Process;
use crate::tools::Tools;

/// The longest wait until it is ready. It takes three seconds on an idle machine; beside a build on
/// two cores it takes far longer.
const READY_WAIT: Duration = Duration::from_secs(120);

/// Between two looks whether it is ready.
const READY_POLL: Duration = Duration::from_millis(100);

/// The token of the only user, a member of `system:masters`. It opens a cluster that lives as long as
/// a test, on loopback or on a network that nobody else sees.
const TOKEN: &str = "testbed";

/// A running Kubernetes control plane.
#[derive(Debug)]
pub struct ControlPlane {
    // In the order in which they are to end.
    controller_manager: Option<Process>,
    apiserver: Option<Process>,
    etcd: Process,
    wiring: Wiring,
    /// Where there is no site, whose folder would be used.
    _folder: Option<TempDir>,
}

#[derive(Debug)]
struct Wiring {
    tools: Tools,
    place: Place,
    folder: PathBuf,
    etcd_port: u16,
    etcd_peer_port: u16,
    apiserver: SocketAddr,
}

impl ControlPlane {
    /// Starts one on loopback and waits until it is ready. The name shows in its folder's name.
    pub async fn start(tools: &Tools, name: &str) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix(&format!("canopy-{name}-")).tempdir()?;
        let [etcd_port, etcd_peer_port, apiserver] = free_ports()?;
        let wiring = Wiring {
            tools: tools.clone(),
            place: Place::Loopback,
            folder: folder.path().to_owned(),
            etcd_port,
            etcd_peer_port,
            apiserver: (Ipv4Addr::LOCALHOST, apiserver).into(),
        };
        Self::start_with(wiring, Some(folder)).await
    }

    /// Starts one at a site and waits until it is ready.
    pub async fn start_at(tools: &Tools, site: &Site) -> Result<Self> {
        let wiring = Wiring {
            tools: tools.clone(),
            place: Place::Site(site.clone()),
            folder: site.folder().to_owned(),
            etcd_port: 2379,
            etcd_peer_port: 2380,
            apiserver: (site.address(), 6443).into(),
        };
        Self::start_with(wiring, None).await
    }

    async fn start_with(wiring: Wiring, folder: Option<TempDir>) -> Result<Self> {
        wiring.write_credentials()?;
        let etcd = wiring.start("etcd", &wiring.etcd_args())?;
        let mut plane = Self { controller_manager: None, apiserver: None, etcd, wiring, _folder: folder };
        plane.resume().await?;
        Ok(plane)
    }

    /// A kubeconfig of an administrator.
    pub fn kubeconfig(&self) -> PathBuf {
        self.wiring.kubeconfig()
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
        let wiring = &self.wiring;
        let apiserver = self.apiserver.insert(wiring.start("kube-apiserver", &wiring.apiserver_args())?);
        let deadline = Instant::now() + READY_WAIT;
        loop {
            self.etcd.check()?;
            apiserver.check()?;
            if is_ready(&wiring.kubeconfig()).await {
                break;
            }
            ensure!(Instant::now() < deadline, "the API server was not ready within {READY_WAIT:?}");
            sleep(READY_POLL).await;
        }
        let controllers = wiring.start("kube-controller-manager", &wiring.controller_manager_args())?;
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

impl Wiring {
    fn start(&self, name: &'static str, args: &[String]) -> Result<Process> {
        Process::start(&self.place, &self.tools.find(name)?, name, &self.folder, args)
    }

    fn file(&self, name: &str) -> String {
        self.folder.join(name).display().to_string()
    }

    fn kubeconfig(&self) -> PathBuf {
        self.folder.join("kubeconfig")
    }

    fn write_credentials(&self) -> Result<()> {
        let key = rcgen::KeyPair::generate().context("making the key of service accounts")?;
        fs::write(self.file("service-accounts.key"), key.serialize_pem())?;
        fs::write(self.file("service-accounts.pub"), key.public_key_pem())?;
        fs::write(self.file("tokens.csv"), format!("{TOKEN},testbed,testbed,system:masters\n"))?;
        let kubeconfig = format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: testbed\n\
             clusters: [{{name: testbed, cluster: {{server: 'https://{}', certificate-authority: '{}'}}}}]\n\
             users: [{{name: testbed, user: {{token: {TOKEN}}}}}]\n\
             contexts: [{{name: testbed, context: {{cluster: testbed, user: testbed}}}}]\n",
            self.apiserver,
            self.file("certificates/apiserver.crt"),
        );
        Ok(fs::write(self.kubeconfig(), kubeconfig)?)
    }

    fn etcd_args(&self) -> Vec<String> {
        let clients = format!("http://127.0.0.1:{}", self.etcd_port);
        let peers = format!("http://127.0.0.1:{}", self.etcd_peer_port);
        vec![
            format!("--data-dir={}", self.file("etcd")),
            format!("--listen-client-urls={clients}"),
            format!("--advertise-client-urls={clients}"),
            format!("--listen-peer-urls={peers}"),
            format!("--initial-advertise-peer-urls={peers}"),
            format!("--initial-cluster=default={peers}"),
            "--unsafe-no-fsync".to_owned(),
        ]
    }

    fn apiserver_args(&self) -> Vec<String> {
        let mut args = vec![
            format!("--etcd-servers=http://127.0.0.1:{}", self.etcd_port),
            format!("--secure-port={}", self.apiserver.port()),
            format!("--cert-dir={}", self.file("certificates")),
            format!("--service-account-key-file={}", self.file("service-accounts.pub")),
            format!("--service-account-signing-key-file={}", self.file("service-accounts.key")),
            "--service-account-issuer=https://testbed.invalid".to_owned(),
            format!("--token-auth-file={}", self.file("tokens.csv")),
            "--authorization-mode=RBAC".to_owned(),
            "--allow-privileged".to_owned(),
        ];
        args.extend(match &self.place {
            Place::Loopback => vec![
                "--bind-address=127.0.0.1".to_owned(),
                "--service-cluster-ip-range=10.0.0.0/24".to_owned(),
                "--disable-admission-plugins=ServiceAccount".to_owned(),
                // An advertised address on loopback is refused, and nobody reads the endpoints here.
                "--endpoint-reconciler-type=none".to_owned(),
            ],
            Place::Site(site) => vec![
                format!("--advertise-address={}", site.address()),
                format!("--service-cluster-ip-range={}", site.services()),
                // Nobody resolves the names of nodes.
                "--kubelet-preferred-address-types=InternalIP".to_owned(),
            ],
        });
        args
    }

    fn controller_manager_args(&self) -> Vec<String> {
        vec![
            format!("--kubeconfig={}", self.kubeconfig().display()),
            format!("--service-account-private-key-file={}", self.file("service-accounts.key")),
            format!("--root-ca-file={}", self.file("certificates/apiserver.crt")),
            "--leader-elect=false".to_owned(),
            "--secure-port=0".to_owned(),
        ]
    }
}
