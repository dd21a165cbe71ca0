//! What a shell offers after the words that were typed so far: commands and flags, kinds, contexts, and
//! the names that the hub knows.
//!
//! The program answers the shell itself, so that the offers fit its version. A hub is asked within a
//! bound, and silence is the answer when it cannot be: nobody waits for, or reads, an error at that moment.

use std::ffi::OsStr;
use std::time::Duration;

use canopy_proto::admin::v1::{Kind, ListRequest};
use clap::{CommandFactory, FromArgMatches};
use clap_complete::{ArgValueCandidates, ArgValueCompleter, CompleteEnv, CompletionCandidate};
use tokio::time::timeout;

use crate::args::{self, Cli, Global};
use crate::connect::Client;
use crate::context::Contexts;
use crate::session::every;
use crate::terminal;

/// In the environment: which shell asks.
pub(crate) const ASKED: &str = "CANOPY_COMPLETE";
/// How long a hub may take before nothing is offered: longer is felt as a shell that hangs.
const PATIENCE: Duration = Duration::from_secs(1);
/// The most names that are offered: nobody reads more.
const NAMES_MAX: u32 = 200;

/// Answers a shell that asks and ends the process; does nothing when none does. To be called before
/// anything else.
pub fn answer_shell() {
    CompleteEnv::with_factory(Cli::command).var(ASKED).complete();
}

/// Offers kinds.
pub(crate) fn kinds() -> ArgValueCandidates {
    let words = ["placements", "workloads", "clusters", "machines", "hubs"];
    ArgValueCandidates::new(move || words.into_iter().map(CompletionCandidate::new).collect())
}

/// Offers names of contexts.
pub(crate) fn contexts() -> ArgValueCandidates {
    ArgValueCandidates::new(|| {
        let contexts = global().file().ok().and_then(|file| Contexts::load(&file).ok()).unwrap_or_default();
        contexts.contexts.into_iter().map(|context| CompletionCandidate::new(context.name)).collect()
    })
}

/// Offers names of the kind that stands before.
pub(crate) fn names() -> ArgValueCompleter {
    ArgValueCompleter::new(|typed: &OsStr| {
        let typed = typed.to_string_lossy().into_owned();
        let kind = words().iter().find_map(|word| args::kind(word).ok());
        let names = kind.and_then(|kind| ask(kind, global())).unwrap_or_default();
        let fitting = names.into_iter().filter(|name| name.starts_with(&typed));
        fitting.map(CompletionCandidate::new).collect()
    })
}

/// The words of the command line that is being typed.
fn words() -> Vec<String> {
    let words = std::env::args_os().skip_while(|word| word != "--").skip(1);
    words.map(|word| word.to_string_lossy().into_owned()).collect()
}

/// The flags of every command, as far as they are typed.
fn global() -> Global {
    let typed = Cli::command().ignore_errors(true).try_get_matches_from(words());
    let read = typed.ok().and_then(|matches| Global::from_arg_matches(&matches).ok());
    read.unwrap_or_default()
}

fn ask(kind: Kind, global: Global) -> Option<Vec<String>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().ok()?;
    let asked = async {
        let reached = crate::dial(&global, terminal::now_ms()).await.ok()?;
        names_of(reached.client, kind, &global.project).await
    };
    runtime.block_on(async { timeout(PATIENCE, asked).await.ok().flatten() })
}

/// The names of some objects of one kind; none if the hub cannot say.
pub async fn names_of(mut client: Client, kind: Kind, project: &str) -> Option<Vec<String>> {
    let request = ListRequest { project: project.to_owned(), page_size: NAMES_MAX, ..every(kind) };
    let page = client.list(request).await.ok()?.into_inner();
    Some(page.items.into_iter().filter_map(|item| Some(item.metadata?.name)).collect())
}
