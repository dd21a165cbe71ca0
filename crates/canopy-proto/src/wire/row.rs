//! Rows, their kinds, and what becomes of an author's bytes.

use std::sync::Arc;

use canopy_core::link::Row;
use canopy_core::row::{Body, Key, Payload, RowKind};
use prost::Message;

use super::part::{bytes, read_uid};
use super::{Error, read};
use crate::link::v1;

/// The meaning of bodies that this version writes, and the newest that it reads.
pub const SCHEMA: u32 = 1;

/// The largest value of a row, in bytes: a workload with inline content fits, and what a store keeps
/// beside it still makes no more than 32 KiB, beyond which stores do not keep values safely.
pub const VALUE_BYTES_MAX: usize = 31 * 1024;

/// The number of a kind.
pub fn kind_number(kind: RowKind) -> u32 {
    let known = match kind {
        RowKind::Object => v1::RowKind::Object,
        RowKind::Grant => v1::RowKind::Grant,
        RowKind::Record => v1::RowKind::Record,
        RowKind::Verdict => v1::RowKind::Verdict,
        RowKind::Assignment => v1::RowKind::Assignment,
        RowKind::Report => v1::RowKind::Report,
        RowKind::Claims => v1::RowKind::Claims,
        RowKind::Machine => v1::RowKind::Machine,
        RowKind::Inventory => v1::RowKind::Inventory,
        RowKind::Summary => v1::RowKind::Summary,
        RowKind::Offer => v1::RowKind::Offer,
        RowKind::Selected => v1::RowKind::Selected,
        RowKind::Orphan => v1::RowKind::Orphan,
        RowKind::Fleet => v1::RowKind::Fleet,
        RowKind::Doubt => v1::RowKind::Doubt,
        RowKind::Other(number) => return number,
    };
    known as u32
}

/// The kind of a number.
pub fn kind(number: u32) -> RowKind {
    match i32::try_from(number).ok().and_then(|number| v1::RowKind::try_from(number).ok()) {
        Some(v1::RowKind::Object) => RowKind::Object,
        Some(v1::RowKind::Grant) => RowKind::Grant,
        Some(v1::RowKind::Record) => RowKind::Record,
        Some(v1::RowKind::Verdict) => RowKind::Verdict,
        Some(v1::RowKind::Assignment) => RowKind::Assignment,
        Some(v1::RowKind::Report) => RowKind::Report,
        Some(v1::RowKind::Claims) => RowKind::Claims,
        Some(v1::RowKind::Machine) => RowKind::Machine,
        Some(v1::RowKind::Inventory) => RowKind::Inventory,
        Some(v1::RowKind::Summary) => RowKind::Summary,
        Some(v1::RowKind::Offer) => RowKind::Offer,
        Some(v1::RowKind::Selected) => RowKind::Selected,
        Some(v1::RowKind::Orphan) => RowKind::Orphan,
        Some(v1::RowKind::Fleet) => RowKind::Fleet,
        Some(v1::RowKind::Doubt) => RowKind::Doubt,
        Some(v1::RowKind::Unspecified) | None => RowKind::Other(number),
    }
}

impl From<&Row> for v1::Row {
    fn from(row: &Row) -> Self {
        Self {
            kind: kind_number(row.key.kind),
            uid: bytes(row.key.uid.0),
            version: row.version,
            value: row.payload.as_ref().map(value_bytes),
        }
    }
}

impl TryFrom<v1::Row> for Row {
    type Error = Error;

    fn try_from(row: v1::Row) -> Result<Self, Error> {
        let key = Key { kind: kind(row.kind), uid: read_uid("row.uid", &row.uid)? };
        let payload = row.value.map(|value| payload(key.kind, value)).transpose()?;
        Ok(Self { key, version: row.version, payload })
    }
}

/// The author's bytes, or, where this node is the author, the bytes that it writes.
pub(crate) fn value_bytes(payload: &Payload) -> Vec<u8> {
    match &payload.original {
        Some(original) => original.to_vec(),
        None => v1::Value { schema: SCHEMA, body: body_bytes(&payload.body) }.encode_to_vec(),
    }
}

fn body_bytes(body: &Body) -> Vec<u8> {
    match body {
        Body::Object(object) => v1::Object::from(&**object).encode_to_vec(),
        Body::Grant(count) => v1::Grant { count: *count }.encode_to_vec(),
        Body::Record(record) => v1::Record::from(record).encode_to_vec(),
        Body::Verdict => v1::Verdict {}.encode_to_vec(),
        Body::Doubt => v1::Doubt {}.encode_to_vec(),
        Body::Assignment(assignment) => v1::Assignment::from(assignment).encode_to_vec(),
        Body::Report(report) => v1::Report::from(report).encode_to_vec(),
        Body::Claims(claims) => v1::Claims { claims: claims.clone() }.encode_to_vec(),
        Body::Machine(machine) => v1::Machine::from(machine).encode_to_vec(),
        Body::Inventory(inventory) => v1::Inventory::from(inventory).encode_to_vec(),
        Body::Summary(summary) => v1::Summary::from(summary).encode_to_vec(),
        Body::Offer(offer) => v1::Offer::from(offer).encode_to_vec(),
        Body::Selected(clusters) => v1::Selected { clusters: *clusters }.encode_to_vec(),
        Body::Orphan(orphan) => v1::Orphan::from(orphan).encode_to_vec(),
        Body::Fleet(fleet) => v1::Fleet::from(*fleet).encode_to_vec(),
        Body::Opaque => unreachable!("what was not understood has its author's bytes"),
    }
}

/// What this version understands of a value, and always the value itself.
pub(crate) fn payload(kind: RowKind, value: Vec<u8>) -> Result<Payload, Error> {
    if value.len() > VALUE_BYTES_MAX {
        return Err(Error::TooLarge { field: "row.value", actual: value.len(), max: VALUE_BYTES_MAX });
    }
    let body = body(kind, &value).unwrap_or(Body::Opaque);
    Ok(Payload { body, original: Some(Arc::from(value)) })
}

fn body(kind: RowKind, value: &[u8]) -> Result<Body, Error> {
    let v1::Value { schema, body } = read("a value", value)?;
    if !(1..=SCHEMA).contains(&schema) {
        return Err(Error::Missing("schema"));
    }
    Ok(match kind {
        RowKind::Object => Body::Object(Arc::new(read::<v1::Object>("an object", &body)?.try_into()?)),
        RowKind::Grant => Body::Grant(read::<v1::Grant>("a grant", &body)?.count),
        RowKind::Record => Body::Record(read::<v1::Record>("a record", &body)?.try_into()?),
        RowKind::Doubt => {
            let v1::Doubt {} = read("a doubt", &body)?;
            Body::Doubt
        }
        RowKind::Verdict => {
            let v1::Verdict {} = read("a verdict", &body)?;
            Body::Verdict
        }
        RowKind::Assignment => Body::Assignment(read::<v1::Assignment>("an assignment", &body)?.try_into()?),
        RowKind::Report => Body::Report(read::<v1::Report>("a report", &body)?.try_into()?),
        RowKind::Claims => Body::Claims(read::<v1::Claims>("claims", &body)?.claims),
        RowKind::Machine => Body::Machine(read::<v1::Machine>("a machine", &body)?.into()),
        RowKind::Inventory => Body::Inventory(read::<v1::Inventory>("an inventory", &body)?.into()),
        RowKind::Summary => Body::Summary(read::<v1::Summary>("a summary", &body)?.try_into()?),
        RowKind::Offer => Body::Offer(read::<v1::Offer>("an offer", &body)?.try_into()?),
        RowKind::Selected => Body::Selected(read::<v1::Selected>("a count", &body)?.clusters),
        RowKind::Orphan => Body::Orphan(read::<v1::Orphan>("an orphan", &body)?.try_into()?),
        RowKind::Fleet => Body::Fleet(read::<v1::Fleet>("a fleet", &body)?.into()),
        RowKind::Other(_) => Body::Opaque,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::arbitrary;

    /// What a peer that is written in this version does with a row: reads it, and forwards it.
    fn through(row: &v1::Row) -> (Row, v1::Row) {
        let read = Row::try_from(row.clone()).unwrap();
        let forwarded = v1::Row::from(&read);
        (read, forwarded)
    }

    fn wire(kind: u32, value: Vec<u8>) -> v1::Row {
        v1::Row { kind, uid: bytes(5), version: 3, value: Some(value) }
    }

    proptest! {
        #[test]
        fn an_author_is_understood_and_its_bytes_are_forwarded((kind, body) in arbitrary::body()) {
            let written = value_bytes(&body.clone().into());
            let (read, forwarded) = through(&wire(kind_number(kind), written.clone()));
            let payload = read.payload.unwrap();
            prop_assert_eq!(&payload.body, &body);
            prop_assert_eq!(payload.original.as_deref(), Some(&written[..]));
            prop_assert_eq!(forwarded.value, Some(written));
        }

        #[test]
        fn no_row_is_much_larger_than_its_author_guesses((kind, body) in arbitrary::body()) {
            let uid = canopy_model::Uid(u128::MAX);
            let row = Row { key: Key { kind, uid }, version: u64::MAX, payload: Some(body.into()) };
            let bytes = v1::Row::from(&row).encoded_len();
            prop_assert!(bytes <= row.size_hint(), "{bytes} bytes, guessed {}", row.size_hint());
        }

        #[test]
        fn what_is_not_understood_is_forwarded_too(kind: u32, value: Vec<u8>) {
            let row = wire(kind, value);
            prop_assert_eq!(through(&row).1, row);
        }

        #[test]
        fn kinds_and_numbers_are_one_to_one(number: u32) {
            prop_assert_eq!(kind_number(kind(number % 32)), number % 32);
            prop_assert_eq!(kind_number(kind(number)), number);
        }
    }

    #[test]
    fn an_unknown_kind_is_kept_as_it_is() {
        let row = wire(77, vec![1, 2, 3]);
        let (read, forwarded) = through(&row);
        assert_eq!(read.key.kind, RowKind::Other(77));
        let original = Some(Arc::from([1, 2, 3]));
        assert_eq!(read.payload, Some(Payload { body: Body::Opaque, original }));
        assert_eq!(forwarded, row);
    }

    #[test]
    fn a_field_of_a_newer_version_survives_the_way() {
        let mut body = v1::Grant { count: 4 }.encode_to_vec();
        let newer_field = [0xfa, 0x01, 0x02, b'h', b'i'];
        body.extend(newer_field);
        let row = wire(kind_number(RowKind::Grant), v1::Value { schema: 1, body }.encode_to_vec());
        let (read, forwarded) = through(&row);
        assert_eq!(read.payload.unwrap().body, Body::Grant(4));
        assert!(forwarded.value.unwrap().ends_with(&newer_field));
    }

    #[test]
    fn a_newer_schema_is_not_read_as_if_it_were_ours() {
        let body = v1::Grant { count: 4 }.encode_to_vec();
        for (schema, understood) in [(0, Body::Opaque), (SCHEMA, Body::Grant(4)), (SCHEMA + 1, Body::Opaque)]
        {
            let value = v1::Value { schema, body: body.clone() }.encode_to_vec();
            let row = wire(kind_number(RowKind::Grant), value);
            let (read, forwarded) = through(&row);
            assert_eq!(read.payload.unwrap().body, understood);
            assert_eq!(forwarded, row);
        }
    }

    #[test]
    fn a_value_that_no_store_would_keep_is_refused() {
        let row = |bytes| Row::try_from(wire(77, vec![0; bytes]));
        assert!(row(VALUE_BYTES_MAX).is_ok());
        assert!(matches!(row(VALUE_BYTES_MAX + 1), Err(Error::TooLarge { .. })));
        assert!(value_bytes(&arbitrary::largest_object().into()).len() <= VALUE_BYTES_MAX);
    }
}
