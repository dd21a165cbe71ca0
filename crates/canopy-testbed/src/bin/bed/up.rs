//! A bed that stays up, for people to try things on.

use std::io::{self, Write as _};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use canopy_testbed::{Bed, Cluster, Fleet, Images, Machines, POD_IMAGE, Place, beds, until};
use tokio::signal::unix::{SignalKind, signal};

/// In a bed's folder, while it is one for people.
const MARK: &str = "up";

/// What to start.
#[derive(clap::Args)]
pub(crate) struct Up {
    /// How many clusters
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=20))]
    clusters: u8,
    /// Pods that are said to run, and do nothing
    #[arg(long)]
    kwok: bool,
    /// A real node in each cluster, whose pods run
    #[arg(long, conflicts_with = "kwok")]
    node: bool,
}

/// Starts it, says how to try it, and stays until told to end.
pub(crate) async fn up(up: &Up) -> Result<()> {
    let tools = canopy_testbed::tools().context("there are no clusters without these programs")?;
    let (mut ends, mut interrupted) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let mut bed = Bed::start()?;
    let images = up.node.then(|| Images::build(bed.folder())).transpose()?;
    let machines = match &images {
        Some(images) => Machines::Real { images },
        None if up.kwok => Machines::Fake,
        None => Machines::None,
    };
    let mut fleet = Fleet::start_at([Place::Site(bed.site("root")?), Place::Site(bed.site("eu")?)]).await?;
    let mut clusters = Vec::new();
    for number in 1..=up.clusters {
        let site = bed.site(&format!("press-{number}"))?;
        eprintln!("starting the cluster {}", site.name());
        let cluster = Cluster::start(&tools, &site, machines).await?;
        fleet.add_agent("eu", &cluster, "cnc").await?;
        clusters.push(cluster);
    }
    std::fs::write(bed.folder().join(MARK), "")?;
    guide(&bed, &fleet, &clusters, tools.find("kubectl").ok().as_deref(), images.is_some())?;
    tokio::select! {
        _ = ends.recv() => {}
        _ = interrupted.recv() => {}
    }
    Ok(())
}

/// Ends every bed for people on this machine, and waits until they are gone.
pub(crate) async fn down() -> Result<()> {
    let up = || Ok::<_, anyhow::Error>(beds()?.into_iter().filter(|(_, folder)| folder.join(MARK).exists()));
    let mut found = false;
    for (process, _) in up()? {
        found = true;
        let told = Command::new("kill").arg(process.to_string()).status()?;
        ensure!(told.success(), "the test bed of process {process} cannot be told to end");
    }
    ensure!(found, "no test bed is up: start one with 'cargo xtask bed up'");
    until("the test bed is gone", async || Ok(up()?.next().is_none().then_some(()))).await
}

fn guide(
    bed: &Bed,
    fleet: &Fleet,
    clusters: &[Cluster],
    kubectl: Option<&std::path::Path>,
    serves: bool,
) -> io::Result<()> {
    let mut out = io::stdout().lock();
    let there = format!("nsenter --net --target {}", bed.pid());
    let canopy = format!(
        "{there} {} --config {}",
        fleet.programs().join("canopy").display(),
        fleet.contexts().display()
    );
    let kubectl = kubectl.map_or_else(|| "kubectl".to_owned(), |path| path.display().to_string());
    writeln!(out, "\nThe test bed is up, until ^C or 'cargo xtask bed down'. In another shell, as root:\n")?;
    writeln!(out, "  alias canopy='{canopy}'")?;
    for cluster in clusters {
        let (name, kubeconfig) = (cluster.site.name(), cluster.plane.kubeconfig());
        writeln!(out, "  alias {name}='{there} {kubectl} --kubeconfig {}'", kubeconfig.display())?;
    }
    writeln!(out, "\n  canopy tree")?;
    writeln!(out, "  canopy apply -f {}", std::env::current_dir()?.join("deploy/examples").display())?;
    writeln!(out, "  canopy status")?;
    writeln!(out, "  {} get pods -A", clusters[0].site.name())?;
    if serves {
        writeln!(out, "\nThe image {POD_IMAGE} listens on port 8080 and answers with its variable VERSION.")?;
    }
    writeln!(out, "\nTo cut a cluster off, and back with 'up'; nothing is closed, as on a bad line:")?;
    for cluster in clusters {
        writeln!(out, "  {there} ip link set {} down    # {}", cluster.site.line(), cluster.site.name())?;
    }
    out.flush()
}
