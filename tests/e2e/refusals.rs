//! Bad input of every sort, through the real programs with an embedded cluster: what is refused says
//! what, where and what to do next; the hub answers afterwards and other work goes on.

use std::net::{SocketAddr, TcpListener};
use std::process::{Output, Stdio};
use std::sync::Arc;
use std::time::SystemTime;

use anyhow::{Context as _, Result, ensure};
use canopy_identity::JoinToken;
use canopy_testbed::{Fleet, STATE_MAX, free_address, until};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use tokio_rustls::TlsAcceptor;

use crate::machine::{revision, told};
use crate::{PLACEMENT, workload};

/// More than a hub takes in one message.
const LARGE_BYTES: usize = 5 * 1024 * 1024;
/// More than fit into what is kept of one object.
const LABELS: usize = 10_000;

/// How a program ends that cannot read its command line.
const USAGE: i32 = 2;

/// A command, and what has to come of it.
struct Row {
    case: &'static str,
    line: String,
    code: i32,
    says: Vec<String>,
    /// What nobody may read over the shoulder.
    hides: Option<String>,
}

fn row(case: &'static str, line: String, says: &[&str]) -> Row {
    Row { case, line, code: 1, says: says.iter().map(|word| (*word).to_owned()).collect(), hides: None }
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_input_is_told_and_stops_nothing() -> Result<()> {
    let mut fleet = Fleet::start().await?;
    fleet.add_embedded("press-a", "cnc").await?;
    let told = story(&mut fleet).await;
    if told.is_err() {
        for node in ["root", "eu", "press-a"] {
            eprintln!("--- {node}\n{}", fleet.log(node));
        }
    }
    told
}

async fn story(fleet: &mut Fleet) -> Result<()> {
    let placement = fleet.file("placement.yaml", PLACEMENT)?;
    let first = fleet.file("first.yaml", &workload("proposals:1", None))?;
    fleet.ask(&["apply", "-f", &placement, "-f", &first])?;
    told(fleet, "press-a", "Healthy").await?;
    let before = revision(fleet, "press-a")?;

    let mut rows = documents(fleet)?;
    rows.extend(tokens(fleet).await?);
    rows.extend(folders_and_hubs(fleet)?);
    let (ports, _held) = ports(fleet)?;
    rows.extend(ports);
    let mut wrong = Vec::new();
    for row in rows {
        if let Err(error) = check(fleet, &row).await {
            wrong.push(format!("{}: {}\n  {error:#}", row.case, row.line));
        }
        let version = fleet.ask(&["version"]).with_context(|| format!("after {}", row.case))?;
        ensure!(version.contains("hub  "), "after {}: {version}", row.case);
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    ensure!(revision(fleet, "press-a")? == before, "a refusal changed what runs");

    a_cluster_refuses(fleet).await?;
    a_regional_store_is_lost(fleet).await?;
    let second = fleet.file("second.yaml", &workload("proposals:2", None))?;
    fleet.ask(&["apply", "-f", &second])?;
    until("other work goes on", async || Ok((revision(fleet, "press-a")? != before).then_some(()))).await
}

async fn check(fleet: &Fleet, row: &Row) -> Result<()> {
    let output = end(fleet, &row.line).await?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(output.status.code() == Some(row.code), "it ended with {}: {said}", output.status);
    for word in &row.says {
        ensure!(said.contains(word), "no {word:?} in: {said}");
    }
    if let Some(secret) = &row.hides {
        ensure!(!said.contains(secret), "it shows a secret: {said}");
    }
    Ok(())
}

/// Runs a command that has to end by itself.
async fn end(fleet: &Fleet, line: &str) -> Result<Output> {
    let mut command = tokio::process::Command::from(fleet.command(line));
    let ended = command.stdin(Stdio::null()).kill_on_drop(true).output();
    tokio::time::timeout(STATE_MAX, ended).await.context("it goes on")?.context("it does not start")
}

/// What an administrator may write down wrongly.
fn documents(fleet: &Fleet) -> Result<Vec<Row>> {
    let labels: String = (0..LABELS).map(|at| format!("k{at}: v, ")).collect();
    let large = format!(
        "    - {{apiVersion: v1, kind: ConfigMap, metadata: {{name: large}}, data: {{a: {}}}}}\n",
        "a".repeat(LARGE_BYTES)
    );
    let cases: [(&str, String, &[&str]); 8] = [
        ("invalid YAML", PLACEMENT.replace("spec:", "spec: [}"), &["bad.yaml: document 1, line 4"]),
        (
            "an unknown kind",
            PLACEMENT.replace("Placement", "Deployment"),
            &["\"Deployment\"", "spec.manifests of a Workload"],
        ),
        (
            "an unknown field",
            PLACEMENT.replace("predicates", "predicate"),
            &["document 1, line 5", "`predicate`", "predicates"],
        ),
        ("a bad name", PLACEMENT.replace("cnc}\nspec", "CNC}\nspec"), &["metadata.name", "\"CNC\""]),
        ("a bad selector", PLACEMENT.replace("line: cnc", "line: c n c"), &["labelSelector", "\"c n c\""]),
        ("another apiVersion", PLACEMENT.replace("v1alpha1", "v9"), &["canopy.dev/v1alpha1"]),
        (
            "too many labels",
            workload("a:1", None).replace(
                "{name: proposals}\nspec",
                &format!("{{name: proposals, labels: {{{labels}}}}}\nspec"),
            ),
            &["at most"],
        ),
        ("an oversized message", workload("a:1", None) + &large, &["workload/proposals", "split"]),
    ];
    let mut rows = Vec::new();
    for (at, (case, text, says)) in cases.into_iter().enumerate() {
        let file = fleet.file(&format!("{at}-bad.yaml"), &text)?;
        rows.push(row(case, format!("canopy apply -f {file}"), says));
    }
    rows.push(row("no such file", "canopy apply -f /nowhere.yaml".to_owned(), &["/nowhere.yaml"]));
    rows.push(row("a bad selector of a list", "canopy get wl -l a=b=c".to_owned(), &["label selector"]));
    rows.push(row(
        "a bad label",
        "canopy label cluster eu/press-a line=-".to_owned(),
        &["\"line\"", "letters"],
    ));
    rows.push(row(
        "no such cluster",
        "canopy get cluster eu/press-z".to_owned(),
        &["eu/press-z", "canopy tree"],
    ));
    Ok(rows)
}

/// What may be wrong with a token, or on the way to the hub that it names.
async fn tokens(fleet: &Fleet) -> Result<Vec<Row>> {
    let agent = async |name: &str, ttl: &str| {
        fleet.token(&["--parent", "eu", "--agent", "--name", name, "--ttl", ttl]).await
    };
    let hub = fleet.token(&["--parent", "/", "--hub", "--name", "us"]).await?;
    let at = |text: &str, address: SocketAddr| -> Result<String> {
        let mut token: JoinToken = text.parse()?;
        token.addresses = vec![address.to_string()];
        Ok(token.to_string())
    };
    let mistyped = |text: &str| {
        let (start, end) = text.split_at(text.len() - 8);
        format!("{start}{}", end.to_ascii_lowercase().replacen(|_: char| true, "A", 8))
    };
    let join = |program: &str, data: &str, token: &str| {
        format!("{program} join --data {} --token {token}", fleet.data(data))
    };

    let used = agent("press-used", "1h").await?;
    let joined = end(fleet, &join("canopy-agent", "press-used", &used)).await?;
    ensure!(joined.status.success(), "{}", String::from_utf8_lossy(&joined.stderr));
    let expired = agent("press-late", "1s").await?;
    let expires = expired.parse::<JoinToken>()?.expires;
    until("the token expires", async || {
        Ok((SystemTime::UNIX_EPOCH.elapsed()?.as_secs() > expires).then_some(()))
    })
    .await?;
    let (nobody, proxy) = (free_address()?, breaking_proxy().await?);
    let proxied = ["Plant Proxy", "TLS-breaking proxy", "exception"];
    let mut rows = vec![
        row("a used token", join("canopy-agent", "thief", &used), &["already used", "canopy token create"]),
        row("an expired token", join("canopy-agent", "late", &expired), &["expired", "canopy token create"]),
        row("a token of the other kind", join("canopy-agent", "us", &hub), &["hub"]),
        row(
            "a parent out of reach",
            join("canopy-hub", "us", &at(&hub, nobody)?),
            &["cannot join hub /", &nobody.to_string(), "is the hub running"],
        ),
        row("a proxy that breaks TLS", join("canopy-hub", "us", &at(&hub, proxy)?), &proxied),
        row("a proxy before the hub", format!("canopy --server {proxy} version"), &proxied),
    ];
    for program in ["canopy-hub", "canopy-agent"] {
        let token = mistyped(if program == "canopy-hub" { &hub } else { &used });
        let secret = token.trim_start_matches("canopy-join-").to_owned();
        let says = ["mistyped", "copy the whole line"];
        rows.push(Row {
            code: USAGE,
            hides: Some(secret),
            ..row("a mistyped token", join(program, "typo", &token), &says)
        });
    }
    Ok(rows)
}

/// A proxy that breaks TLS: it answers with a certificate of its own.
async fn breaking_proxy() -> Result<SocketAddr> {
    let mut stated = rcgen::CertificateParams::new(vec!["hub.example".to_owned()])?;
    stated.distinguished_name.push(rcgen::DnType::CommonName, "Plant Proxy");
    let key = rcgen::KeyPair::generate()?;
    let certificate = stated.self_signed(&key)?.der().clone();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(vec![certificate], PrivateKeyDer::Pkcs8(key.serialize_der().into()))?;
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            // The other side goes when it sees the certificate.
            let _ = acceptor.accept(stream).await;
        }
    });
    Ok(address)
}

/// Folders that are in use, damaged or somebody else's; hubs that are not the one that is meant.
fn folders_and_hubs(fleet: &Fleet) -> Result<Vec<Row>> {
    let (root, press, eu) = (fleet.data("root"), fleet.data("press-a"), fleet.admin("eu"));
    let other = |name: &str| -> Result<String> {
        let data = fleet.data(name);
        let made = fleet.command(&format!("canopy-hub init --data {data} --context-name {name}")).output()?;
        ensure!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        Ok(data)
    };
    let (lost, damaged, nameless) = (other("lost")?, other("damaged")?, other("nameless")?);
    std::fs::remove_dir_all(format!("{lost}/store"))?;
    std::fs::remove_file(format!("{damaged}/store/engine/db"))?;
    std::fs::remove_dir_all(format!("{nameless}/identity"))?;
    let places = "--listen 127.0.0.1:0 --admin 127.0.0.1:0 --health 127.0.0.1:0";
    let run = |data: &str| format!("canopy-hub run --data {data} {places}");
    let back = ["put a backup", "init --adopt"];
    Ok(vec![
        row("two hubs on one folder", run(&root), &["in use by another process", &root]),
        row(
            "two agents on one folder",
            format!("canopy-agent run --embedded --data {press}"),
            &["in use by another process", &press],
        ),
        row("a hub on an agent's folder", run(&press), &["agent eu/press-a", "--data"]),
        row(
            "a folder without an identity",
            run(&fleet.data("nowhere")),
            &["holds no identity", "canopy-hub init"],
        ),
        row("a root that lost its store", run(&lost), &back),
        row("a root with a damaged store", run(&damaged), &back),
        row(
            "a root made twice",
            format!("canopy-hub init --data {root} --context-name again"),
            &["canopy-hub admin"],
        ),
        row(
            "a root over another's store",
            format!("canopy-hub init --data {nameless} --context-name again"),
            &["identity is missing", "backup"],
        ),
        row(
            "a context of another's",
            format!("canopy-hub init --data {}", fleet.data("third")),
            &["\"root\"", "--context-name"],
        ),
        row(
            "a certificate of another path",
            format!("canopy --context root --server {eu} version"),
            &["is not the hub", "--server", "--context"],
        ),
        row("no such context", "canopy --context moon version".to_owned(), &["\"moon\"", "root"]),
    ])
}

/// Ports that somebody else has, for as long as the listeners live.
fn ports(fleet: &Fleet) -> Result<(Vec<Row>, Vec<TcpListener>)> {
    let data = fleet.data("busy");
    let made = fleet.command(&format!("canopy-hub init --data {data} --context-name busy")).output()?;
    ensure!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let (mut rows, mut held) = (Vec::new(), Vec::new());
    for taken in ["--listen", "--admin", "--health"] {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?.to_string();
        held.push(listener);
        let places = ["--listen", "--admin", "--health"].map(|flag| {
            let address = if flag == taken { &address } else { "127.0.0.1:0" };
            format!("{flag} {address}")
        });
        let line = format!("canopy-hub run --data {data} {}", places.join(" "));
        rows.push(row("a port of a hub in use", line, &[&address, "another program", taken]));
    }
    let address = held[0].local_addr()?.to_string();
    let line = format!("canopy-agent run --embedded --data {} --health {address}", fleet.data("press-used"));
    rows.push(row("a port of an agent in use", line, &[&address, "--health"]));
    Ok((rows, held))
}

/// A manifest that the cluster refuses: the reason comes up, and what else runs is well.
async fn a_cluster_refuses(fleet: &Fleet) -> Result<()> {
    let refused = workload("a:1", None).replace("{name: proposals}\nspec", "{name: refused}\nspec").replace(
        "{name: proposals, namespace: default}",
        "{name: refused, namespace: default, annotations: {canopy.dev/embedded: refuse}}",
    );
    let file = fleet.file("refused.yaml", &refused)?;
    fleet.ask(&["apply", "-f", &file])?;
    until("describe tells why the cluster refuses", async || {
        let told = fleet.ask(&["describe", "workload", "refused"])?;
        let words = ["Refused", "Forbidden", "eu/press-a", "1 refused"];
        Ok(words.iter().all(|word| told.contains(word)).then_some(()))
    })
    .await?;
    let other = fleet.ask(&["get", "workload", "proposals", "-o", "json"])?;
    let other: serde_json::Value = serde_json::from_str(&other)?;
    ensure!(other["status"]["clusters"]["healthy"] == 1, "the other workload suffers: {other}");
    fleet.ask(&["delete", "workload", "refused"]).map(drop)
}

/// A regional hub whose store does not open begins anew, keeps the old one, and deletes nothing.
async fn a_regional_store_is_lost(fleet: &mut Fleet) -> Result<()> {
    let before = revision(fleet, "press-a")?;
    fleet.kill("eu")?;
    std::fs::remove_file(format!("{}/store/engine/db", fleet.data("eu")))?;
    fleet.restart("eu")?;
    until("the region is back", async || {
        Ok(fleet.canopy(&["get", "cluster", "eu/press-a"])?.status.success().then_some(()))
    })
    .await?;
    told(fleet, "press-a", "Hub:     connected").await?;
    ensure!(fleet.log("eu").contains("moved aside"), "it does not say where the old store is");
    ensure!(revision(fleet, "press-a")? == before, "a lost store deleted work");
    Ok(())
}
