//! `canopy delete`: takes objects away, clusters and hubs too.

use std::path::PathBuf;

use canopy_proto::admin::v1::{DeleteRequest, Object, ObjectRef};
use clap::Args;

use super::files;
use crate::args::{self, target};
use crate::error::Error;
use crate::session::{Session, named};

/// Delete objects; what runs for them is removed
#[derive(Debug, Args)]
pub struct Delete {
    /// placement, workload, cluster or hub; or KIND/NAME
    #[arg(value_name = "KIND", required_unless_present = "files", conflicts_with = "files")]
    kind: Option<String>,
    /// Its name; of a cluster or hub its path
    name: Option<String>,
    /// The objects of a file, a folder, or - for the standard input
    #[arg(short, long = "filename", value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Folders with all that is in them
    #[arg(short = 'R', long, requires = "files")]
    recursive: bool,
    /// Path of the hub where it lives [default: the hub that is asked]
    #[arg(long, value_name = "PATH")]
    home: Option<String>,
    /// Free the name now; clusters out of reach remove what they run when they return
    #[arg(long)]
    forget: bool,
}

impl Delete {
    pub(crate) async fn run(self, session: &mut Session<'_, '_>) -> Result<(), Error> {
        let Some(kind) = &self.kind else { return self.files(session).await };
        let (kind, name) = target(kind, self.name.as_deref())?;
        let name = name.ok_or(args::Error::NoName(kind))?;
        let home = self.home.clone().unwrap_or_default();
        let project = session.project.clone();
        self.delete(session, ObjectRef { kind: kind.into(), project, name, home }).await
    }

    async fn files(&self, session: &mut Session<'_, '_>) -> Result<(), Error> {
        let read = files::read(&self.files, self.recursive, session.terminal)?;
        let all = read.objects.len() + read.refused;
        let mut failed = read.refused;
        for object in read.objects {
            let object = reference(object, &session.project);
            if let Err(error) = self.delete(session, object).await {
                session.terminal.error(&error);
                failed += 1;
            }
        }
        if failed > 0 { Err(Error::Some(failed, all)) } else { Ok(()) }
    }

    async fn delete(&self, session: &mut Session<'_, '_>, object: ObjectRef) -> Result<(), Error> {
        let name = named(&object);
        let request = DeleteRequest { object: Some(object), forget: self.forget };
        let answer = session.client.delete(request).await;
        let answer = answer.map_err(Error::refused(format!("delete {name}")))?.into_inner();
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
