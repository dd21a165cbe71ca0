//! What people at the machine ask of the running agent: a socket in its data folder, one JSON line
//! for the wish and one for the answer. It works without any hub, and only for whoever may read the
//! data folder.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use canopy_core::input::{Found, Survey};
use canopy_core::{Agent, Input};
use canopy_link::Contact;
use canopy_model::{Report, Uid, Work};
use canopy_node::{Handle, handle};
use canopy_proto::convert::one_line;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::args;
use crate::cluster::Cluster;
use crate::folder::Folder;

/// The longest wish, in bytes.
const WISH_BYTES_MAX: u64 = 16 * 1024;
/// How long someone may take to say what they wish.
const WISH_WAIT: Duration = Duration::from_secs(5);
/// How long leaving waits until the cluster is done with what was asked of it before.
const IDLE_WAIT: Duration = Duration::from_secs(120);
/// Between two looks.
const IDLE_POLL: Duration = Duration::from_millis(100);
/// How long leaving waits for the finalizers and graceful shutdowns of one workload.
const DELETE_WAIT: Duration = Duration::from_secs(60);
/// Between two looks at a deletion.
const DELETE_POLL: Duration = Duration::from_secs(1);
/// After a client that could not be heard, for the process may have no file handles left.
const ACCEPT_WAIT: Duration = Duration::from_secs(1);

/// What people may ask.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Wish {
    /// What is there?
    Status,
    /// Change nothing.
    Hold {
        /// Why.
        reason: String,
    },
    /// Go on.
    Release,
    /// Leave the hub.
    Leave {
        /// And leave everything running.
        keep: bool,
    },
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
enum Answer {
    Status(Status),
    Done(String),
    Refused(String),
}

/// What an agent holds.
#[derive(Debug, Serialize, Deserialize)]
struct Status {
    cluster: String,
    hub: String,
    hold: Option<String>,
    workloads: Vec<Workload>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Workload {
    name: String,
    revision: Option<String>,
    sync: String,
    health: String,
    message: String,
}

/// Where people are served.
pub(crate) struct Desk {
    folder: Folder,
    stop: CancellationToken,
    left: CancellationToken,
    contact: Contact,
    /// Held by whoever changes something.
    changing: Mutex<()>,
}

impl Desk {
    pub(crate) fn new(folder: Folder, stop: CancellationToken, contact: Contact) -> Self {
        Self { folder, stop, left: CancellationToken::new(), contact, changing: Mutex::new(()) }
    }

    /// Cancelled once the agent has left its hub.
    pub(crate) fn left(&self) -> CancellationToken {
        self.left.clone()
    }

    /// Begins to listen; what is returned serves, for ever. The store is open, so no other agent listens in
    /// this folder. An agent that cannot be asked anything does its work all the same.
    pub(crate) fn open<C: Cluster>(
        self,
        cluster: Arc<C>,
        agent: Handle<Agent>,
    ) -> anyhow::Result<Option<impl Future<Output = ()> + Send + 'static>> {
        let path = self.folder.socket();
        let listener = match listen(&path) {
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
                warn!(path = %path.display(), %error,
                    "people at the machine can't ask this agent: give it a --data with a shorter path");
                return Ok(None);
            }
            listener => listener.with_context(|| format!("listening on {}", path.display()))?,
        };
        let desk = Arc::new(self);
        Ok(Some(async move {
            loop {
                match listener.accept().await {
                    Ok((stream, _)) => {
                        let (desk, cluster, agent) = (desk.clone(), cluster.clone(), agent.clone());
                        tokio::spawn(async move { desk.serve(stream, &*cluster, &agent).await });
                    }
                    Err(error) => {
                        warn!(error = one_line(&error), "someone at the machine was not heard");
                        sleep(ACCEPT_WAIT).await;
                    }
                }
            }
        }))
    }

    async fn serve<C: Cluster>(&self, mut stream: UnixStream, cluster: &C, agent: &Handle<Agent>) {
        let answer = match wish(&mut stream).await {
            Ok(wish) => self.answer(wish, cluster, agent).await,
            Err(error) => Answer::Refused(format!("the wish can't be read: {error:#}")),
        };
        let leaves = matches!((&answer, self.left.is_cancelled()), (Answer::Done(_), true));
        if let Err(error) = tell(&mut stream, &answer).await {
            warn!(error = one_line(&error), "someone at the machine got no answer");
        }
        if leaves {
            self.stop.cancel();
        }
    }

    async fn answer<C: Cluster>(&self, wish: Wish, cluster: &C, agent: &Handle<Agent>) -> Answer {
        if matches!(wish, Wish::Status) {
            let trouble = self.contact.trouble();
            let status = agent.read(move |agent| status(agent, trouble)).await;
            return status.map_or_else(refused, Answer::Status);
        }
        // Looking is always possible; what changes something goes one after the other.
        let changing = self.changing.try_lock();
        let outcome = match wish {
            Wish::Status => unreachable!("answered above"),
            _ if changing.is_err() => Err("the agent is doing what someone else asked here".to_owned()),
            Wish::Hold { reason } => {
                info!(reason, "held by someone at the machine");
                hold(agent, Some(reason))
                    .await
                    .map(|()| "held: nothing is changed until `release`".to_owned())
            }
            Wish::Release => {
                info!("released by someone at the machine");
                hold(agent, None).await.map(|()| "released".to_owned())
            }
            Wish::Leave { keep } => self.leave(keep, cluster, agent).await.map_err(|error| {
                format!("{error}; until then nothing is changed: `leave` again, or `release` to stay")
            }),
        };
        outcome.map_or_else(Answer::Refused, Answer::Done)
    }

    async fn leave<C: Cluster>(
        &self,
        keep: bool,
        cluster: &C,
        agent: &Handle<Agent>,
    ) -> Result<String, String> {
        info!(keep, "leaving the hub, as someone at the machine asks");
        hold(agent, Some("it is leaving the hub".to_owned())).await?;
        let path = agent.read(|agent| agent.path().clone()).await.map_err(|error| error.to_string())?;
        let until = Instant::now() + IDLE_WAIT;
        while !agent.read(Agent::is_idle).await.map_err(|error| error.to_string())? {
            if Instant::now() >= until {
                return Err("the cluster is still busy with what was asked of it".to_owned());
            }
            sleep(IDLE_POLL).await;
        }
        let Survey { found: held, unreadable } = cluster.survey().await?;
        if let Some((uid, why)) = unreadable.first() {
            return Err(format!("workload {uid}: {why}"));
        }
        for found in &held {
            let outcome =
                if keep { cluster.orphan(found.uid).await } else { delete(cluster, found.uid).await };
            outcome.map_err(|error| format!("workload {}: {error}", found.name.name))?;
        }
        self.left.cancel();
        let what = if keep { "left running" } else { "deleted" };
        Ok(format!(
            "left the hub; {what}: {}; the agent ends. At the hub: canopy delete cluster {path} --forget",
            if held.is_empty() { "nothing".to_owned() } else { names(&held) }
        ))
    }
}

/// Deletes a workload, and waits until it is gone.
async fn delete<C: Cluster>(cluster: &C, uid: Uid) -> Result<(), String> {
    let until = Instant::now() + DELETE_WAIT;
    loop {
        match cluster.delete(uid).await {
            Err(_) if Instant::now() < until => sleep(DELETE_POLL).await,
            outcome => return outcome,
        }
    }
}

/// Listens where only the owner of the data folder may ask. The socket gets its place when it is
/// closed to others.
fn listen(path: &Path) -> io::Result<UnixListener> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let closed = tempfile::Builder::new().prefix(".s").tempdir_in(folder)?;
    let draft = closed.path().join("s");
    let listener = UnixListener::bind(&draft)?;
    fs::set_permissions(&draft, fs::Permissions::from_mode(0o600))?;
    fs::rename(&draft, path)?;
    Ok(listener)
}

fn names(held: &[Found]) -> String {
    held.iter().map(|found| found.name.name.as_str()).collect::<Vec<_>>().join(", ")
}

fn refused(error: handle::Error) -> Answer {
    Answer::Refused(error.to_string())
}

/// Holds or releases, and waits until that is durable.
async fn hold(agent: &Handle<Agent>, reason: Option<String>) -> Result<(), String> {
    let input = agent.input(Input::Hold(reason)).await;
    input.map_err(|error| error.to_string())?;
    agent.read(|_| ()).await.map_err(|error| error.to_string())
}

fn status(agent: &Agent, trouble: Option<String>) -> Status {
    let workload = |(_, report): (Uid, &Report)| {
        let Work { name, revision, sync, health, message, .. } = report.work.clone()?;
        Some(Workload {
            name: if name.project.as_str() == canopy_proto::convert::DEFAULT_PROJECT {
                name.name.to_string()
            } else {
                format!("{}/{}", name.project, name.name)
            },
            revision: revision.map(|digest| digest.short()),
            sync: sync.to_string(),
            health: health.to_string(),
            message,
        })
    };
    let away = || {
        let why = trouble.map(|trouble| format!(" ({trouble})")).unwrap_or_default();
        format!("not connected: what runs here goes on{why}")
    };
    Status {
        cluster: agent.path().to_string(),
        hub: if agent.parent().is_connected() { "connected".to_owned() } else { away() },
        hold: agent.hold().map(str::to_owned),
        workloads: agent.reports().filter_map(workload).collect(),
    }
}

async fn wish(stream: &mut UnixStream) -> anyhow::Result<Wish> {
    let mut line = String::new();
    let mut reader = BufReader::new(stream).take(WISH_BYTES_MAX);
    timeout(WISH_WAIT, reader.read_line(&mut line)).await??;
    Ok(serde_json::from_str(&line)?)
}

async fn tell(stream: &mut UnixStream, answer: &Answer) -> io::Result<()> {
    let mut line = serde_json::to_vec(answer)?;
    line.push(b'\n');
    stream.write_all(&line).await
}

/// Asks the running agent, and prints what it answers.
pub(crate) async fn ask(machine: &args::Machine, wish: Wish) -> anyhow::Result<()> {
    let path: PathBuf = Folder::new(&machine.data).socket();
    let stream = UnixStream::connect(&path).await;
    let mut stream = stream.with_context(|| {
        format!("no agent listens on {}: is it running with this --data?", path.display())
    })?;
    let mut line = serde_json::to_vec(&wish)?;
    line.push(b'\n');
    stream.write_all(&line).await?;
    let mut answer = String::new();
    BufReader::new(stream).read_line(&mut answer).await?;
    match serde_json::from_str(&answer).context("the agent gave no answer; see its log")? {
        Answer::Status(status) => print(&status),
        Answer::Done(text) => say(&text),
        Answer::Refused(why) => bail!(why),
    }
    Ok(())
}

fn print(status: &Status) {
    say(&format!("Cluster: {}", status.cluster));
    say(&format!("Hub:     {}", status.hub));
    if let Some(reason) = &status.hold {
        say(&format!("Held:    {reason}"));
    }
    let width = status.workloads.iter().map(|workload| workload.name.len()).max().unwrap_or(0).max(8);
    say(&format!("\n{:width$}  {:12}  {:9}  {:11}  MESSAGE", "WORKLOAD", "REVISION", "SYNC", "HEALTH"));
    for Workload { name, revision, sync, health, message } in &status.workloads {
        let revision = revision.as_deref().unwrap_or("-");
        say(&format!("{name:width$}  {revision:12}  {sync:9}  {health:11}  {message}"));
    }
}

#[allow(clippy::print_stdout, reason = "what people asked for")]
fn say(line: &str) {
    println!("{line}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_socket_takes_the_place_of_an_old_one_and_is_closed_to_others() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("machine.sock");
        drop(listen(&path).unwrap());
        let listener = listen(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(place.path()).unwrap().count(), 1, "nothing else is left");
        let (accepted, connected) = tokio::join!(listener.accept(), UnixStream::connect(&path));
        accepted.and(connected).unwrap();
    }

    #[tokio::test]
    async fn a_path_that_is_too_long_for_a_socket_is_told_apart() {
        let place = tempfile::tempdir().unwrap();
        let folder = place.path().join("a".repeat(120));
        fs::create_dir(&folder).unwrap();
        let error = listen(&folder.join("machine.sock")).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    }
}
