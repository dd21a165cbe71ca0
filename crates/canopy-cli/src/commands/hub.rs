//! `canopy hub`: what only an administrator may decide about a hub.

use canopy_proto::admin::v1::{ForgetMissingRequest, Kind};
use clap::{Args, Subcommand};

use crate::error::{Asked, Error};
use crate::session::Session;
use crate::table::printable;

/// Decide what a hub cannot decide by itself
#[derive(Debug, Args)]
pub struct Hub {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// No longer wait for children that a hub has not heard since it lost its memory: what they
    /// may run counts as gone
    ForgetMissing {
        /// Path of the hub
        path: String,
    },
}

impl Hub {
    pub(crate) async fn run(self, session: &mut Session<'_, '_>) -> Result<(), Error> {
        let Command::ForgetMissing { path } = self.command;
        let asked = Asked::change(format!("forget what hub {path} misses"), Kind::Hub);
        let answer = session.client.forget_missing(ForgetMissingRequest { path: path.clone() }).await;
        let answer = answer.map_err(Error::refused(asked))?.into_inner();
        if answer.forgotten.is_empty() {
            return session.terminal.line(format_args!("hub {path} goes on; no child was missing"));
        }
        let mut forgotten = answer.forgotten.iter();
        forgotten.try_for_each(|child| session.terminal.line(format_args!("{} forgotten", printable(child))))
    }
}
