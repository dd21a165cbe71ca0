//! Random 128-bit identifiers that are never used twice.
//!
//! They are drawn by the shells and handed to the core, which has no source of randomness.

use std::fmt;
use std::str::FromStr;

/// A text that is no identifier of 32 hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no uid: expected 32 hexadecimal digits, with or without hyphens")]
pub struct Error(String);

/// The permanent identity of an object, a hub or a cluster.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Uid(pub u128);

impl fmt::Display for Uid {
    /// Writes the form of a UUID, as Kubernetes does.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hex = format!("{:032x}", self.0);
        write!(f, "{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
    }
}

impl fmt::Debug for Uid {
    /// The first eight digits: enough to follow one object through a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", self.0 >> 96)
    }
}

impl FromStr for Uid {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let digits: String = text.chars().filter(|c| *c != '-').collect();
        let hexadecimal = digits.len() == 32 && digits.bytes().all(|b| b.is_ascii_hexdigit());
        match u128::from_str_radix(&digits, 16) {
            Ok(value) if hexadecimal => Ok(Self(value)),
            _ => Err(Error(text.to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_form_is_a_uuid_and_reads_back() {
        let uid = Uid(0x0123_4567_89ab_cdef_0123_4567_89ab_cdef);
        assert_eq!(uid.to_string(), "01234567-89ab-cdef-0123-456789abcdef");
        assert_eq!(uid.to_string().parse(), Ok(uid));
        assert!("+1234567-89ab-cdef-0123-456789abcdef".parse::<Uid>().is_err());
        assert!("12".parse::<Uid>().is_err());
    }
}
