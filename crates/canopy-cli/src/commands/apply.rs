//! `canopy apply`: makes objects be as the files say.

use std::path::PathBuf;

use canopy_proto::admin::v1::{ApplyRequest, Object, apply_response::Outcome, object::Spec};
use clap::Args;

use super::files;
use super::wait::Patience;
use crate::error::{Asked, Error};
use crate::redact;
use crate::session::{Session, name_of, reference};
use crate::until::Until;

/// Create objects, or change them into what files say
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  canopy apply -f placement.yaml -f workload.yaml
  canopy apply -R -f deploy/examples --wait --timeout=2m
  canopy get workload line -o yaml | sed 's/v1/v2/' | canopy apply -f -")]
pub struct Apply {
    /// A file, a folder, or - for the standard input; may be repeated
    #[arg(short, long = "filename", value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    /// Folders with all that is in them
    #[arg(short = 'R', long)]
    recursive: bool,
    #[command(flatten)]
    patience: Patience,
}

impl Apply {
    pub(crate) async fn run(self, session: &mut Session<'_, '_>) -> Result<(), Error> {
        let read = files::read(&self.files, self.recursive, session.terminal)?;
        let all = read.objects.len() + read.refused;
        let mut failed = read.refused;
        let mut applied = Vec::new();
        for object in read.objects {
            let named = reference(&object, &session.project);
            match apply(session, object).await {
                Err(error @ Error::Write(_)) => return Err(error),
                Err(error) => {
                    session.terminal.error(&error);
                    failed += 1;
                }
                Ok(()) => applied.push(named),
            }
        }
        let ready = Until::Condition { kind: "Ready".to_owned(), status: "True".to_owned() };
        self.patience.wait(session, &applied, &ready).await?;
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
