//! Who may join this hub and who is let go: tokens, certificates and revocations.
//!
//! All of it lies in the identity folder, apart from the store. What is told is written down first.

use std::collections::BTreeMap;
use std::sync::{MutexGuard, PoisonError, RwLock};

use canopy_core::Hub;
use canopy_core::command::{Command, Outcome, Refusal, Verb};
use canopy_identity::authority::Chain;
use canopy_identity::book::{self, Claim, IssueError, Terms, TokenBook};
use canopy_identity::tls::Leaf;
use canopy_identity::token::Secret;
use canopy_identity::{
    Accepted, Certified, Folder, Identity, JoinToken, ProvenKey, Revocations, Role, Trust, folder, key,
};
use canopy_link::Memberships;
use canopy_link::enroll::{self, Enroller};
use canopy_link::membership::{Bearer, Refused, Two};
use canopy_model::{self as model, Labels, Name, Record, Uid};
use canopy_node::clock::seconds;
use tokio::sync::Mutex;
use tokio::task::block_in_place;
use tracing::{error, info, warn};

use crate::door::Door;

/// The identity of this hub, and what it grants.
pub struct Registry {
    folder: Folder,
    identity: RwLock<Identity>,
    leaf: Leaf,
    trust: Trust,
    tokens: Mutex<TokenBook>,
    /// What is written down of whom `trust` refuses; held while it is written.
    revocations: std::sync::Mutex<Revocations>,
    /// Held while a change of `accepted` is written down, so that looking waits for no disk.
    accepting: std::sync::Mutex<()>,
    accepted: std::sync::Mutex<BTreeMap<Name, Accepted>>,
    memberships: Memberships,
}

/// Whom a token is to admit.
pub struct Invitation {
    /// A hub or an agent.
    pub kind: Role,
    /// The only name, or any that is free.
    pub name: Option<Name>,
    /// The labels that its record begins with.
    pub labels: Labels,
    /// How long the token can be used, in seconds.
    pub life_secs: u64,
    /// Where this hub listens, each `host:port`.
    pub addresses: Vec<String>,
}

/// Why no token was made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The book refuses.
    #[error(transparent)]
    Issue(IssueError),
    /// The folder failed.
    #[error(transparent)]
    Folder(folder::Error),
}

impl Registry {
    /// Reads what the folder of `identity` holds.
    pub fn open(folder: Folder, identity: Identity) -> anyhow::Result<Self> {
        let revocations = folder.revocations()?;
        let tokens = folder.tokens()?;
        let accepted = folder.children()?;
        Ok(Self {
            leaf: identity.leaf()?,
            trust: Trust::new(identity.anchor().clone(), revocations.clone()),
            identity: RwLock::new(identity),
            tokens: Mutex::new(tokens),
            revocations: std::sync::Mutex::new(revocations),
            accepting: std::sync::Mutex::default(),
            accepted: std::sync::Mutex::new(accepted),
            memberships: Memberships::default(),
            folder,
        })
    }

    /// The certificate to present, which is replaced in time.
    pub fn leaf(&self) -> &Leaf {
        &self.leaf
    }

    /// Whom to trust.
    pub fn trust(&self) -> &Trust {
        &self.trust
    }

    /// This hub's identity as it is now.
    pub fn identity(&self) -> Identity {
        self.identity.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The children's open streams.
    pub fn memberships(&self) -> &Memberships {
        &self.memberships
    }

    /// The folder in which the identity lies.
    pub fn folder(&self) -> &Folder {
        &self.folder
    }

    /// Presents and issues with a renewed identity from now on.
    pub fn replace(&self, identity: Identity) -> anyhow::Result<()> {
        self.leaf.replace(identity.chain().to_vec(), identity.key())?;
        *self.identity.write().unwrap_or_else(PoisonError::into_inner) = identity;
        Ok(())
    }

    /// Makes a token. It is durable when it is returned.
    pub async fn invite(&self, invitation: Invitation) -> Result<JoinToken, Error> {
        let Invitation { kind, name, labels, life_secs, addresses } = invitation;
        let now = seconds();
        let secret = Secret(key::random());
        let id = key::random::<8>().iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let expires = now.saturating_add(life_secs);
        let mut tokens = self.tokens.lock().await;
        let mut next = tokens.clone();
        let terms = Terms { kind, name: name.clone(), expires };
        next.issue(now, id.clone(), &secret, terms).map_err(Error::Issue)?;
        next.set_labels(&id, labels);
        block_in_place(|| self.folder.save_tokens(&next)).map_err(Error::Folder)?;
        *tokens = next;
        let identity = self.identity();
        let (pin, parent) = (identity.anchor().pin(), identity.peer().path.clone());
        Ok(JoinToken { id, secret, pin, parent, addresses, kind, name, expires })
    }

    /// Refuses a node for ever, ends its streams and frees its name.
    pub fn revoke(&self, uid: Uid) {
        let mut revocations = self.revocations.lock().unwrap_or_else(PoisonError::into_inner);
        if !revocations.revoke_uid(uid) {
            return;
        }
        if let Err(error) = self.folder.save_revocations(&revocations) {
            error!(%uid, %error, "a revocation was not written down: it is made up for at the next start");
        }
        self.trust.reload(revocations.clone());
        drop(revocations);
        self.memberships.end(|peer, _| (peer.uid == uid).then(|| Refused::Released(peer.clone())));
        self.free(uid);
        info!(%uid, "revoked");
    }

    fn free(&self, uid: Uid) {
        let _writing = self.accepting.lock().unwrap_or_else(PoisonError::into_inner);
        let freed: Vec<_> = self.accepted().extract_if(.., |_, accepted| accepted.uid == uid).collect();
        for (name, _) in freed {
            if let Err(error) = self.folder.remove_child(&name) {
                warn!(%name, %error, "a file of a child that was let go stays behind");
            }
        }
    }

    /// Whether a child is the node that its name belongs to. The record decides; without one, the
    /// identity that was accepted last. A name that is nobody's becomes that of the first to come.
    pub fn recognise(&self, child: &Certified, recorded: Option<Uid>) -> Result<(), Refused> {
        let Certified { peer, key, .. } = child;
        if self.trust.refuses(child) {
            return Err(Refused::Released(peer.clone()));
        }
        let Some(name) = peer.path.name() else { return Err(Refused::Released(peer.clone())) };
        let found = Accepted { uid: peer.uid, key: *key };
        let known = self.accepted().get(&name).copied();
        let of_record = |known: &Accepted| recorded.is_none_or(|uid| uid == known.uid);
        let accepted = match (known.filter(of_record), recorded) {
            (Some(known), _) => Bearer { uid: known.uid, key: Some(known.key) },
            (None, Some(uid)) if uid != peer.uid => Bearer { uid, key: None },
            (None, _) => return self.accept(name, found).map_err(|error| Refused::Unable(Box::new(error))),
        };
        let found = Bearer { uid: found.uid, key: Some(found.key) };
        if accepted == found {
            return Ok(());
        }
        Err(Refused::Other(Box::new(Two { path: peer.path.clone(), accepted, found })))
    }

    /// Makes an identity the one of its name; durable when it returns. Streams of any other end.
    fn accept(&self, name: Name, found: Accepted) -> Result<(), folder::Error> {
        if self.accepted().get(&name) != Some(&found) {
            block_in_place(|| self.write_down(&name, found))?;
        }
        let bearer = |uid, key| Bearer { uid, key: Some(key) };
        let accepted = bearer(found.uid, found.key);
        self.memberships.end(|peer, key| {
            let (found, path) = (bearer(peer.uid, key), peer.path.clone());
            let other = path.name().as_ref() == Some(&name) && found != accepted;
            other.then(|| Refused::Other(Box::new(Two { path, accepted: accepted.clone(), found })))
        });
        Ok(())
    }

    fn write_down(&self, name: &Name, found: Accepted) -> Result<(), folder::Error> {
        let _writing = self.accepting.lock().unwrap_or_else(PoisonError::into_inner);
        self.folder.save_child(name, &found)?;
        self.accepted().insert(name.clone(), found);
        Ok(())
    }

    fn accepted(&self) -> MutexGuard<'_, BTreeMap<Name, Accepted>> {
        self.accepted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether someone who wants to join holds a token of this hub.
    async fn check(&self, claim: &Claim) -> Result<(), enroll::Refused> {
        self.tokens.lock().await.check(claim).map_err(enroll::Refused::Token)
    }

    /// Redeems a token and issues the certificate; durable when it returns. `taken` says whether the
    /// name that is asked for belongs to a node.
    async fn admit(&self, claim: &Claim, key: &ProvenKey, taken: bool) -> Result<Admitted, enroll::Refused> {
        let now = seconds();
        let mut tokens = self.tokens.lock().await;
        let admission =
            tokens.judge(now, claim, key::random_uid(), |_| taken).map_err(enroll::Refused::Token)?;
        let identity = self.identity();
        let authority = identity.authority().expect("a hub's identity has an authority");
        let chain = authority
            .issue(admission.kind, &admission.name, admission.uid, key, now)
            .map_err(enroll::Refused::Authority)?;
        let certified = Certified::read(&chain[0]).map_err(|error| enroll::Refused::Hub(Box::new(error)))?;
        if self.trust.refuses(&certified) {
            warn!(node = %certified.peer, token = claim.id.escape_debug().to_string(), "a revoked node tried to join");
            return Err(enroll::Refused::Token(book::Refusal::Used));
        }
        if admission.first {
            let mut next = tokens.clone();
            next.prune(now);
            next.redeem(claim, &admission);
            block_in_place(|| self.folder.save_tokens(&next))
                .map_err(|error| enroll::Refused::Hub(Box::new(error)))?;
            *tokens = next;
        }
        let role = match admission.kind {
            Role::Hub => model::Role::Hub,
            Role::Agent | Role::Admin => model::Role::Agent,
        };
        let labels = tokens.labels(&claim.id);
        let record = Record::new(admission.uid, role, labels);
        let repeated = (!admission.first).then_some(certified);
        Ok(Admitted { chain, name: admission.name, record, repeated })
    }
}

struct Admitted {
    chain: Chain,
    name: Name,
    record: Record,
    /// Who it is, if it was admitted before.
    repeated: Option<Certified>,
}

/// Answers those who ask for a certificate.
pub struct Gate(pub Door);

impl Enroller for Gate {
    async fn join(&self, claim: Claim, key: ProvenKey) -> Result<Chain, enroll::Refused> {
        let Door { registry, hub } = &self.0;
        let failed = |error: canopy_node::handle::Error| enroll::Refused::Hub(Box::new(error));
        // Strangers cost no more than this.
        registry.check(&claim).await?;
        let asked = claim.name.clone();
        let recorded = move |hub: &Hub| {
            asked.is_some_and(|name| hub.children().get(&name).is_some_and(|child| child.record.is_some()))
        };
        let taken = hub.read(recorded).await.map_err(failed)?;
        let Admitted { chain, name, record, repeated } = registry.admit(&claim, &key, taken).await?;
        if let Some(child) = repeated {
            // An answer that is had again gives no name back that went to another node since.
            self.0.recognise(&child).await.map_err(enroll::Refused::Member)?;
        }
        let found = Accepted { uid: record.uid, key: key.fingerprint() };
        let principal = format!("token:{}", claim.id);
        let verb = Verb::Accept { name: name.clone(), record };
        let command = Command { id: key::random_uid(), principal, verb };
        match hub.command(command).await.map_err(failed)? {
            Outcome::Refused(refusal @ Refusal::OtherIdentity { .. }) => {
                Err(enroll::Refused::Taken(Box::new(refusal)))
            }
            Outcome::Refused(refusal) => Err(enroll::Refused::Hub(Box::new(refusal))),
            _ => {
                registry.accept(name, found).map_err(|error| enroll::Refused::Hub(Box::new(error)))?;
                Ok(chain)
            }
        }
    }

    async fn renew(&self, certificate: Vec<u8>, key: ProvenKey) -> Result<Chain, enroll::Refused> {
        let Door { registry, .. } = &self.0;
        let identity = registry.identity();
        let authority = identity.authority().expect("a hub's identity has an authority");
        let is_revoked = |child: &Certified| registry.trust.refuses(child);
        let renewed = authority.renew(&certificate, &key, is_revoked, seconds());
        let renewed = renewed.map_err(enroll::Refused::Authority)?;
        let child = Certified::read(&renewed[0]).map_err(|error| enroll::Refused::Hub(Box::new(error)))?;
        self.0.recognise(&child).await.map_err(enroll::Refused::Member)?;
        Ok(renewed)
    }
}
