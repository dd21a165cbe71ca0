//! Labels, and the selectors over them, with the meaning they have in Kubernetes.

use std::collections::BTreeMap;
use std::fmt;

/// Keys and values that an administrator gives to a cluster.
pub type Labels = BTreeMap<String, String>;

/// The longest label value and the longest name part of a label key, in bytes.
pub const LABEL_BYTES_MAX: usize = 63;
/// The longest prefix of a label key (a DNS subdomain), in bytes.
pub const PREFIX_BYTES_MAX: usize = 253;

/// The most that the labels of one thing take together, in bytes: a record with them fits into a
/// value of the store four times, and nobody writes more than 64 of the longest by hand.
pub const LABELS_BYTES_MAX: usize = 8 * 1024;
/// What is counted for each label beside its text, in bytes.
const LABEL_EXTRA_BYTES: usize = 8;

/// Why a label or a selector is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The key is not `[prefix/]name`.
    #[error(
        "label key {0:?} must be [prefix/]name: letters, digits, '-', '_', '.', at most 63 after the prefix"
    )]
    Key(String),
    /// The value is not a label value.
    #[error(
        "value {value:?} of label {key:?} must be at most 63 letters, digits, '-', '_' or '.', and begin and end with a letter or digit"
    )]
    Value {
        /// The label's key.
        key: String,
        /// The refused value.
        value: String,
    },
    /// Together they take more than [`LABELS_BYTES_MAX`].
    #[error("the {count} labels take {bytes} bytes, at most {LABELS_BYTES_MAX} are kept: remove some")]
    TooMany {
        /// How many.
        count: usize,
        /// What they take.
        bytes: usize,
    },
    /// `In` and `NotIn` need values, `Exists` and `DoesNotExist` take none.
    #[error("operator {operator} on label {key:?} {problem}")]
    Values {
        /// The label's key.
        key: String,
        /// The operator's name.
        operator: &'static str,
        /// What is wrong with its values.
        problem: &'static str,
    },
}

/// Checks all labels of one thing.
pub fn check_all(labels: &Labels) -> Result<(), Error> {
    labels.iter().try_for_each(|(key, value)| check(key, value))?;
    let bytes = labels.iter().map(|(key, value)| key.len() + value.len() + LABEL_EXTRA_BYTES).sum();
    if bytes > LABELS_BYTES_MAX { Err(Error::TooMany { count: labels.len(), bytes }) } else { Ok(()) }
}

/// Checks one label.
pub fn check(key: &str, value: &str) -> Result<(), Error> {
    check_key(key)?;
    if value.is_empty() || is_word(value) {
        Ok(())
    } else {
        Err(Error::Value { key: key.to_owned(), value: value.to_owned() })
    }
}

/// A label is there with another value than the one that is to be set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taken {
    /// Its key.
    pub key: String,
    /// Its present value.
    pub value: String,
}

/// The labels after some are set (with a value) or removed (without).
///
/// # Errors
/// One has another value already, and `overwrite` is not set.
pub fn change(
    labels: &Labels,
    changes: impl IntoIterator<Item = (String, Option<String>)>,
    overwrite: bool,
) -> Result<Labels, Taken> {
    let mut labels = labels.clone();
    for (key, value) in changes {
        match (labels.get(&key), value) {
            (Some(old), Some(new)) if *old != new && !overwrite => {
                return Err(Taken { value: old.clone(), key });
            }
            (_, Some(new)) => labels.insert(key, new),
            (_, None) => labels.remove(&key),
        };
    }
    Ok(labels)
}

fn check_key(key: &str) -> Result<(), Error> {
    let (prefix, name) = key.split_once('/').map_or((None, key), |(prefix, name)| (Some(prefix), name));
    let prefix_ok = prefix.is_none_or(|prefix| {
        prefix.len() <= PREFIX_BYTES_MAX && prefix.split('.').all(|part| part.parse::<crate::Name>().is_ok())
    });
    if prefix_ok && is_word(name) { Ok(()) } else { Err(Error::Key(key.to_owned())) }
}

fn is_word(text: &str) -> bool {
    let end_ok = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    let bytes = text.as_bytes();
    bytes.len() <= LABEL_BYTES_MAX
        && end_ok(bytes.first())
        && end_ok(bytes.last())
        && bytes.iter().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(b))
}

/// Requirements that must all hold; with none, everything matches.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Selector(pub Vec<Requirement>);

/// One requirement on one label.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Requirement {
    /// The label's key.
    pub key: String,
    /// What is asked of its value.
    pub operator: Operator,
}

/// What a requirement asks of a label's value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operator {
    /// The label is there and has one of these values.
    In(Vec<String>),
    /// The label is absent or has none of these values.
    NotIn(Vec<String>),
    /// The label is there.
    Exists,
    /// The label is absent.
    DoesNotExist,
}

impl Operator {
    /// The operator's name as written in YAML.
    pub fn name(&self) -> &'static str {
        match self {
            Self::In(_) => "In",
            Self::NotIn(_) => "NotIn",
            Self::Exists => "Exists",
            Self::DoesNotExist => "DoesNotExist",
        }
    }
}

impl Selector {
    /// The selector that asks for exactly this label.
    pub fn equal(key: &str, value: &str) -> Self {
        Self(vec![Requirement { key: key.to_owned(), operator: Operator::In(vec![value.to_owned()]) }])
    }

    /// Whether all requirements hold.
    pub fn matches(&self, labels: &Labels) -> bool {
        self.0.iter().all(|requirement| requirement.matches(labels))
    }

    /// Checks keys, values and that each operator has the values it needs.
    pub fn validate(&self) -> Result<(), Error> {
        self.0.iter().try_for_each(Requirement::validate)
    }
}

impl Requirement {
    /// Whether the requirement holds.
    pub fn matches(&self, labels: &Labels) -> bool {
        let value = labels.get(&self.key);
        match &self.operator {
            Operator::In(values) => value.is_some_and(|value| values.contains(value)),
            Operator::NotIn(values) => value.is_none_or(|value| !values.contains(value)),
            Operator::Exists => value.is_some(),
            Operator::DoesNotExist => value.is_none(),
        }
    }

    fn validate(&self) -> Result<(), Error> {
        check_key(&self.key)?;
        match &self.operator {
            Operator::In(values) | Operator::NotIn(values) if values.is_empty() => Err(Error::Values {
                key: self.key.clone(),
                operator: self.operator.name(),
                problem: "needs at least one value",
            }),
            Operator::In(values) | Operator::NotIn(values) => {
                values.iter().try_for_each(|value| check(&self.key, value))
            }
            Operator::Exists | Operator::DoesNotExist => Ok(()),
        }
    }
}

impl fmt::Display for Selector {
    /// Writes the form that kubectl's `-l` reads.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, requirement) in self.0.iter().enumerate() {
            if at > 0 {
                f.write_str(",")?;
            }
            let key = &requirement.key;
            match &requirement.operator {
                Operator::In(values) if values.len() == 1 => write!(f, "{key}={}", values[0])?,
                Operator::NotIn(values) if values.len() == 1 => write!(f, "{key}!={}", values[0])?,
                Operator::In(values) => write!(f, "{key} in ({})", values.join(","))?,
                Operator::NotIn(values) => write!(f, "{key} notin ({})", values.join(","))?,
                Operator::Exists => f.write_str(key)?,
                Operator::DoesNotExist => write!(f, "!{key}")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> Labels {
        pairs.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect()
    }

    #[test]
    fn operators_mean_what_they_mean_in_kubernetes() {
        let line = |operator| Requirement { key: "line".into(), operator };
        let cnc = labels(&[("line", "cnc")]);
        let none = labels(&[]);
        for (operator, on_cnc, on_none) in [
            (Operator::In(vec!["cnc".into()]), true, false),
            (Operator::In(vec!["press".into()]), false, false),
            (Operator::NotIn(vec!["cnc".into()]), false, true),
            (Operator::NotIn(vec!["press".into()]), true, true),
            (Operator::Exists, true, false),
            (Operator::DoesNotExist, false, true),
        ] {
            let requirement = line(operator);
            assert_eq!(requirement.matches(&cnc), on_cnc, "{requirement:?}");
            assert_eq!(requirement.matches(&none), on_none, "{requirement:?}");
        }
    }

    #[test]
    fn keys_and_values_are_checked() {
        assert_eq!(check_all(&labels(&[("canopy.dev/line", "cnc_1.2"), ("line", "")])), Ok(()));
        for bad in ["", "/line", "a/b/c", "-line", "UPPER.dev/line", &"x".repeat(64)] {
            assert_eq!(check_all(&labels(&[(bad, "v")])), Err(Error::Key(bad.to_owned())));
        }
        assert!(matches!(check_all(&labels(&[("line", "a b")])), Err(Error::Value { .. })));
        let empty = Selector(vec![Requirement { key: "line".into(), operator: Operator::In(vec![]) }]);
        assert!(matches!(empty.validate(), Err(Error::Values { .. })));
    }

    #[test]
    fn labels_are_bounded_together() {
        let many = |count| (0..count).map(|at| (format!("{at:0>63}"), "x".repeat(57))).collect::<Labels>();
        assert_eq!(check_all(&many(64)), Ok(()));
        assert_eq!(check_all(&many(65)), Err(Error::TooMany { count: 65, bytes: 65 * 128 }));
    }
}
