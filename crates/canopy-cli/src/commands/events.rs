//! `canopy events`: what happened.

use canopy_proto::admin::v1::{self, Kind, ListEventsRequest, ListEventsResponse, ObjectRef};
use clap::{Args, ValueEnum};
use jiff::SignedDuration;
use tokio::time::{Instant, sleep};

use super::watch::{AGAIN_FIRST, AGAIN_MAX};
use crate::age;
use crate::args::{self, target};
use crate::error::{Asked, Error};
use crate::session::{Session, named};
use crate::table::Table;
use crate::terminal::Terminal;

/// Show what happened to objects, clusters and hubs
///
/// Every hub keeps what happened there, up to a bound; what happened several times in the same way is told
/// once, with its count. Events of the hub that is asked and of those below are shown, the newest at the
/// end.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  canopy events --types=Warning --since=1h
  canopy events --for workload/line-reconfiguration
  canopy events --under eu
  canopy events -w")]
pub struct Events {
    /// Only what concerns this one
    #[arg(long = "for", value_name = "KIND/NAME")]
    about: Option<String>,
    /// Only what happened at this hub or below
    #[arg(long, value_name = "PATH")]
    under: Option<String>,
    /// Only of this type
    #[arg(long, value_name = "TYPE", ignore_case = true)]
    types: Option<Type>,
    /// Only what happened so long ago, or later
    #[arg(long, value_name = "DURATION")]
    since: Option<SignedDuration>,
    /// The most events to show
    #[arg(long, value_name = "NUMBER", default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..=500))]
    limit: u32,
    /// Then follow what happens at the hub that is asked
    #[arg(short, long, conflicts_with = "under")]
    watch: bool,
}

/// What sort of event it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Type {
    /// Somebody may want to look.
    Warning,
    /// It went as it should.
    Normal,
}

impl Events {
    pub(crate) async fn run(self, session: &mut Session<'_, '_>) -> Result<(), Error> {
        let request = self.request(session)?;
        if self.watch {
            return follow(session, request).await;
        }
        let answer = list(session, request).await?;
        if answer.events.is_empty() {
            session.terminal.beside("note", "no events found");
        }
        let rows = answer.events.iter().map(|event| row(event, session.terminal)).collect::<Vec<_>>();
        table().print(session.terminal.out, &rows).map_err(Error::Write)
    }

    fn request(&self, session: &Session<'_, '_>) -> Result<ListEventsRequest, Error> {
        let object = match &self.about {
            None => None,
            Some(about) => {
                let (kind, name) = target(about, None)?;
                let name = name.ok_or(args::Error::NoName(kind))?;
                let project = session.project.clone();
                Some(ObjectRef { kind: kind.into(), project, name, home: String::new() })
            }
        };
        let since = self.since.map(|since| u64::try_from(since.as_millis()).unwrap_or(0));
        Ok(ListEventsRequest {
            object,
            under: self.under.clone().unwrap_or_default(),
            since_ms: since.map_or(0, |since| session.terminal.now_ms().saturating_sub(since)),
            r#type: self.types.map_or_else(String::new, |of| format!("{of:?}")),
            limit: self.limit,
        })
    }
}

/// Reads events; what is missing from them is told beside them.
async fn list(
    session: &mut Session<'_, '_>,
    request: ListEventsRequest,
) -> Result<ListEventsResponse, Error> {
    let asked = Asked::read("list events", Kind::Hub);
    let answer = session.client.list_events(request).await;
    let answer = answer.map_err(Error::refused(asked))?.into_inner();
    let terminal = &mut *session.terminal;
    terminal.warn(&answer.unanswered);
    if answer.left_out > 0 {
        terminal.beside("note", &format!("{} older events are left out", answer.left_out));
    }
    if answer.forgotten > 0 {
        let (count, age) = (answer.forgotten, terminal.since(answer.forgotten_until_ms));
        terminal.beside("note", &format!("there was no room for {count} events of {age} ago or longer"));
    }
    Ok(answer)
}

/// What concerns one object, as the end of its description.
pub(super) async fn describe(
    session: &mut Session<'_, '_>,
    object: ObjectRef,
    limit: u32,
) -> Result<(), Error> {
    let answer =
        list(session, ListEventsRequest { object: Some(object), limit, ..Default::default() }).await?;
    session.terminal.line("")?;
    if answer.events.is_empty() {
        return session.terminal.line("Events:      <none>");
    }
    let rows = answer.events.iter().map(|event| row(event, session.terminal)).collect::<Vec<_>>();
    table().print(session.terminal.out, &rows).map_err(Error::Write)
}

/// Tells events as they happen, over connections that break off.
async fn follow(session: &mut Session<'_, '_>, request: ListEventsRequest) -> Result<(), Error> {
    let mut table = table();
    let mut told = Told::default();
    loop {
        let broken = match stream(session, &request, &mut table, &mut told).await {
            Err(error) if error.may_pass() => error,
            ended => return ended,
        };
        session
            .terminal
            .beside("warning", &format!("connecting again: {}", canopy_proto::convert::one_line(&broken)));
        let (since, mut wait) = (Instant::now(), AGAIN_FIRST);
        loop {
            sleep(wait).await;
            match session.reconnect().await {
                Ok(()) => break,
                Err(error) if error.may_pass() => wait = (wait * 2).min(AGAIN_MAX),
                Err(error) => return Err(error),
            }
        }
        let away = age::text(u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX));
        let text = format!("connected again after {away}: what happened meanwhile follows");
        session.terminal.beside("note", &text);
    }
}

/// The last event that was told: after it one goes on. A hub that lost its memory counts anew, later.
#[derive(Default)]
struct Told {
    sequence: u64,
    last_ms: u64,
}

/// Tells what one stream brings until it breaks off.
async fn stream(
    session: &mut Session<'_, '_>,
    request: &ListEventsRequest,
    table: &mut Table,
    told: &mut Told,
) -> Result<(), Error> {
    let asked = || Asked::read("follow events", Kind::Hub);
    let answer = session.client.watch_events(request.clone()).await;
    let mut events = answer.map_err(Error::refused(asked()))?.into_inner();
    loop {
        let event = match events.message().await.map_err(Error::refused(asked()))? {
            Some(event) => event,
            None => return Err(Error::Broken { asked: asked(), why: "it ended the answer".to_owned() }),
        };
        if event.sequence <= told.sequence && event.last_ms <= told.last_ms {
            continue;
        }
        *told = Told { sequence: event.sequence, last_ms: event.last_ms };
        let rows = [row(&event, session.terminal)];
        table.print(session.terminal.out, &rows).map_err(Error::Write)?;
    }
}

fn table() -> Table {
    Table::new(["LAST SEEN", "TYPE", "REASON", "OBJECT", "HUB", "MESSAGE"])
}

fn row(event: &v1::Event, terminal: &Terminal<'_>) -> Vec<String> {
    let seen = terminal.since(event.last_ms);
    let seen = match event.count {
        0 | 1 => seen,
        count => format!("{seen} (x{count} over {})", terminal.since(event.first_ms)),
    };
    let about = event.about.as_ref().map(named).unwrap_or_default();
    let related = event.related.as_ref().map(named).unwrap_or_default();
    let separator = if related.is_empty() || event.message.is_empty() { "" } else { ": " };
    let message = format!("{related}{separator}{}", event.message);
    vec![seen, event.r#type.clone(), event.reason.clone(), about, event.hub.clone(), message]
}
