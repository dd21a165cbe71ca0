//! The keys of slots.
//!
//! A key is one byte that tells the kind, then the parts: names with their length in front, numbers
//! and uids in fixed width, the highest byte first. The parent is the name of no length.

use canopy_core::durable::Slot;
use canopy_core::link::EdgeId;
use canopy_core::row::Key;
use canopy_model::{Name, Uid};

use crate::wire::row::{kind, kind_number};

const HISTORY: u8 = 1;
const OBJECT: u8 = 2;
const CHILD: u8 = 3;
const POSITION: u8 = 4;
const RECEIVED: u8 = 5;
const SENT: u8 = 6;
const FLOOR: u8 = 7;
const ASSIGNED: u8 = 8;
const SHARE: u8 = 9;
const ANSWER: u8 = 10;
const DROPPED: u8 = 11;
const HELD: u8 = 12;
const SURVEYED: u8 = 13;
const HOLD: u8 = 14;
const RELEASED: u8 = 15;
const SINCE: u8 = 16;
const MACHINE: u8 = 17;
const INVENTORY: u8 = 18;
const EVENT: u8 = 19;
const FORGOTTEN: u8 = 20;

/// The key of a slot.
pub fn encode(slot: &Slot) -> Vec<u8> {
    match slot {
        Slot::History => Writer::new(HISTORY),
        Slot::Object(uid) => Writer::new(OBJECT).uid(uid),
        Slot::Child(name) => Writer::new(CHILD).name(name.as_str()),
        Slot::Position(edge) => Writer::new(POSITION).edge(edge),
        Slot::Received(edge, generation, key) => {
            Writer::new(RECEIVED).edge(edge).byte(u8::from(*generation)).key(key)
        }
        Slot::Sent(edge, key) => Writer::new(SENT).edge(edge).key(key),
        Slot::Floor(edge) => Writer::new(FLOOR).edge(edge),
        Slot::Assigned(name, uid) => Writer::new(ASSIGNED).name(name.as_str()).uid(uid),
        Slot::Share(uid, name) => Writer::new(SHARE).uid(uid).name(name.as_str()),
        Slot::Answer(uid) => Writer::new(ANSWER).uid(uid),
        Slot::Dropped(uid) => Writer::new(DROPPED).uid(uid),
        Slot::Released(uid) => Writer::new(RELEASED).uid(uid),
        Slot::Since(uid) => Writer::new(SINCE).uid(uid),
        Slot::Event(sequence) => Writer::new(EVENT).bytes(&sequence.to_be_bytes()),
        Slot::Forgotten => Writer::new(FORGOTTEN),
        Slot::Held(uid) => Writer::new(HELD).uid(uid),
        Slot::Machine(uid) => Writer::new(MACHINE).uid(uid),
        Slot::Inventory => Writer::new(INVENTORY),
        Slot::Surveyed => Writer::new(SURVEYED),
        Slot::Hold => Writer::new(HOLD),
    }
    .0
}

/// The slot of a key; none when it is of no known kind, too short or too long.
pub fn decode(bytes: &[u8]) -> Option<Slot> {
    let mut reader = Reader(bytes);
    let slot = match reader.byte()? {
        HISTORY => Slot::History,
        OBJECT => Slot::Object(reader.uid()?),
        CHILD => Slot::Child(reader.name()?),
        POSITION => Slot::Position(reader.edge()?),
        RECEIVED => Slot::Received(reader.edge()?, reader.generation()?, reader.key()?),
        SENT => Slot::Sent(reader.edge()?, reader.key()?),
        FLOOR => Slot::Floor(reader.edge()?),
        ASSIGNED => Slot::Assigned(reader.name()?, reader.uid()?),
        SHARE => Slot::Share(reader.uid()?, reader.name()?),
        ANSWER => Slot::Answer(reader.uid()?),
        DROPPED => Slot::Dropped(reader.uid()?),
        RELEASED => Slot::Released(reader.uid()?),
        SINCE => Slot::Since(reader.uid()?),
        EVENT => Slot::Event(u64::from_be_bytes(reader.array()?)),
        FORGOTTEN => Slot::Forgotten,
        HELD => Slot::Held(reader.uid()?),
        MACHINE => Slot::Machine(reader.uid()?),
        INVENTORY => Slot::Inventory,
        SURVEYED => Slot::Surveyed,
        HOLD => Slot::Hold,
        _ => return None,
    };
    reader.0.is_empty().then_some(slot)
}

struct Writer(Vec<u8>);

impl Writer {
    fn new(tag: u8) -> Self {
        Self(vec![tag])
    }

    fn byte(mut self, byte: u8) -> Self {
        self.0.push(byte);
        self
    }

    fn bytes(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }

    fn name(self, name: &str) -> Self {
        let length = u8::try_from(name.len()).expect("a name has at most 63 bytes");
        self.byte(length).bytes(name.as_bytes())
    }

    fn edge(self, edge: &EdgeId) -> Self {
        match edge {
            EdgeId::Parent => self.name(""),
            EdgeId::Child(name) => self.name(name.as_str()),
        }
    }

    fn uid(self, uid: &Uid) -> Self {
        self.bytes(&uid.0.to_be_bytes())
    }

    fn key(self, key: &Key) -> Self {
        self.bytes(&kind_number(key.kind).to_be_bytes()).uid(&key.uid)
    }
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (head, tail) = self.0.split_at_checked(length)?;
        self.0 = tail;
        Some(head)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    fn byte(&mut self) -> Option<u8> {
        self.array().map(|[byte]| byte)
    }

    fn generation(&mut self) -> Option<bool> {
        match self.byte()? {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        }
    }

    fn text(&mut self) -> Option<&'a str> {
        let length = self.byte()?;
        str::from_utf8(self.take(length.into())?).ok()
    }

    fn name(&mut self) -> Option<Name> {
        self.text()?.parse().ok()
    }

    fn edge(&mut self) -> Option<EdgeId> {
        match self.text()? {
            "" => Some(EdgeId::Parent),
            name => Some(EdgeId::Child(name.parse().ok()?)),
        }
    }

    fn uid(&mut self) -> Option<Uid> {
        self.array().map(u128::from_be_bytes).map(Uid)
    }

    fn key(&mut self) -> Option<Key> {
        let number = u32::from_be_bytes(self.array()?);
        Some(Key { kind: kind(number), uid: self.uid()? })
    }
}
