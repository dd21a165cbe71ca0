//! A root, a region and agents: the real programs as processes, on loopback or at sites of a bed.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};

use crate::cluster::Cluster;
use crate::nodes::Nodes;
use crate::place::Place;

/// How long a state may take to come about.
pub const STATE_MAX: Duration = Duration::from_secs(60);

/// Between two looks for it.
const STATE_POLL: Duration = Duration::from_millis(100);

/// Waits for a state.
///
/// # Errors
/// It did not come about within [`STATE_MAX`], or cannot be looked at.
pub async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Result<Option<T>>) -> Result<T> {
    let began = Instant::now();
    loop {
        if let Some(found) = look().await? {
            return Ok(found);
        }
        if began.elapsed() > STATE_MAX {
            bail!("{what}: not within {} s", STATE_MAX.as_secs());
        }
        tokio::time::sleep(STATE_POLL).await;
    }
}

/// The processes of a small tree, killed on drop.
#[derive(Debug)]
pub struct Fleet {
    folder: tempfile::TempDir,
    programs: PathBuf,
    nodes: Nodes,
    /// Where each hub listens for administrators.
    admins: BTreeMap<String, SocketAddr>,
}

/// The ports of a hub at a site: for children, administrators and health.
const PORTS: [u16; 3] = [7443, 7444, 7445];

impl Fleet {
    /// Builds the programs and starts a root and the region `eu`, on loopback.
    pub async fn start() -> Result<Self> {
        Self::start_at([Place::Loopback, Place::Loopback]).await
    }

    /// The same at two places, the root's first.
    pub async fn start_at([root, eu]: [Place; 2]) -> Result<Self> {
        let programs = build()?;
        let folder = tempfile::tempdir()?;
        let mut fleet = Self { folder, programs, nodes: Nodes::default(), admins: BTreeMap::new() };
        fleet.run_hub("root", root, None)?;
        fleet.add_hub("/", "eu", eu).await?;
        Ok(fleet)
    }

    /// Joins a hub below another and starts it.
    pub async fn add_hub(&mut self, parent: &str, name: &str, at: Place) -> Result<()> {
        let token = self.token(&["--parent", parent, "--hub", "--name", name]).await?;
        self.run_hub(name, at, Some(&token))
    }

    fn run_hub(&mut self, name: &str, at: Place, token: Option<&str>) -> Result<()> {
        let [below, admin, health] = PORTS.map(|port| at.address(port));
        let (data, below, address, health) =
            (self.data(name), below?.to_string(), admin?, health?.to_string());
        let admin = address.to_string();
        self.admins.insert(name.to_owned(), address);
        let place = ["--data", &data, "--listen", &below, "--advertise", &below, "--admin", &admin];
        let made = match token {
            None => {
                let contexts = self.contexts().display().to_string();
                self.program("canopy-hub")
                    .arg("init")
                    .args(place)
                    .args(["--context-file", &contexts])
                    .output()?
            }
            Some(token) => {
                self.program("canopy-hub").args(["join", "--data", &data, "--token", token]).output()?
            }
        };
        succeeded(&made)?;
        let mut run = self.program("canopy-hub");
        run.arg("run").args(place).args(["--health", &health]);
        self.add(name, at, run)
    }

    /// Joins an agent of the cluster's name below a hub and starts it where the cluster is.
    pub async fn add_agent(&mut self, parent: &str, cluster: &Cluster, line: &str) -> Result<()> {
        self.add_agent_with(parent, cluster, line, &[]).await
    }

    /// The same, with more words on its command line.
    pub async fn add_agent_with(
        &mut self,
        parent: &str,
        cluster: &Cluster,
        line: &str,
        more: &[&str],
    ) -> Result<()> {
        let kubeconfig = cluster.plane.kubeconfig().display().to_string();
        let place = Place::Site(cluster.site.clone());
        let words = [&["--kubeconfig", &kubeconfig], more].concat();
        self.join_agent(parent, cluster.site.name(), line, place, &words).await
    }

    /// Joins an agent below `eu` and starts it on an embedded cluster.
    pub async fn add_embedded(&mut self, name: &str, line: &str) -> Result<()> {
        self.add_embedded_at(name, line, Place::Loopback).await
    }

    /// The same at a place.
    pub async fn add_embedded_at(&mut self, name: &str, line: &str, at: Place) -> Result<()> {
        self.join_agent("eu", name, line, at, &["--embedded"]).await
    }

    async fn join_agent(
        &mut self,
        parent: &str,
        name: &str,
        line: &str,
        at: Place,
        cluster: &[&str],
    ) -> Result<()> {
        let label = format!("line={line}");
        let token = self.token(&["--parent", parent, "--agent", "--name", name, "--label", &label]).await?;
        let data = self.data(name);
        let joined =
            self.program("canopy-agent").args(["join", "--data", &data, "--token", &token]).output()?;
        succeeded(&joined)?;
        let mut run = self.program("canopy-agent");
        run.args(["run", "--data", &data]).args(cluster);
        self.add(name, at, run)
    }

    /// A command line of one of the programs, `canopy-hub join --data …`; the first word names it.
    pub fn command(&self, line: &str) -> Command {
        let mut words = line.split_whitespace();
        let mut command = self.program(words.next().unwrap_or_default());
        command.args(words).env("CANOPY_CONFIG", self.contexts());
        command
    }

    /// Where a hub listens for administrators.
    pub fn admin(&self, name: &str) -> SocketAddr {
        self.admins[name]
    }

    /// Runs the agent's own command line at its machine.
    pub fn at_machine(&self, name: &str, words: &[&str]) -> Result<Output> {
        Ok(self.program("canopy-agent").args(words).args(["--data", &self.data(name)]).output()?)
    }

    /// What an embedded cluster holds, from its own file; nothing before its first start.
    pub fn embedded(&self, name: &str) -> Result<serde_json::Value> {
        match std::fs::read(PathBuf::from(self.data(name)).join("embedded-cluster.json")) {
            Ok(bytes) => Ok(serde_json::from_slice(&bytes)?),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(serde_json::Value::Null),
            Err(error) => Err(error.into()),
        }
    }

    /// How a node's process ended; none while it runs.
    pub fn ended(&mut self, name: &str) -> Result<Option<ExitStatus>> {
        Ok(self.nodes.ended(name)?)
    }

    fn add(&mut self, name: &str, at: Place, mut command: Command) -> Result<()> {
        let log = self.folder.path().join(format!("{name}.log"));
        let log = std::fs::File::options().create(true).append(true).open(log)?;
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        self.nodes.add(name, at, command).with_context(|| format!("starting {name}"))
    }

    /// Kills a node as `kill -9` does.
    pub fn kill(&mut self, name: &str) -> Result<()> {
        Ok(self.nodes.kill(name)?)
    }

    /// Starts a node that was killed.
    pub fn restart(&mut self, name: &str) -> Result<()> {
        self.nodes.restart(name).with_context(|| format!("starting {name}"))
    }

    /// A token, as soon as the hub can be reached.
    pub async fn token(&self, words: &[&str]) -> Result<String> {
        let words = [&["token", "create"], words].concat();
        let line = until("a token", async || {
            let output = self.canopy(&words)?;
            Ok(output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned()))
        });
        let line = line.await?;
        let mut rest = line.split_whitespace().skip_while(|word| *word != "--token").skip(1);
        Ok(rest.next().with_context(|| format!("no token in {line:?}"))?.to_owned())
    }

    /// Runs the command line against the root.
    pub fn canopy(&self, words: &[&str]) -> Result<Output> {
        let output = self.program("canopy").arg("--config").arg(self.contexts()).args(words).output()?;
        Ok(output)
    }

    /// Runs the command line against the root; it must succeed.
    pub fn ask(&self, words: &[&str]) -> Result<String> {
        let output = self.canopy(words)?;
        succeeded(&output).with_context(|| format!("canopy {}", words.join(" ")))?;
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Writes a file of the administrator's and gives its path.
    pub fn file(&self, name: &str, text: &str) -> Result<String> {
        let path = self.folder.path().join(name);
        std::fs::write(&path, text)?;
        Ok(path.display().to_string())
    }

    /// Prints what these nodes have logged, if the test went wrong.
    pub fn explain(&self, told: &Result<()>, nodes: &[&str]) {
        for node in nodes.iter().filter(|_| told.is_err()) {
            eprintln!("--- {node}\n{}", self.log(node));
        }
    }

    /// What a node has logged.
    pub fn log(&self, name: &str) -> String {
        std::fs::read_to_string(self.folder.path().join(format!("{name}.log"))).unwrap_or_default()
    }

    fn program(&self, name: &str) -> Command {
        let mut command = Command::new(self.programs.join(name));
        let own = std::env::vars_os().map(|(key, _)| key);
        for key in own.filter(|key| key.to_string_lossy().starts_with("CANOPY_")) {
            command.env_remove(key);
        }
        command
    }

    /// Where the programs are.
    pub fn programs(&self) -> &Path {
        &self.programs
    }

    /// The number of a node's process; none while it is killed.
    pub fn pid(&self, name: &str) -> Option<u32> {
        self.nodes.pid(name)
    }

    /// The data folder of a node, or of one that is to be.
    pub fn data(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    /// The administrator's context file, for `canopy --config`.
    pub fn contexts(&self) -> PathBuf {
        self.folder.path().join("config.yaml")
    }
}

/// Builds the programs as this one was built, and gives their folder.
fn build() -> Result<PathBuf> {
    let mut build = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    build.args(["build", "--quiet", "-p", "canopy-hub", "-p", "canopy-agent", "-p", "canopy-cli"]);
    if !cfg!(debug_assertions) {
        build.arg("--release");
    }
    ensure!(build.status()?.success(), "the programs do not build");
    let this = std::env::current_exe()?;
    let folder = this.parent().filter(|folder| !folder.ends_with("deps")).or(this.ancestors().nth(2));
    Ok(folder.context("a program stands in a folder")?.to_owned())
}

fn succeeded(output: &Output) -> Result<()> {
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr).trim());
    Ok(())
}
