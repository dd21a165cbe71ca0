//! `canopy apply`: makes objects be as the files say.

use std::path::PathBuf;

use canopy_proto::admin::v1::{ApplyRequest, Object, apply_response::Outcome, object::Spec};
use clap::Args;

use super::diff::Difference;
use super::dry_run::DryRun;
use super::files;
use super::wait::Patience;
use crate::error::{Asked, Error};
use crate::redact;
use crate::session::{Session, name_of, reference};
use crate::terminal::Terminal;
use crate::until::Until;

/// Create objects, or change them into what files say
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  canopy apply -f placement.yaml -f workload.yaml
  canopy apply -R -f deploy/examples --wait --timeout=2m
  canopy apply -f workload.yaml --dry-run=server
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
    #[command(flatten)]
    dry_run: DryRun,
}

impl Apply {
    pub(crate) async fn run(self, session: &mut Session<'_, '_>) -> Result<(), Error> {
        let read = files::read(&self.files, self.recursive, session.terminal)?;
        let all = read.objects.len() + read.refused;
        let mut failed = read.refused;
        let mut applied = Vec::new();
        for object in read.objects {
            let named = reference(&object, &session.project);
            match self.apply(session, object).await {
                Err(error @ Error::Write(_)) => return Err(error),
                Err(error) => {
                    session.terminal.error(&error);
                    failed += 1;
                }
                Ok(()) => applied.push(named),
            }
        }
        let ready = Until::Condition { kind: "Ready".to_owned(), status: "True".to_owned() };
        if !self.dry_run.is_server() {
            self.patience.wait(session, &applied, &ready).await?;
        }
        if failed > 0 { Err(Error::Some(failed, all)) } else { Ok(()) }
    }
}

impl Apply {
    /// Whether no hub is to be asked.
    pub(crate) fn is_client_only(&self) -> bool {
        self.dry_run.is_client()
    }

    /// Reads the files and checks what can be checked without a hub.
    pub(crate) fn check(self, project: &str, terminal: &mut Terminal<'_>) -> Result<(), Error> {
        let read = files::read(&self.files, self.recursive, terminal)?;
        let all = read.objects.len() + read.refused;
        let mut failed = read.refused;
        for object in read.objects {
            let name = name_of(&object);
            match request(object, project) {
                Ok(_) => terminal.line(format_args!("{name} is valid{}", self.dry_run.mark()))?,
                Err(error) => {
                    terminal.error(&error);
                    failed += 1;
                }
            }
        }
        if failed > 0 { Err(Error::Some(failed, all)) } else { Ok(()) }
    }

    async fn apply(&self, session: &mut Session<'_, '_>, object: Object) -> Result<(), Error> {
        let name = name_of(&object);
        if self.dry_run.is_server() {
            let difference = Difference::of(session, object).await?;
            let summary = match (difference.outcome, difference.count()) {
                (Outcome::Configured, (added, removed)) => {
                    format!(": {added} lines added, {removed} removed; `canopy diff` shows them")
                }
                _ => String::new(),
            };
            let outcome = word(difference.outcome);
            return session.terminal.line(format_args!("{name} {outcome}{}{summary}", self.dry_run.mark()));
        }
        let asked = Asked::change(format!("apply {name}"), object.kind());
        let request = request(object, &session.project)?;
        let answer = session.client.apply(request).await.map_err(Error::refused(asked))?;
        session.terminal.line(format_args!("{name} {}", word(answer.into_inner().outcome())))
    }
}

/// What asks a hub to apply the object; `project` is that of objects that name none.
pub(super) fn request(mut object: Object, project: &str) -> Result<ApplyRequest, Error> {
    if let Some(secret) = redact::hidden_secret(&object) {
        let name = name_of(&object);
        let problem = format!("{name}: secret {secret} holds hidden values (***): put the real ones back");
        return Err(Error::Usage(problem));
    }
    let mut if_resource_version = String::new();
    let named = matches!(object.spec, Some(Spec::Placement(_) | Spec::Workload(_)));
    if let Some(metadata) = &mut object.metadata {
        if_resource_version = std::mem::take(&mut metadata.resource_version);
        if named && metadata.project.is_empty() {
            project.clone_into(&mut metadata.project);
        }
    }
    Ok(ApplyRequest { object: Some(object), if_resource_version, dry_run: false })
}

fn word(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Created => "created",
        Outcome::Configured => "configured",
        Outcome::Unchanged => "unchanged",
        Outcome::Unspecified => "applied",
    }
}
