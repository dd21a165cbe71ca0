//! How a root comes to be, and how administrators of any hub do.

use std::path::PathBuf;

use anyhow::Context as _;
use canopy_context::{Context, default_file};
use canopy_identity::{Folder, Identity, Key, ProvenKey, Role, key};
use pem::Pem;

use crate::args::{Addresses, AdminArgs, ContextArgs, InitArgs};
use crate::registry::seconds;

/// Makes a root; returns what to do next.
pub fn init(args: &InitArgs) -> anyhow::Result<String> {
    args.data.create()?;
    let folder = Folder::open(args.data.identity())?;
    if args.adopt {
        folder.load(seconds())?;
        args.data.create_store()?;
        return Ok(format!("made an empty store under the identity that was there.\n\n{}", next(args)));
    }
    let identity = Identity::root(&args.trust_domain, key::random_uid(), seconds())?;
    if folder.is_empty() && !args.data.store().join("engine").exists() {
        args.data.create_store()?;
    }
    folder.create(&identity)?;
    let file = write_context(&identity, &args.addresses, &args.context)?;
    Ok(format!(
        "made the root of {}, and its administrator {} in {}.\n\n{}",
        args.trust_domain,
        args.context.name,
        file.display(),
        next(args)
    ))
}

fn next(args: &InitArgs) -> String {
    let Addresses { listen, advertise, admin } = &args.addresses;
    let advertise = match advertise.as_slice() {
        [] => "HOST:PORT".to_owned(),
        given => given.join(","),
    };
    format!(
        "Start it:\n  canopy-hub run --data {} --listen {listen} --advertise {advertise} --admin {admin}\n\
         Then let others join:\n  canopy token create --parent / --hub --name NAME\n  canopy token create --parent / --agent --name NAME\n",
        args.data.folder.display()
    )
}

/// Writes a context for an administrator; returns what was done.
pub fn admin(args: &AdminArgs) -> anyhow::Result<String> {
    let identity = Folder::open(args.data.identity())?.load(seconds())?;
    let file = write_context(&identity, &args.addresses, &args.context)?;
    Ok(format!("wrote a context for {} into {}", args.context.name, file.display()))
}

/// Issues a certificate to an administrator and adds it to a context file.
fn write_context(identity: &Identity, addresses: &Addresses, args: &ContextArgs) -> anyhow::Result<PathBuf> {
    let authority = identity.authority().context("this is no hub's identity")?;
    let key = Key::generate()?;
    let proven = ProvenKey::from_request(&key.request()?)?;
    let chain = authority.issue(Role::Admin, &args.name, key::random_uid(), &proven, seconds())?;
    let path = identity.peer().path.clone();
    let to_pem = |der: &[u8]| pem::encode(&Pem::new("CERTIFICATE", der));
    let context = Context {
        name: path.name().map_or_else(|| "root".to_owned(), |name| name.to_string()),
        server: args.server.clone().unwrap_or_else(|| addresses.admin.to_string()),
        hub: path.to_string(),
        ca: to_pem(identity.anchor().der()),
        certificate: chain.iter().map(|der| to_pem(der)).collect(),
        key: key.to_pem(),
    };
    let file = args.file.clone().map_or_else(default_file, Ok)?;
    context.save(&file)?;
    Ok(file)
}
