//! How a regional hub comes to be.

use canopy_identity::{Folder, Role};
use canopy_link::enroll;

use anyhow::{Context, bail};

use crate::args::JoinArgs;
use crate::registry::seconds;

/// Joins the hub that the token names; returns what to do next. Can be repeated after a failure.
pub async fn join(args: &JoinArgs) -> anyhow::Result<String> {
    if args.token.kind != Role::Hub {
        bail!("the token admits a node of kind {}: use it with that program", args.token.kind);
    }
    args.data.create()?;
    let folder = Folder::open(args.data.identity())?;
    let joined = enroll::join(&args.token, args.name.clone(), &folder, seconds()).await;
    let identity = joined.with_context(|| format!("cannot join hub {}", args.token.parent))?;
    args.data.create_store()?;
    Ok(format!(
        "joined as {}.\n\nStart it:\n  canopy-hub run --data {} --advertise HOST:PORT\n",
        identity.peer().path,
        args.data.folder.display()
    ))
}
