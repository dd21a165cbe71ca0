//! `canopy label`: sets and removes labels; by those of clusters placements select.

use std::collections::HashMap;

use canopy_model::labels;
use canopy_proto::admin::v1::{LabelRequest, Object, ObjectRef};
use canopy_proto::convert::one_line;
use clap::Args;

use super::dry_run::DryRun;
use crate::args::{self, target};
use crate::error::{Asked, Error};
use crate::session::{Session, named};
use crate::terminal::Terminal;

/// Set and remove labels: KEY=VALUE sets, KEY- removes
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  canopy label cluster eu/plant-7/press-3 line=cnc spare-
  canopy label workload/line team=lines --overwrite --dry-run=server")]
pub struct Label {
    /// KIND NAME or KIND/NAME, then KEY=VALUE to set and KEY- to remove
    #[arg(value_name = "OBJECT AND LABELS", num_args = 2.., required = true)]
    words: Vec<String>,
    /// Path of the hub where it lives [default: the hub that is asked]
    #[arg(long, value_name = "PATH")]
    home: Option<String>,
    /// Replace other values
    #[arg(long)]
    overwrite: bool,
    #[command(flatten)]
    dry_run: DryRun,
}

/// What is to be labeled how.
struct Wish {
    object: ObjectRef,
    set: HashMap<String, String>,
    remove: Vec<String>,
}

impl Label {
    /// Whether no hub is to be asked.
    pub(crate) fn is_client_only(&self) -> bool {
        self.dry_run.is_client()
    }

    /// Checks what is given, and says what would be asked for.
    pub(crate) fn check(self, project: &str, terminal: &mut Terminal<'_>) -> Result<(), Error> {
        let name = named(&self.wish(project)?.object);
        terminal.line(format_args!("{name} labeled{}", self.dry_run.mark()))
    }

    fn wish(&self, project: &str) -> Result<Wish, Error> {
        let (first, mut rest) = self.words.split_first().expect("clap asks for two words");
        let mut second = None;
        if !first.contains('/') {
            (second, rest) =
                rest.split_first().map_or((None, rest), |(name, rest)| (Some(name.as_str()), rest));
        }
        let (kind, name) = target(first, second)?;
        let name = name.ok_or(args::Error::NoName(kind))?;
        let (set, remove) = changes(rest)?;
        let home = self.home.clone().unwrap_or_default();
        let object = ObjectRef { kind: kind.into(), project: project.to_owned(), name, home };
        Ok(Wish { object, set, remove })
    }

    pub(crate) async fn run(self, session: &mut Session<'_, '_>) -> Result<(), Error> {
        let Wish { object, set, remove } = self.wish(&session.project)?;
        let name = named(&object);
        let asked = Asked::change(format!("label {name}"), object.kind());
        let before = session.get(object.clone()).await?;
        let (overwrite, dry_run) = (self.overwrite, self.dry_run.is_server());
        let request = LabelRequest { object: Some(object), set, remove, overwrite, dry_run };
        let answer = session.client.label(request).await.map_err(Error::refused(asked))?;
        let labels = |object: Object| object.metadata.unwrap_or_default().labels;
        let same = labels(before) == labels(answer.into_inner());
        let outcome = if same { "not labeled" } else { "labeled" };
        session.terminal.line(format_args!("{name} {outcome}{}", self.dry_run.mark()))
    }
}

/// Splits `KEY=VALUE` and `KEY-` into what to set and what to remove.
fn changes(words: &[String]) -> Result<(HashMap<String, String>, Vec<String>), Error> {
    let (mut set, mut remove) = (HashMap::new(), Vec::new());
    for word in words {
        match (word.split_once('='), word.strip_suffix('-')) {
            (Some(_), _) => {
                let (key, value) = pair(word).map_err(Error::Usage)?;
                set.insert(key, value);
            }
            (None, Some(key)) => remove.push(key.to_owned()),
            (None, None) => {
                return Err(Error::Usage(format!("{word:?} is no label: KEY=VALUE sets, KEY- removes")));
            }
        }
    }
    if set.is_empty() && remove.is_empty() {
        return Err(Error::Usage("no labels given: KEY=VALUE sets, KEY- removes".to_owned()));
    }
    Ok((set, remove))
}

/// Reads one label, `KEY=VALUE`.
pub(super) fn pair(word: &str) -> Result<(String, String), String> {
    let (key, value) =
        word.split_once('=').ok_or_else(|| format!("{word:?} is no label: write KEY=VALUE"))?;
    labels::check(key, value).map_err(|error| one_line(&error))?;
    Ok((key.to_owned(), value.to_owned()))
}
