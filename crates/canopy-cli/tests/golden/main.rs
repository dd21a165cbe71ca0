//! What the program prints, against a hub with a fixed fleet.

#![allow(clippy::unwrap_used)] // all of it is test

mod fake;
mod tls;

use std::ffi::OsString;
use std::process::ExitCode;

use canopy_cli::context::Contexts;
use canopy_cli::{Cli, Terminal, complete, run};
use canopy_proto::admin::v1::Kind;
use clap::{CommandFactory, Parser};

/// Runs the commands one after the other; a transcript with outputs and exit codes.
async fn transcript(commands: &[&str]) -> String {
    let mut text = String::new();
    for command in commands {
        text.push_str(&format!("$ canopy {command}\n{}\n", one(command, "").await));
    }
    text
}

/// Runs one command; its arguments are separated by spaces, those with spaces in single quotes.
async fn one(command: &str, input: &str) -> String {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let mut input = input.as_bytes();
    let code = match Cli::try_parse_from(arguments(command)) {
        Ok(cli) => {
            let terminal = Terminal::at(&mut input, &mut out, &mut err, fake::NOW_MS);
            let hub = fake::Hub::default();
            run(cli, terminal, async |_: &_, _| fake::reached(hub.clone()).await).await
        }
        Err(error) => {
            err.extend(error.to_string().bytes());
            ExitCode::from(2)
        }
    };
    let err = String::from_utf8(err).unwrap();
    let err: String =
        err.lines().map(|line| format!("(stderr) {line}").trim_end().to_owned() + "\n").collect();
    let failed = match code {
        code if code == ExitCode::SUCCESS => "",
        code if code == ExitCode::FAILURE => "(failed)\n",
        _ => "(failed otherwise)\n",
    };
    String::from_utf8(out).unwrap() + &err + failed
}

fn arguments(command: &str) -> Vec<OsString> {
    let quoted = command.split('\'').enumerate();
    let words = quoted.flat_map(|(at, part)| match at % 2 {
        0 => part.split_whitespace().map(OsString::from).collect(),
        _ => vec![OsString::from(part)],
    });
    std::iter::once(OsString::from("canopy")).chain(words).collect()
}

macro_rules! golden {
    ($name:ident, [$($command:expr),+ $(,)?]) => {
        #[tokio::test(start_paused = true)]
        async fn $name() {
            insta::assert_snapshot!(stringify!($name), transcript(&[$($command),+]).await);
        }
    };
}

golden!(
    tables,
    [
        "get workloads",
        "get wl -A",
        "get pl",
        "get clusters",
        "get cl --under eu",
        "get cl -l 'line in (cnc),site!=graz'",
        "get hubs",
        "get machines",
        "get ma --under eu/plant-7/press-3",
        "get workload/line-reconfiguration",
        "get wl -l none=such",
    ]
);

golden!(
    documents,
    [
        "get pl cnc-lines -o yaml",
        "get wl line-reconfiguration -o json",
        "get cl eu/plant-7/press-3 -o yaml",
        "get hub eu/plant-7 -o yaml",
        "get wl -A -o yaml",
        "get wl -o json",
        "get wl -l none=such -o json",
        "get cl -o name",
        "get ma --under eu/plant-7/press-1 -o yaml",
    ]
);

golden!(
    describe,
    [
        "describe wl line-reconfiguration",
        "describe placement/cnc-lines",
        "describe cluster eu/plant-7/press-3",
        "describe hub eu/plant-7",
    ]
);

golden!(
    tree_and_status,
    [
        "tree",
        "tree eu/plant-7",
        "tree --depth 1",
        "status",
        "status --by line",
        "status --by owner --under eu -l line=cnc",
        "status --under eu",
    ]
);

golden!(
    apply,
    [
        "apply -f tests/golden/files/fleet.yaml",
        "apply -f tests/golden/files/more/changed.yaml",
        "apply -f tests/golden/files -R",
        "apply -f tests/golden/nowhere.yaml -f tests/golden/files/more/changed.yaml",
        "apply -f src",
    ]
);

golden!(
    dry_run,
    [
        "apply -f tests/golden/files/fleet.yaml --dry-run=server",
        "apply -f tests/golden/files/fleet.yaml --dry-run=client",
        "apply -f tests/golden/files -R --dry-run=client",
        "delete wl line-reconfiguration --dry-run=server",
        "delete wl line-reconfiguration nothing --dry-run",
        "delete wl line-reconfiguration --dry-run=client",
        "label cluster/eu/plant-7/press-3 line=cnc site- --dry-run=client",
        "label cluster/eu/plant-7/press-3 line=press --overwrite --dry-run=server",
        "label cluster/eu/plant-7/press-3 line=press --dry-run=server",
    ]
);

golden!(
    diff,
    [
        "diff -f tests/golden/files/secret.yaml",
        "diff -f tests/golden/files/more/changed.yaml",
        "diff -f tests/golden/files/more",
        "diff -f tests/golden/nowhere.yaml",
    ]
);

golden!(
    changes,
    [
        "delete wl line-reconfiguration",
        "delete wl line-reconfiguration --forget",
        "delete -f tests/golden/files/more/changed.yaml",
        "delete -f src",
        "delete wl line-reconfiguration nothing vision",
        "delete wl/line-reconfiguration pl/cnc-lines",
        "label cluster eu/plant-7/press-3 line=cnc site-",
        "label cluster/eu/plant-7/press-3 line=cnc",
        "label cluster/eu/plant-7/press-3 line=press",
        "label cluster/eu/plant-7/press-3 line=press --overwrite",
        "taint cluster eu/plant-7/press-3 old=yes:PreferNoSelect",
        "taint cluster/eu/plant-7/press-2 canopy.dev/cordoned-",
        "taint cluster/eu/plant-7/press-2 canopy.dev/cordoned=why:NoSelectIfNew",
        "taint hub eu old:NoSelect",
        "taint cluster eu/plant-7/press-3 old:Never",
        "taint cluster eu/plant-7/press-3 old",
        "cordon cluster eu/plant-7/press-1",
        "cordon clusters --under eu/plant-7 -l line=press",
        "uncordon cluster eu/plant-7/press-2",
        "drain cluster eu/plant-7/press-1",
        "token create --parent eu/plant-7 --name press-9 --label line=cnc --ttl 90m",
        "token create --parent eu --hub",
        "orphans",
        "orphans drop 00000000-0000-0000-0000-0000000000aa",
        "orphans adopt 00000000-0000-0000-0000-0000000000aa -f tests/golden/files/more/changed.yaml",
        "orphans adopt 00000000-0000-0000-0000-0000000000aa -f tests/golden/files/fleet.yaml",
        "hub forget-missing eu/plant-7",
        "version",
        "version --client",
    ]
);

golden!(
    wide,
    [
        "get wl -o wide",
        "get wl --show-labels",
        "get pl -o wide -A",
        "get clusters -o wide",
        "get clusters --show-labels",
        "get hubs -o wide",
    ]
);

golden!(
    watch,
    [
        "get wl -A -w",
        "get wl line-reconfiguration --watch-only --output-watch-events",
        "get wl -A --watch-only -o name --output-watch-events",
        "get pl --watch-only --output-watch-events -o yaml",
        "get cl -w --under eu",
        "get cl --output-watch-events",
    ]
);

golden!(
    events,
    [
        "events",
        "events --for wl/line-reconfiguration --limit 2",
        "events --for cluster/eu/plant-7/press-3 --types=Warning",
        "events --since 8h --types normal",
        "events --for wl/vision",
        "events -w",
        "events --for pods/x",
        "events -w --under eu",
    ]
);

golden!(
    wait,
    [
        "wait wl patient --for=condition=ready",
        "wait wl/patient wl/leaving --for=delete --timeout 2s",
        "wait wl leaving --for=delete",
        "wait wl line-reconfiguration --for=condition=Ready=False",
        "wait wl line-reconfiguration --for=condition=Ready --timeout 90s",
        "wait wl line-reconfiguration --for=condition=Ready --timeout 0s",
        "wait wl line-reconfiguration --for=condition=Shining",
        "wait wl line-reconfiguration --for=jsonpath={.status.clusters.healthy}=2",
        "wait wl line-reconfiguration --for=jsonpath={.status.clusters.healthy}=3",
        "wait cl us/plant-1/press-1 --for=condition=Ready --timeout 5s",
        "wait wl nothing --for=condition=Ready",
        "wait wl nothing --for=delete",
        "wait wl nothing --for=create",
        "wait wl vision --for=happiness",
        "apply -f tests/golden/files/more/changed.yaml --wait",
        "delete wl leaving --wait",
    ]
);

golden!(
    errors,
    [
        "get pods",
        "get wl nothing",
        "get wl a --under eu",
        "get wl/a -l x=y",
        "get wl --home eu",
        "get hub moon",
        "delete wl",
        "delete wl/a b",
        "get wl -l 'line=a b'",
        "get wl/a b",
        "describe wl",
        "label cl eu/plant-7/press-3",
        "label cl eu/plant-7/press-3 line",
        "label cl eu/plant-7/press-3 'line=a b'",
        "token create --parent eu --label line",
        "get cl us/plant-1/press-1",
        "delete pl homed-above",
    ]
);

#[tokio::test]
async fn shells_are_told_how_to_ask_and_are_answered_with_names() {
    for shell in ["bash", "zsh", "fish", "powershell"] {
        let script = one(&format!("completion {shell}"), "").await;
        assert!(script.contains("CANOPY_COMPLETE") && !script.contains("(failed"), "{shell}: {script}");
    }
    let client = fake::reached(fake::Hub::default()).await.unwrap().client;
    let names = complete::names_of(client, Kind::Cluster, "default").await.unwrap();
    assert_eq!(names, ["eu/plant-7/press-1", "eu/plant-7/press-2"], "one page is enough");
}

#[tokio::test]
async fn what_was_shown_can_be_applied_again_but_no_hidden_secret() {
    let yaml = one("get pl cnc-lines -o yaml", "").await;
    assert_eq!(one("apply -f -", &yaml).await, "placement/cnc-lines unchanged\n");
    let yaml = one("get wl line-reconfiguration -o yaml", "").await;
    insta::assert_snapshot!(one("apply -f -", &yaml).await, @r"
    (stderr) error: workload/line-reconfiguration: secret machine-key holds hidden values (***): put the real ones back
    (stderr) error: 1 of 1 failed
    (failed)
    ");
}

#[tokio::test]
async fn all_examples_can_be_applied() {
    let applied = one("apply -R -f ../../deploy/examples", "").await;
    assert!(applied.contains("workload/line-reconfiguration configured\n"), "{applied}");
    assert!(!applied.contains("(failed)"), "{applied}");
}

#[test]
fn help() {
    insta::assert_snapshot!(Cli::command().render_help());
}

#[test]
fn help_of_commands() {
    let mut text = String::new();
    let cli = Cli::command();
    for command in cli.get_subcommands().filter(|command| !command.is_hide_set()) {
        let name = format!("canopy {}", command.get_name());
        let help = command.clone().bin_name(&name).render_long_help();
        text.push_str(&format!("$ {name} --help\n{help}\n"));
    }
    insta::assert_snapshot!(text);
}

/// Contexts of two hubs of one fleet, and one of another that cannot be read.
#[tokio::test]
async fn config() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("config.yaml");
    let file = file.to_str().unwrap();
    let mut contexts = Contexts::open(file.as_ref()).unwrap();
    tls::contexts(fake::NOW_MS / 1000).into_iter().for_each(|context| contexts.add(context).unwrap());
    contexts.save(file.as_ref()).unwrap();
    let mut text = String::new();
    for command in [
        "get-contexts",
        "get-contexts eu -o name",
        "current-context",
        "use-context eu",
        "current-context",
        "use-context moon",
        "rename-context eu root",
        "rename-context eu graz",
        "delete-context graz",
        "current-context",
        "get-contexts",
        "view",
    ] {
        let answer = one(&format!("config {command} --config {file}"), "").await;
        text.push_str(&format!("$ canopy config {command}\n{answer}\n"));
    }
    let none = one(&format!("config get-contexts --config {file}.none"), "").await;
    text.push_str(&none.replace(folder.path().to_str().unwrap(), "FOLDER"));
    insta::assert_snapshot!(text);
}
