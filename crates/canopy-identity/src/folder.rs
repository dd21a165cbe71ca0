//! An identity on disk, apart from the store: losing one does not lose the other.
//!
//! | file | holds |
//! |---|---|
//! | `identity.json` | who this node is; written last, so without it nothing has been joined |
//! | `root.pem` | the root's certificate, from which all trust comes |
//! | `chain.pem`, `leaf.key` | the TLS certificate with those above it, and its key |
//! | `ca.pem`, `ca.key` | a hub's authority |
//! | `tokens.json` | join tokens, as hashes, and what they were used for |
//! | `revocations.json` | nodes that are refused |
//! | `children/` | a file for each child: see [`crate::children`] |
//! | `joining.key` | the key of a join whose answer has not arrived yet |
//!
//! The folder and its files are their owner's alone; anything laxer is refused.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use canopy_model::Uid;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::authority::{Authority, Chain};
use crate::book::TokenBook;
use crate::file;
use crate::identity::{self, Identity, Parts};
use crate::key::{self, Key};
use crate::peer::{Role, TrustDomain};
use crate::revocation::Revocations;
use crate::text::Text;
use crate::verify::{Anchor, Refusal};

pub use crate::file::Error as FileError;

/// What an agent has of these, in the order in which they are written.
const AGENT_FILES: [&str; 5] = ["root.pem", "leaf.key", "chain.pem", "revocations.json", "identity.json"];

/// A node's identity folder.
#[derive(Debug, Clone)]
pub struct Folder {
    path: PathBuf,
}

/// Why an identity was not loaded or saved.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nothing has been joined here.
    #[error(
        "{} holds no identity: make a root with `canopy-hub init`, or join a hub with a token from \
         `canopy token create`", .0.display()
    )]
    Empty(PathBuf),
    /// There is an identity already.
    #[error("{} holds an identity already: move it away to begin another", .0.display())]
    Occupied(PathBuf),
    /// A file could not be read or written.
    #[error("the identity folder is unusable")]
    File(#[source] FileError),
    /// A file does not hold what it should.
    #[error("{} is damaged: restore it from a backup, or join again", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: Box<Damage>,
    },
    /// A key could not be made.
    #[error("no key could be made")]
    Key(#[source] key::Error),
}

/// What is wrong with a file.
#[derive(Debug, thiserror::Error)]
pub enum Damage {
    /// Not the JSON that it should be.
    #[error("not the expected JSON")]
    Json(#[source] serde_json::Error),
    /// Not the text that it should be.
    #[error("not a text")]
    Text,
    /// No certificates in PEM.
    #[error("not certificates in PEM")]
    Certificates,
    /// No key in PEM.
    #[error("not a key")]
    Key(#[source] key::Error),
    /// The authority is unusable.
    #[error("not a hub's authority")]
    Authority(#[source] crate::authority::Error),
    /// The root is unusable.
    #[error("not a root certificate")]
    Root(#[source] Refusal),
    /// The files do not belong together.
    #[error("the files of this folder do not belong together")]
    Identity(#[source] identity::Error),
    /// It is about somebody else than the certificate.
    #[error("it does not describe the node of chain.pem")]
    Description,
}

/// `identity.json`. What the certificate says too is there for people to read, and is compared.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Description {
    role: Text<Role>,
    path: Text<canopy_model::Path>,
    uid: Text<Uid>,
    trust_domain: Text<TrustDomain>,
    parents: Vec<String>,
}

impl Folder {
    /// Opens a folder, and makes it if there is none.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, Error> {
        let path = path.into();
        file::make_folder(&path).map_err(Error::File)?;
        file::check_folder(&path).map_err(Error::File)?;
        Ok(Self { path })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether it holds an identity.
    pub fn is_empty(&self) -> bool {
        !self.file("identity.json").exists()
    }

    /// Keeps the first identity of this node.
    pub fn create(&self, identity: &Identity) -> Result<(), Error> {
        if !self.is_empty() {
            return Err(Error::Occupied(self.path.clone()));
        }
        self.save(identity)
    }

    /// Keeps an identity in place of the one before. Renewals keep their keys, so that after a
    /// power cut between two files the keys still fit the certificates.
    pub fn save(&self, identity: &Identity) -> Result<(), Error> {
        if let Some(authority) = identity.authority() {
            self.write("ca.key", &authority.key().to_pem())?;
            self.write("ca.pem", &to_pem(authority.chain()))?;
        }
        self.write("leaf.key", &identity.key().to_pem())?;
        self.write("chain.pem", &to_pem(identity.chain()))?;
        self.write("root.pem", &to_pem(std::slice::from_ref(identity.anchor().der())))?;
        self.write_json("identity.json", &Description::of(identity))?;
        file::remove(&self.file("joining.key")).map_err(Error::File)
    }

    /// Reads the identity back and checks that its parts belong together.
    pub fn load(&self, now: u64) -> Result<Identity, Error> {
        if self.is_empty() {
            return Err(Error::Empty(self.path.clone()));
        }
        let described: Description = self.read_json("identity.json")?;
        let root = self.certificates("root.pem")?.remove(0);
        let anchor = Anchor::new(root).map_err(|error| self.damaged("root.pem", Damage::Root(error)))?;
        let authority = match described.role.0 {
            Role::Hub => Some(self.authority()?),
            Role::Agent | Role::Admin => None,
        };
        let parts = Parts {
            parents: described.parents.clone(),
            anchor,
            authority,
            chain: self.certificates("chain.pem")?,
            key: self.key("leaf.key")?,
        };
        let identity = Identity::checked(parts, now)
            .map_err(|error| self.damaged("chain.pem", Damage::Identity(error)))?;
        if Description::of(&identity) != described {
            return Err(self.damaged("identity.json", Damage::Description));
        }
        Ok(identity)
    }

    /// The key to join with: drawn once, and the same until the join is saved, so that a join can
    /// be repeated.
    pub fn joining_key(&self) -> Result<Key, Error> {
        if self.file("joining.key").exists() {
            return self.key("joining.key");
        }
        let key = Key::generate().map_err(Error::Key)?;
        self.write("joining.key", &key.to_pem())?;
        Ok(key)
    }

    /// The join tokens; none if none were ever made.
    pub fn tokens(&self) -> Result<TokenBook, Error> {
        self.read_json_or_default("tokens.json")
    }

    /// Keeps the join tokens. Until it returns, no new one may be told and no join answered.
    pub fn save_tokens(&self, tokens: &TokenBook) -> Result<(), Error> {
        self.write_json("tokens.json", tokens)
    }

    /// What is revoked; nothing if nothing ever was.
    pub fn revocations(&self) -> Result<Revocations, Error> {
        self.read_json_or_default("revocations.json")
    }

    /// Keeps what is revoked.
    pub fn save_revocations(&self, revocations: &Revocations) -> Result<(), Error> {
        self.write_json("revocations.json", revocations)
    }

    /// The files that make up an agent's identity, to be kept in another place too.
    pub fn copy(&self) -> Result<BTreeMap<String, Vec<u8>>, Error> {
        let there = AGENT_FILES.into_iter().filter(|name| self.file(name).exists());
        there.map(|name| Ok((name.to_owned(), self.read(name)?.into_bytes()))).collect()
    }

    /// Takes back what [`Self::copy`] gave, into a folder without an identity.
    pub fn restore(&self, mut files: BTreeMap<String, Vec<u8>>) -> Result<(), Error> {
        if !self.is_empty() {
            return Err(Error::Occupied(self.path.clone()));
        }
        for name in AGENT_FILES {
            if let Some(bytes) = files.remove(name) {
                let text = String::from_utf8(bytes).map_err(|_| self.damaged(name, Damage::Text))?;
                self.write(name, &text)?;
            }
        }
        Ok(())
    }

    fn authority(&self) -> Result<Authority, Error> {
        Authority::new(self.certificates("ca.pem")?, self.key("ca.key")?)
            .map_err(|error| self.damaged("ca.pem", Damage::Authority(error)))
    }

    fn certificates(&self, name: &str) -> Result<Chain, Error> {
        let text = self.read(name)?;
        match CertificateDer::pem_slice_iter(text.as_bytes()).collect::<Result<Chain, _>>() {
            Ok(chain) if !chain.is_empty() => Ok(chain),
            _ => Err(self.damaged(name, Damage::Certificates)),
        }
    }

    fn key(&self, name: &str) -> Result<Key, Error> {
        Key::from_pem(&self.read(name)?).map_err(|error| self.damaged(name, Damage::Key(error)))
    }

    fn read_json_or_default<T: DeserializeOwned + Default>(&self, name: &str) -> Result<T, Error> {
        if self.file(name).exists() { self.read_json(name) } else { Ok(T::default()) }
    }

    pub(crate) fn read_json<T: DeserializeOwned>(&self, name: &str) -> Result<T, Error> {
        serde_json::from_str(&self.read(name)?).map_err(|error| self.damaged(name, Damage::Json(error)))
    }

    pub(crate) fn write_json<T: Serialize>(&self, name: &str, value: &T) -> Result<(), Error> {
        let text = serde_json::to_string_pretty(value).expect("these types have only texts as keys");
        self.write(name, &(text + "\n"))
    }

    fn read(&self, name: &str) -> Result<String, Error> {
        file::read(&self.file(name)).map_err(Error::File)
    }

    fn write(&self, name: &str, text: &str) -> Result<(), Error> {
        file::write(&self.file(name), text).map_err(Error::File)
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    fn damaged(&self, name: &str, source: Damage) -> Error {
        Error::Damaged { path: self.file(name), source: Box::new(source) }
    }
}

impl Description {
    fn of(identity: &Identity) -> Self {
        let peer = identity.peer().clone();
        Self {
            role: Text(peer.role),
            path: Text(peer.path),
            uid: Text(peer.uid),
            trust_domain: Text(identity.anchor().domain().clone()),
            parents: identity.parents().to_vec(),
        }
    }
}

fn to_pem(chain: &[CertificateDer<'_>]) -> String {
    chain.iter().map(|der| pem::encode(&pem::Pem::new("CERTIFICATE", der.to_vec()))).collect()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::key::ProvenKey;

    const NOW: u64 = 1_800_000_000;

    fn root() -> Identity {
        Identity::root(&TrustDomain::default(), Uid(1), NOW).unwrap()
    }

    fn folder() -> (tempfile::TempDir, Folder) {
        let place = tempfile::tempdir().unwrap();
        let folder = Folder::open(place.path().join("identity")).unwrap();
        (place, folder)
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn an_identity_is_read_back_and_is_its_owners_alone() {
        let (_place, folder) = folder();
        assert!(matches!(folder.load(NOW), Err(Error::Empty(_))));
        let root = root();
        folder.create(&root).unwrap();
        let loaded = folder.load(NOW).unwrap();
        assert_eq!((loaded.peer(), loaded.chain()), (root.peer(), root.chain()));
        assert_eq!(mode(folder.path()), 0o700);
        for entry in fs::read_dir(folder.path()).unwrap() {
            assert_eq!(mode(&entry.unwrap().path()), 0o600);
        }
        assert!(matches!(folder.create(&root), Err(Error::Occupied(_))));
    }

    #[test]
    fn a_join_can_be_repeated_with_its_key_until_it_is_saved() {
        let (_place, folder) = folder();
        let root = root();
        let key = folder.joining_key().unwrap();
        let again = folder.joining_key().unwrap();
        assert_eq!(again.fingerprint(), key.fingerprint());
        let proven = ProvenKey::from_request(&key.request().unwrap()).unwrap();
        let name = "press-3".parse().unwrap();
        let chain = root.authority().unwrap().issue(Role::Agent, &name, Uid(2), &proven, NOW).unwrap();
        let agent = Identity::joined(chain, key, vec!["hub:7443".to_owned()], NOW).unwrap();
        folder.create(&agent).unwrap();
        assert!(!folder.path().join("joining.key").exists());
        let loaded = folder.load(NOW + 10 * crate::authority::LEAF_LIFE_SECS).unwrap();
        assert_eq!(loaded.parents(), ["hub:7443"], "also when the certificate has expired");
    }

    #[test]
    fn what_others_can_read_is_refused() {
        let (_place, folder) = folder();
        folder.create(&root()).unwrap();
        let key = folder.path().join("leaf.key");
        for mode in [0o640, 0o604, 0o620] {
            fs::set_permissions(&key, fs::Permissions::from_mode(mode)).unwrap();
            let Err(Error::File(error)) = folder.load(NOW) else { panic!("{mode:o} was accepted") };
            assert!(error.to_string().contains(&format!("chmod 600 {}", key.display())), "{error}");
        }
        fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o750)).unwrap();
        assert!(matches!(Folder::open(folder.path()), Err(Error::File(FileError::Exposed { .. }))));
    }

    #[test]
    fn damage_names_its_file() {
        let (_place, folder) = folder();
        folder.create(&root()).unwrap();
        let other = Key::generate().unwrap().to_pem();
        for (name, text) in [
            ("chain.pem", ""),
            ("leaf.key", "-----BEGIN PRIVATE KEY-----"),
            ("ca.key", other.as_str()),
            ("root.pem", "none"),
            ("identity.json", "{}"),
        ] {
            let path = folder.path().join(name);
            let whole = fs::read_to_string(&path).unwrap();
            fs::write(&path, text).unwrap();
            let error = folder.load(NOW).unwrap_err();
            assert!(matches!(error, Error::Damaged { .. }), "{name}: {error}");
            fs::write(&path, whole).unwrap();
        }
        fs::write(folder.path().join("leaf.key"), other).unwrap();
        let Err(Error::Damaged { source, .. }) = folder.load(NOW) else {
            panic!("loaded with a foreign key")
        };
        assert!(matches!(*source, Damage::Identity(_)), "{source}");
        fs::remove_file(folder.path().join("leaf.key")).unwrap();
        let Err(Error::File(error)) = folder.load(NOW) else { panic!("loaded without a key") };
        assert!(error.to_string().ends_with("leaf.key is missing"), "{error}");
    }

    #[test]
    fn tokens_and_revocations_are_kept() {
        let (_place, folder) = folder();
        let mut revocations = folder.revocations().unwrap();
        revocations.revoke_uid(Uid(7));
        folder.save_revocations(&revocations).unwrap();
        assert_eq!(folder.revocations().unwrap(), revocations);
        assert_eq!(folder.tokens().unwrap(), TokenBook::default());
    }
}
