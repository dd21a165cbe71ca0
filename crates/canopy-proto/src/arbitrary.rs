//! Values of every kind for property tests, kept small. A received row always carries its author's
//! bytes, so rows here do too.

use std::sync::Arc;

use canopy_core::command::{Outcome, Refusal};
use canopy_core::durable::{
    Answer, Assigned, Change, Form, Held, Position, ReceivedRow, SentRow, Share, Slot, Turn, Value,
};
use canopy_core::link::{EdgeId, Frame, Hello, History, Message, Row};
use canopy_core::row::{Assignment, Body, Key, Offer, Orphan, Payload, RowKind, Run};
use canopy_model::event::{Event, Forgotten, Reason, Subject};
use canopy_model::labels::Operator;
use canopy_model::record::Role;
use canopy_model::workload::INLINE_BYTES_MAX;
use canopy_model::*;
use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;

use crate::wire::row::{VALUE_BYTES_MAX, payload, value_bytes};

pub(crate) fn frame() -> impl Strategy<Value = Frame> {
    let message = prop_oneof![
        hello().prop_map(Message::Hello),
        any::<u64>().prop_map(|version| Message::Begin { version }),
        (vec(row(), 0..4), any::<Option<u64>>(), any::<u64>())
            .prop_map(|(rows, through, seen)| Message::Rows { rows, through, seen }),
        any::<(u64, u64)>().prop_map(|(count, seen)| Message::End { count, seen }),
        any::<u64>().prop_map(|seq| Message::Ack { seq }),
        any::<(Option<u64>, u64)>().prop_map(|(sent, stalest_ms)| Message::Heartbeat { sent, stalest_ms }),
    ];
    (any::<u64>(), message).prop_map(|(seq, message)| Frame { seq, message })
}

fn hello() -> impl Strategy<Value = Hello> {
    (boot(), incarnation(), option::of(cursor()), any::<u64>(), any::<u64>(), option::of(record())).prop_map(
        |(boot, incarnation, cursor, seen, wall, record)| Hello {
            boot,
            incarnation,
            cursor,
            seen,
            wall: Wall(wall),
            record,
        },
    )
}

/// A row with a key that fits its value, as its receiver sees it.
pub(crate) fn row() -> impl Strategy<Value = Row> {
    (received(), uid(), any::<u64>(), any::<bool>()).prop_map(|((kind, payload), uid, version, live)| Row {
        key: Key { kind, uid },
        version,
        payload: live.then_some(payload),
    })
}

fn received() -> impl Strategy<Value = (RowKind, Payload)> {
    let known = body().prop_map(|(kind, body)| (kind, value_bytes(&body.into())));
    let unknown =
        (100..=u32::MAX, vec(any::<u8>(), 0..64)).prop_map(|(number, bytes)| (RowKind::Other(number), bytes));
    prop_oneof![4 => known, 1 => unknown]
        .prop_map(|(kind, value)| (kind, payload(kind, value).expect("it is small")))
}

/// A body with its kind, as its author has it.
pub(crate) fn body() -> impl Strategy<Value = (RowKind, Body)> {
    let kind = prop_oneof![Just(Kind::Workload), Just(Kind::Placement)];
    let orphan = (kind, object_name(), home(), any::<u32>());
    let orphan = orphan.prop_map(|(kind, name, home, clusters)| Orphan { kind, name, home, clusters });
    prop_oneof![
        object().prop_map(|object| (RowKind::Object, Body::Object(Arc::new(object)))),
        any::<u32>().prop_map(|count| (RowKind::Grant, Body::Grant(count))),
        record().prop_map(|record| (RowKind::Record, Body::Record(record))),
        Just((RowKind::Verdict, Body::Verdict)),
        Just((RowKind::Doubt, Body::Doubt)),
        assignment().prop_map(|assignment| (RowKind::Assignment, Body::Assignment(assignment))),
        report().prop_map(|report| (RowKind::Report, Body::Report(report))),
        labels().prop_map(|claims| (RowKind::Claims, Body::Claims(claims))),
        machine().prop_map(|machine| (RowKind::Machine, Body::Machine(machine))),
        inventory().prop_map(|inventory| (RowKind::Inventory, Body::Inventory(inventory))),
        summary().prop_map(|summary| (RowKind::Summary, Body::Summary(summary))),
        offer().prop_map(|offer| (RowKind::Offer, Body::Offer(offer))),
        any::<u32>().prop_map(|count| (RowKind::Selected, Body::Selected(count))),
        orphan.prop_map(|orphan| (RowKind::Orphan, Body::Orphan(orphan))),
        (any::<[u32; 3]>(), readiness()).prop_map(|([hubs, clusters, connected], readiness)| {
            (RowKind::Fleet, Body::Fleet(Fleet { hubs, clusters, connected, readiness }))
        }),
    ]
}

fn turn() -> impl Strategy<Value = Turn> {
    any::<(Option<bool>, u64)>().prop_map(|(status, at)| Turn { status, at: Wall(at) })
}

fn readiness() -> impl Strategy<Value = Readiness> {
    prop::sample::select(vec![
        Readiness::Ready,
        Readiness::Starting,
        Readiness::WaitingForParent,
        Readiness::WaitingForChildren,
        Readiness::Recovering,
        Readiness::Unknown,
    ])
}

fn event() -> impl Strategy<Value = Event> {
    let reason = prop::sample::select(Reason::ALL.to_vec());
    let numbers = any::<(bool, u64, u64, u64)>();
    (subject(), option::of(subject()), reason, ".{0,20}", numbers).prop_map(
        |(about, related, reason, message, (warning, count, first, last))| {
            let (first, last) = (Wall(first), Wall(last));
            Event { about, related, warning, reason, message, count, first, last }
        },
    )
}

fn subject() -> impl Strategy<Value = Subject> {
    let kind = prop::sample::select(vec![Kind::Hub, Kind::Cluster, Kind::Placement, Kind::Workload]);
    (kind, uid(), option::of(name()), ".{0,20}", home())
        .prop_map(|(kind, uid, project, name, home)| Subject { kind, uid, project, name, home: home.path })
}

pub(crate) fn change() -> impl Strategy<Value = Change> {
    let put = prop_oneof![
        history().prop_map(|value| (Slot::History, Value::History(value))),
        (uid(), object()).prop_map(|(uid, value)| (Slot::Object(uid), Value::Object(Arc::new(value)))),
        (name(), record()).prop_map(|(name, value)| (Slot::Child(name), Value::Child(value))),
        (edge(), cursor(), any::<u64>(), incarnation(), any::<bool>()).prop_map(
            |(edge, cursor, seen, into, generation)| {
                (Slot::Position(edge), Value::Position(Position { cursor, seen, into, generation }))
            }
        ),
        (edge(), any::<bool>(), uid(), received_row()).prop_map(|(edge, generation, uid, (kind, row))| {
            (Slot::Received(edge, generation, Key { kind, uid }), Value::Received(row))
        }),
        (edge(), key(), any::<(u64, bool)>()).prop_map(|(edge, key, (version, live))| {
            (Slot::Sent(edge, key), Value::Sent(SentRow { version, live }))
        }),
        (edge(), any::<u64>()).prop_map(|(edge, version)| (Slot::Floor(edge), Value::Floor(version))),
        (name(), uid(), any::<bool>(), vec(uid(), 0..3), option::of((home(), digest()))).prop_map(
            |(name, uid, run, placements, form)| {
                let form = form.map(|(home, revision)| Form { home, revision });
                (Slot::Assigned(name, uid), Value::Assigned(Assigned { run, placements, form }))
            }
        ),
        (uid(), name(), any::<(u32, u32)>()).prop_map(|(uid, name, (grant, ceiling))| {
            (Slot::Share(uid, name), Value::Share(Share { grant, ceiling }))
        }),
        (uid(), outcome(), any::<u64>()).prop_map(|(uid, outcome, at)| {
            (Slot::Answer(uid), Value::Answer(Answer { outcome, at: Uptime(at) }))
        }),
        uid().prop_map(|uid| (Slot::Dropped(uid), Value::Dropped)),
        uid().prop_map(|uid| (Slot::Released(uid), Value::Released)),
        (uid(), btree_map("[A-Z][a-z]{0,4}", turn(), 0..4))
            .prop_map(|(uid, since)| (Slot::Since(uid), Value::Since(since))),
        (any::<u64>(), event()).prop_map(|(at, event)| (Slot::Event(at), Value::Event(event))),
        any::<(u64, u64)>().prop_map(|(count, until)| {
            (Slot::Forgotten, Value::Forgotten(Forgotten { count, until: Wall(until) }))
        }),
        (uid(), report(), any::<bool>()).prop_map(|(uid, report, withdrawn)| {
            (Slot::Held(uid), Value::Held(Held { report, withdrawn }))
        }),
        (uid(), machine()).prop_map(|(uid, machine)| (Slot::Machine(uid), Value::Machine(machine))),
        inventory().prop_map(|inventory| (Slot::Inventory, Value::Inventory(inventory))),
        ".{0,20}".prop_map(|reason| (Slot::Hold, Value::Hold(reason))),
        incarnation().prop_map(|value| (Slot::Surveyed, Value::Surveyed(value))),
    ];
    let put = put.prop_map(|(slot, value)| Change::Put(slot, value));
    prop_oneof![4 => put, 1 => slot().prop_map(Change::Delete)]
}

pub(crate) fn slot() -> impl Strategy<Value = Slot> {
    prop_oneof![
        Just(Slot::History),
        Just(Slot::Surveyed),
        Just(Slot::Hold),
        Just(Slot::Inventory),
        Just(Slot::Forgotten),
        any::<u64>().prop_map(Slot::Event),
        uid().prop_flat_map(|uid| prop::sample::select(vec![
            Slot::Object(uid),
            Slot::Answer(uid),
            Slot::Dropped(uid),
            Slot::Released(uid),
            Slot::Since(uid),
            Slot::Held(uid),
            Slot::Machine(uid)
        ])),
        (name(), uid()).prop_flat_map(|(name, uid)| prop::sample::select(vec![
            Slot::Child(name.clone()),
            Slot::Assigned(name.clone(), uid),
            Slot::Share(uid, name)
        ])),
        (edge(), any::<bool>(), key()).prop_flat_map(|(edge, generation, key)| prop::sample::select(vec![
            Slot::Position(edge.clone()),
            Slot::Floor(edge.clone()),
            Slot::Sent(edge.clone(), key),
            Slot::Received(edge, generation, key)
        ])),
    ]
}

/// A received row of the largest size that is taken from a peer.
pub(crate) fn largest_row() -> Change {
    let value = payload(RowKind::Other(u32::MAX), vec![1; VALUE_BYTES_MAX]).expect("it is not too large");
    let longest: Name = "x".repeat(63).parse().expect("a name");
    let key = Key { kind: RowKind::Other(u32::MAX), uid: Uid(u128::MAX) };
    let row =
        ReceivedRow { version: u64::MAX, learned: Incarnation(u128::MAX), orphaned: true, payload: value };
    Change::Put(Slot::Received(EdgeId::Child(longest), true, key), Value::Received(row))
}

/// A history with all the boots and former incarnations that one keeps.
pub(crate) fn largest_history() -> Change {
    let history = History {
        incarnation: Incarnation(u128::MAX),
        boots: vec![(Boot(u128::MAX), u64::MAX); 256],
        former: vec![Incarnation(u128::MAX); 64],
        version: u64::MAX,
        recovering: true,
    };
    Change::Put(Slot::History, Value::History(history))
}

/// A workload whose content has the largest size that travels in a row.
pub(crate) fn largest_object() -> Body {
    let name: Name = "x".repeat(63).parse().expect("a name");
    let cursor = Cursor { incarnation: Incarnation(1), boot: Boot(1), version: u64::MAX };
    let revision = Revision {
        digest: Digest([7; 32]),
        size: INLINE_BYTES_MAX as u64,
        inline: Some(vec![7; INLINE_BYTES_MAX].into()),
    };
    let metadata = Metadata {
        name: ObjectName { project: name.clone(), name: name.clone() },
        uid: Uid(u128::MAX),
        home: Home { path: Path::root().child(&name), born: cursor },
        generation: u64::MAX,
        resource_version: ResourceVersion(u64::MAX),
        labels: Labels::new(),
        created_by: "x".repeat(256),
        changed_by: "x".repeat(256),
        created: Wall(u64::MAX),
        deleted: Some(Wall(u64::MAX)),
    };
    let placements = (0..workload::PLACEMENTS_MAX).map(|at| format!("{at:063}").parse().expect("a name"));
    let spec = Spec::Workload(Workload { placements: placements.collect(), revision });
    Body::Object(Arc::new(Object { metadata, spec }))
}

fn received_row() -> impl Strategy<Value = (RowKind, ReceivedRow)> {
    (received(), any::<(u64, bool)>(), incarnation()).prop_map(
        |((kind, payload), (version, orphaned), learned)| {
            (kind, ReceivedRow { version, learned, orphaned, payload })
        },
    )
}

fn uid() -> impl Strategy<Value = Uid> + Clone {
    prop_oneof![(0..3u128), any::<u128>()].prop_map(Uid)
}

fn incarnation() -> impl Strategy<Value = Incarnation> {
    any::<u128>().prop_map(Incarnation)
}

fn boot() -> impl Strategy<Value = Boot> {
    any::<u128>().prop_map(Boot)
}

fn cursor() -> impl Strategy<Value = Cursor> {
    (incarnation(), boot(), any::<u64>()).prop_map(|(incarnation, boot, version)| Cursor {
        incarnation,
        boot,
        version,
    })
}

fn stamp() -> impl Strategy<Value = Stamp> {
    (incarnation(), any::<u64>()).prop_map(|(incarnation, version)| Stamp { incarnation, version })
}

fn name() -> impl Strategy<Value = Name> + Clone {
    "[a-z0-9]([a-z0-9-]{0,9}[a-z0-9])?".prop_map(|text| text.parse().expect("a name"))
}

fn path() -> impl Strategy<Value = Path> {
    vec(name(), 0..4).prop_map(|names| names.iter().fold(Path::root(), |path, name| path.child(name)))
}

fn edge() -> impl Strategy<Value = EdgeId> {
    prop_oneof![Just(EdgeId::Parent), name().prop_map(EdgeId::Child)]
}

fn key() -> impl Strategy<Value = Key> {
    (0..32u32, uid()).prop_map(|(number, uid)| Key { kind: crate::wire::row::kind(number), uid })
}

fn object_name() -> impl Strategy<Value = ObjectName> {
    (name(), name()).prop_map(|(project, name)| ObjectName { project, name })
}

fn home() -> impl Strategy<Value = Home> {
    (path(), cursor()).prop_map(|(path, born)| Home { path, born })
}

fn labels() -> impl Strategy<Value = Labels> {
    btree_map("[a-z]{1,4}", "[a-z0-9]{0,4}", 0..4)
}

fn resources() -> impl Strategy<Value = Resources> {
    btree_map("[a-z.]{1,9}(/[a-z]{1,4})?", any::<u64>(), 0..4)
}

fn machine() -> impl Strategy<Value = Machine> {
    let words = any::<(String, String, String, String)>();
    (words, any::<(Option<bool>, bool, u64)>(), resources(), resources()).prop_map(
        |((name, kubelet, architecture, os_image), (ready, schedulable, created), capacity, allocatable)| {
            let created = Wall(created);
            let machine = Machine {
                name,
                ready,
                schedulable,
                capacity,
                allocatable,
                kubelet,
                architecture,
                os_image,
                created,
            };
            machine.bounded()
        },
    )
}

fn inventory() -> impl Strategy<Value = Inventory> {
    (any::<([u32; 3], String)>(), resources(), resources()).prop_map(
        |(([machines, ready, left_out], problem), capacity, allocatable)| Inventory {
            machines,
            ready,
            left_out,
            capacity,
            allocatable,
            problem,
        },
    )
}

fn digest() -> impl Strategy<Value = Digest> {
    any::<[u8; 32]>().prop_map(Digest)
}

fn revision() -> impl Strategy<Value = Revision> {
    (digest(), any::<u64>(), option::of(vec(any::<u8>(), 0..16)))
        .prop_map(|(digest, size, inline)| Revision { digest, size, inline: inline.map(Into::into) })
}

fn record() -> impl Strategy<Value = Record> {
    let numbers = any::<(bool, bool, u64, u64)>();
    (uid(), numbers, labels(), vec(taint(), 0..3), ".{0,20}").prop_map(
        |(uid, (hub, leaving, version, created), labels, taints, created_by)| Record {
            uid,
            role: if hub { Role::Hub } else { Role::Agent },
            labels,
            taints,
            leaving,
            version: ResourceVersion(version),
            created_by,
            created: Wall(created),
        },
    )
}

fn effect() -> impl Strategy<Value = taint::Effect> {
    prop::sample::select(taint::Effect::ALL.to_vec())
}

fn taint() -> impl Strategy<Value = Taint> {
    ("[a-z]{1,4}", "[a-z]{0,4}", effect(), any::<u64>()).prop_map(|(key, value, effect, added)| Taint {
        key,
        value,
        effect,
        added: Wall(added),
    })
}

fn toleration() -> impl Strategy<Value = Toleration> {
    ("[a-z]{1,4}", option::of("[a-z]{0,4}"), option::of(effect()))
        .prop_map(|(key, value, effect)| Toleration { key, value, effect })
}

fn object() -> impl Strategy<Value = Object> {
    let spec = prop_oneof![
        placement().prop_map(Spec::Placement),
        (prop::collection::btree_set(name(), 0..3), revision()).prop_map(|(placements, revision)| {
            Spec::Workload(Workload { placements: placements.into_iter().collect(), revision })
        }),
    ];
    (metadata(), spec).prop_map(|(metadata, spec)| Object { metadata, spec })
}

fn metadata() -> impl Strategy<Value = Metadata> {
    let numbers = any::<(u64, u64, u64, Option<u64>)>();
    (object_name(), uid(), home(), labels(), any::<(String, String)>(), numbers).prop_map(
        |(name, uid, home, labels, (created_by, changed_by), (generation, version, created, deleted))| {
            Metadata {
                name,
                uid,
                home,
                generation,
                resource_version: ResourceVersion(version),
                labels,
                created_by,
                changed_by,
                created: Wall(created),
                deleted: deleted.map(Wall),
            }
        },
    )
}

fn placement() -> impl Strategy<Value = Placement> {
    let values = || vec("[a-z]{1,3}", 1..3);
    let operator = prop_oneof![
        values().prop_map(Operator::In),
        values().prop_map(Operator::NotIn),
        Just(Operator::Exists),
        Just(Operator::DoesNotExist),
    ];
    let requirement = ("[a-z]{1,4}", operator).prop_map(|(key, operator)| Requirement { key, operator });
    let predicates = vec(vec(requirement, 0..3).prop_map(Selector), 0..3);
    (predicates, vec(toleration(), 0..3), any::<(Option<u32>, u64)>()).prop_map(
        |(predicates, tolerations, (number_of_clusters, numbered_since))| Placement {
            predicates,
            number_of_clusters,
            tolerations,
            numbered_since,
        },
    )
}

fn assignment() -> impl Strategy<Value = Assignment> {
    let run = (object_name(), home(), vec(uid(), 0..3), revision())
        .prop_map(|(name, home, placements, revision)| Run { name, home, placements, revision });
    prop_oneof![run.prop_map(Assignment::Run), Just(Assignment::Remove), Just(Assignment::Keep)]
}

fn report() -> impl Strategy<Value = Report> {
    (option::of(stamp()), option::of(work())).prop_map(|(stamp, work)| Report { stamp, work })
}

fn work() -> impl Strategy<Value = Work> {
    let sync = prop::sample::select(vec![Sync::Synced, Sync::OutOfSync, Sync::Unknown]);
    let health = prop::sample::select(vec![
        Health::Healthy,
        Health::Progressing,
        Health::Degraded,
        Health::Missing,
        Health::Unknown,
    ]);
    let said = (any::<(String, bool)>(), feedback());
    (object_name(), home(), vec(uid(), 0..3), option::of(digest()), sync, health, said).prop_map(
        |(name, home, placements, revision, sync, health, ((message, refused), feedback))| Work {
            name,
            home,
            placements,
            revision,
            sync,
            health,
            message,
            refused,
            feedback,
        },
    )
}

fn feedback() -> impl Strategy<Value = Feedback> {
    let value = prop_oneof![
        any::<i64>().prop_map(FieldValue::Integer),
        any::<String>().prop_map(FieldValue::String),
        any::<bool>().prop_map(FieldValue::Boolean),
    ];
    let value = (any::<[String; 2]>(), value).prop_map(|([object, name], value)| FeedbackValue {
        object,
        name,
        value,
    });
    (vec(value, 0..3), any::<u32>()).prop_map(|(values, left_out)| Feedback { values, left_out })
}

fn summary() -> impl Strategy<Value = Summary> {
    any::<([u32; 6], u64, String, bool)>().prop_map(|(counts, generation, example, gone)| {
        let [selected, updated, healthy, degraded, refused, removing] = counts;
        let counts = Counts { selected, updated, healthy, degraded, refused, removing };
        Summary { generation, counts, example, gone }
    })
}

fn offer() -> impl Strategy<Value = Offer> {
    (option::of(stamp()), any::<([u32; 3], bool, u64)>()).prop_map(|(stamp, (counts, unsure, generation))| {
        let [grant, held, spare] = counts;
        Offer { stamp, generation, grant, held, spare, unsure }
    })
}

fn history() -> impl Strategy<Value = History> {
    let boots = vec((boot(), any::<u64>()), 1..4);
    (incarnation(), boots, vec(incarnation(), 0..3), any::<(u64, bool)>()).prop_map(
        |(incarnation, boots, former, (version, recovering))| History {
            incarnation,
            boots,
            former,
            version,
            recovering,
        },
    )
}

fn outcome() -> impl Strategy<Value = Outcome> {
    prop_oneof![
        uid().prop_map(Outcome::Created),
        uid().prop_map(Outcome::Configured),
        uid().prop_map(Outcome::Unchanged),
        Just(Outcome::Deleted),
        Just(Outcome::Done),
        refusal().prop_map(Outcome::Refused),
    ]
}

fn refusal() -> impl Strategy<Value = Refusal> {
    let kind =
        prop::sample::select(vec![Kind::Hub, Kind::Cluster, Kind::Machine, Kind::Placement, Kind::Workload]);
    prop_oneof![
        (kind, any::<String>(), path()).prop_map(|(kind, name, home)| Refusal::NotFound { kind, name, home }),
        any::<(u64, u64)>().prop_map(|(expected, current)| Refusal::Conflict { expected, current }),
        any::<String>().prop_map(Refusal::Terminating),
        (name(), uid(), uid()).prop_map(|(name, recorded, offered)| Refusal::OtherIdentity {
            name,
            recorded,
            offered
        }),
        any::<(String, String)>().prop_map(|(key, value)| Refusal::LabelExists { key, value }),
        (name(), any::<u32>()).prop_map(|(name, children)| Refusal::HasChildren { name, children }),
        (any::<String>(), uid(), uid()).prop_map(|(name, present, named)| Refusal::OtherUid {
            name,
            present,
            named
        }),
        (uid(), any::<String>()).prop_map(|(uid, present)| Refusal::OtherName { uid, present }),
        (uid(), path()).prop_map(|(uid, home)| Refusal::NotOrphaned { uid, home }),
        (uid(), path()).prop_map(|(uid, home)| Refusal::OtherHome { uid, home }),
        name().prop_map(Refusal::ChildrenUnknown),
        any::<String>().prop_map(Refusal::TaintExists),
        any::<String>().prop_map(Refusal::Invalid),
    ]
}
