//! Label selectors as text, in the form that kubectl's `-l` reads and [`Selector`] displays:
//! `line=cnc,site!=graz,tier in (a,b),tier notin (c),spare,!retired`.

use canopy_model::labels::{self, Operator};
use canopy_model::{Requirement, Selector};

/// Why a text is no selector.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A requirement that cannot be read.
    #[error(
        "label selector {0:?} is not valid: write key=value, key!=value, key in (a,b), key notin (a,b), key or !key"
    )]
    Malformed(String),
    /// A key or value that no label can have.
    #[error("label selector is not valid")]
    Label(#[source] labels::Error),
}

/// Reads a selector; nothing selects everything.
pub fn parse(text: &str) -> Result<Selector, Error> {
    if text.trim().is_empty() {
        return Ok(Selector::default());
    }
    let selector = Selector(split(text).map(requirement).collect::<Result<_, _>>()?);
    selector.validate().map_err(Error::Label)?;
    Ok(selector)
}

/// Splits at the commas outside parentheses.
fn split(text: &str) -> impl Iterator<Item = &str> {
    let mut depth = 0_usize;
    text.split(move |character| {
        match character {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            _ => (),
        }
        character == ',' && depth == 0
    })
}

fn requirement(text: &str) -> Result<Requirement, Error> {
    let text = text.trim();
    let one = |value: &str| vec![value.trim().to_owned()];
    let (key, operator) = if let Some((key, value)) = text.split_once("!=") {
        (key, Operator::NotIn(one(value)))
    } else if let Some((key, value)) = text.split_once("==").or_else(|| text.split_once('=')) {
        (key, Operator::In(one(value)))
    } else if let Some((key, rest)) = text.split_once(" notin ") {
        (key, Operator::NotIn(set(rest).ok_or_else(|| Error::Malformed(text.to_owned()))?))
    } else if let Some((key, rest)) = text.split_once(" in ") {
        (key, Operator::In(set(rest).ok_or_else(|| Error::Malformed(text.to_owned()))?))
    } else if let Some(key) = text.strip_prefix('!') {
        (key, Operator::DoesNotExist)
    } else {
        (text, Operator::Exists)
    };
    let key = key.trim();
    if key.is_empty() || key.contains(char::is_whitespace) {
        return Err(Error::Malformed(text.to_owned()));
    }
    Ok(Requirement { key: key.to_owned(), operator })
}

fn set(text: &str) -> Option<Vec<String>> {
    let inside = text.trim().strip_prefix('(')?.strip_suffix(')')?;
    Some(inside.split(',').map(|value| value.trim().to_owned()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_displayed_reads_back() {
        for text in ["", "line=cnc", "line=cnc,site!=graz", "tier in (a,b),!spare", "tier notin (a,b),spare"]
        {
            assert_eq!(parse(text).unwrap().to_string(), text);
        }
        assert_eq!(parse(" line == cnc , tier in ( a , b )").unwrap().to_string(), "line=cnc,tier in (a,b)");
    }

    #[test]
    fn what_is_no_selector_is_refused() {
        for text in ["line=cnc,", "=cnc", "tier in a,b", "tier in (a", "a b", "a=b=c", "tier notin ()x"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
