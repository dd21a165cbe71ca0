//! `canopy orphans`: what is kept although its home no longer knows it.

use std::path::PathBuf;

use canopy_proto::admin::v1::{DropOrphanRequest, Kind, ListOrphansRequest, ListOrphansResponse};
use clap::{Args, Subcommand};

use super::{apply, files};

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
    /// Take one back as what a file says, under its uid; to be asked for at its home
    Adopt {
        /// Its uid, as listed
        uid: String,
        /// The file with its document, or - for the standard input
        #[arg(short, long = "filename", value_name = "FILE")]
        file: PathBuf,
    },
    /// Drop one; what runs for it is removed
    Drop {
        /// Its uid, as listed
        uid: String,
    },
}

/// What can be done about an orphan.
const ADOPT: &str = "at its home, `canopy orphans drop UID` removes one, and `canopy orphans adopt UID -f FILE` keeps \
                     it; `canopy get KIND NAME -o yaml` at a hub that still has it writes the file";

impl Orphans {
    pub(crate) async fn run(self, session: &mut Session<'_, '_>) -> Result<(), Error> {
        let path = self.hub.unwrap_or_default();
        if let Some(Command::Adopt { uid, file }) = self.command {
            return adopt(session, &path, uid, file).await;
        }
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

/// Applies the only document of a file under the orphan's uid.
async fn adopt(session: &mut Session<'_, '_>, home: &str, uid: String, file: PathBuf) -> Result<(), Error> {
    let read = files::read(&[file], false, session.terminal)?;
    let (Ok([mut object]), 0) = (<[_; 1]>::try_from(read.objects), read.refused) else {
        return Err(Error::Usage(
            "an orphan is adopted as one document: give a file with just that".to_owned(),
        ));
    };
    if let Some(metadata) = &mut object.metadata {
        metadata.uid.clone_from(&uid);
        // What was read of it speaks of a version that is lost.
        metadata.resource_version.clear();
        if !home.is_empty() {
            home.clone_into(&mut metadata.home);
        }
    }
    let asked = Asked::change(format!("adopt orphan {uid}"), Kind::Unspecified);
    let request = apply::request(object, &session.project)?;
    session.client.apply(request).await.map_err(Error::refused(asked))?;
    session.terminal.line(format_args!("orphan {uid} adopted"))
}
