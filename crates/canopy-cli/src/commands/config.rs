//! `canopy config`: the context file, without asking any hub.

use canopy_identity::Certified;
use clap::{Args, Subcommand};

use crate::args::Global;
use crate::complete;
use crate::context::{self, Context, Contexts};
use crate::error::Error;
use crate::table::{Table, printable};
use crate::terminal::Terminal;

/// Show and change the contexts: which hubs there are to ask, and as whom
///
/// Contexts are written by `canopy-hub init` and `canopy-hub admin`. The current one is asked unless
/// --context or CANOPY_CONTEXT names another.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  canopy config get-contexts
  canopy config use-context eu/plant-7
  canopy config rename-context eu/plant-7 graz
  canopy config view")]
pub struct Config {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List the contexts, the current one with a star
    GetContexts {
        /// Only this one
        name: Option<String>,
        /// Only the names
        #[arg(short, long, value_name = "FORM", value_parser = ["name"])]
        output: Option<String>,
    },
    /// Print the name of the current context
    CurrentContext,
    /// Make a context the current one
    UseContext {
        /// Its name
        #[arg(add = complete::contexts())]
        name: String,
    },
    /// Give a context another name
    RenameContext {
        /// Its present name
        #[arg(add = complete::contexts())]
        name: String,
        /// Its new name
        new: String,
    },
    /// Drop a context with its key
    DeleteContext {
        /// Its name
        #[arg(add = complete::contexts())]
        name: String,
    },
    /// Show the context file without keys and certificates
    View,
}

impl Config {
    /// No hub is asked: the file alone is read or changed.
    pub(crate) fn run(self, global: &Global, terminal: &mut Terminal<'_>) -> Result<(), Error> {
        let file = global.file()?;
        let mut contexts = Contexts::load(&file)?;
        let said = match self.command {
            Command::GetContexts { name, output } => {
                return list(&contexts, name.as_deref(), output.is_some(), terminal);
            }
            Command::CurrentContext => {
                return terminal.line(printable(&contexts.pick(None)?.name));
            }
            Command::View => return view(&contexts, terminal),
            Command::UseContext { name } => {
                contexts.choose(&name)?;
                format!("context {name} is the current one")
            }
            Command::RenameContext { name, new } => {
                contexts.rename(&name, &new)?;
                format!("context {name} renamed to {new}")
            }
            Command::DeleteContext { name } => {
                let was_current = contexts.current.as_ref() == Some(&name);
                contexts.remove(&name)?;
                if was_current && contexts.contexts.len() > 1 {
                    let next = "it was the current one: choose another with `canopy config use-context NAME`";
                    terminal.beside("warning", next);
                }
                format!("context {name} deleted")
            }
        };
        contexts.save(&file)?;
        terminal.line(printable(&said))
    }
}

fn list(
    contexts: &Contexts,
    name: Option<&str>,
    names_only: bool,
    terminal: &mut Terminal<'_>,
) -> Result<(), Error> {
    let shown: Vec<&Context> = match name {
        Some(name) => vec![contexts.pick(Some(name))?],
        None => contexts.contexts.iter().collect(),
    };
    if names_only {
        return shown.into_iter().try_for_each(|context| terminal.line(printable(&context.name)));
    }
    let rows = shown.into_iter().map(|context| {
        let current = if contexts.current.as_ref() == Some(&context.name) { "*" } else { "" };
        let (admin, expires) = match context.certified() {
            Some(certified) => (
                certified.peer.path.name().map(|name| name.to_string()).unwrap_or_default(),
                life(&certified, terminal.now_ms() / 1000),
            ),
            None => Default::default(),
        };
        let Context { name, hub, server, .. } = context.clone();
        vec![current.to_owned(), name, hub, server, admin, expires]
    });
    let rows: Vec<_> = rows.collect();
    let headers = ["CURRENT", "NAME", "HUB", "SERVER", "ADMIN", "EXPIRES"];
    Table::new(headers).print(terminal.out, &rows).map_err(Error::Write)
}

/// How long a certificate lives on.
fn life(certified: &Certified, now_seconds: u64) -> String {
    match certified.not_after.checked_sub(now_seconds) {
        Some(left) => format!("in {}", crate::age::text(left * 1000)),
        None => "expired".to_owned(),
    }
}

/// As `kubectl config view`: what is secret is redacted, what is long is left out.
fn view(contexts: &Contexts, terminal: &mut Terminal<'_>) -> Result<(), Error> {
    let mut shown = contexts.clone();
    for context in &mut shown.contexts {
        let context::Context { ca, certificate, key, .. } = context;
        *ca = OMITTED.to_owned();
        *certificate = OMITTED.to_owned();
        *key = REDACTED.to_owned();
    }
    let yaml = serde_saphyr::to_string(&shown).expect("texts can be written as YAML");
    terminal.line(yaml.trim_end())
}

const OMITTED: &str = "DATA+OMITTED";
const REDACTED: &str = "REDACTED";
