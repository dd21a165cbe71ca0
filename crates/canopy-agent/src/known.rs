//! Which cluster this agent works on: the one that it found first.
//!
//! An API server's address may come to lead to another cluster: one that was built anew, or a wrong
//! context. Its objects are not those that the agent made, so nothing is asked of it until somebody
//! says that it is meant.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The id of the cluster, in a file of the data folder.
#[derive(Debug, Clone)]
pub(crate) struct Known(PathBuf);

/// Why nothing is asked of a cluster.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// It is another one.
    #[error(
        "this is another cluster than the one that the agent has worked on (its id is {found}, not {known}): \
         nothing is changed in it; if it is to take the other's place, remove {} at the agent",
        file.display()
    )]
    Another { known: String, found: String, file: PathBuf },
    /// The file can't be used.
    #[error("{}, which tells the cluster that the agent works on, cannot be used", file.display())]
    File {
        file: PathBuf,
        #[source]
        source: io::Error,
    },
}

impl Known {
    pub(crate) fn new(file: &Path) -> Self {
        Self(file.to_owned())
    }

    /// Checks that this is the cluster that the agent works on; the first one is.
    pub(crate) fn check(&self, found: &str) -> Result<(), Error> {
        let failed = |source| Error::File { file: self.0.clone(), source };
        match fs::read_to_string(&self.0) {
            Ok(known) if known.trim() == found => Ok(()),
            Ok(known) => Err(Error::Another {
                known: known.trim().to_owned(),
                found: found.to_owned(),
                file: self.0.clone(),
            }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                fs::write(&self.0, format!("{found}\n")).map_err(failed)
            }
            Err(error) => Err(failed(error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_cluster_is_refused_until_somebody_forgets_the_first() {
        let place = tempfile::tempdir().unwrap();
        let file = place.path().join("cluster-id");
        let known = Known::new(&file);
        known.check("a").unwrap();
        known.check("a").unwrap();
        let refused = known.check("b").unwrap_err().to_string();
        assert!(refused.contains("its id is b, not a") && refused.contains("cluster-id"), "{refused}");
        known.check("a").unwrap();
        fs::remove_file(&file).unwrap();
        known.check("b").unwrap();
        assert!(known.check("a").is_err());
    }
}
