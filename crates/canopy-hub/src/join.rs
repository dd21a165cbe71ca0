//! How a regional hub comes to be.

use anyhow::{Context, bail};
use canopy_identity::{Folder, Role};
use canopy_link::{Way, enroll};
use canopy_node::clock::seconds;
use canopy_node::flags::NO_TOKEN;

use crate::args::JoinArgs;

/// Joins the hub that the token names; returns what to do next. Can be repeated after a failure.
pub async fn join(args: &JoinArgs) -> anyhow::Result<String> {
    if args.once && args.data.has_identity() {
        return Ok(format!("{} has joined already: nothing is changed", args.data.folder.display()));
    }
    let mut token = args.token.clone().context(NO_TOKEN)?;
    if token.kind != Role::Hub {
        bail!("the token admits a node of kind {}: use it with that program", token.kind);
    }
    let Way { addresses, proxy } = args.upward.way(&token.addresses);
    token.addresses = addresses;
    args.data.create()?;
    args.data.check_no_store()?;
    let folder = Folder::open(args.data.identity())?;
    let joined = enroll::join(&token, proxy, args.name.clone(), &folder, seconds()).await;
    let identity = joined.with_context(|| format!("cannot join hub {}", token.parent))?;
    args.data.create_store()?;
    Ok(format!(
        "joined as {}.\n\nStart it:\n  canopy-hub run --data {} --advertise HOST:PORT\n",
        identity.peer().path,
        args.data.folder.display()
    ))
}
