//! `canopy delete`: takes objects away, clusters and hubs too.

use std::path::PathBuf;

use canopy_proto::admin::v1::{DeleteRequest, Kind, Object, ObjectRef};
use clap::Args;

use super::files;
use crate::args::{self, target};
use crate::error::{Asked, Error};
use crate::session::{Session, named};

/// Delete objects; what runs for them is removed
#[derive(Debug, Args)]
pub struct Delete {
    /// placement, workload, cluster or hub; or KIND/NAME
    #[arg(value_name = "KIND", required_unless_present = "files", conflicts_with = "files")]
    kind: Option<String>,
    /// Their names, of clusters and hubs their paths; after KIND/NAME further ones of that form
    #[arg(value_name = "NAME")]
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
}

impl Delete {
    pub(crate) async fn run(self, session: &mut Session<'_, '_>) -> Result<(), Error> {
        let (objects, refused) = match &self.kind {
            Some(kind) => (self.named(kind, &session.project)?, 0),
            None => {
                let read = files::read(&self.files, self.recursive, session.terminal)?;
                let objects = read.objects.into_iter().map(|object| reference(object, &session.project));
                (objects.collect(), read.refused)
            }
        };
        // As kubectl: the only object that was asked for needs no count.
        let all = objects.len() + refused;
        if let (None, [only]) = (self.files.first(), objects.as_slice()) {
            return self.delete(session, only.clone()).await;
        }
        let mut failed = refused;
        for object in objects {
            match self.delete(session, object).await {
                Err(error @ Error::Write(_)) => return Err(error),
                Err(error) => {
                    session.terminal.error(&error);
                    failed += 1;
                }
                Ok(()) => (),
            }
        }
        if failed > 0 { Err(Error::Some(failed, all)) } else { Ok(()) }
    }

    /// The objects that the command line names.
    fn named(&self, first: &str, project: &str) -> Result<Vec<ObjectRef>, Error> {
        let targets = if first.contains('/') {
            let words = std::iter::once(first).chain(self.names.iter().map(String::as_str));
            words.map(|word| target(word, None)).collect::<Result<Vec<_>, _>>()?
        } else {
            let kind = args::kind(first)?;
            self.names.iter().map(|name| (kind, Some(name.clone()))).collect()
        };
        if targets.is_empty() {
            return Err(args::Error::NoName(args::kind(first)?).into());
        }
        let home = self.home.clone().unwrap_or_default();
        let object = |(kind, name): (Kind, Option<String>)| {
            let (name, home) = (name.ok_or(args::Error::NoName(kind))?, home.clone());
            Ok(ObjectRef { kind: kind.into(), project: project.to_owned(), name, home })
        };
        targets.into_iter().map(object).collect()
    }

    async fn delete(&self, session: &mut Session<'_, '_>, object: ObjectRef) -> Result<(), Error> {
        let name = named(&object);
        let asked = Asked::change(format!("delete {name}"), object.kind());
        let request = DeleteRequest { object: Some(object), forget: self.forget, ..Default::default() };
        let answer = session.client.delete(request).await;
        let answer = answer.map_err(Error::refused(asked))?.into_inner();
        match answer.object {
            None => session.terminal.line(format_args!("{name} deleted")),
            Some(_) => session.terminal.line(format_args!("{name} terminating")),
        }
    }
}

fn reference(object: Object, project: &str) -> ObjectRef {
    let kind = object.kind().into();
    let metadata = object.metadata.unwrap_or_default();
    let project = if metadata.project.is_empty() { project.to_owned() } else { metadata.project };
    ObjectRef { kind, project, name: metadata.name, home: metadata.home }
}
