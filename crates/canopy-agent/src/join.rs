//! How an agent gets its identity.

use anyhow::{Context as _, bail};
use canopy_identity::{JoinToken, Role};
use canopy_link::enroll;
use canopy_node::clock;

use crate::args;
use crate::folder::Folder;

/// Joins the hub that the token names. After a failure it can be repeated with the same token.
pub(crate) async fn join(args: args::Join) -> anyhow::Result<()> {
    let token: JoinToken = args.token.parse().context("--token is not valid")?;
    if token.kind != Role::Agent {
        bail!("the token admits a node of kind {}: use it with that program", token.kind);
    }
    let folder = Folder::new(&args.data).identity()?;
    let identity = enroll::join(&token, args.name, &folder, clock::wall().0 / 1000).await?;
    eprintln!("joined as {}; start with: canopy-agent run --data {}", identity.peer(), args.data.display());
    Ok(())
}
