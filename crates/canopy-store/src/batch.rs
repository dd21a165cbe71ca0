//! The changes of one commit.

/// The longest key, in bytes: a leaf's keys must fit beside its values.
pub const KEY_BYTES_MAX: usize = 512;

/// The longest value, in bytes. What is larger belongs into a blob of canopy-content, and its digest here.
pub const VALUE_BYTES_MAX: usize = 32 * 1024;

/// Changes that become durable together, or not at all. Of two changes to one key the later counts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Batch {
    /// Each key with its new value; none deletes it.
    pub(crate) changes: Vec<(Vec<u8>, Option<Vec<u8>>)>,
}

impl Batch {
    /// Sets a key to a value. The limits are checked by the commit.
    pub fn put(&mut self, key: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) {
        self.changes.push((key.into(), Some(value.into())));
    }

    /// Removes a key; one that does not exist stays absent.
    pub fn delete(&mut self, key: impl Into<Vec<u8>>) {
        self.changes.push((key.into(), None));
    }

    /// Whether there is nothing to commit.
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    /// The number of changes.
    pub fn len(&self) -> usize {
        self.changes.len()
    }
}
