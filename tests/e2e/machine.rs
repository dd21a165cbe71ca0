//! People at the machine have the last word: `canopy-agent status | hold | release | leave`, through
//! real processes with embedded clusters.

use anyhow::{Context as _, Result, ensure};
use canopy_testbed::{Fleet, until};

use crate::{PLACEMENT, workload};

const REASON: &str = "the spindle is open";

/// What a command at the machine prints; it must succeed.
fn say(fleet: &Fleet, name: &str, words: &[&str]) -> Result<String> {
    let output = fleet.at_machine(name, words)?;
    let error = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "canopy-agent {}: {error}", words.join(" "));
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The revision that a cluster runs of the workload `proposals`.
pub(crate) fn revision(fleet: &Fleet, name: &str) -> Result<Option<String>> {
    let contents = fleet.embedded(name)?;
    let mut workloads =
        contents["workloads"].as_object().into_iter().flat_map(|workloads| workloads.values());
    let running = workloads.find(|running| running["name"] == "proposals");
    Ok(running.and_then(|running| running["revision"].as_str()).map(str::to_owned))
}

pub(crate) async fn told(fleet: &Fleet, name: &str, words: &str) -> Result<()> {
    until(words, async || {
        // No agent answers until it listens.
        let output = fleet.at_machine(name, &["status"])?;
        Ok(String::from_utf8_lossy(&output.stdout).contains(words).then_some(()))
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn people_at_the_machine_hold_release_and_leave() -> Result<()> {
    let mut fleet = Fleet::start().await?;
    fleet.add_embedded("press-a", "cnc").await?;
    fleet.add_embedded("press-b", "cnc").await?;
    let told = story(&mut fleet).await;
    if told.is_err() {
        for node in ["root", "eu", "press-a", "press-b"] {
            eprintln!("--- {node}\n{}", fleet.log(node));
        }
    }
    told
}

async fn story(fleet: &mut Fleet) -> Result<()> {
    let placement = fleet.file("placement.yaml", PLACEMENT)?;
    let first = fleet.file("first.yaml", &workload("proposals:1", None))?;
    fleet.ask(&["apply", "-f", &placement, "-f", &first])?;
    for press in ["press-a", "press-b"] {
        told(fleet, press, "Healthy").await?;
        let status = say(fleet, press, &["status"])?;
        for word in [&format!("eu/{press}"), "Hub:     connected", "proposals", "Synced"] {
            ensure!(status.contains(word), "no {word:?} in the status of {press}:\n{status}");
        }
    }

    let held = revision(fleet, "press-a")?;
    say(fleet, "press-a", &["hold", "--reason", REASON])?;
    let second = fleet.file("second.yaml", &workload("proposals:2", None))?;
    fleet.ask(&["apply", "-f", &second])?;
    until("the other cluster follows", async || Ok((revision(fleet, "press-b")? != held).then_some(())))
        .await?;
    let new = revision(fleet, "press-b")?;
    told(fleet, "press-a", &format!("held at the machine: {REASON}")).await?;
    until("the root tells why", async || {
        Ok(fleet.ask(&["get", "cluster", "eu/press-a", "-o", "yaml"])?.contains(REASON).then_some(()))
    })
    .await?;

    fleet.kill("press-a")?;
    fleet.kill("eu")?;
    fleet.restart("press-a")?;
    told(fleet, "press-a", "not connected").await?;
    let status = say(fleet, "press-a", &["status"])?;
    ensure!(status.contains(&format!("Held:    {REASON}")), "it forgot who holds it:\n{status}");
    fleet.restart("eu")?;
    told(fleet, "press-a", "Hub:     connected").await?;
    ensure!(revision(fleet, "press-a")? == held, "a held cluster was changed");
    say(fleet, "press-a", &["release"])?;
    until("caught up when released", async || Ok((revision(fleet, "press-a")? == new).then_some(()))).await?;

    let fateless = fleet.at_machine("press-a", &["leave"])?;
    ensure!(!fateless.status.success(), "left without saying what becomes of the work");
    for (press, fate, stays) in [("press-a", "--keep", new), ("press-b", "--remove", None)] {
        let said = say(fleet, press, &["leave", fate])?;
        ensure!(said.contains("proposals"), "what became of the work is not told: {said}");
        let ended = until("the agent ends", async || fleet.ended(press)).await?;
        ensure!(ended.success(), "the agent of {press} ended with {ended}");
        ensure!(revision(fleet, press)? == stays, "{fate} left {:?}", fleet.embedded(press)?);
        let late = fleet.at_machine(press, &["status"])?;
        let said = String::from_utf8_lossy(&late.stderr).into_owned();
        ensure!(said.contains("no agent listens"), "{said}");
        fleet.ask(&["delete", "cluster", &format!("eu/{press}"), "--forget"])?;
    }
    let left = fleet.ask(&["get", "clusters"]).context("listing what is left")?;
    ensure!(!left.contains("press-"), "{left}");
    Ok(())
}
