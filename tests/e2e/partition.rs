//! Lines that carry nothing, in one direction or both, and close nothing: hub and agents notice it,
//! change nothing for it, and catch up.

use anyhow::{Result, ensure};
use canopy_testbed::{Cut, Fleet, Place, Site, bed, until};

use crate::machine::{revision, told};
use crate::{PLACEMENT, workload};

/// How each agent's line is cut, by the agent's name.
const CUTS: [(&str, Cut); 3] = [("mute", Cut::Up), ("deaf", Cut::Down), ("cut-off", Cut::Both)];

#[tokio::test]
async fn who_is_not_heard_or_hears_nothing_is_noticed_and_catches_up() -> Result<()> {
    let Some(mut bed) = bed()? else { return Ok(()) };
    let (root, eu) = (bed.site("root")?, bed.site("eu")?);
    let mut fleet = Fleet::start_at([Place::Site(root), Place::Site(eu)]).await?;
    let mut sites = Vec::new();
    for (name, _) in CUTS {
        let site = bed.site(name)?;
        fleet.add_embedded_at(name, "cnc", Place::Site(site.clone())).await?;
        sites.push(site);
    }
    let told = story(&fleet, &sites).await;
    fleet.explain(&told, &["root", "eu", "mute", "deaf", "cut-off"]);
    told
}

async fn story(fleet: &Fleet, sites: &[Site]) -> Result<()> {
    let placement = fleet.file("placement.yaml", PLACEMENT)?;
    let first = fleet.file("first.yaml", &workload("proposals:1", None))?;
    fleet.ask(&["apply", "-f", &placement, "-f", &first])?;
    for (name, _) in CUTS {
        told(fleet, name, "Healthy").await?;
    }
    let old = revision(fleet, "deaf")?;

    for (site, (_, cut)) in sites.iter().zip(CUTS) {
        site.cut(cut)?;
    }
    let second = fleet.file("second.yaml", &workload("proposals:2", None))?;
    fleet.ask(&["apply", "-f", &second])?;
    let clusters = CUTS.map(|(name, _)| format!("eu/{name}"));
    let wait = |wanted: &str| {
        let mut words = vec!["wait", "cluster"];
        words.extend(clusters.iter().map(String::as_str));
        words.extend([wanted, "--timeout=60s"]);
        fleet.ask(&words)
    };
    wait("--for=condition=Available=Unknown")?;
    for (name, _) in CUTS {
        told(fleet, name, "not connected").await?;
    }
    // What was on its way to the one that hears may have arrived.
    for name in ["deaf", "cut-off"] {
        ensure!(revision(fleet, name)? == old, "{name} was told something over a cut line");
    }

    for site in sites {
        site.mend()?;
    }
    wait("--for=condition=Available")?;
    for (name, _) in CUTS {
        told(fleet, name, "Hub:     connected").await?;
        until("caught up", async || Ok((revision(fleet, name)? != old).then_some(()))).await?;
    }
    Ok(())
}
