//! Durable values of a node as the bytes that a store keeps.
//!
//! A key is a tag and its parts, so that slots of one kind, and rows of one table, lie together. A
//! value is protobuf; a received row keeps its author's bytes.
//!
//! - [`key`]: the slots themselves;
//! - [`value`]: what they hold, [`answer`]: answers to commands, [`event`]: what happened.

pub mod answer;
pub mod event;
pub mod key;
pub mod value;

use canopy_core::durable::{Change, Slot, Value};

use crate::wire;

/// Why a stored entry cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The key is of no known kind, too short, or has something left over.
    #[error("the stored key {0} is unknown: the store is damaged or belongs to a newer version")]
    Key(String),
    /// The value is not one of its slot.
    #[error("the stored value of {slot} cannot be read: the store is damaged or belongs to a newer version")]
    Value {
        /// Whose value.
        slot: String,
        /// What is wrong with it.
        #[source]
        source: wire::Error,
    },
}

/// The key, and the value; none when the slot is emptied.
pub fn encode(change: &Change) -> (Vec<u8>, Option<Vec<u8>>) {
    match change {
        Change::Put(slot, value) => (key::encode(slot), Some(value::encode(value))),
        Change::Delete(slot) => (key::encode(slot), None),
    }
}

/// The slot and what it holds.
pub fn decode(key: &[u8], value: &[u8]) -> Result<(Slot, Value), Error> {
    let slot =
        key::decode(key).ok_or_else(|| Error::Key(key.iter().map(|byte| format!("{byte:02x}")).collect()))?;
    match value::decode(&slot, value) {
        Ok(value) => Ok((slot, value)),
        Err(source) => Err(Error::Value { slot: format!("{slot:?}"), source }),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::arbitrary;

    /// The largest value that the default engine keeps safely, in bytes.
    const STORED_BYTES_MAX: usize = 32 * 1024;

    proptest! {
        #[test]
        fn every_change_is_read_back(change in arbitrary::change()) {
            match (encode(&change), &change) {
                ((key, Some(value)), Change::Put(slot, held)) => {
                    prop_assert_eq!(decode(&key, &value), Ok((slot.clone(), held.clone())));
                }
                ((key, None), Change::Delete(slot)) => prop_assert_eq!(key::decode(&key), Some(slot.clone())),
                (encoded, _) => prop_assert!(false, "{encoded:?}"),
            }
        }

        #[test]
        fn damaged_entries_are_refused_without_a_panic(key: Vec<u8>, value: Vec<u8>, change in arbitrary::change()) {
            let _ = decode(&key, &value);
            let _ = decode(&encode(&change).0, &value);
        }

        #[test]
        fn different_slots_have_different_keys(one in arbitrary::slot(), other in arbitrary::slot()) {
            prop_assert_eq!(key::encode(&one) == key::encode(&other), one == other);
        }
    }

    #[test]
    fn the_largest_values_stay_below_what_a_store_keeps() {
        for change in [arbitrary::largest_row(), arbitrary::largest_history()] {
            let (_, value) = encode(&change);
            let bytes = value.unwrap().len();
            assert!((8 * 1024..=STORED_BYTES_MAX).contains(&bytes), "{bytes}");
        }
    }

    #[test]
    fn an_unknown_key_is_named() {
        let error = decode(&[99, 1], &[]).unwrap_err();
        assert!(error.to_string().contains("key 6301 is unknown"), "{error}");
    }
}
