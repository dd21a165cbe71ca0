//! `canopy apply`: makes objects be as the files say.

use std::path::PathBuf;

use canopy_proto::admin::v1::{ApplyRequest, Object, apply_response::Outcome, object::Spec};
use clap::Args;

use super::files;
use crate::error::{Asked, Error};
use crate::redact;
use crate::session::{Session, name_of};

/// Create objects, or change them into what files say
#[derive(Debug, Args)]
pub struct Apply {
    /// A file, a folder, or - for the standard input; may be repeated
    #[arg(short, long = "filename", value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    /// Folders with all that is in them
    #[arg(short = 'R', long)]
    recursive: bool,
}

impl Apply {
    pub(crate) async fn run(self, session: &mut Session<'_, '_>) -> Result<(), Error> {
        let read = files::read(&self.files, self.recursive, session.terminal)?;
        let all = read.objects.len() + read.refused;
        let mut failed = read.refused;
        for object in read.objects {
            let applied = apply(session, object).await;
            match applied {
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
}

async fn apply(session: &mut Session<'_, '_>, mut object: Object) -> Result<(), Error> {
    let name = name_of(&object);
    if let Some(secret) = redact::hidden_secret(&object) {
        let problem = format!("{name}: secret {secret} holds hidden values (***): put the real ones back");
        return Err(Error::Usage(problem));
    }
    let asked = Asked::change(format!("apply {name}"), object.kind());
    let mut if_resource_version = String::new();
    let named = matches!(object.spec, Some(Spec::Placement(_) | Spec::Workload(_)));
    if let Some(metadata) = &mut object.metadata {
        if_resource_version = std::mem::take(&mut metadata.resource_version);
        if named && metadata.project.is_empty() {
            metadata.project = session.project.clone();
        }
    }
    let request = ApplyRequest { object: Some(object), if_resource_version };
    let answer = session.client.apply(request).await.map_err(Error::refused(asked))?;
    let outcome = match answer.into_inner().outcome() {
        Outcome::Created => "created",
        Outcome::Configured => "configured",
        Outcome::Unchanged => "unchanged",
        Outcome::Unspecified => "applied",
    };
    session.terminal.line(format_args!("{name} {outcome}"))
}
