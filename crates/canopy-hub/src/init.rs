//! How a root comes to be, and how administrators of any hub do.

use std::path::PathBuf;

use anyhow::{Context as _, bail};
use canopy_context::{Context, Contexts, default_file};
use canopy_identity::{Folder, Identity, Key, ProvenKey, Role, key};
use canopy_model::Path;
use canopy_node::clock::seconds;

use crate::args::{Addresses, AdminArgs, ContextArgs, Data, InitArgs};

/// The context file that is standard output.
const PRINTED: &str = "-";

/// Makes a root; returns what to do next. What can be refused is refused before anything is made,
/// and the identity, which cannot be made again, comes last but for the context.
pub fn init(args: &InitArgs) -> anyhow::Result<String> {
    if args.adopt {
        Folder::open(args.data.identity())?.load(seconds())?;
        args.data.create_store()?;
        return Ok(format!("made an empty store under the identity that was there.\n\n{}", next(args)));
    }
    if args.once && args.data.has_identity() {
        return Ok(format!("{} is a hub's already: nothing is changed", args.data.folder.display()));
    }
    check_free(&args.data)?;
    let book = match args.no_context {
        true => None,
        false => Some(ContextBook::open(&args.context, &Path::root())?),
    };
    if let Some(book) = &book {
        book.contexts.check_free(&book.name)?;
    }
    args.data.create()?;
    let folder = Folder::open(args.data.identity())?;
    let identity = Identity::root(&args.trust_domain, key::random_uid(), seconds())?;
    args.data.create_store()?;
    folder.create(&identity)?;
    let made = format!("made the root of {}", args.trust_domain);
    let Some(book) = book else {
        let admin = format!("canopy-hub admin --data {}", args.data.folder.display());
        return Ok(format!("{made}. A context for its administrator: {admin}\n\n{}", next(args)));
    };
    let printed = book.file.is_none();
    let said = book.write(&identity, &args.addresses, &args.context)?;
    Ok(if printed { said } else { format!("{made}, and {said}.\n\n{}", next(args)) })
}

/// Refuses a folder that is another hub's, or what is left of it.
fn check_free(data: &Data) -> anyhow::Result<()> {
    let (folder, identity, store) = (data.folder.display(), data.identity(), data.store());
    if data.has_identity() {
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
    /// None when the context is printed.
    file: Option<PathBuf>,
    contexts: Contexts,
    name: String,
}

impl ContextBook {
    fn open(args: &ContextArgs, hub: &Path) -> anyhow::Result<Self> {
        let file = match &args.file {
            Some(file) if file.as_os_str() == PRINTED => None,
            Some(file) => Some(file.clone()),
            None => Some(default_file()?),
        };
        let contexts = file.as_deref().map_or_else(|| Ok(Contexts::default()), Contexts::open)?;
        let name = args.context_name.clone().unwrap_or_else(|| Context::name_of(hub));
        Ok(Self { file, contexts, name })
    }

    /// Issues a certificate to an administrator and adds it to the file; returns what was done, or the
    /// text that is to be printed in place of a file.
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
        let Some(file) = &self.file else { return Ok(self.contexts.text()) };
        self.contexts.save(file)?;
        let hint = match self.contexts.current.as_ref() == Some(&self.name) {
            true => "; it is the current one".to_owned(),
            false => format!(
                "; use it with --context {0}, or make it the current one with `canopy config use-context {0}`",
                self.name
            ),
        };
        let (name, file) = (&self.name, file.display());
        Ok(format!("wrote context {name} of administrator {} into {file}{hint}", args.name))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;

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
    fn an_installer_may_begin_again_and_gets_a_context_on_standard_output() {
        let place = tempfile::tempdir().unwrap();
        let data = place.path().join("data").display().to_string();
        let made = args(&["--data", &data, "--once", "--no-context"]);
        assert!(init(&made).unwrap().contains(&format!("canopy-hub admin --data {data}")));
        let identity = || Folder::open(made.data.identity()).unwrap().load(seconds()).unwrap();
        let uid = identity().peer().uid;
        assert!(init(&made).unwrap().contains("nothing is changed"));
        assert_eq!(identity().peer().uid, uid);

        let words = ["canopy-hub", "admin", "--data", &data, "--context-file", "-"];
        let Command::Admin(asked) = Cli::try_parse_from(words).unwrap().command else { unreachable!() };
        let file = place.path().join("printed.yaml");
        let mut draft = fs::OpenOptions::new().create(true).append(true).mode(0o600).open(&file).unwrap();
        draft.write_all(admin(&asked).unwrap().as_bytes()).unwrap();
        assert_eq!(Contexts::load(&file).unwrap().pick(None).unwrap().hub, "/");
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
