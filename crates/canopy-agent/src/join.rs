//! How an agent gets its identity.

use anyhow::Context as _;
use canopy_identity::JoinToken;
use canopy_link::enroll;
use canopy_node::clock;

use crate::args;
use crate::folder::Folder;

/// Joins the hub that the token names. After a failure it can be repeated with the same token.
pub(crate) async fn join(args: args::Join) -> anyhow::Result<()> {
    let token: JoinToken = args.token.parse().context("--token is not valid")?;
    let folder = Folder::new(&args.data).identity()?;
    let identity = enroll::join(&token, args.name, &folder, clock::wall().0 / 1000).await?;
    eprintln!("joined as {}; start with: canopy-agent run --data {}", identity.peer(), args.data.display());
    Ok(())
}
