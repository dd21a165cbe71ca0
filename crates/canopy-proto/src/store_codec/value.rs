//! What slots hold.

use std::sync::Arc;

use canopy_core::durable::{Assigned, Form, Held, Position, ReceivedRow, SentRow, Share, Slot, Turn, Value};
use canopy_core::link::History;
use canopy_model::Wall;
use canopy_model::event::Forgotten;
use prost::Message;

use crate::link::v1 as link;
use crate::store::v1;
use crate::wire::part::{bytes, read_boot, read_digest, read_incarnation, read_uids, uids};
use crate::wire::row::{payload, value_bytes};
use crate::wire::{Error, read, required};

/// The bytes of a value.
pub fn encode(value: &Value) -> Vec<u8> {
    match value {
        Value::History(history) => v1::History::from(history).encode_to_vec(),
        Value::Object(object) => link::Object::from(&**object).encode_to_vec(),
        Value::Child(record) => link::Record::from(record).encode_to_vec(),
        Value::Position(received) => v1::Position::from(received).encode_to_vec(),
        Value::Received(row) => v1::ReceivedRow::from(row).encode_to_vec(),
        Value::Sent(SentRow { version, live }) => {
            v1::SentRow { version: *version, live: *live }.encode_to_vec()
        }
        Value::Floor(version) => v1::Floor { version: *version }.encode_to_vec(),
        Value::Assigned(Assigned { run, placements, form }) => {
            let form = form.as_ref().map(|Form { home, revision }| v1::Form {
                home: Some(home.into()),
                revision: revision.0.to_vec(),
            });
            v1::Assigned { run: *run, placements: uids(placements), form }.encode_to_vec()
        }
        Value::Share(Share { grant, ceiling }) => {
            v1::Share { grant: *grant, ceiling: *ceiling }.encode_to_vec()
        }
        Value::Answer(answer) => v1::Answer::from(answer).encode_to_vec(),
        Value::Dropped => v1::Dropped {}.encode_to_vec(),
        Value::Released => v1::Released {}.encode_to_vec(),
        Value::Since(since) => {
            let turns = since.iter().map(|(kind, Turn { status, at })| v1::Turn {
                kind: kind.clone(),
                status: *status,
                at_ms: at.0,
            });
            v1::Since { turns: turns.collect() }.encode_to_vec()
        }
        Value::Event(event) => v1::Event::from(event).encode_to_vec(),
        Value::Forgotten(Forgotten { count, until }) => {
            v1::Forgotten { count: *count, until_ms: until.0 }.encode_to_vec()
        }
        Value::Held(Held { report, withdrawn }) => {
            v1::Held { report: Some(report.into()), withdrawn: *withdrawn }.encode_to_vec()
        }
        Value::Machine(machine) => link::Machine::from(machine).encode_to_vec(),
        Value::Inventory(inventory) => link::Inventory::from(inventory).encode_to_vec(),
        Value::Hold(reason) => v1::Hold { reason: reason.clone() }.encode_to_vec(),
        Value::Surveyed(incarnation) => v1::Surveyed { incarnation: bytes(incarnation.0) }.encode_to_vec(),
    }
}

/// The value of this slot.
pub fn decode(slot: &Slot, value: &[u8]) -> Result<Value, Error> {
    Ok(match slot {
        Slot::History => Value::History(read::<v1::History>("a history", value)?.try_into()?),
        Slot::Object(_) => Value::Object(Arc::new(read::<link::Object>("an object", value)?.try_into()?)),
        Slot::Child(_) => Value::Child(read::<link::Record>("a record", value)?.try_into()?),
        Slot::Position(_) => Value::Position(read::<v1::Position>("a position", value)?.try_into()?),
        Slot::Received(_, _, key) => {
            let row: v1::ReceivedRow = read("a received row", value)?;
            Value::Received(ReceivedRow {
                version: row.version,
                learned: read_incarnation(&row.learned)?,
                orphaned: row.orphaned,
                payload: payload(key.kind, row.value)?,
            })
        }
        Slot::Sent(..) => {
            let v1::SentRow { version, live } = read("a sent row", value)?;
            Value::Sent(SentRow { version, live })
        }
        Slot::Floor(_) => Value::Floor(read::<v1::Floor>("a floor", value)?.version),
        Slot::Assigned(..) => {
            let v1::Assigned { run, placements, form } = read("what was assigned", value)?;
            let form = form.map(|form| {
                let home = required("form.home", form.home)?.try_into()?;
                Ok::<_, Error>(Form { home, revision: read_digest(&form.revision)? })
            });
            let placements = read_uids("placements", &placements)?;
            Value::Assigned(Assigned { run, placements, form: form.transpose()? })
        }
        Slot::Share(..) => {
            let v1::Share { grant, ceiling } = read("a share", value)?;
            Value::Share(Share { grant, ceiling })
        }
        Slot::Answer(_) => Value::Answer(read::<v1::Answer>("an answer", value)?.try_into()?),
        Slot::Dropped(_) => {
            let v1::Dropped {} = read("a dropped orphan", value)?;
            Value::Dropped
        }
        Slot::Released(_) => {
            let v1::Released {} = read("a released child", value)?;
            Value::Released
        }
        Slot::Since(_) => {
            let turns = read::<v1::Since>("since when", value)?.turns.into_iter();
            let turn = |v1::Turn { kind, status, at_ms }| (kind, Turn { status, at: Wall(at_ms) });
            Value::Since(turns.map(turn).collect())
        }
        Slot::Event(_) => Value::Event(read::<v1::Event>("an event", value)?.try_into()?),
        Slot::Forgotten => {
            let v1::Forgotten { count, until_ms } = read("what was forgotten", value)?;
            Value::Forgotten(Forgotten { count, until: Wall(until_ms) })
        }
        Slot::Held(_) => {
            let v1::Held { report, withdrawn } = read("held work", value)?;
            Value::Held(Held { report: required("report", report)?.try_into()?, withdrawn })
        }
        Slot::Machine(_) => Value::Machine(read::<link::Machine>("a machine", value)?.into()),
        Slot::Inventory => Value::Inventory(read::<link::Inventory>("an inventory", value)?.into()),
        Slot::Hold => Value::Hold(read::<v1::Hold>("a hold", value)?.reason),
        Slot::Surveyed => {
            let v1::Surveyed { incarnation } = read("a survey", value)?;
            Value::Surveyed(read_incarnation(&incarnation)?)
        }
    })
}

impl From<&History> for v1::History {
    fn from(history: &History) -> Self {
        let opening = |(boot, first_version): &(canopy_model::Boot, u64)| v1::Opening {
            boot: bytes(boot.0),
            first_version: *first_version,
        };
        Self {
            incarnation: bytes(history.incarnation.0),
            openings: history.boots.iter().map(opening).collect(),
            former: history.former.iter().map(|former| bytes(former.0)).collect(),
            version: history.version,
            recovering: history.recovering,
        }
    }
}

impl TryFrom<v1::History> for History {
    type Error = Error;

    fn try_from(history: v1::History) -> Result<Self, Error> {
        if history.openings.is_empty() {
            return Err(Error::Missing("openings"));
        }
        let boots =
            history.openings.iter().map(|opening| Ok((read_boot(&opening.boot)?, opening.first_version)));
        Ok(Self {
            incarnation: read_incarnation(&history.incarnation)?,
            boots: boots.collect::<Result<_, Error>>()?,
            former: history.former.iter().map(|former| read_incarnation(former)).collect::<Result<_, _>>()?,
            version: history.version,
            recovering: history.recovering,
        })
    }
}

impl From<&Position> for v1::Position {
    fn from(received: &Position) -> Self {
        Self {
            cursor: Some(received.cursor.into()),
            into: bytes(received.into.0),
            generation: received.generation,
            seen: received.seen,
        }
    }
}

impl TryFrom<v1::Position> for Position {
    type Error = Error;

    fn try_from(received: v1::Position) -> Result<Self, Error> {
        Ok(Self {
            cursor: required("cursor", received.cursor)?.try_into()?,
            into: read_incarnation(&received.into)?,
            generation: received.generation,
            seen: received.seen,
        })
    }
}

impl From<&ReceivedRow> for v1::ReceivedRow {
    fn from(row: &ReceivedRow) -> Self {
        Self {
            version: row.version,
            learned: bytes(row.learned.0),
            orphaned: row.orphaned,
            value: value_bytes(&row.payload),
        }
    }
}
