//! `canopy get`: objects as tables, documents or names; also as they change.

use canopy_proto::admin::v1::{Kind, ListRequest, ObjectRef};
use canopy_proto::selector;
use clap::Args;

use super::watch::Watch;
use crate::args::{self, target};
use crate::complete;
use crate::error::Error;
use crate::printer::{Form, Printer, Series};
use crate::session::{Session, every};
use crate::show::Columns;

/// Show objects: a table, documents or names; once, or as they change
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  canopy get clusters --under eu -l line=cnc
  canopy get workloads -A -o wide
  canopy get placement cnc-lines -o yaml
  canopy get workloads -w")]
pub struct Get {
    /// placements (pl), workloads (wl), clusters (cl), machines (ma) or hubs; or KIND/NAME
    #[arg(value_name = "KIND", add = complete::kinds())]
    kind: String,
    /// Only this one; of a cluster or hub its path
    #[arg(add = complete::names())]
    name: Option<String>,
    /// Only with these labels, of machines those of their cluster: line=cnc,site!=graz,tier in (a,b),!spare
    #[arg(short = 'l', long, value_name = "SELECTOR")]
    selector: Option<String>,
    /// In another form than a table
    #[arg(short, long, value_name = "FORM")]
    output: Option<Form>,
    /// Of all projects
    #[arg(short = 'A', long)]
    all_projects: bool,
    /// All labels as the last column
    #[arg(long)]
    show_labels: bool,
    /// Only what stands or lives at this path or below
    #[arg(long, value_name = "PATH")]
    under: Option<String>,
    /// Path of the hub where the named object lives [default: the hub that is asked]
    #[arg(long, value_name = "PATH")]
    home: Option<String>,
    /// Then follow what changes: of objects that live at the hub that is asked, or of its own children
    #[arg(short, long, conflicts_with_all = ["under", "home"])]
    watch: bool,
    /// Only follow what changes from now on
    #[arg(long, conflicts_with_all = ["under", "home"])]
    watch_only: bool,
    /// Tell also whether an object was added, modified or deleted
    #[arg(long)]
    output_watch_events: bool,
}

impl Get {
    pub(crate) async fn run(self, session: &mut Session<'_, '_>) -> Result<(), Error> {
        let (kind, name) = target(&self.kind, self.name.as_deref())?;
        let follows = self.watch || self.watch_only;
        refuse(
            &[("--output-watch-events", self.output_watch_events && !follows)],
            "belongs to --watch or --watch-only",
        )?;
        if name.is_some() {
            let lists = [
                ("--selector", self.selector.is_some()),
                ("--all-projects", self.all_projects),
                ("--under", self.under.is_some()),
            ];
            refuse(&lists, "chooses among several objects: leave it or the name out")?;
        } else {
            refuse(&[("--home", self.home.is_some())], "belongs to a name: --under says where to list")?;
        }
        match name {
            name if follows => self.follow(session, kind, name).await,
            Some(name) => self.one(session, kind, name).await,
            None => self.all(session, kind).await,
        }
    }

    async fn one(self, session: &mut Session<'_, '_>, kind: Kind, name: String) -> Result<(), Error> {
        let mut printer = self.printer(Series::One);
        let home = self.home.unwrap_or_default();
        let project = session.project.clone();
        let object = session.get(ObjectRef { kind: kind.into(), project, name, home }).await?;
        printer.page(session.terminal, vec![object])
    }

    async fn all(self, session: &mut Session<'_, '_>, kind: Kind) -> Result<(), Error> {
        let mut printer = self.printer(Series::List);
        let label_selector = selector::parse(self.selector.as_deref().unwrap_or_default())?.to_string();
        let request = ListRequest {
            project: self.project(session),
            label_selector,
            under: self.under.unwrap_or_default(),
            full: matches!(self.output, Some(Form::Yaml | Form::Json)),
            ..every(kind)
        };
        session.list(&request, |terminal, objects| printer.page(terminal, objects)).await?;
        let none = printer.printed() == 0;
        printer.end(session.terminal)?;
        if none && matches!(self.output, None | Some(Form::Wide)) {
            session.terminal.beside("note", &format!("no {}s found", args::word(kind)));
        }
        Ok(())
    }

    async fn follow(
        self,
        session: &mut Session<'_, '_>,
        kind: Kind,
        name: Option<String>,
    ) -> Result<(), Error> {
        let watch = Watch {
            kind,
            project: self.project(session),
            name,
            selector: selector::parse(self.selector.as_deref().unwrap_or_default())?,
            present: !self.watch_only,
        };
        let mut printer = self.printer(Series::Stream).with_events(self.output_watch_events);
        watch.run(session, |terminal, changes| printer.changes(terminal, changes)).await
    }

    fn project(&self, session: &Session<'_, '_>) -> String {
        if self.all_projects { String::new() } else { session.project.clone() }
    }

    fn printer(&self, series: Series) -> Printer {
        let columns = Columns { projects: self.all_projects, labels: self.show_labels, wide: false };
        Printer::new(self.output, series, columns)
    }
}

/// Refuses a flag that would say nothing.
fn refuse(flags: &[(&str, bool)], why: &str) -> Result<(), Error> {
    match flags.iter().find(|(_, given)| *given) {
        Some((flag, _)) => Err(Error::Usage(format!("{flag} {why}"))),
        None => Ok(()),
    }
}
