//! One segment of a path, or the name of an object inside its project.
//!
//! The rule is that of a Kubernetes DNS label (RFC 1123), so that every name can be a Kubernetes
//! object's name, a label's value and a segment of a SPIFFE path without escaping.

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// The longest name, in bytes (RFC 1123 label).
pub const NAME_BYTES_MAX: usize = 63;

/// A valid name: 1 to 63 of `a-z 0-9 -`, beginning and ending with a letter or digit.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(Arc<str>);

/// Why a text is no [`Name`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Nothing was given.
    #[error("a name must not be empty")]
    Empty,
    /// More than [`NAME_BYTES_MAX`] bytes.
    #[error("name of {0} bytes is longer than {NAME_BYTES_MAX}")]
    TooLong(usize),
    /// A character outside the alphabet, or a hyphen at an end.
    #[error("name {0:?} must consist of a-z, 0-9 and '-', and begin and end with a letter or digit")]
    Malformed(String),
}

impl Name {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Name {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        match text.len() {
            0 => Err(Error::Empty),
            length if length > NAME_BYTES_MAX => Err(Error::TooLong(length)),
            _ if !text.bytes().all(allowed) || text.starts_with('-') || text.ends_with('-') => {
                Err(Error::Malformed(text.to_owned()))
            }
            _ => Ok(Self(text.into())),
        }
    }
}

impl Borrow<str> for Name {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_rfc_1123() {
        for good in ["a", "plant-7", "7", "x".repeat(63).as_str()] {
            assert_eq!(good.parse::<Name>().unwrap().as_str(), good);
        }
        assert_eq!("".parse::<Name>(), Err(Error::Empty));
        assert_eq!("x".repeat(64).parse::<Name>(), Err(Error::TooLong(64)));
        for bad in ["-a", "a-", "A", "a.b", "a/b", "a b", "ä"] {
            assert_eq!(bad.parse::<Name>(), Err(Error::Malformed(bad.to_owned())));
        }
    }
}
