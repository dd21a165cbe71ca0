//! `canopy version`: of this program and of the hub.

use canopy_proto::admin::v1::{Kind, VersionRequest};
use clap::Args;

use crate::error::{Asked, Error};
use crate::session::Session;
use crate::table::printable;
use crate::terminal::Terminal;

/// Show the versions of this program and of the hub
#[derive(Debug, Args)]
pub struct Version {
    /// Only of this program; asks no hub
    #[arg(long)]
    pub(crate) client: bool,
}

/// Prints this program's version.
pub(crate) fn print_client(terminal: &mut Terminal<'_>) -> Result<(), Error> {
    terminal.line(format_args!("client  {}", env!("CARGO_PKG_VERSION")))
}

impl Version {
    pub(crate) async fn run(self, session: &mut Session<'_, '_>) -> Result<(), Error> {
        print_client(session.terminal)?;
        let answer = session.client.version(VersionRequest {}).await;
        let answer = answer.map_err(Error::refused(Asked::read("ask the hub", Kind::Hub)))?.into_inner();
        let hub = format!("hub     {} ({} of {})", answer.version, answer.path, answer.trust_domain);
        session.terminal.line(printable(&hub))
    }
}
