//! How a root comes to be, and how administrators of any hub do.

use std::path::PathBuf;

use anyhow::{Context as _, bail};
use canopy_context::{Context, Contexts, default_file};
use canopy_identity::{Folder, Identity, Key, ProvenKey, Role, key};
use canopy_model::Path;
use canopy_node::clock::seconds;

use crate::args::{Addresses, AdminArgs, ContextArgs, Data, InitArgs};

/// Makes a root; returns what to do next. What can be refused is refused before anything is made,
/// and the identity, which cannot be made again, comes last but for the context.
pub fn init(args: &InitArgs) -> anyhow::Result<String> {
    if args.adopt {
        Folder::open(args.data.identity())?.load(seconds())?;
        args.data.create_store()?;
        return Ok(format!("made an empty store under the identity that was there.\n\n{}", next(args)));
    }
    check_free(&args.data)?;
    let book = ContextBook::open(&args.context, &Path::root())?;
    book.contexts.check_free(&book.name)?;
    args.data.create()?;
    let folder = Folder::open(args.data.identity())?;
    let identity = Identity::root(&args.trust_domain, key::random_uid(), seconds())?;
    args.data.create_store()?;
    folder.create(&identity)?;
    let said = book.write(&identity, &args.addresses, &args.context)?;
    Ok(format!("made the root of {}, and {said}.\n\n{}", args.trust_domain, next(args)))
}

/// Refuses a folder that is another hub's, or what is left of it.
fn check_free(data: &Data) -> anyhow::Result<()> {
    let (folder, identity, store) = (data.folder.display(), data.identity(), data.store());
    if identity.join("identity.json").exists() {
        bail!(
            "{folder} is a hub's already: `canopy-hub admin --data {folder}` writes a context for it, and another \
             fleet needs another --data"
        );
    }
    if store.join("engine").exists() {
        bail!(
            "{} is a store whose identity is missing: put {} back from a backup, or choose another --data for \
             another fleet",
            store.display(),
            identity.display()
        );
    }
    Ok(())
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
    let book = ContextBook::open(&args.context, &identity.peer().path)?;
    book.write(&identity, &args.addresses, &args.context)
}

/// The context file, and the name of what is added to it.
struct ContextBook {
    file: PathBuf,
    contexts: Contexts,
    name: String,
}

impl ContextBook {
    fn open(args: &ContextArgs, hub: &Path) -> anyhow::Result<Self> {
        let file = args.file.clone().map_or_else(default_file, Ok)?;
        let contexts = Contexts::open(&file)?;
        let name = args.context_name.clone().unwrap_or_else(|| Context::name_of(hub));
        Ok(Self { file, contexts, name })
    }

    /// Issues a certificate to an administrator and adds it to the file; returns what was done.
    fn write(mut self, hub: &Identity, addresses: &Addresses, args: &ContextArgs) -> anyhow::Result<String> {
        let authority = hub.authority().context("this is no hub's identity")?;
        let key = Key::generate()?;
        let proven = ProvenKey::from_request(&key.request()?)?;
        let chain = authority.issue(Role::Admin, &args.name, key::random_uid(), &proven, seconds())?;
        let admin = Identity::joined(chain, key, Vec::new(), seconds())?;
        let server = args.server.clone().unwrap_or_else(|| addresses.admin.to_string());
        self.contexts.add(Context::of(&self.name, &server, &hub.peer().path, &admin))?;
        if args.use_it {
            self.contexts.current = Some(self.name.clone());
        }
        self.contexts.save(&self.file)?;
        let hint = match self.contexts.current.as_ref() == Some(&self.name) {
            true => "; it is the current one".to_owned(),
            false => format!(
                "; use it with --context {0}, or make it the current one with `canopy config use-context {0}`",
                self.name
            ),
        };
        let (name, file) = (&self.name, self.file.display());
        Ok(format!("wrote context {name} of administrator {} into {file}{hint}", args.name))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use clap::Parser as _;

    use super::*;
    use crate::args::{Cli, Command};

    fn args(words: &[&str]) -> InitArgs {
        let words = ["canopy-hub", "init"].iter().chain(words);
        let Command::Init(args) = Cli::try_parse_from(words).unwrap().command else { unreachable!() };
        args
    }

    #[test]
    fn what_can_be_refused_is_refused_before_anything_is_made() {
        let place = tempfile::tempdir().unwrap();
        let [data, file] = ["data", "config.yaml"].map(|name| place.path().join(name).display().to_string());
        fs::write(place.path().join("no-folder"), "").unwrap();
        let unwritable = place.path().join("no-folder/config.yaml").display().to_string();
        let refused = init(&args(&["--data", &data, "--context-file", &unwritable])).unwrap_err();
        assert!(refused.to_string().contains("--context-file"), "{refused:#}");
        assert!(!place.path().join("data").exists());

        let made = args(&["--data", &data, "--context-file", &file]);
        init(&made).unwrap();
        let again = init(&made).unwrap_err().to_string();
        assert!(again.contains(&format!("`canopy-hub admin --data {data}`")), "{again}");

        let second = place.path().join("second").display().to_string();
        let taken = init(&args(&["--data", &second, "--context-file", &file])).unwrap_err().to_string();
        assert!(taken.contains("--context-name") && !place.path().join("second").exists(), "{taken}");
        let named = ["--data", &second, "--context-file", &file, "--context-name", "second", "--use"];
        init(&args(&named)).unwrap();
        let contexts = Contexts::load(file.as_ref()).unwrap();
        assert_eq!((contexts.current.as_deref(), contexts.contexts.len()), (Some("second"), 2));
    }

    #[test]
    fn a_store_without_its_identity_is_no_place_for_another_fleet() {
        let place = tempfile::tempdir().unwrap();
        let [data, file] = ["data", "config.yaml"].map(|name| place.path().join(name).display().to_string());
        let made = args(&["--data", &data, "--context-file", &file]);
        init(&made).unwrap();
        fs::remove_dir_all(made.data.identity()).unwrap();
        let refused = init(&made).unwrap_err().to_string();
        assert!(refused.contains("identity is missing"), "{refused}");
        assert!(!made.data.identity().exists());
    }
}
