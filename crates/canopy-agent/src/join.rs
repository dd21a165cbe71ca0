//! How an agent gets its identity.

use anyhow::{Context as _, bail};
use canopy_identity::Role;
use canopy_link::{Way, enroll};
use canopy_node::clock;
use canopy_node::flags::NO_TOKEN;

use crate::args;
use crate::folder::Folder;
use crate::secret::Kept;

/// Joins the hub that the token names. After a failure it can be repeated with the same token.
pub(crate) async fn join(args: args::Join) -> anyhow::Result<()> {
    let folder = Folder::new(&args.data).identity()?;
    let kept = Kept::connect(args.kept.identity_secret, &args.access).await?;
    if let Some(kept) = &kept
        && kept.restore(&folder).await?
    {
        let joined = folder.load(clock::seconds())?;
        kept.keep(&folder).await?;
        eprintln!("joined already, as {}", joined.peer());
        return Ok(());
    }
    if args.once && !folder.is_empty() {
        eprintln!("{} has joined already: nothing is changed", args.data.display());
        return Ok(());
    }
    let mut token = args.token.context(NO_TOKEN)?;
    if token.kind != Role::Agent {
        bail!("the token admits a node of kind {}: use it with that program", token.kind);
    }
    let Way { addresses, proxy } = args.upward.way(&token.addresses);
    token.addresses = addresses;
    let identity = enroll::join(&token, proxy, args.name, &folder, clock::seconds()).await?;
    if let Some(kept) = &kept {
        kept.keep(&folder).await?;
    }
    eprintln!("joined as {}; start with: canopy-agent run --data {}", identity.peer(), args.data.display());
    Ok(())
}
