//! Two real hubs in one process: real disks, real certificates, loopback.

#![allow(clippy::unwrap_used, reason = "a test says by failing what went wrong")]

#[path = "two_hubs/agent.rs"]
mod agent;
#[path = "two_hubs/bounds.rs"]
mod bounds;
#[path = "two_hubs/content.rs"]
mod content;
#[path = "two_hubs/events.rs"]
mod events;
#[path = "two_hubs/members.rs"]
mod members;
#[path = "two_hubs/pair.rs"]
mod pair;
#[path = "two_hubs/reading.rs"]
mod reading;
#[path = "two_hubs/writing.rs"]
mod writing;

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use canopy_cli::connect::{Client, connect};
use canopy_cli::context::Contexts;
use canopy_hub::args::{AdminArgs, Cli, Command, InitArgs, JoinArgs, RunArgs};
use canopy_hub::run::Server;
use canopy_hub::{init, join};
use canopy_proto::admin::v1::{self, object, status};
use clap::Parser;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tonic::Code;

/// How long a state may take to come about.
const PATIENCE: Duration = Duration::from_secs(30);

/// A running hub, and an administrator's connection to it.
struct Running {
    client: Client,
    listen: SocketAddr,
    admin: SocketAddr,
    health: SocketAddr,
    stop: CancellationToken,
    task: JoinHandle<anyhow::Result<()>>,
}

impl Running {
    async fn start(data: &Path, context_file: &Path) -> Self {
        Self::start_at(data, context_file, "127.0.0.1:0".parse().unwrap()).await
    }

    async fn start_at(data: &Path, context_file: &Path, listen: SocketAddr) -> Self {
        let Command::Run(mut args) = parse(data, "run") else { unreachable!() };
        args.addresses.listen = listen;
        let mut server = Server::bind(&args).await.unwrap();
        let [below, admin, health] = server.addresses().unwrap();
        server.advertise(below.to_string());
        let stop = CancellationToken::new();
        let task = tokio::spawn(server.run(stop.clone()));
        let contexts = Contexts::load(context_file).unwrap();
        let client = connect(contexts.pick(None).unwrap(), Some(&admin.to_string())).await.unwrap();
        Self { client, listen: below, admin, health, stop, task }
    }

    async fn stop(self) {
        self.stop.cancel();
        self.task.await.unwrap().unwrap();
    }
}

fn parse(data: &Path, command: &str) -> Command {
    let mut words = vec!["canopy-hub".to_owned()];
    words.extend(command.split(' ').map(str::to_owned));
    words.extend(["--data".to_owned(), data.display().to_string()]);
    if command == "run" {
        for flag in ["--listen", "--admin", "--health"] {
            words.extend([flag.to_owned(), "127.0.0.1:0".to_owned()]);
        }
    }
    Cli::try_parse_from(words).unwrap().command
}

fn init_args(data: &Path, context_file: &Path) -> InitArgs {
    let Command::Init(mut args) = parse(data, "init") else { unreachable!() };
    args.context.file = Some(context_file.to_owned());
    args
}

fn join_args(data: &Path, token: &str) -> JoinArgs {
    let Command::Join(args) = parse(data, &format!("join --token {token}")) else { unreachable!() };
    args
}

fn admin_args(data: &Path, context_file: &Path) -> AdminArgs {
    let Command::Admin(mut args) = parse(data, "admin") else { unreachable!() };
    args.context.file = Some(context_file.to_owned());
    args
}

fn run_args(data: &Path) -> RunArgs {
    let Command::Run(args) = parse(data, "run") else { unreachable!() };
    args
}

/// Asks until the answer is there.
async fn until<T>(mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let asking = async {
        loop {
            if let Some(answer) = ask().await {
                return answer;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, asking).await.expect("the state did not come about")
}

fn workload(home: &str, name: &str, manifest_bytes: usize) -> v1::ApplyRequest {
    let padding = "x".repeat(manifest_bytes);
    let manifest = format!(
        r#"{{"apiVersion":"v1","kind":"ConfigMap","metadata":{{"name":"{name}"}},"data":{{"a":"{padding}"}}}}"#
    );
    let spec = v1::WorkloadSpec {
        placements: vec!["all".to_owned()],
        manifests: vec![manifest],
        ..Default::default()
    };
    let metadata = v1::Metadata { name: name.to_owned(), home: home.to_owned(), ..v1::Metadata::default() };
    let spec = Some(object::Spec::Workload(spec));
    let object = v1::Object { metadata: Some(metadata), spec, status: None };
    v1::ApplyRequest { object: Some(object), ..Default::default() }
}

fn get(kind: v1::Kind, name: &str, home: &str) -> v1::GetRequest {
    let project = String::new();
    let object = v1::ObjectRef { kind: kind.into(), project, name: name.to_owned(), home: home.to_owned() };
    v1::GetRequest { object: Some(object) }
}

fn ready(object: &v1::Object) -> (String, String) {
    let ready = object.status.as_ref().and_then(|status| status.conditions.last()).unwrap();
    (ready.status.clone(), ready.reason.clone())
}

async fn token(client: &mut Client, role: v1::Role, name: &str) -> String {
    let labels = [("zone".to_owned(), name.to_owned())].into();
    let request =
        v1::CreateTokenRequest { role: role.into(), name: name.to_owned(), labels, ..Default::default() };
    client.create_token(request).await.unwrap().into_inner().token
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_applied_at_the_root_reaches_a_hub_below() {
    let place = tempfile::tempdir().unwrap();
    let [root, plant] = ["root", "plant"].map(|name| place.path().join(name));
    let [root_context, plant_context] = ["root.yaml", "plant.yaml"].map(|name| place.path().join(name));

    init::init(&init_args(&root, &root_context)).unwrap();
    let again = init::init(&init_args(&root, &root_context)).unwrap_err();
    assert!(again.to_string().contains("canopy-hub admin"), "{again:#}");
    let mut above = Running::start(&root, &root_context).await;

    let token = token(&mut above.client, v1::Role::Hub, "eu").await;
    join::join(&join_args(&plant, &token)).await.unwrap();
    init::admin(&admin_args(&plant, &plant_context)).unwrap();
    let mut below = Running::start(&plant, &plant_context).await;

    // The token's labels began the record, and the connection is shown.
    let hub = until(async || {
        let hub = above.client.get(get(v1::Kind::Hub, "eu", "")).await.ok()?.into_inner();
        (ready(&hub).0 == "True").then_some(hub)
    })
    .await;
    assert_eq!(hub.metadata.unwrap().labels["zone"], "eu");

    // A row arrives: the hub below counts an object that is at home above.
    let applied = above.client.apply(workload("", "web", 10)).await.unwrap().into_inner();
    assert_eq!(applied.outcome(), v1::apply_response::Outcome::Created);
    let created = applied.object.unwrap();
    assert_eq!(created.metadata.as_ref().unwrap().created_by, "admin");
    assert_eq!(ready(&created), ("False".to_owned(), "PlacementNotFound".to_owned()));
    assert_eq!(
        above.client.apply(workload("", "web", 10)).await.unwrap().into_inner().outcome(),
        v1::apply_response::Outcome::Unchanged
    );

    // A write to an object homed below travels down, and is refused from below upward.
    until(async || above.client.apply(workload("eu", "local", 100_000)).await.ok()).await;
    let local = above.client.get(get(v1::Kind::Workload, "local", "eu")).await.unwrap().into_inner();
    let Some(object::Spec::Workload(spec)) = local.spec else { panic!("a workload") };
    assert!(spec.manifests[0].len() > 100_000, "large content comes back from the blobs");
    assert_eq!(local.metadata.unwrap().home, "eu");
    let refused = below.client.apply(workload("/", "web", 10)).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
    assert!(refused.message().contains("ask the hub at /"), "{}", refused.message());

    // Lists walk the tree page by page.
    let mut names = Vec::new();
    let mut page_token = String::new();
    loop {
        let request = v1::ListRequest {
            kind: v1::Kind::Workload.into(),
            page_size: 1,
            page_token,
            ..v1::ListRequest::default()
        };
        let page = above.client.list(request).await.unwrap().into_inner();
        assert_eq!(page.unanswered, []);
        names.extend(page.items.into_iter().map(|item| item.metadata.unwrap().name));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    assert_eq!(names, ["web", "local"]);

    // The identity of the hub below is its own: its parent's port knows no administrators of it.
    let tree = above.client.tree(v1::TreeRequest::default()).await.unwrap().into_inner();
    assert_eq!(tree.nodes.iter().map(|node| node.path.as_str()).collect::<Vec<_>>(), ["/", "eu"]);
    assert_eq!(http(above.health, "/readyz").await, "200");
    assert_eq!(http(below.health, "/livez").await, "200");

    // A region that is away is named.
    below.stop().await;
    let request = v1::ListRequest { kind: v1::Kind::Workload.into(), ..v1::ListRequest::default() };
    let page = until(async || {
        let page = above.client.list(request.clone()).await.unwrap().into_inner();
        (!page.unanswered.is_empty()).then_some(page)
    })
    .await;
    assert_eq!(page.unanswered[0].path, "eu");
    let unreachable = above.client.apply(workload("eu", "other", 10)).await.unwrap_err();
    assert_eq!(unreachable.code(), Code::Unavailable);

    // Everything survives a new start of the root.
    above.stop().await;
    let mut above = Running::start(&root, &root_context).await;
    let web = above.client.get(get(v1::Kind::Workload, "web", "")).await.unwrap().into_inner();
    let Some(status::Detail::Workload(detail)) = web.status.unwrap().detail else { panic!("a workload") };
    assert!(detail.revision.starts_with("blake3:"));
    above.stop().await;
}

/// The status code of a plain HTTP request.
async fn http(address: SocketAddr, path: &str) -> String {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: hub\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer.split(' ').nth(1).unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn two_processes_on_one_folder_and_a_taken_port_are_refused() {
    let place = tempfile::tempdir().unwrap();
    let (data, context) = (place.path().join("root"), place.path().join("root.yaml"));
    init::init(&init_args(&data, &context)).unwrap();
    let mut args = run_args(&data);
    let first = Server::bind(&args).await.unwrap();
    let second = Server::bind(&args).await.err().unwrap();
    assert!(format!("{second:#}").contains("in use by another process"), "{second:#}");
    args.addresses.listen = first.addresses().unwrap()[0];
    drop(first);
    let _port = tokio::net::TcpListener::bind(args.addresses.listen).await.unwrap();
    let taken = Server::bind(&args).await.err().unwrap();
    assert!(format!("{taken:#}").contains("another address with --listen"), "{taken:#}");
}
