//! The file that says which hubs the caller may speak to, and as whom.
//!
//! It holds private keys: it is written so that only its owner can read it, and refused when
//! others could. `canopy-hub` writes it, `canopy` reads it.

use std::ffi::OsString;
use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path as FilePath, PathBuf};

use canopy_identity::Identity;
use canopy_model::Path;
use pem::Pem;
use rustls_pki_types::CertificateDer;
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
        "cannot read context file {}; on a hub's machine `canopy-hub init` writes it, elsewhere copy it from there",
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
    #[error("context file {} is not valid", file.display())]
    Form {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        #[source]
        source: Box<serde_saphyr::Error>,
    },
    /// It cannot be written.
    #[error("cannot write context file {}", file.display())]
    Write {
        /// The file.
        file: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
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

    /// Replaces the file in one step, readable by its owner only; makes its folder if need be.
    pub fn save(&self, file: &FilePath) -> Result<(), Error> {
        let text = serde_saphyr::to_string(self).expect("texts can be written as YAML");
        let write = || {
            let folder = file.parent().unwrap_or(FilePath::new("."));
            fs::create_dir_all(folder)?;
            let mut draft = NamedTempFile::new_in(folder)?; // made with mode 0600
            draft.write_all(text.as_bytes())?;
            draft.as_file().sync_all()?;
            draft.persist(file).map_err(|error| error.error)?;
            Ok(())
        };
        write().map_err(|source| Error::Write { file: file.to_owned(), source })
    }

    /// Adds a context, or replaces the one of its name, and makes it the current one.
    pub fn set(&mut self, context: Context) {
        self.current = Some(context.name.clone());
        match self.contexts.iter_mut().find(|known| known.name == context.name) {
            Some(known) => *known = context,
            None => self.contexts.push(context),
        }
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

    /// Adds this context to the file and makes it the current one; the file need not exist.
    pub fn save(self, file: &FilePath) -> Result<(), Error> {
        let mut contexts = if file.exists() { Contexts::load(file)? } else { Contexts::default() };
        contexts.set(self);
        contexts.save(file)
    }
}

fn to_pem(certificates: &[CertificateDer<'_>]) -> String {
    certificates.iter().map(|der| pem::encode(&Pem::new("CERTIFICATE", der.as_ref()))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn context(name: &str, server: &str) -> Context {
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

    #[test]
    fn a_saved_context_is_the_current_one_and_only_its_owner_reads_it() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("new/config.yaml");
        context("root", "a:1").save(&file).unwrap();
        context("plant", "b:1").save(&file).unwrap();
        context("root", "c:1").save(&file).unwrap();
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);

        let contexts = Contexts::load(&file).unwrap();
        assert_eq!(contexts.pick(None).unwrap(), &context("root", "c:1"));
        assert_eq!(contexts.pick(Some("plant")).unwrap(), &context("plant", "b:1"));
        assert!(matches!(contexts.pick(Some("moon")), Err(Error::Unknown { .. })));
        assert_eq!(contexts.contexts.len(), 2);
    }

    #[test]
    fn a_file_that_others_can_read_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("config.yaml");
        context("root", "a:1").save(&file).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
        assert!(matches!(Contexts::load(&file), Err(Error::Open { .. })));
    }

    #[test]
    fn without_a_choice_only_a_single_context_is_taken() {
        let mut contexts = Contexts { current: None, contexts: vec![context("root", "a:1")] };
        assert_eq!(contexts.pick(None).unwrap().name, "root");
        contexts.contexts.push(context("plant", "b:1"));
        assert!(matches!(contexts.pick(None), Err(Error::Ambiguous { .. })));
    }
}
