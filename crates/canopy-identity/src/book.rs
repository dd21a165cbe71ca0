//! The issuer's side of join tokens: which are out, and which were used for what.
//!
//! The book holds hashes of secrets only. A token admits one key: the same key gets the same answer
//! again however often it asks, since a reply may be lost, and every other key is refused. The book
//! is a value; whoever changes it writes it down before telling anyone.

use std::collections::BTreeMap;

use canopy_model::{Labels, Name, Uid};
use serde::{Deserialize, Serialize};

use crate::certificate::Fingerprint;
use crate::peer::Role;
use crate::text::Text;
use crate::token::Secret;

/// How long a token is remembered past its expiry, so that a reply lost on a bad line can be had
/// again and a late attempt is told why it fails.
pub const MEMORY_SECS: u64 = 7 * 24 * 60 * 60;

/// The most tokens that can be out at once, unused and not expired. A rollout of 10,000 clusters
/// prepared at one desk fits.
pub const TOKENS_MAX: usize = 16_384;

/// The most tokens that are remembered when they can admit nobody new. Those that expired first are
/// forgotten first, before their time.
pub const REMEMBERED_MAX: usize = 16_384;

/// The tokens of one hub.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TokenBook {
    tokens: BTreeMap<String, Entry>,
}

/// What a token admits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Terms {
    /// A hub or an agent.
    pub kind: Role,
    /// The only name that it admits, or any that is free.
    pub name: Option<Name>,
    /// The last second at which it can be used first, in seconds since 1970.
    pub expires: u64,
}

/// What an applicant says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// The token's id.
    pub id: String,
    /// The token's secret.
    pub secret: Secret,
    /// What the applicant is.
    pub kind: Role,
    /// The name that it asks for; none takes the token's.
    pub name: Option<Name>,
    /// Its key.
    pub key: Fingerprint,
}

/// Whom a token let in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admission {
    /// A hub or an agent.
    pub kind: Role,
    /// Its name below this hub.
    pub name: Name,
    /// Its permanent uid.
    pub uid: Uid,
    /// Whether this is the first answer, so that something has to be written down.
    pub first: bool,
}

/// Why nobody is let in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No such token, or not its secret. The two are not told apart.
    #[error(
        "the join token is not known here: it is mistyped, another hub's, or so old that it is forgotten; make a \
         new one with `canopy token create`"
    )]
    Unknown,
    /// Not used in time.
    #[error("the join token has expired: make a new one with `canopy token create`")]
    Expired,
    /// Used with another key.
    #[error("the join token was already used by another node: make a new one with `canopy token create`")]
    Used,
    /// For a node of another kind.
    #[error("the join token is for a node of kind {token}, and this is one of kind {claimed}")]
    Kind {
        /// What the token admits.
        token: Role,
        /// What the applicant is.
        claimed: Role,
    },
    /// For a node of another name.
    #[error("the join token is for the name {token}, not for {claimed}")]
    Name {
        /// The name that the token admits.
        token: Name,
        /// The name that the applicant asked for.
        claimed: Name,
    },
    /// Neither the token nor the applicant has a name.
    #[error("the join token fixes no name: give one with --name")]
    Nameless,
    /// Somebody else has the name.
    #[error("the name {0} is taken: choose another, or make a token for that name")]
    Taken(Name),
}

/// Why no token was made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IssueError {
    /// Tokens admit hubs and agents.
    #[error("a join token admits a hub or an agent; certificates of admins are issued by the hub itself")]
    Kind,
    /// The book is full.
    #[error("{TOKENS_MAX} join tokens are out already: use some, or wait until they expire")]
    Full,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    secret_hash: Text<Fingerprint>,
    kind: Text<Role>,
    name: Option<Text<Name>>,
    expires: u64,
    #[serde(default, skip_serializing_if = "Labels::is_empty")]
    labels: Labels,
    used: Option<Use>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Use {
    key: Text<Fingerprint>,
    name: Text<Name>,
    uid: Text<Uid>,
}

impl TokenBook {
    /// Enters a token whose `id` and `secret` were drawn by the caller, and forgets old ones. `now` is
    /// in seconds since 1970.
    pub fn issue(&mut self, now: u64, id: String, secret: &Secret, terms: Terms) -> Result<(), IssueError> {
        if terms.kind == Role::Admin {
            return Err(IssueError::Kind);
        }
        self.prune(now);
        if self.tokens.values().filter(|entry| entry.is_out(now)).count() >= TOKENS_MAX {
            return Err(IssueError::Full);
        }
        let entry = Entry {
            secret_hash: Text(Fingerprint::of(&secret.0)),
            kind: Text(terms.kind),
            name: terms.name.map(Text),
            expires: terms.expires,
            labels: Labels::new(),
            used: None,
        };
        self.tokens.insert(id, entry);
        Ok(())
    }

    /// Notes the labels with which the record of whoever uses the token begins.
    pub fn set_labels(&mut self, id: &str, labels: Labels) {
        if let Some(entry) = self.tokens.get_mut(id) {
            entry.labels = labels;
        }
    }

    /// The labels of a token.
    pub fn labels(&self, id: &str) -> Labels {
        self.tokens.get(id).map(|entry| entry.labels.clone()).unwrap_or_default()
    }

    /// Whether an applicant is let in; changes nothing. `uid` is given to it if it is new; `taken` says
    /// whether a name belongs to a node that exists; only a node that may choose its name can find it
    /// taken so.
    pub fn judge(
        &self,
        now: u64,
        claim: &Claim,
        uid: Uid,
        taken: impl FnOnce(&Name) -> bool,
    ) -> Result<Admission, Refusal> {
        let entry = self.entry(claim)?;
        let kind = entry.kind.0;
        if claim.kind != kind {
            return Err(Refusal::Kind { token: kind, claimed: claim.kind });
        }
        if let Some(used) = &entry.used {
            return if used.key.0 == claim.key { Ok(used.again(kind)) } else { Err(Refusal::Used) };
        }
        if now > entry.expires {
            return Err(Refusal::Expired);
        }
        let name = entry.admitted_name(claim.name.as_ref(), taken)?;
        Ok(Admission { kind, name, uid, first: true })
    }

    /// Whether the applicant holds the token at all, which costs the same for everyone who asks.
    pub fn check(&self, claim: &Claim) -> Result<(), Refusal> {
        self.entry(claim).map(|_| ())
    }

    /// Notes that the applicant was let in.
    pub fn redeem(&mut self, claim: &Claim, Admission { name, uid, .. }: &Admission) {
        if let Some(entry) = self.tokens.get_mut(&claim.id) {
            entry.used = Some(Use { key: Text(claim.key), name: Text(name.clone()), uid: Text(*uid) });
        }
    }

    /// Forgets tokens that expired long ago, and more of those that admit nobody new if they are many.
    pub fn prune(&mut self, now: u64) {
        self.tokens.retain(|_, entry| now <= entry.expires.saturating_add(MEMORY_SECS));
        let over = self.tokens.iter().filter(|(_, entry)| !entry.is_out(now));
        let mut over: Vec<_> = over.map(|(id, entry)| (entry.expires, id.clone())).collect();
        over.sort();
        for (_, id) in over.iter().take(over.len().saturating_sub(REMEMBERED_MAX)) {
            self.tokens.remove(id);
        }
    }

    fn entry(&self, claim: &Claim) -> Result<&Entry, Refusal> {
        let entry = self.tokens.get(&claim.id).ok_or(Refusal::Unknown)?;
        let known = entry.secret_hash.0 == Fingerprint::of(&claim.secret.0);
        known.then_some(entry).ok_or(Refusal::Unknown)
    }
}

impl Entry {
    /// Whether it can admit someone new.
    fn is_out(&self, now: u64) -> bool {
        self.used.is_none() && now <= self.expires
    }

    fn admitted_name(
        &self,
        asked: Option<&Name>,
        taken: impl FnOnce(&Name) -> bool,
    ) -> Result<Name, Refusal> {
        match (&self.name, asked) {
            (Some(Text(fixed)), Some(asked)) if fixed != asked => {
                Err(Refusal::Name { token: fixed.clone(), claimed: asked.clone() })
            }
            (Some(Text(fixed)), _) => Ok(fixed.clone()),
            (None, None) => Err(Refusal::Nameless),
            (None, Some(asked)) if taken(asked) => Err(Refusal::Taken(asked.clone())),
            (None, Some(asked)) => Ok(asked.clone()),
        }
    }
}

impl Use {
    fn again(&self, kind: Role) -> Admission {
        Admission { kind, name: self.name.0.clone(), uid: self.uid.0, first: false }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_800_000_000;
    const EXPIRES: u64 = NOW + 3600;

    fn book(name: Option<&str>) -> TokenBook {
        let mut book = TokenBook::default();
        let terms =
            Terms { kind: Role::Agent, name: name.map(|name| name.parse().unwrap()), expires: EXPIRES };
        book.issue(NOW, "t".to_owned(), &Secret([1; 16]), terms).unwrap();
        book
    }

    fn claim(key: &str, name: Option<&str>) -> Claim {
        Claim {
            id: "t".to_owned(),
            secret: Secret([1; 16]),
            kind: Role::Agent,
            name: name.map(|name| name.parse().unwrap()),
            key: Fingerprint::of(key.as_bytes()),
        }
    }

    fn redeem(book: &mut TokenBook, now: u64, claim: &Claim, uid: u128) -> Result<Admission, Refusal> {
        let admission = book.judge(now, claim, Uid(uid), |name| name.as_str() == "taken")?;
        book.redeem(claim, &admission);
        Ok(admission)
    }

    #[test]
    fn one_key_gets_one_answer_however_often_it_asks() {
        let mut book = book(None);
        let first = redeem(&mut book, NOW, &claim("a", Some("press-3")), 1).unwrap();
        assert!(first.first);
        let before = book.clone();
        for now in [NOW + 1, EXPIRES + 1] {
            let again = redeem(&mut book, now, &claim("a", Some("press-3")), 2).unwrap();
            assert_eq!(again, Admission { first: false, ..first.clone() });
        }
        assert_eq!(redeem(&mut book, NOW, &claim("b", Some("press-3")), 3), Err(Refusal::Used));
        assert_eq!(book, before, "a repetition and a refusal leave the book as it is");
    }

    #[test]
    fn refusals_say_why_and_use_nothing_up() {
        let mut book = book(None);
        let good = claim("a", Some("press-3"));
        let hub = Claim { kind: Role::Hub, ..good.clone() };
        let guess = Claim { secret: Secret([2; 16]), ..good.clone() };
        let other = Claim { id: "u".to_owned(), ..good.clone() };
        let mut refusal = |now, claim: &Claim| redeem(&mut book, now, claim, 1).unwrap_err();
        assert_eq!(refusal(EXPIRES + 1, &good), Refusal::Expired);
        assert_eq!(refusal(NOW, &hub), Refusal::Kind { token: Role::Agent, claimed: Role::Hub });
        assert_eq!(refusal(NOW, &guess), Refusal::Unknown);
        assert_eq!(refusal(NOW, &other), Refusal::Unknown);
        assert_eq!(refusal(NOW, &claim("a", None)), Refusal::Nameless);
        assert_eq!(refusal(NOW, &claim("a", Some("taken"))), Refusal::Taken("taken".parse().unwrap()));
        assert!(redeem(&mut book, EXPIRES, &good, 1).is_ok());
    }

    #[test]
    fn a_fixed_name_is_the_only_one_and_may_replace() {
        let mut fixed = book(Some("taken"));
        let refused = redeem(&mut fixed, NOW, &claim("a", Some("press-4")), 1).unwrap_err();
        assert!(matches!(refused, Refusal::Name { .. }));
        assert_eq!(redeem(&mut fixed, NOW, &claim("a", None), 1).unwrap().name.as_str(), "taken");
    }

    #[test]
    fn forgotten_tokens_are_unknown() {
        let mut old = book(None);
        redeem(&mut old, NOW, &claim("a", Some("x")), 1).unwrap();
        old.prune(EXPIRES + MEMORY_SECS);
        assert!(redeem(&mut old, NOW, &claim("a", Some("x")), 1).is_ok());
        old.prune(EXPIRES + MEMORY_SECS + 1);
        assert_eq!(old, TokenBook::default());
        assert_eq!(redeem(&mut old, NOW, &claim("a", Some("x")), 1), Err(Refusal::Unknown));
    }

    #[test]
    fn what_was_used_or_has_expired_makes_no_book_full() {
        let mut book = book(None);
        redeem(&mut book, NOW, &claim("a", Some("x")), 1).unwrap();
        let issue = |book: &mut TokenBook, now, id: String| {
            let terms = Terms { kind: Role::Agent, name: None, expires: now + 3600 };
            book.issue(now, id, &Secret([1; 16]), terms)
        };
        let mut full = book.clone();
        full.tokens.extend((0..TOKENS_MAX).map(|number| (number.to_string(), unused(EXPIRES))));
        assert_eq!(issue(&mut full, NOW, "more".to_owned()), Err(IssueError::Full));
        issue(&mut full, EXPIRES + 1, "more".to_owned()).unwrap();
        assert_eq!(full.tokens.len(), REMEMBERED_MAX + 1, "the oldest is forgotten");
        assert!(full.tokens.contains_key("more"));
    }

    fn unused(expires: u64) -> Entry {
        Entry { expires, used: None, ..book(None).tokens["t"].clone() }
    }

    #[test]
    fn a_book_keeps_no_secret_and_admits_no_administrator() {
        let mut book = book(None);
        let labels = Labels::from([("line".to_owned(), "cnc".to_owned())]);
        book.set_labels("t", labels.clone());
        assert_eq!(book.labels("t"), labels);
        let text = serde_json::to_string(&book).unwrap();
        assert!(!text.contains(&"01".repeat(16)) && !text.contains("1,1,1"), "{text}");
        assert_eq!(serde_json::from_str::<TokenBook>(&text).unwrap(), book);
        let admin = Terms { kind: Role::Admin, name: None, expires: EXPIRES };
        assert_eq!(book.issue(NOW, "x".to_owned(), &Secret([1; 16]), admin), Err(IssueError::Kind));
    }
}
