//! From the context file to a hub over mutual TLS: only the hub that the context names, and only
//! for its admins.

use std::time::{SystemTime, UNIX_EPOCH};

use canopy_cli::context::{Context, Contexts};
use canopy_cli::{Cli, Terminal, dial, run};
use canopy_identity::key::random_uid;
use canopy_identity::tls::server_config;
use canopy_identity::{Accept, Identity, Key, ProvenKey, Revocations, Role, Trust};
use canopy_link::limits::{Admission, KeepAlive};
use canopy_link::listen::{incoming, server};
use canopy_model::Path;
use canopy_proto::admin::v1::admin_server::AdminServer;
use clap::Parser;
use tokio::net::TcpListener;

use crate::fake::Hub;

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

fn fleet() -> Identity {
    Identity::root(&"canopy.example".parse().unwrap(), random_uid(), now()).unwrap()
}

fn child(parent: &Identity, role: Role, name: &str) -> Identity {
    child_at(parent, role, name, now())
}

fn child_at(parent: &Identity, role: Role, name: &str, now: u64) -> Identity {
    let key = Key::generate().unwrap();
    let proven = ProvenKey::from_request(&key.request().unwrap()).unwrap();
    let issued = parent.authority().unwrap().issue(role, &name.parse().unwrap(), random_uid(), &proven, now);
    Identity::joined(issued.unwrap(), key, Vec::new(), now).unwrap()
}

/// Contexts of administrators of two hubs, certified at this second, and one that is damaged.
pub(crate) fn contexts(now: u64) -> [Context; 3] {
    let before = now - 60 * 24 * 3600;
    let root = Identity::root(&"canopy.example".parse().unwrap(), random_uid(), before).unwrap();
    let anna = child_at(&root, Role::Admin, "anna", now);
    let eu = child_at(&root, Role::Hub, "eu", before);
    let ben = child_at(&eu, Role::Admin, "ben", now - 40 * 24 * 3600);
    let at = |name: &str| format!("{name}.example:7444");
    [
        Context::of("root", &at("hub"), &Path::root(), &anna),
        Context::of("eu", &at("eu"), &"eu".parse().unwrap(), &ben),
        Context { certificate: "none".into(), ..Context::of("old", &at("old"), &Path::root(), &anna) },
    ]
}

/// Serves the root's admins; the address.
async fn serve(root: &Identity) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let trust = Trust::new(root.anchor().clone(), Revocations::default());
    let tls = server_config(trust, Accept::Admins(Path::root()), &root.leaf().unwrap()).unwrap();
    let incoming = incoming(listener, tls, Admission::default());
    let serving = server(KeepAlive::default()).add_service(AdminServer::new(Hub::default()));
    tokio::spawn(serving.serve_with_incoming(incoming));
    address
}

/// What `canopy version` prints with this context as the only one, and on the standard error, so
/// many days from now.
async fn version_in(days: u64, context: Context) -> (String, String) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("config.yaml");
    let mut contexts = Contexts::open(&file).unwrap();
    contexts.add(context).unwrap();
    contexts.save(&file).unwrap();
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let cli = Cli::parse_from(["canopy", "--config", file.to_str().unwrap(), "version"]);
    let (mut input, now_ms) = (std::io::empty(), (now() + days * 24 * 3600) * 1000);
    run(cli, Terminal::at(&mut input, &mut out, &mut err, now_ms), dial).await;
    (String::from_utf8(out).unwrap(), String::from_utf8(err).unwrap())
}

async fn version(context: Context) -> (String, String) {
    version_in(0, context).await
}

#[tokio::test]
async fn an_admin_reaches_the_hub_of_the_context() {
    let root = fleet();
    let address = serve(&root).await;
    let anna = child(&root, Role::Admin, "anna");
    let (out, err) = version(Context::of("root", &address, &Path::root(), &anna)).await;
    assert!(out.contains("hub     0.1.0 (/ of canopy.example)"), "{out}{err}");
}

#[tokio::test]
async fn an_old_certificate_is_told_before_and_after_its_end() {
    let root = fleet();
    let context = Context::of("root", &serve(&root).await, &Path::root(), &child(&root, Role::Admin, "anna"));
    let (out, err) = version_in(19, context.clone()).await;
    assert!(out.contains("hub  ") && err.is_empty(), "{out}{err}");
    let (out, err) = version_in(21, context.clone()).await;
    assert!(out.contains("hub  ") && err.contains("expires on") && err.contains("canopy-hub admin"), "{err}");
    let (out, err) = version_in(31, context).await;
    assert!(!out.contains("hub  ") && err.contains("certificate of context root expired on"), "{out}{err}");
}

#[tokio::test]
async fn a_damaged_context_says_how_to_write_it_again() {
    let root = fleet();
    let good = Context::of("root", "localhost:1", &Path::root(), &child(&root, Role::Admin, "anna"));
    let part = |change: fn(&mut Context)| {
        let mut context = good.clone();
        change(&mut context);
        context
    };
    for (named, context) in [
        ("ca of", part(|context| context.ca = "none".into())),
        ("certificate of", part(|context| context.certificate = "none".into())),
        ("key of", part(|context| context.key = "none".into())),
        ("hub of", part(|context| context.hub = "Eu//".into())),
    ] {
        let (_, err) = version(context).await;
        assert!(err.contains(named) && err.contains("`canopy-hub admin`"), "{err}");
    }
}

#[tokio::test]
async fn no_other_hub_and_nobody_else() {
    let root = fleet();
    let address = serve(&root).await;
    let anna = child(&root, Role::Admin, "anna");
    let plant = "eu/plant-7".parse().unwrap();
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().to_string();
    for (case, context, expected) in [
        ("another hub", Context::of("a", &address, &plant, &anna), "is not the hub"),
        (
            "another fleet",
            Context::of("a", &address, &Path::root(), &child(&fleet(), Role::Admin, "anna")),
            "not of this fleet",
        ),
        (
            "an agent",
            Context::of("a", &address, &Path::root(), &child(&root, Role::Agent, "press")),
            "does not accept the certificate of this context",
        ),
        ("nobody there", Context::of("a", &free, &Path::root(), &anna), "cannot be connected to"),
    ] {
        let (out, err) = version(context).await;
        assert!(
            !out.contains("hub  ") && err.contains(expected) && err.lines().count() == 1,
            "{case}: {out}{err}"
        );
    }
}
