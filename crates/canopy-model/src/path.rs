//! Where a node stands in the tree: the names from the root's child down to the node.
//!
//! Paths compare segment by segment, never as one string: `plant-7` is no prefix of `plant-70`, and
//! `a/b` sorts before `a-b`. The root's path has no segments and is written `/`.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use crate::name::{self, Name};

/// The deepest path: six tiers of hubs below the root, and a cluster (X.509 verification follows
/// six intermediate certificates).
pub const PATH_SEGMENTS_MAX: usize = 7;

/// A place in the tree, such as `eu/plant-7/press-3`.
#[derive(Clone, PartialEq, Eq, Hash, Default)]
pub struct Path(Arc<str>);

/// Why a text is no [`Path`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// One of the segments is no name.
    #[error("path {path:?} has a bad segment")]
    Segment {
        /// The whole text.
        path: String,
        /// What is wrong with the segment.
        #[source]
        source: name::Error,
    },
    /// More than [`PATH_SEGMENTS_MAX`] segments.
    #[error("path {0:?} has more than {PATH_SEGMENTS_MAX} segments")]
    TooDeep(String),
}

impl Path {
    /// The root's own path.
    pub fn root() -> Self {
        Self::default()
    }

    /// Whether this is the root's path.
    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// The segments from the top down.
    pub fn segments(&self) -> impl DoubleEndedIterator<Item = &str> {
        self.0.split('/').filter(|segment| !segment.is_empty())
    }

    /// How many segments; 0 for the root.
    pub fn depth(&self) -> usize {
        self.segments().count()
    }

    /// The last segment; none for the root.
    pub fn name(&self) -> Option<Name> {
        self.segments().next_back().map(segment)
    }

    /// The path of the hub above; none for the root.
    pub fn parent(&self) -> Option<Path> {
        if self.is_root() {
            return None;
        }
        Some(Path(self.0.rsplit_once('/').map_or("", |(head, _)| head).into()))
    }

    /// The path of the child `name`.
    pub fn child(&self, name: &Name) -> Path {
        if self.is_root() { Path(name.as_str().into()) } else { Path(format!("{}/{name}", self.0).into()) }
    }

    /// Whether `other` is this node or below it, by whole segments.
    pub fn contains(&self, other: &Path) -> bool {
        let mut theirs = other.segments();
        self.segments().all(|mine| theirs.next() == Some(mine))
    }

    /// The child of this node on the way down to `other`; none when `other` is not below.
    pub fn child_towards(&self, other: &Path) -> Option<Name> {
        if !self.contains(other) {
            return None;
        }
        other.segments().nth(self.depth()).map(segment)
    }
}

fn segment(text: &str) -> Name {
    text.parse().expect("segments of a path are valid names")
}

impl FromStr for Path {
    type Err = Error;

    /// Reads `a/b/c`; a leading slash is allowed, and `/` or nothing is the root.
    fn from_str(text: &str) -> Result<Self, Error> {
        let body = text.strip_prefix('/').unwrap_or(text);
        if body.is_empty() {
            return Ok(Self::root());
        }
        for part in body.split('/') {
            part.parse::<Name>().map_err(|source| Error::Segment { path: text.to_owned(), source })?;
        }
        let path = Self(body.into());
        if path.depth() > PATH_SEGMENTS_MAX {
            return Err(Error::TooDeep(text.to_owned()));
        }
        Ok(path)
    }
}

impl Ord for Path {
    fn cmp(&self, other: &Self) -> Ordering {
        self.segments().cmp(other.segments())
    }
}

impl PartialOrd for Path {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_root() { "/" } else { &self.0 })
    }
}

impl fmt::Debug for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> Path {
        text.parse().unwrap()
    }

    #[test]
    fn prefixes_are_whole_segments() {
        assert!(path("eu/plant-7").contains(&path("eu/plant-7/press-3")));
        assert!(!path("eu/plant-7").contains(&path("eu/plant-70")));
        assert!(!path("eu/plant-7").contains(&path("eu")));
        assert!(Path::root().contains(&path("eu")));
    }

    #[test]
    fn order_is_by_segment() {
        assert!("a/b" > "a-b", "as plain text the order would be the other one");
        assert!(path("a/b") < path("a-b"));
        assert!(path("a") < path("a/b"));
    }

    #[test]
    fn a_path_knows_its_relatives() {
        let press = path("eu/plant-7/press-3");
        assert_eq!(press.parent(), Some(path("eu/plant-7")));
        assert_eq!(path("eu").parent(), Some(Path::root()));
        assert_eq!(Path::root().parent(), None);
        assert_eq!(path("eu").child_towards(&press).unwrap().as_str(), "plant-7");
        assert_eq!(press.child_towards(&press), None);
        assert_eq!(Path::root().child(&press.name().unwrap()).to_string(), "press-3");
    }

    #[test]
    fn bad_paths_are_refused() {
        for bad in ["a//b", "a/B", "a/../b", "a/"] {
            assert!(matches!(bad.parse::<Path>(), Err(Error::Segment { .. })), "{bad}");
        }
        assert!(matches!("a/b/c/d/e/f/g/h".parse::<Path>(), Err(Error::TooDeep(_))));
        assert_eq!(path("/"), Path::root());
        assert_eq!(path("/eu"), path("eu"));
    }
}
