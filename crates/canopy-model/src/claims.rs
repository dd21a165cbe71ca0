//! What an agent says about its cluster. Labels are what its hub records.

use std::collections::BTreeMap;

use crate::labels;

/// Values by name, such as `kubeversion`.
pub type Claims = BTreeMap<String, String>;

/// The names that a cluster fills in by itself, which are Open Cluster Management's, and the one that
/// tells why people hold a machine.
pub const RESERVED: [&str; 6] =
    ["id.k8s.io", "kubeversion", "platform", "product", "architecture", "hold.canopy.dev"];
/// The most claims of an administrator's own, as in Open Cluster Management.
pub const CUSTOM_MAX: usize = 20;
/// The longest value of such a claim, in bytes: all of them together fit into one row.
pub const VALUE_BYTES_MAX: usize = 1024;

/// Why a claim of an administrator's own is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// It has no value.
    #[error("{0:?} is no claim: write NAME=VALUE")]
    Form(String),
    /// Its name has another form than a label's key.
    #[error("a claim's name is written as a label's key")]
    Name(#[source] labels::Error),
    /// The cluster fills it in.
    #[error("the claim {0} is filled in by the agent: choose another name")]
    Reserved(String),
    /// It has no value, or a long one.
    #[error("the claim {name} has a value of {bytes} bytes, it takes 1 to {VALUE_BYTES_MAX}")]
    Value {
        /// Its name.
        name: String,
        /// Of its value.
        bytes: usize,
    },
    /// More than [`CUSTOM_MAX`].
    #[error("{0} claims, at most {CUSTOM_MAX} are told: leave some out")]
    TooMany(usize),
}

/// Reads claims of an administrator's own, each `NAME=VALUE`.
pub fn custom(words: &[String]) -> Result<Claims, Error> {
    let mut claims = Claims::new();
    for word in words {
        let (name, value) = word.split_once('=').ok_or_else(|| Error::Form(word.clone()))?;
        labels::check(name, "").map_err(Error::Name)?;
        if RESERVED.contains(&name) {
            return Err(Error::Reserved(name.to_owned()));
        }
        if value.is_empty() || value.len() > VALUE_BYTES_MAX {
            return Err(Error::Value { name: name.to_owned(), bytes: value.len() });
        }
        claims.insert(name.to_owned(), value.to_owned());
    }
    if claims.len() > CUSTOM_MAX { Err(Error::TooMany(claims.len())) } else { Ok(claims) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn claims_of_ones_own_are_checked() {
        let read = |words: &[&str]| custom(&words.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>());
        let two = read(&["plc.example.com/model=S7=1500", "shift=night"]).unwrap();
        assert_eq!(two["plc.example.com/model"], "S7=1500");
        assert_eq!(read(&["shift"]), Err(Error::Form("shift".to_owned())));
        assert_eq!(read(&["platform=AWS"]), Err(Error::Reserved("platform".to_owned())));
        assert!(matches!(read(&["a b=c"]), Err(Error::Name(_))));
        assert!(matches!(read(&["a="]), Err(Error::Value { bytes: 0, .. })));
        let many: Vec<String> = (0..=CUSTOM_MAX).map(|at| format!("c{at}=x")).collect();
        assert_eq!(custom(&many), Err(Error::TooMany(CUSTOM_MAX + 1)));
    }
}
