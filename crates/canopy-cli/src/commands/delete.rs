//! `canopy delete`: takes objects away, clusters and hubs too.

use std::path::PathBuf;

use canopy_proto::admin::v1::{DeleteRequest, ObjectRef};
use clap::Args;

use super::dry_run::DryRun;
use super::files;
use super::wait::Patience;
use crate::args;
use crate::complete;
use crate::error::{Asked, Error};
use crate::session::{Session, named, reference};
use crate::terminal::Terminal;
use crate::until::Until;

/// Delete objects; what runs for them is removed
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  canopy delete workload line-reconfiguration
  canopy delete -f deploy/examples/line-reconfiguration --wait --timeout=5m
  canopy delete cluster eu/plant-7/press-3")]
pub struct Delete {
    /// placement, workload, cluster or hub; or KIND/NAME
    #[arg(value_name = "KIND", add = complete::kinds(), required_unless_present = "files", conflicts_with = "files")]
    kind: Option<String>,
    /// Their names, of clusters and hubs their paths; after KIND/NAME further ones of that form
    #[arg(value_name = "NAME", add = complete::names())]
    names: Vec<String>,
    /// The objects of a file, a folder, or - for the standard input
    #[arg(short, long = "filename", value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Folders with all that is in them
    #[arg(short = 'R', long, requires = "files")]
    recursive: bool,
    /// Path of the hub where it lives [default: the hub that is asked]
    #[arg(long, value_name = "PATH")]
    home: Option<String>,
    /// Do not wait: clusters out of reach remove an object's work when they return; a cluster or hub
    /// that is let go so never returns, and keeps what it runs
    #[arg(long)]
    forget: bool,
    #[command(flatten)]
    patience: Patience,
    #[command(flatten)]
    dry_run: DryRun,
}

impl Delete {
    /// Whether no hub is to be asked.
    pub(crate) fn is_client_only(&self) -> bool {
        self.dry_run.is_client()
    }

    /// Says what would be asked for.
    pub(crate) fn check(self, project: &str, terminal: &mut Terminal<'_>) -> Result<(), Error> {
        let (objects, refused) = self.objects(project, terminal)?;
        let all = objects.len() + refused;
        for object in objects {
            terminal.line(format_args!("{} deleted{}", named(&object), self.dry_run.mark()))?;
        }
        if refused > 0 { Err(Error::Some(refused, all)) } else { Ok(()) }
    }

    /// The objects that are meant, and how many documents were refused.
    fn objects(&self, project: &str, terminal: &mut Terminal<'_>) -> Result<(Vec<ObjectRef>, usize), Error> {
        match &self.kind {
            Some(kind) => {
                let home = self.home.clone().unwrap_or_default();
                Ok((args::objects(kind, &self.names, &home, project)?, 0))
            }
            None => {
                let read = files::read(&self.files, self.recursive, terminal)?;
                let objects = read.objects.into_iter().map(|object| reference(&object, project));
                Ok((objects.collect(), read.refused))
            }
        }
    }

    pub(crate) async fn run(self, session: &mut Session<'_, '_>) -> Result<(), Error> {
        let (objects, refused) = self.objects(&session.project, session.terminal)?;
        // As kubectl: the only object that was asked for needs no count.
        let all = objects.len() + refused;
        let only = self.files.is_empty() && all == 1;
        let mut failed = refused;
        let mut terminating = Vec::new();
        for object in objects {
            match self.delete(session, object.clone()).await {
                Err(error) if only || matches!(error, Error::Write(_)) => return Err(error),
                Err(error) => {
                    session.terminal.error(&error);
                    failed += 1;
                }
                Ok(true) => terminating.push(object),
                Ok(false) => (),
            }
        }
        if !self.dry_run.is_server() {
            self.patience.wait(session, &terminating, &Until::Delete).await?;
        }
        if failed > 0 { Err(Error::Some(failed, all)) } else { Ok(()) }
    }

    /// Whether the object stays until clusters have confirmed.
    async fn delete(&self, session: &mut Session<'_, '_>, object: ObjectRef) -> Result<bool, Error> {
        let name = named(&object);
        let asked = Asked::change(format!("delete {name}"), object.kind());
        let dry_run = self.dry_run.is_server();
        let request =
            DeleteRequest { object: Some(object), forget: self.forget, dry_run, ..Default::default() };
        let answer = session.client.delete(request).await;
        let stays = answer.map_err(Error::refused(asked))?.into_inner().object.is_some();
        let outcome = if stays { "terminating" } else { "deleted" };
        session.terminal.line(format_args!("{name} {outcome}{}", self.dry_run.mark()))?;
        Ok(stays)
    }
}
