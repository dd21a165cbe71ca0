//! `canopy diff`: what applying files would change.

use std::path::PathBuf;

use canopy_proto::admin::v1::{ApplyRequest, Object, apply_response::Outcome};
use canopy_proto::document;
use clap::Args;
use similar::{ChangeTag, TextDiff};
use tonic::Code;

use super::{apply, files};
use crate::error::{Asked, Error};
use crate::redact;
use crate::session::{Session, name_of, reference};
use crate::table::printable;

/// Unchanged lines around a change, as `diff -u` shows them.
const CONTEXT_LINES: usize = 3;

/// Show what applying files would change
///
/// The hub at which each object lives says what would become of it; nothing is changed. Values of Secrets
/// are not shown, only whether they differ. Ends with 0 when nothing differs, with 1 when something does,
/// and with 2 when it could not be found out.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  canopy diff -f workload.yaml
  canopy diff -R -f deploy/examples || echo 'not yet applied'")]
pub struct Diff {
    /// A file, a folder, or - for the standard input; may be repeated
    #[arg(short, long = "filename", value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    /// Folders with all that is in them
    #[arg(short = 'R', long)]
    recursive: bool,
}

impl Diff {
    pub(crate) async fn run(self, session: &mut Session<'_, '_>) -> Result<(), Error> {
        let undecided = |error| Error::Undecided(Box::new(error));
        match self.differs(session).await {
            Ok(false) => Ok(()),
            Ok(true) => Err(Error::Differs),
            Err(error @ Error::Write(_)) => Err(error),
            Err(error) => Err(undecided(error)),
        }
    }

    async fn differs(self, session: &mut Session<'_, '_>) -> Result<bool, Error> {
        let read = files::read(&self.files, self.recursive, session.terminal)?;
        let all = read.objects.len() + read.refused;
        let mut failed = read.refused;
        let mut differs = false;
        for object in read.objects {
            match Difference::of(session, object).await {
                Ok(difference) => {
                    differs |= difference.before != difference.after;
                    difference.show(session)?;
                }
                Err(error) => {
                    session.terminal.error(&error);
                    failed += 1;
                }
            }
        }
        if failed > 0 { Err(Error::Some(failed, all)) } else { Ok(differs) }
    }
}

/// An object as it is and as it would be, as texts without secrets.
pub(super) struct Difference {
    name: String,
    pub(super) outcome: Outcome,
    before: String,
    after: String,
}

impl Difference {
    /// Asks what applying the object would come to.
    pub(super) async fn of(session: &mut Session<'_, '_>, object: Object) -> Result<Self, Error> {
        let name = name_of(&object);
        let asked = Asked::read(format!("apply {name}"), object.kind());
        let named = reference(&object, &session.project);
        let request = ApplyRequest { dry_run: true, ..apply::request(object, &session.project)? };
        let answer = session.client.apply(request).await.map_err(Error::refused(asked))?.into_inner();
        let live = match session.get(named).await {
            Ok(live) => Some(live),
            Err(error) if error.code() == Some(Code::NotFound) => None,
            Err(error) => return Err(error),
        };
        let outcome = answer.outcome();
        let before = live.map(|live| document::document(wished(live)));
        let after = document::document(wished(answer.object.unwrap_or_default()));
        let (before, after) = redact::pair(before, after);
        let text = |shown| serde_saphyr::to_string(shown).expect("documents have only texts as keys");
        let before = before.as_ref().map(text).unwrap_or_default();
        Ok(Self { name, outcome, before, after: text(&after) })
    }

    /// How many lines would be added and how many removed.
    pub(super) fn count(&self) -> (usize, usize) {
        let diff = TextDiff::from_lines(&self.before, &self.after);
        let count = |tag| diff.iter_all_changes().filter(|change| change.tag() == tag).count();
        (count(ChangeTag::Insert), count(ChangeTag::Delete))
    }

    fn show(&self, session: &mut Session<'_, '_>) -> Result<(), Error> {
        let diff = TextDiff::from_lines(&self.before, &self.after);
        let mut unified = diff.unified_diff();
        let (before, after) = (format!("{} as it is", self.name), format!("{} as applied", self.name));
        unified.context_radius(CONTEXT_LINES).header(&before, &after);
        unified.to_string().lines().try_for_each(|line| session.terminal.line(printable(line)))
    }
}

/// What authors write of an object; the rest the hub fills in.
fn wished(object: Object) -> Object {
    let metadata = object.metadata.map(|metadata| canopy_proto::admin::v1::Metadata {
        project: metadata.project,
        name: metadata.name,
        home: metadata.home,
        labels: metadata.labels,
        ..Default::default()
    });
    Object { metadata, status: None, ..object }
}
