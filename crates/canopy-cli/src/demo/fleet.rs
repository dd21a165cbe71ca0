//! The processes of the demonstration: this program again and again, as hubs and agents.
//!
//! A node is killed as by `kill -9` and started again on the folder that it left behind. Each holds
//! a pipe of this process as its standard input and ends with it, so nothing stays behind even when
//! the demonstration itself is killed.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use canopy_identity::JoinToken;
use canopy_proto::admin::v1::Role;
use canopy_testbed::{Nodes, Place, Wan};
use tokio::time::sleep;

use super::desk::Desk;
use super::failed;

use crate::context::Contexts;
use crate::error::Error;

/// How long a hub may take to answer after its start.
const START_MAX: Duration = Duration::from_secs(20);
/// Between two looks whether it does.
const LOOK_EVERY: Duration = Duration::from_millis(25);

/// Regions with the clusters below them and the `line` that each stands beside.
pub(super) const REGIONS: [(&str, [(&str, &str); 3]); 2] = [
    ("eu", [("line-1", "cnc"), ("line-2", "cnc"), ("line-3", "paint")]),
    ("us", [("line-4", "cnc"), ("line-5", "paint"), ("line-6", "paint")]),
];

/// A running fleet. Dropping it kills all of its processes.
pub(super) struct Fleet {
    folder: PathBuf,
    nodes: Nodes,
    wans: BTreeMap<String, Wan>,
    desks: BTreeMap<String, Desk>,
    /// Where hubs listen for those below.
    listens: BTreeMap<String, SocketAddr>,
    /// A token that was used already.
    used_token: String,
}

impl Fleet {
    /// Starts the root, the regional hubs and the agents, whose folders lie below `folder`. The
    /// embedded cluster of `liar` says that it applies, and does not.
    pub(super) async fn start(folder: &Path, liar: Option<&str>) -> Result<Self, Error> {
        let mut fleet = Self {
            folder: folder.to_owned(),
            nodes: Nodes::default(),
            wans: BTreeMap::new(),
            desks: BTreeMap::new(),
            listens: BTreeMap::new(),
            used_token: String::new(),
        };
        fleet.found().await?;
        for (region, clusters) in REGIONS {
            fleet.join_hub(region).await?;
            for (name, line) in clusters {
                fleet.join_agent(region, name, line, liar).await?;
            }
        }
        Ok(fleet)
    }

    /// Makes the root and its administrator, and starts it.
    async fn found(&mut self) -> Result<(), Error> {
        let (listen, admin) = (free_address()?, free_address()?);
        let (data, file) = (self.data("/"), self.contexts());
        let place = ["--data", &data, "--admin", &admin.to_string()].map(str::to_owned);
        let context = ["--context-file", &file.display().to_string()].map(str::to_owned);
        let init = [&["hub", "init"].map(str::to_owned)[..], &place, &context].concat();
        self.once(&init).await?.map_err(Error::Usage)?;
        let context = Contexts::load(&file)?.pick(Some("root"))?.clone();
        self.desks.insert("/".to_owned(), Desk { context });
        self.listens.insert("/".to_owned(), listen);
        self.run_hub("/", listen, admin).await
    }

    /// Joins a regional hub over a line of its own, and starts it.
    async fn join_hub(&mut self, region: &str) -> Result<(), Error> {
        let (listen, admin) = (free_address()?, free_address()?);
        let wan = Wan::open(self.listens["/"]).await.map_err(failed("open a line"))?;
        let token = self.hub("/").invite(Role::Hub, region, None).await?;
        let mut token: JoinToken = token.parse().map_err(|_| Error::Usage("the token is none".to_owned()))?;
        token.addresses = vec![wan.address.to_string()];
        let join = ["hub", "join", "--data", &self.data(region), "--token", &token.to_string()];
        self.once(&join.map(str::to_owned)).await?.map_err(Error::Usage)?;
        let mut context = self.hub("/").context.clone();
        (context.name, context.hub) = (region.to_owned(), region.to_owned());
        context.server = admin.to_string();
        let mut contexts = Contexts::load(&self.contexts())?;
        contexts.contexts.push(context.clone());
        contexts.save(&self.contexts())?;
        self.desks.insert(region.to_owned(), Desk { context });
        self.wans.insert(region.to_owned(), wan);
        self.listens.insert(region.to_owned(), listen);
        self.run_hub(region, listen, admin).await
    }

    async fn run_hub(&mut self, path: &str, listen: SocketAddr, admin: SocketAddr) -> Result<(), Error> {
        let (listen, admin, health) = (listen.to_string(), admin.to_string(), free_address()?.to_string());
        let data = self.data(path);
        let run = ["hub", "run", "--data", &data, "--listen", &listen, "--advertise", &listen];
        let rest = ["--admin", &admin, "--health", &health];
        self.run(path, &[&run[..], &rest].concat())?;
        self.answers(path).await
    }

    /// Joins an agent with an embedded cluster, and starts it.
    async fn join_agent(
        &mut self,
        region: &str,
        name: &str,
        line: &str,
        liar: Option<&str>,
    ) -> Result<(), Error> {
        let path = format!("{region}/{name}");
        let data = self.data(&path);
        let token = self.hub(region).invite(Role::Agent, name, Some(line)).await?;
        let join = ["agent", "join", "--data", &data, "--token", &token];
        self.once(&join.map(str::to_owned)).await?.map_err(Error::Usage)?;
        self.used_token = token;
        let mut arguments = vec!["agent", "run", "--embedded", "--data", &data];
        if liar == Some(&path) {
            arguments.push("--embedded-lies");
        }
        self.run(&path, &arguments)
    }

    /// Starts a node.
    fn run(&mut self, path: &str, arguments: &[&str]) -> Result<(), Error> {
        let mut command = this_program()?;
        command
            .arg(super::ATTACHED)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(self.log(path)?);
        self.nodes.add(path, Place::Loopback, command).map_err(failed("start a node"))
    }

    /// Tries to join with a token that was used already; the error is what the hub said.
    pub(super) async fn join_again(&self) -> Result<Result<(), String>, Error> {
        let join = ["agent", "join", "--data", &self.data("thief"), "--token", &self.used_token];
        self.once(&join.map(str::to_owned)).await
    }

    /// The hub of this path; the root's is `/`.
    pub(super) fn hub(&self, path: &str) -> &Desk {
        &self.desks[path]
    }

    /// The line between a region and the root.
    pub(super) fn wan(&self, region: &str) -> &Wan {
        &self.wans[region]
    }

    /// Kills a node as `kill -9` does.
    pub(super) fn kill(&mut self, path: &str) -> Result<(), Error> {
        self.nodes.kill(path).map_err(failed("kill a node"))
    }

    /// Starts a node again that was killed.
    pub(super) fn restart(&mut self, path: &str) -> Result<(), Error> {
        self.nodes.restart(path).map_err(failed("start a node"))
    }

    /// Waits until a hub answers administrators.
    pub(super) async fn answers(&self, path: &str) -> Result<(), Error> {
        let began = Instant::now();
        loop {
            match self.hub(path).fleet().await {
                Ok(_) => return Ok(()),
                Err(error) if began.elapsed() >= START_MAX => return Err(error),
                Err(_) => sleep(LOOK_EVERY).await,
            }
        }
    }

    /// Runs one command of a node to its end; the error is what it said.
    async fn once(&self, arguments: &[String]) -> Result<Result<(), String>, Error> {
        let mut command = tokio::process::Command::from(this_program()?);
        command.args(arguments).stdin(Stdio::null()).kill_on_drop(true);
        let output = command.output().await.map_err(failed("run a node's command"))?;
        let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        Ok(if output.status.success() { Ok(()) } else { Err(said) })
    }

    /// The context file, for `canopy --config`.
    pub(super) fn contexts(&self) -> PathBuf {
        self.folder.join("config.yaml")
    }

    /// The data folder of a node.
    fn data(&self, path: &str) -> String {
        self.folder(path).join("data").display().to_string()
    }

    fn folder(&self, path: &str) -> PathBuf {
        self.folder.join(if path == "/" { "root" } else { path })
    }

    fn log(&self, path: &str) -> Result<File, Error> {
        let folder = self.folder(path);
        fs::create_dir_all(&folder).map_err(failed("make a folder"))?;
        File::options().create(true).append(true).open(folder.join("log")).map_err(failed("open a log"))
    }
}

fn this_program() -> Result<Command, Error> {
    let mut command = Command::new(std::env::current_exe().map_err(failed("find this program"))?);
    // What is set for the caller's own nodes does not concern these.
    command.env_clear().arg("demo-node");
    Ok(command)
}

fn free_address() -> Result<SocketAddr, Error> {
    canopy_testbed::free_address().map_err(failed("find a free port"))
}
