//! What the engine holds for a key: a version, a checksum over key and value, the value.

/// The only version that this build reads and writes.
pub(crate) const VERSION: u8 = 1;

/// Version byte and checksum.
const HEADER_BYTES: usize = 1 + size_of::<u32>();

/// Why a record can't be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Error {
    /// Another version wrote it.
    Version(u8),
    /// It is not what was written at this key.
    Checksum,
}

/// The record for a key and its value.
pub(crate) fn encode(key: &[u8], value: &[u8]) -> Vec<u8> {
    let mut record = Vec::with_capacity(HEADER_BYTES + value.len());
    record.push(VERSION);
    record.extend(checksum(key, value).to_le_bytes());
    record.extend(value);
    record
}

/// The value of a record that was found at this key.
pub(crate) fn decode<'a>(key: &[u8], record: &'a [u8]) -> Result<&'a [u8], Error> {
    let (version, rest) = record.split_first().ok_or(Error::Checksum)?;
    if *version != VERSION {
        return Err(Error::Version(*version));
    }
    let (sum, value) = rest.split_first_chunk().ok_or(Error::Checksum)?;
    if u32::from_le_bytes(*sum) == checksum(key, value) { Ok(value) } else { Err(Error::Checksum) }
}

/// The key is part of it: a record that turns up at another key is as wrong as a changed one.
fn checksum(key: &[u8], value: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(key);
    hasher.update(value);
    hasher.finalize()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_read_only_as_it_was_written() {
        let record = encode(b"key", b"value");
        assert_eq!(decode(b"key", &record), Ok(&b"value"[..]));
        assert_eq!(decode(b"kez", &record), Err(Error::Checksum));
        for length in 0..record.len() {
            assert_eq!(decode(b"key", &record[..length]), Err(Error::Checksum), "cut to {length}");
        }
        for bit in 8..record.len() * 8 {
            let mut flipped = record.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(decode(b"key", &flipped), Err(Error::Checksum), "bit {bit}");
        }
        let newer = [&[2][..], &record[1..]].concat();
        assert_eq!(decode(b"key", &newer), Err(Error::Version(2)));
    }
}
