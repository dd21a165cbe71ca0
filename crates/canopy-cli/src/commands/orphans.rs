//! `canopy orphans`: what is kept although its home no longer knows it.

use canopy_proto::admin::v1::{DropOrphanRequest, Kind, ListOrphansRequest, ListOrphansResponse};
use clap::{Args, Subcommand};

use crate::args::word;
use crate::error::{Asked, Error};
use crate::session::Session;
use crate::table::Table;

/// List what a hub keeps although its home no longer knows it
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = false)]
pub struct Orphans {
    /// Path of the hub that keeps them [default: the hub that is asked]
    #[arg(long, global = true, value_name = "PATH")]
    hub: Option<String>,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Drop one; what runs for it is removed
    Drop {
        /// Its uid, as listed
        uid: String,
    },
}

/// What can be done about an orphan.
const ADOPT: &str = "at its home, `canopy orphans drop UID` removes one, and `canopy apply` of its document with \
                     metadata.uid keeps it; `canopy get KIND NAME -o yaml` at a hub that still has it writes that";

impl Orphans {
    pub(crate) async fn run(self, session: &mut Session<'_, '_>) -> Result<(), Error> {
        let path = self.hub.unwrap_or_default();
        if let Some(Command::Drop { uid }) = self.command {
            let request = DropOrphanRequest { path, uid: uid.clone() };
            session
                .client
                .drop_orphan(request)
                .await
                .map_err(Error::refused(Asked::change(format!("drop orphan {uid}"), Kind::Unspecified)))?;
            return session.terminal.line(format_args!("orphan {uid} dropped"));
        }
        let answer = session.client.list_orphans(ListOrphansRequest { path }).await;
        let ListOrphansResponse { orphans, left_out } =
            answer.map_err(Error::refused(Asked::read("list orphans", Kind::Hub)))?.into_inner();
        if !orphans.is_empty() {
            session.terminal.beside("note", ADOPT);
        }
        if left_out > 0 {
            session.terminal.beside("note", &format!("{left_out} more; these must be settled first"));
        }
        let rows = orphans.into_iter().map(|orphan| {
            let object = format!("{}/{}", word(orphan.kind()), orphan.name);
            vec![orphan.uid, object, orphan.project, orphan.home, orphan.clusters.to_string(), orphan.reason]
        });
        Table::new(["UID", "OBJECT", "PROJECT", "HOME", "CLUSTERS", "REASON"])
            .print(session.terminal.out, &rows.collect::<Vec<_>>())
            .map_err(Error::Write)
    }
}
