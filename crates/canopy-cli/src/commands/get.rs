//! `canopy get`: objects as tables, documents or names.

use canopy_proto::admin::v1::{Kind, ListRequest, Object, ObjectRef};
use canopy_proto::{document, selector};
use clap::{Args, ValueEnum};

use crate::args::{self, target};
use crate::error::Error;
use crate::session::{Session, every, name_of};
use crate::table::{Table, printable};
use crate::terminal::Terminal;
use crate::{redact, show};

/// Show objects: a table, documents or names
#[derive(Debug, Args)]
pub struct Get {
    /// placements (pl), workloads (wl), clusters (cl) or hubs; or KIND/NAME
    #[arg(value_name = "KIND")]
    kind: String,
    /// Only this one; of a cluster or hub its path
    name: Option<String>,
    /// Only with these labels: line=cnc,site!=graz,tier in (a,b),!spare
    #[arg(short = 'l', long, value_name = "SELECTOR")]
    selector: Option<String>,
    /// In another form than a table
    #[arg(short, long, value_name = "FORM")]
    output: Option<Form>,
    /// Of all projects
    #[arg(short = 'A', long)]
    all_projects: bool,
    /// Only what stands or lives at this path or below
    #[arg(long, value_name = "PATH")]
    under: Option<String>,
    /// Path of the hub where the named object lives [default: the hub that is asked]
    #[arg(long, value_name = "PATH")]
    home: Option<String>,
}

/// How to show objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Form {
    Yaml,
    Json,
    Name,
}

impl Get {
    pub(crate) async fn run(self, session: &mut Session<'_, '_>) -> Result<(), Error> {
        let (kind, name) = target(&self.kind, self.name.as_deref())?;
        match name {
            Some(name) => {
                let lists = [
                    ("--selector", self.selector.is_some()),
                    ("--all-projects", self.all_projects),
                    ("--under", self.under.is_some()),
                ];
                refuse(&lists, "chooses among several objects: leave it or the name out")?;
                self.one(session, kind, name).await
            }
            None => {
                refuse(&[("--home", self.home.is_some())], "belongs to a name: --under says where to list")?;
                self.all(session, kind).await
            }
        }
    }

    async fn one(self, session: &mut Session<'_, '_>, kind: Kind, name: String) -> Result<(), Error> {
        let home = self.home.unwrap_or_default();
        let project = session.project.clone();
        let object = session.get(ObjectRef { kind: kind.into(), project, name, home }).await?;
        let mut printer = Printer::new(self.output, kind, false);
        if self.output == Some(Form::Json) {
            let shown = redact::document(document::document(object));
            return session.terminal.line(json(&shown));
        }
        printer.page(session.terminal, vec![object])
    }

    async fn all(self, session: &mut Session<'_, '_>, kind: Kind) -> Result<(), Error> {
        let label_selector = selector::parse(self.selector.as_deref().unwrap_or_default())?.to_string();
        let request = ListRequest {
            project: if self.all_projects { String::new() } else { session.project.clone() },
            label_selector,
            under: self.under.unwrap_or_default(),
            full: matches!(self.output, Some(Form::Yaml | Form::Json)),
            ..every(kind)
        };
        let mut printer = Printer::new(self.output, kind, self.all_projects);
        session.list(&request, |terminal, objects| printer.page(terminal, objects)).await?;
        let none = printer.printed == 0;
        printer.end(session.terminal)?;
        if none && self.output.is_none() {
            session.terminal.beside("note", &format!("no {}s found", args::word(kind)));
        }
        Ok(())
    }
}

/// Refuses a flag that would say nothing.
fn refuse(flags: &[(&str, bool)], why: &str) -> Result<(), Error> {
    match flags.iter().find(|(_, given)| *given) {
        Some((flag, _)) => Err(Error::Usage(format!("{flag} {why}"))),
        None => Ok(()),
    }
}

/// Prints objects in one of the forms as they come.
struct Printer {
    form: Option<Form>,
    projects: bool,
    table: Table,
    printed: usize,
}

impl Printer {
    fn new(form: Option<Form>, kind: Kind, projects: bool) -> Self {
        Self { form, projects, table: Table::new(show::headers(kind, projects)), printed: 0 }
    }

    fn page(&mut self, terminal: &mut Terminal<'_>, objects: Vec<Object>) -> Result<(), Error> {
        if self.form.is_none() {
            self.printed += objects.len();
            let rows: Vec<_> =
                objects.into_iter().map(|object| show::row(object, self.projects, terminal)).collect();
            return self.table.print(terminal.out, &rows).map_err(Error::Write);
        }
        objects.into_iter().try_for_each(|object| self.item(terminal, object))
    }

    fn item(&mut self, terminal: &mut Terminal<'_>, object: Object) -> Result<(), Error> {
        let first = self.printed == 0;
        self.printed += 1;
        if self.form == Some(Form::Name) {
            return terminal.line(printable(&name_of(&object)));
        }
        let shown = redact::document(document::document(object));
        if self.form == Some(Form::Json) {
            let before = if first { LIST_BEGIN } else { "," };
            return terminal.line(format_args!("{before}\n{}", json(&shown)));
        }
        let yaml = serde_saphyr::to_string(&shown).expect("documents have only texts as keys");
        if !first {
            terminal.line("---")?;
        }
        terminal.line(yaml.trim_end())
    }

    /// Ends a list; a single object has no end.
    fn end(self, terminal: &mut Terminal<'_>) -> Result<(), Error> {
        match (self.form, self.printed) {
            (Some(Form::Json), 0) => terminal.line(format_args!("{LIST_BEGIN}]}}")),
            (Some(Form::Json), _) => terminal.line("]}"),
            _ => Ok(()),
        }
    }
}

/// The beginning of a list in JSON; a list in YAML is simply several documents.
const LIST_BEGIN: &str = r#"{"apiVersion": "canopy.dev/v1alpha1", "kind": "List", "items": ["#;

fn json(document: &document::write::AnyDocument) -> String {
    serde_json::to_string_pretty(document).expect("documents have only texts as keys")
}
