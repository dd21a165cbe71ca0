//! `canopy tree`: hubs and clusters, drawn.

use canopy_proto::admin::v1::{Kind, TreeRequest};
use clap::Args;

use crate::error::{Asked, Error};
use crate::session::Session;
use crate::table::Table;
use crate::tree_view;

/// Draw the tree of hubs and clusters
#[derive(Debug, Args)]
pub struct Tree {
    /// Where to begin [default: the hub that is asked]
    path: Option<String>,
    /// How many levels below [default: all]
    #[arg(long, value_name = "LEVELS", value_parser = clap::value_parser!(u32).range(1..))]
    depth: Option<u32>,
}

impl Tree {
    pub(crate) async fn run(self, session: &mut Session<'_, '_>) -> Result<(), Error> {
        let path = self.path.unwrap_or_default();
        let request = TreeRequest { path, depth: self.depth.unwrap_or(0) };
        let answer = session
            .client
            .tree(request)
            .await
            .map_err(Error::refused(Asked::read("read the tree", Kind::Hub)))?
            .into_inner();
        session.terminal.warn(&answer.unanswered);
        Table::new(["NODE", "ROLE", "STATUS", "CONNECTION", "SEEN", "CLUSTERS"])
            .print(session.terminal.out, &tree_view::draw(&answer.nodes))
            .map_err(Error::Write)
    }
}
