//! A join token: all that a new node needs to find its parent, to know it, and to be let in.
//!
//! It is one line without spaces. It carries a checksum, so that a token that was mistyped or cut
//! short is recognised where it was typed, and the hash of the fleet's root, so that the node knows
//! the hub before it tells the secret.

use std::fmt;
use std::str::FromStr;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64;
use canopy_model::{Name, Path};
use serde::{Deserialize, Serialize};

use crate::certificate::Fingerprint;
use crate::peer::Role;
use crate::text::Text;

/// How a token starts, whatever its version.
const PREFIX: &str = "canopy-join-";

/// The checksum's length: one mistake in four billion passes, and then meets the hub.
const CHECKSUM_BYTES: usize = 4;

/// How long a token can be used unless it says otherwise: an hour, enough to walk to a machine.
pub const TOKEN_LIFE_SECS: u64 = 60 * 60;

/// What a token proves itself by. Not shown by `Debug`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Secret(pub [u8; 16]);

/// A join token as its holder sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JoinToken {
    /// Names the token; no secret.
    pub id: String,
    /// Proves the token.
    pub secret: Secret,
    /// The hash of the fleet's root certificate.
    pub pin: Fingerprint,
    /// The hub to join.
    pub parent: Path,
    /// Where that hub listens, as `host:port`, in the order to try.
    pub addresses: Vec<String>,
    /// Whether it admits a hub or an agent.
    pub kind: Role,
    /// The only name that it admits, or any that is free.
    pub name: Option<Name>,
    /// The last second at which it can be used first, in seconds since 1970.
    pub expires: u64,
}

/// Why a text is no join token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Something else altogether.
    #[error("this is no join token: one starts with {PREFIX:?}; `canopy token create` prints one")]
    NotAToken,
    /// The checksum does not hold.
    #[error("the join token is mistyped or cut short: copy the whole line again")]
    Mistyped,
    /// It is whole, and of a form that this version does not know.
    #[error("the join token was made by another version of canopy: {0}")]
    Version(String),
}

/// The token's content on the wire; short names keep the line short.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Content {
    id: String,
    key: String,
    pin: Text<Fingerprint>,
    hub: Text<Path>,
    at: Vec<String>,
    kind: Text<Role>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    name: Option<Text<Name>>,
    exp: u64,
}

impl fmt::Display for JoinToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let content = Content {
            id: self.id.clone(),
            key: BASE64.encode(self.secret.0),
            pin: Text(self.pin),
            hub: Text(self.parent.clone()),
            at: self.addresses.clone(),
            kind: Text(self.kind),
            name: self.name.clone().map(Text),
            exp: self.expires,
        };
        let mut bytes = serde_json::to_vec(&content).map_err(|_| fmt::Error)?;
        bytes.extend(checksum(&bytes));
        write!(f, "{PREFIX}{}", BASE64.encode(bytes))
    }
}

impl FromStr for JoinToken {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let body = text.trim().strip_prefix(PREFIX).ok_or(Error::NotAToken)?;
        let bytes = BASE64.decode(body).map_err(|_| Error::Mistyped)?;
        let (json, sum) = bytes.split_last_chunk::<CHECKSUM_BYTES>().ok_or(Error::Mistyped)?;
        if *sum != checksum(json) {
            return Err(Error::Mistyped);
        }
        let content: Content =
            serde_json::from_slice(json).map_err(|error| Error::Version(error.to_string()))?;
        let secret = BASE64.decode(content.key).ok().and_then(|key| key.try_into().ok());
        Ok(Self {
            id: content.id,
            secret: Secret(secret.ok_or_else(|| Error::Version("its secret has another length".to_owned()))?),
            pin: content.pin.0,
            parent: content.hub.0,
            addresses: content.at,
            kind: content.kind.0,
            name: content.name.map(|name| name.0),
            expires: content.exp,
        })
    }
}

fn checksum(bytes: &[u8]) -> [u8; CHECKSUM_BYTES] {
    *blake3::hash(bytes).as_bytes().first_chunk().expect("a hash is longer than a checksum")
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn token() -> JoinToken {
        JoinToken {
            id: "k3v9".to_owned(),
            secret: Secret([7; 16]),
            pin: Fingerprint::of(b"root"),
            parent: "eu/plant-7".parse().unwrap(),
            addresses: vec!["hub.plant-7.example:7443".to_owned(), "10.1.2.3:7443".to_owned()],
            kind: Role::Agent,
            name: Some("press-3".parse().unwrap()),
            expires: 1_800_000_000,
        }
    }

    #[test]
    fn a_token_is_one_word_that_reads_back() {
        let line = token().to_string();
        assert!(!line.contains(char::is_whitespace));
        assert_eq!(line.parse(), Ok(token()));
        assert_eq!(format!("  {line}\n").parse(), Ok(token()), "as a terminal copies it");
    }

    #[test]
    fn other_texts_say_what_they_are() {
        assert_eq!("hello".parse::<JoinToken>(), Err(Error::NotAToken));
        let whole = token().to_string();
        assert_eq!(whole[..whole.len() - 4].parse::<JoinToken>(), Err(Error::Mistyped));
        let mut later = br#"{"id":"k3v9","new":1}"#.to_vec();
        later.extend(checksum(&later));
        let later = format!("{PREFIX}{}", BASE64.encode(later));
        assert!(matches!(later.parse::<JoinToken>(), Err(Error::Version(_))));
    }

    #[test]
    fn debug_does_not_show_the_secret() {
        let shown = format!("{:?}", token());
        assert!(shown.contains("secret: Secret,"), "{shown}");
    }

    proptest! {
        #[test]
        fn one_wrong_character_is_noticed(at in 0usize..300, other in "[A-Za-z0-9_-]") {
            let mut line = token().to_string();
            let at = PREFIX.len() + at % (line.len() - PREFIX.len());
            prop_assume!(line[at..=at] != other);
            line.replace_range(at..=at, &other);
            prop_assert_eq!(line.parse::<JoinToken>(), Err(Error::Mistyped));
        }
    }
}
