//! Objects as tables, documents or names, as they come.

use canopy_proto::admin::v1::{Object, watch_event::Type};
use canopy_proto::document;
use canopy_proto::document::write::AnyDocument;
use clap::ValueEnum;
use serde::Serialize;

use crate::error::Error;
use crate::redact;
use crate::session::name_of;
use crate::show::{self, Cell, Columns};
use crate::table::{Table, printable};
use crate::terminal::Terminal;

/// How to show objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Form {
    /// A table with more columns.
    Wide,
    /// Documents that can be applied.
    Yaml,
    /// The same as JSON.
    Json,
    /// KIND/NAME.
    Name,
}

/// What the objects are to each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Series {
    /// One object that was asked for.
    One,
    /// All there are.
    List,
    /// One after the other, as they change.
    Stream,
}

/// Prints objects in one of the forms.
pub(crate) struct Printer {
    form: Option<Form>,
    series: Series,
    columns: Columns,
    events: bool,
    table: Option<Table>,
    printed: usize,
}

/// An object with what became of it.
#[derive(Serialize)]
struct Event {
    #[serde(rename = "type")]
    kind: &'static str,
    object: AnyDocument,
}

impl Printer {
    pub(crate) fn new(form: Option<Form>, series: Series, columns: Columns) -> Self {
        let columns = Columns { wide: form == Some(Form::Wide), ..columns };
        Self { form, series, columns, events: false, table: None, printed: 0 }
    }

    /// Tells also what became of each object.
    pub(crate) fn with_events(self, events: bool) -> Self {
        Self { events, ..self }
    }

    /// How many objects were printed.
    pub(crate) fn printed(&self) -> usize {
        self.printed
    }

    /// Prints objects that there are.
    pub(crate) fn page(&mut self, terminal: &mut Terminal<'_>, objects: Vec<Object>) -> Result<(), Error> {
        self.changes(terminal, objects.into_iter().map(|object| (Type::Added, object)).collect())
    }

    /// Prints objects with what became of them.
    pub(crate) fn changes(
        &mut self,
        terminal: &mut Terminal<'_>,
        changes: Vec<(Type, Object)>,
    ) -> Result<(), Error> {
        if matches!(self.form, None | Some(Form::Wide)) {
            self.printed += changes.len();
            let rows: Vec<_> = changes.iter().map(|change| self.cells(change, terminal)).collect();
            return self.rows(terminal, rows);
        }
        changes.into_iter().try_for_each(|change| self.item(terminal, change))
    }

    fn cells(&self, (kind, object): &(Type, Object), terminal: &Terminal<'_>) -> Vec<Cell> {
        let mut cells = show::cells(object, self.columns, terminal);
        if *kind == Type::Deleted {
            // What was last known of it would look as if it still were so.
            let status = cells.iter_mut().find(|(header, _)| *header == "STATUS");
            status.into_iter().for_each(|(_, status)| *status = "Deleted".to_owned());
        }
        if self.events {
            cells.insert(0, ("EVENT", word(*kind).to_owned()));
        }
        cells
    }

    fn rows(&mut self, terminal: &mut Terminal<'_>, rows: Vec<Vec<Cell>>) -> Result<(), Error> {
        let Some(first) = rows.first() else { return Ok(()) };
        let headers = || first.iter().map(|(header, _)| *header).collect::<Vec<_>>();
        let table = self.table.get_or_insert_with(|| Table::new(headers()));
        let rows: Vec<Vec<String>> =
            rows.into_iter().map(|row| row.into_iter().map(|(_, cell)| cell).collect()).collect();
        table.print(terminal.out, &rows).map_err(Error::Write)
    }

    fn item(&mut self, terminal: &mut Terminal<'_>, (kind, object): (Type, Object)) -> Result<(), Error> {
        let first = self.printed == 0;
        self.printed += 1;
        if self.form == Some(Form::Name) {
            let event = if self.events { format!("{:<11}", word(kind)) } else { String::new() };
            return terminal.line(format_args!("{event}{}", printable(&name_of(&object))));
        }
        let shown = redact::document(document::document(object));
        let (json, yaml) = match self.events {
            true => texts(&Event { kind: word(kind), object: shown }),
            false => texts(&shown),
        };
        match (self.form, self.series) {
            (Some(Form::Json), Series::List) => {
                let before = if first { LIST_BEGIN } else { "," };
                terminal.line(format_args!("{before}\n{json}"))
            }
            (Some(Form::Json), _) => terminal.line(json),
            _ => {
                if !first {
                    terminal.line("---")?;
                }
                terminal.line(yaml.trim_end())
            }
        }
    }

    /// Ends a list; a single object has no end.
    pub(crate) fn end(self, terminal: &mut Terminal<'_>) -> Result<(), Error> {
        match (self.form, self.printed) {
            (Some(Form::Json), 0) => terminal.line(format_args!("{LIST_BEGIN}]}}")),
            (Some(Form::Json), _) => terminal.line("]}"),
            _ => Ok(()),
        }
    }
}

/// The beginning of a list in JSON; a list in YAML is simply several documents.
const LIST_BEGIN: &str = r#"{"apiVersion": "canopy.dev/v1alpha1", "kind": "List", "items": ["#;

fn texts(shown: &impl Serialize) -> (String, String) {
    let keys = "documents have only texts as keys";
    (serde_json::to_string_pretty(shown).expect(keys), serde_saphyr::to_string(shown).expect(keys))
}

/// What became of an object, as kubectl writes it.
fn word(kind: Type) -> &'static str {
    match kind {
        Type::Added => "ADDED",
        Type::Modified => "MODIFIED",
        Type::Deleted => "DELETED",
        Type::Synced | Type::Unspecified => "",
    }
}
