//! How a regional hub comes to be.

use canopy_identity::{Folder, JoinToken, Role};
use canopy_link::enroll;

use anyhow::{Context, bail};

use crate::args::JoinArgs;
use crate::registry::seconds;

/// Joins the hub that the token names; returns what to do next. Can be repeated after a failure.
pub async fn join(args: &JoinArgs) -> anyhow::Result<String> {
    let token: JoinToken = args.token.parse()?;
    if token.kind != Role::Hub {
        bail!("the token admits a node of kind {}: use it with that program", token.kind);
    }
    args.data.create()?;
    let folder = Folder::open(args.data.identity())?;
    let joined = enroll::join(&token, args.name.clone(), &folder, seconds()).await;
    let identity = joined.with_context(|| format!("cannot join hub {}", token.parent))?;
    args.data.create_store()?;
    Ok(format!(
        "joined as {}.\n\nStart it:\n  canopy-hub run --data {} --advertise HOST:PORT\n",
        identity.peer().path,
        args.data.folder.display()
    ))
}
