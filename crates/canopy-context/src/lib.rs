//! The file that says which hubs the caller may speak to, and as whom.
//!
//! It holds private keys: it is written so that only its owner can read it, and refused when
//! others could. `canopy-hub` adds to it; `canopy` reads it, and [`edit`]s it.

mod edit;

use std::ffi::OsString;
use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path as FilePath, PathBuf};

use canopy_identity::certificate::Certified;
use canopy_identity::{Identity, Peer};
use canopy_model::Path;
use pem::Pem;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use serde::{Deserialize, Serialize};
use tempfile::NamedTempFile;

/// The bits of a file's mode that let others than its owner in.
const OTHERS: u32 = 0o077;

/// One hub, and who the caller is there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Context {
    /// How the caller names it.
    pub name: String,
    /// Where the hub listens, `host:port`.
    pub server: String,
    /// The hub's path; the root is `/`.
    pub hub: String,
    /// The fleet's root certificate, in PEM.
    pub ca: String,
    /// The caller's certificate and those above it, in PEM.
    pub certificate: String,
    /// The caller's private key, in PEM.
    pub key: String,
}

/// All contexts of one file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Contexts {
    /// The one to use when none is asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub current: Option<String>,
    /// In the order in which they were added.
    #[serde(default)]
    pub contexts: Vec<Context>,
}

/// Why there is no context to use.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Neither CANOPY_CONFIG nor HOME is set.
    #[error("no place for the context file: set CANOPY_CONFIG or HOME")]
    NoPlace,
    /// The file is absent or cannot be read.
    #[error(
        "cannot read context file {}; at a hub's machine `canopy-hub admin` writes it, elsewhere copy it from there",
        file.display()
    )]
    Read {
        /// The file.
        file: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// Others than its owner may read the private keys.
    #[error("context file {0} can be read by others: run `chmod 600 {0}`", file.display())]
    Open {
        /// The file.
        file: PathBuf,
    },
    /// It is no context file.
    #[error(
        "context file {0} is not valid: mend it, or move it away and run `canopy-hub admin` at each hub's machine",
        file.display()
    )]
    Form {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        #[source]
        source: Box<serde_saphyr::Error>,
    },
    /// It cannot be written.
    #[error(
        "cannot write context file {}: choose another with --context-file or CANOPY_CONFIG",
        file.display()
    )]
    Write {
        /// The file.
        file: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The name is another context's, whose key must not be lost.
    #[error(
        "context {name:?} is there already, of {} and perhaps of another fleet: choose another name with \
         --context-name, renew that one with its own --admin-name, or drop it with `canopy config delete-context`",
        of.as_deref().unwrap_or("somebody else")
    )]
    Taken {
        /// The name.
        name: String,
        /// Who has it, such as `anna at hub eu`.
        of: Option<String>,
    },
    /// A context is to get the name of another.
    #[error("context {0:?} is there already: choose another name")]
    Held(String),
    /// No context of that name.
    #[error("no context {name:?}; there are: {known}")]
    Unknown {
        /// The name that was asked for.
        name: String,
        /// The names in the file.
        known: String,
    },
    /// Several contexts, and none is chosen.
    #[error("choose a context with --context or CANOPY_CONTEXT: {known}")]
    Ambiguous {
        /// The names in the file.
        known: String,
    },
}

/// Where the file lies: CANOPY_CONFIG, or `.canopy/config.yaml` below the home folder.
pub fn default_file() -> Result<PathBuf, Error> {
    let set = |name: &str| std::env::var_os(name).filter(|value: &OsString| !value.is_empty());
    if let Some(file) = set("CANOPY_CONFIG") {
        return Ok(file.into());
    }
    let home = set("HOME").ok_or(Error::NoPlace)?;
    Ok(FilePath::new(&home).join(".canopy/config.yaml"))
}

impl Contexts {
    /// Reads a file; refuses one that others can read.
    pub fn load(file: &FilePath) -> Result<Self, Error> {
        let refuse = |source| Error::Read { file: file.to_owned(), source };
        let mode = fs::metadata(file).map_err(refuse)?.permissions().mode();
        if mode & OTHERS != 0 {
            return Err(Error::Open { file: file.to_owned() });
        }
        let text = fs::read_to_string(file).map_err(refuse)?;
        let options = serde_saphyr::options! { with_snippet: false };
        serde_saphyr::from_str_with_options(&text, options)
            .map_err(|source| Error::Form { file: file.to_owned(), source: Box::new(source) })
    }

    /// Reads a file that need not exist, and sees that it can be written.
    pub fn open(file: &FilePath) -> Result<Self, Error> {
        let contexts = if file.exists() { Self::load(file)? } else { Self::default() };
        draft(file).map_err(|source| Error::Write { file: file.to_owned(), source })?;
        Ok(contexts)
    }

    /// What the file would hold.
    pub fn text(&self) -> String {
        serde_saphyr::to_string(self).expect("texts can be written as YAML")
    }

    /// Replaces the file in one step, readable by its owner only; makes its folder if need be.
    pub fn save(&self, file: &FilePath) -> Result<(), Error> {
        let text = self.text();
        let write = || {
            let mut draft = draft(file)?;
            draft.write_all(text.as_bytes())?;
            draft.as_file().sync_all()?;
            draft.persist(file).map_err(|error| error.error)?;
            Ok(())
        };
        write().map_err(|source| Error::Write { file: file.to_owned(), source })
    }

    /// Adds a context. One of its name is replaced if it is of the same administrator at the same hub
    /// of the same fleet, and is an error otherwise. The first becomes the current one.
    pub fn add(&mut self, context: Context) -> Result<(), Error> {
        if self.contexts.is_empty() {
            self.current = Some(context.name.clone());
        }
        match self.contexts.iter_mut().find(|known| known.name == context.name) {
            Some(known) if known.speaks_as(&context) => *known = context,
            Some(known) => return Err(known.taken()),
            None => self.contexts.push(context),
        }
        Ok(())
    }

    /// Refuses a name that a context has.
    pub fn check_free(&self, name: &str) -> Result<(), Error> {
        let known = self.contexts.iter().find(|known| known.name == name);
        known.map_or(Ok(()), |known| Err(known.taken()))
    }

    /// The context of this name; without a name the current one, or the only one.
    pub fn pick(&self, name: Option<&str>) -> Result<&Context, Error> {
        let known =
            || self.contexts.iter().map(|context| context.name.as_str()).collect::<Vec<_>>().join(", ");
        match (name.or(self.current.as_deref()), self.contexts.as_slice()) {
            (Some(name), contexts) => contexts
                .iter()
                .find(|context| context.name == name)
                .ok_or_else(|| Error::Unknown { name: name.to_owned(), known: known() }),
            (None, [only]) => Ok(only),
            (None, _) => Err(Error::Ambiguous { known: known() }),
        }
    }
}

impl Context {
    /// The context of an admin of `hub`, which listens for admins at `server`, `host:port`.
    pub fn of(name: &str, server: &str, hub: &Path, admin: &Identity) -> Self {
        Self {
            name: name.to_owned(),
            server: server.to_owned(),
            hub: hub.to_string(),
            ca: to_pem(std::slice::from_ref(admin.anchor().der())),
            certificate: to_pem(admin.chain()),
            key: admin.key().to_pem(),
        }
    }

    /// How a context of this hub is called if nobody says otherwise: as its path.
    pub fn name_of(hub: &Path) -> String {
        if hub.is_root() { "root".to_owned() } else { hub.to_string() }
    }

    /// What the caller's certificate says; none if it cannot be read.
    pub fn certified(&self) -> Option<Certified> {
        let leaf = CertificateDer::from_pem_slice(self.certificate.as_bytes()).ok()?;
        Certified::read(&leaf).ok()
    }

    fn admin(&self) -> Option<Peer> {
        self.certified().map(|certified| certified.peer)
    }

    /// Whether both are of one administrator at one hub of one fleet.
    fn speaks_as(&self, other: &Self) -> bool {
        let of = |context: &Self| {
            (context.ca.clone(), context.hub.clone(), context.admin().map(|admin| admin.path))
        };
        of(self) == of(other)
    }

    fn taken(&self) -> Error {
        let of = self.admin().and_then(|admin| Some(format!("{} at hub {}", admin.path.name()?, self.hub)));
        Error::Taken { name: self.name.clone(), of }
    }
}

/// A file beside this one that may take its place, made with mode 0600.
fn draft(file: &FilePath) -> io::Result<NamedTempFile> {
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(FilePath::new("."));
    fs::create_dir_all(folder)?;
    NamedTempFile::new_in(folder)
}

fn to_pem(certificates: &[CertificateDer<'_>]) -> String {
    certificates.iter().map(|der| pem::encode(&Pem::new("CERTIFICATE", der.as_ref()))).collect()
}

#[cfg(test)]
mod tests {
    use canopy_identity::key::random_uid;
    use canopy_identity::{Key, ProvenKey, Role};

    use super::*;

    pub(crate) fn context(name: &str, server: &str) -> Context {
        let pem = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n".to_owned();
        Context {
            name: name.into(),
            server: server.into(),
            hub: "/".into(),
            ca: pem.clone(),
            certificate: pem.clone(),
            key: pem,
        }
    }

    fn root() -> Identity {
        Identity::root(&"fleet.test".parse().unwrap(), random_uid(), 1_000).unwrap()
    }

    fn admin(root: &Identity, name: &str) -> Identity {
        let key = Key::generate().unwrap();
        let proven = ProvenKey::from_request(&key.request().unwrap()).unwrap();
        let authority = root.authority().unwrap();
        let chain = authority.issue(Role::Admin, &name.parse().unwrap(), random_uid(), &proven, 1_000);
        Identity::joined(chain.unwrap(), key, Vec::new(), 1_000).unwrap()
    }

    #[test]
    fn only_the_first_context_becomes_the_current_one_and_only_its_owner_reads_it() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("new/config.yaml");
        let mut contexts = Contexts::open(&file).unwrap();
        contexts.add(context("root", "a:1")).unwrap();
        contexts.add(context("plant", "b:1")).unwrap();
        contexts.add(context("root", "c:1")).unwrap();
        contexts.save(&file).unwrap();
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);

        let contexts = Contexts::open(&file).unwrap();
        assert_eq!(contexts.pick(None).unwrap(), &context("root", "c:1"));
        assert_eq!(contexts.pick(Some("plant")).unwrap(), &context("plant", "b:1"));
        assert!(matches!(contexts.pick(Some("moon")), Err(Error::Unknown { .. })));
        assert_eq!(contexts.contexts.len(), 2);
    }

    #[test]
    fn nobody_else_takes_the_name_of_a_context() {
        let (fleet, other_fleet) = (root(), root());
        let anna = admin(&fleet, "anna");
        let mut contexts = Contexts::default();
        let root = Path::root();
        contexts.add(Context::of("root", "a:1", &root, &anna)).unwrap();
        contexts.add(Context::of("root", "b:1", &root, &admin(&fleet, "anna"))).unwrap();
        let before = contexts.clone();
        for other in [
            Context::of("root", "c:1", &root, &admin(&fleet, "ben")),
            Context::of("root", "c:1", &root, &admin(&other_fleet, "anna")),
            Context::of("root", "c:1", &"eu".parse().unwrap(), &anna),
        ] {
            let refused = contexts.add(other).unwrap_err().to_string();
            assert!(refused.contains("anna at hub /") && refused.contains("--context-name"), "{refused}");
        }
        assert!(contexts.check_free("root").is_err());
        assert_eq!(contexts, before);
    }

    #[test]
    fn contexts_of_two_plants_of_one_name_have_two_names() {
        let name = |path: &str| Context::name_of(&path.parse().unwrap());
        assert_eq!([name("/"), name("eu/plant-7"), name("us/plant-7")], ["root", "eu/plant-7", "us/plant-7"]);
    }

    #[test]
    fn a_file_that_others_can_read_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("config.yaml");
        Contexts::default().save(&file).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
        assert!(matches!(Contexts::load(&file), Err(Error::Open { .. })));
    }

    #[test]
    fn a_file_that_cannot_be_written_is_refused_before_there_is_something_to_write() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("file"), "").unwrap();
        let refused = Contexts::open(&folder.path().join("file/config.yaml")).unwrap_err();
        assert!(matches!(refused, Error::Write { .. }), "{refused}");
    }

    #[test]
    fn without_a_choice_only_a_single_context_is_taken() {
        let mut contexts = Contexts { current: None, contexts: vec![context("root", "a:1")] };
        assert_eq!(contexts.pick(None).unwrap().name, "root");
        contexts.contexts.push(context("plant", "b:1"));
        assert!(matches!(contexts.pick(None), Err(Error::Ambiguous { .. })));
    }
}
