//! The rules on a corpus of objects, beside what the Go implementation says about the same ones.

use std::collections::BTreeMap;
use std::env;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use canopy_testbed::tools;
use serde::Deserialize;
use serde_json::Value;

use super::status;

/// Where the rules differ from kstatus on purpose: the case, what kstatus says, and why it is not so here.
const DIFFERENCES: [(&str, &str, &str); 12] = [
    ("custom: not Available", "Current", "many operators, and every APIService, have Available and no Ready"),
    ("api service: not reached", "Current", "nobody can use the kinds of its group meanwhile"),
    ("custom: Degraded", "Current", "operators of the OpenShift school say it in this word only"),
    ("custom: Failed", "Current", "the object's own word that it will not get there"),
    ("deployment: pods refused", "InProgress", "the API server refuses its pods until somebody acts"),
    ("replica set: pods refused", "InProgress", "as for a Deployment"),
    (
        "stateful set: updated by hand, not ready",
        "Current",
        "who deletes pods by hand still wants them ready",
    ),
    (
        "pod: failed",
        "Current",
        "a pod that failed does not do its work, though nothing more will happen to it",
    ),
    ("pod: evicted", "Current", "as above"),
    ("pod: unschedulable", "Failed", "kstatus looks at the clock, and a node may come; the message tells"),
    ("pod: of a node that is silent", "error", "kstatus knows no such phase; nothing can be said of the pod"),
    ("volume claim: lost", "InProgress", "no controller brings the volume back"),
];

#[derive(Deserialize)]
struct Case {
    case: String,
    status: String,
    #[serde(default)]
    message: Option<String>,
    object: Value,
}

/// What the program prints for one object.
#[derive(Deserialize)]
struct Theirs {
    status: Option<String>,
    error: Option<String>,
}

fn corpus() -> Vec<Case> {
    serde_saphyr::from_str(include_str!("corpus.yaml")).unwrap()
}

/// The Go implementation. A developer may have no Go; where `CI` is `true` that is a failure.
fn kstatus() -> Option<PathBuf> {
    match tools()?.find("kstatus") {
        Ok(program) => Some(program),
        Err(error) if env::var("CI").as_deref() == Ok("true") => panic!("{error:#}"),
        Err(error) => {
            eprintln!("skipped: {error:#}");
            None
        }
    }
}

#[test]
fn every_object_of_the_corpus_is_judged() {
    for Case { case, status: expected, message, object } in corpus() {
        let (found, said) = status(&serde_json::from_value(object).unwrap());
        assert_eq!(format!("{found:?}"), expected, "{case}: {said}");
        assert_eq!(said.is_empty(), expected == "Current", "{case}: {said:?}");
        if let Some(message) = message {
            assert_eq!(said, message, "{case}");
        }
    }
}

#[test]
fn the_go_implementation_says_the_same_but_for_what_is_meant_to_differ() {
    let Some(program) = kstatus() else { return };
    let corpus = corpus();
    let lines: String = corpus.iter().map(|case| format!("{}\n", case.object)).collect();
    let mut running = Command::new(program).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut input = running.stdin.take().unwrap();
    // Beside the reading: both pipes are shorter than the corpus.
    let writing = std::thread::spawn(move || input.write_all(lines.as_bytes()));
    let output = running.wait_with_output().unwrap();
    writing.join().unwrap().unwrap();
    assert!(output.status.success(), "kstatus ended with {}", output.status);

    let answers = String::from_utf8(output.stdout).unwrap();
    let theirs = answers.lines().map(|line| serde_json::from_str::<Theirs>(line).unwrap());
    let theirs = theirs.map(|said| said.status.or(said.error.map(|_| "error".to_owned())).unwrap());
    let differing: BTreeMap<_, _> = corpus
        .iter()
        .zip(theirs)
        .filter(|(case, theirs)| case.status != *theirs)
        .map(|(case, theirs)| (case.case.clone(), theirs))
        .collect();
    let meant = DIFFERENCES.map(|(case, theirs, _why)| (case.to_owned(), theirs.to_owned()));
    assert_eq!(answers.lines().count(), corpus.len());
    assert_eq!(differing, BTreeMap::from(meant));
}
