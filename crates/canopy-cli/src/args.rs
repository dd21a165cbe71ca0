//! The commands, the flags that all of them have, and how objects are named on the command line.

use std::path::PathBuf;

use canopy_proto::admin::v1::{Kind, ObjectRef};
use clap::{Args, Parser, Subcommand};

use crate::commands::{
    apply, completion, config, delete, describe, diff, events, get, hub, label, orphans, status, taint,
    token, tree, version, wait,
};
use crate::complete;
use crate::context;
use crate::demo::{Demo, DemoNode};

/// Federation for fleets of edge clusters: one tree of hubs, asked from any of them.
#[derive(Debug, Parser)]
#[command(name = "canopy", version, subcommand_required = true, arg_required_else_help = true)]
pub struct Cli {
    /// Flags of every command.
    #[command(flatten)]
    pub global: Global,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Flags of every command.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Global options")]
pub struct Global {
    /// Context file [default: ~/.canopy/config.yaml]
    #[arg(long, global = true, env = "CANOPY_CONFIG", hide_env_values = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Which context of the file to use [default: its current one]
    #[arg(long, global = true, env = "CANOPY_CONTEXT", hide_env_values = true, value_name = "NAME", add = complete::contexts())]
    pub context: Option<String>,
    /// Ask the context's hub at this address, host:port
    #[arg(long, global = true, env = "CANOPY_SERVER", hide_env_values = true, value_name = "ADDRESS")]
    pub server: Option<String>,
    /// The project of placements and workloads
    #[arg(
        short,
        long,
        global = true,
        env = "CANOPY_PROJECT",
        hide_env_values = true,
        default_value = "default"
    )]
    pub project: String,
}

impl Global {
    /// The context file.
    pub(crate) fn file(&self) -> Result<PathBuf, context::Error> {
        self.config.clone().map_or_else(context::default_file, Ok)
    }
}

/// What to do.
#[derive(Debug, Subcommand)]
#[allow(missing_docs)] // told where each is defined
pub enum Command {
    Apply(apply::Apply),
    Diff(diff::Diff),
    Get(get::Get),
    Describe(describe::Describe),
    Delete(delete::Delete),
    Label(label::Label),
    Taint(taint::Taint),
    Cordon(taint::Cordon),
    Uncordon(taint::Uncordon),
    Drain(taint::Drain),
    Wait(wait::Wait),
    Events(events::Events),
    Tree(tree::Tree),
    Status(status::Status),
    Token(token::Token),
    Hub(hub::Hub),
    Orphans(orphans::Orphans),
    Config(config::Config),
    Completion(completion::Completion),
    Version(version::Version),
    Demo(Demo),
    #[command(hide = true)]
    DemoNode(DemoNode),
}

/// Why the words of a command name no object.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No such kind.
    #[error(
        "there is no kind {0:?}: use placements (pl), workloads (wl), clusters (cl), machines (ma) or hubs"
    )]
    Kind(String),
    /// A name is needed.
    #[error("which {}? Write `KIND NAME` or `KIND/NAME`", word(*.0))]
    NoName(Kind),
    /// Another name after `KIND/NAME`.
    #[error("what is {0:?}? The object is named already")]
    TwoNames(String),
}

/// Reads a kind: singular, plural or short, in any case.
pub(crate) fn kind(text: &str) -> Result<Kind, Error> {
    match text.to_ascii_lowercase().as_str() {
        "placement" | "placements" | "pl" => Ok(Kind::Placement),
        "workload" | "workloads" | "wl" => Ok(Kind::Workload),
        "cluster" | "clusters" | "cl" => Ok(Kind::Cluster),
        "machine" | "machines" | "ma" => Ok(Kind::Machine),
        "hub" | "hubs" => Ok(Kind::Hub),
        _ => Err(Error::Kind(text.to_owned())),
    }
}

/// The kind as typed: `workload`.
pub(crate) fn word(kind: Kind) -> String {
    kind.name().to_ascii_lowercase()
}

/// A kind and perhaps a name: `workload line`, `workload/line`, `clusters`.
pub(crate) fn target(first: &str, second: Option<&str>) -> Result<(Kind, Option<String>), Error> {
    match (first.split_once('/'), second) {
        (None, name) => Ok((kind(first)?, name.map(str::to_owned))),
        (Some((first, name)), None) => Ok((kind(first)?, Some(name.to_owned()))),
        (Some(_), Some(second)) => Err(Error::TwoNames(second.to_owned())),
    }
}

/// Several objects of one home: `workload line press`, `workload/line placement/cnc`.
pub(crate) fn objects(
    first: &str,
    names: &[String],
    home: &str,
    project: &str,
) -> Result<Vec<ObjectRef>, Error> {
    let targets = if first.contains('/') {
        let words = std::iter::once(first).chain(names.iter().map(String::as_str));
        words.map(|word| target(word, None)).collect::<Result<Vec<_>, _>>()?
    } else {
        let kind = kind(first)?;
        names.iter().map(|name| (kind, Some(name.clone()))).collect()
    };
    if targets.is_empty() {
        return Err(Error::NoName(kind(first)?));
    }
    let object = |(kind, name): (Kind, Option<String>)| {
        let (name, home) = (name.ok_or(Error::NoName(kind))?, home.to_owned());
        Ok(ObjectRef { kind: kind.into(), project: project.to_owned(), name, home })
    };
    targets.into_iter().map(object).collect()
}

/// A kind and a name.
#[derive(Debug, Args)]
pub struct Target {
    /// placement, workload, cluster or hub; or KIND/NAME
    #[arg(value_name = "KIND", add = complete::kinds())]
    pub kind: String,
    /// Its name; of a cluster or hub its path
    #[arg(add = complete::names())]
    pub name: Option<String>,
    /// Path of the hub where it lives [default: the hub that is asked]
    #[arg(long, value_name = "PATH")]
    pub home: Option<String>,
}

impl Target {
    /// The object that is meant.
    pub(crate) fn object(&self, project: &str) -> Result<ObjectRef, Error> {
        let (kind, name) = target(&self.kind, self.name.as_deref())?;
        let name = name.ok_or(Error::NoName(kind))?;
        let home = self.home.clone().unwrap_or_default();
        Ok(ObjectRef { kind: kind.into(), project: project.to_owned(), name, home })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn objects_can_be_named_in_two_ways() {
        assert_eq!(target("wl", None).unwrap(), (Kind::Workload, None));
        assert_eq!(target("Placements", Some("a")).unwrap(), (Kind::Placement, Some("a".into())));
        assert_eq!(target("cl/eu/press-3", None).unwrap(), (Kind::Cluster, Some("eu/press-3".into())));
        assert!(matches!(target("wl/a", Some("b")), Err(Error::TwoNames(_))));
        assert!(matches!(target("pods", None), Err(Error::Kind(_))));
    }
}
