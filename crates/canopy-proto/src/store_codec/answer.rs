//! Answers to commands, kept so that a repetition gets the same.

use canopy_core::command::{Outcome, Refusal};
use canopy_core::durable::Answer;
use canopy_model::{Kind, Path, Uid, Uptime};

use crate::store::v1::{self, answer, refusal::Reason};
use crate::wire::part::{bytes, read_name, read_path, read_uid};
use crate::wire::{Error, required};

impl From<&Answer> for v1::Answer {
    fn from(answer: &Answer) -> Self {
        let outcome = match &answer.outcome {
            Outcome::Created(uid) => answer::Outcome::Created(bytes(uid.0)),
            Outcome::Configured(uid) => answer::Outcome::Configured(bytes(uid.0)),
            Outcome::Unchanged(uid) => answer::Outcome::Unchanged(bytes(uid.0)),
            Outcome::Deleted => answer::Outcome::Deleted(v1::Nothing {}),
            Outcome::Done => answer::Outcome::Done(v1::Nothing {}),
            Outcome::Refused(refusal) => answer::Outcome::Refused(refusal.into()),
        };
        Self { at_ms: answer.at.0, outcome: Some(outcome) }
    }
}

impl TryFrom<v1::Answer> for Answer {
    type Error = Error;

    fn try_from(answer: v1::Answer) -> Result<Self, Error> {
        let outcome = match required("outcome", answer.outcome)? {
            answer::Outcome::Created(uid) => Outcome::Created(read_uid("created", &uid)?),
            answer::Outcome::Configured(uid) => Outcome::Configured(read_uid("configured", &uid)?),
            answer::Outcome::Unchanged(uid) => Outcome::Unchanged(read_uid("unchanged", &uid)?),
            answer::Outcome::Deleted(_) => Outcome::Deleted,
            answer::Outcome::Done(_) => Outcome::Done,
            answer::Outcome::Refused(refusal) => Outcome::Refused(refusal.try_into()?),
        };
        Ok(Self { outcome, at: Uptime(answer.at_ms) })
    }
}

impl From<&Refusal> for v1::Refusal {
    fn from(refusal: &Refusal) -> Self {
        let reason = match refusal {
            Refusal::NotFound { kind, name, home } => Reason::NotFound(v1::NotFound {
                kind: kind.name().to_owned(),
                name: name.clone(),
                home: home.to_string(),
            }),
            Refusal::Conflict { expected, current } => {
                Reason::Conflict(v1::Conflict { expected: *expected, current: *current })
            }
            Refusal::Terminating(name) => Reason::Terminating(name.clone()),
            Refusal::OtherIdentity { name, recorded, offered } => Reason::OtherIdentity(v1::OtherIdentity {
                name: name.to_string(),
                recorded: bytes(recorded.0),
                offered: bytes(offered.0),
            }),
            Refusal::LabelExists { key, value } => {
                Reason::LabelExists(v1::LabelExists { key: key.clone(), value: value.clone() })
            }
            Refusal::HasChildren { name, children } => {
                Reason::HasChildren(v1::HasChildren { name: name.to_string(), children: *children })
            }
            Refusal::OtherUid { name, present, named } => Reason::OtherUid(v1::OtherUid {
                name: name.clone(),
                present: bytes(present.0),
                named: bytes(named.0),
            }),
            Refusal::OtherName { uid, present } => {
                Reason::OtherName(v1::OtherName { uid: bytes(uid.0), present: present.clone() })
            }
            Refusal::NotOrphaned { uid, home } => Reason::NotOrphaned(orphan(uid, home)),
            Refusal::OtherHome { uid, home } => Reason::OtherHome(orphan(uid, home)),
            Refusal::ChildrenUnknown(name) => Reason::ChildrenUnknown(name.to_string()),
            Refusal::TaintExists(taint) => Reason::TaintExists(taint.clone()),
            Refusal::Invalid(problem) => Reason::Invalid(problem.clone()),
        };
        Self { reason: Some(reason) }
    }
}

impl TryFrom<v1::Refusal> for Refusal {
    type Error = Error;

    fn try_from(refusal: v1::Refusal) -> Result<Self, Error> {
        Ok(match required("reason", refusal.reason)? {
            Reason::NotFound(v1::NotFound { kind, name, home }) => {
                Self::NotFound { kind: read_kind(&kind)?, name, home: read_path("home", &home)? }
            }
            Reason::Conflict(v1::Conflict { expected, current }) => Self::Conflict { expected, current },
            Reason::Terminating(name) => Self::Terminating(name),
            Reason::OtherIdentity(other) => Self::OtherIdentity {
                name: read_name("name", &other.name)?,
                recorded: read_uid("recorded", &other.recorded)?,
                offered: read_uid("offered", &other.offered)?,
            },
            Reason::LabelExists(v1::LabelExists { key, value }) => Self::LabelExists { key, value },
            Reason::HasChildren(v1::HasChildren { name, children }) => {
                Self::HasChildren { name: read_name("name", &name)?, children }
            }
            Reason::OtherUid(v1::OtherUid { name, present, named }) => Self::OtherUid {
                name,
                present: read_uid("present", &present)?,
                named: read_uid("named", &named)?,
            },
            Reason::OtherName(v1::OtherName { uid, present }) => {
                Self::OtherName { uid: read_uid("uid", &uid)?, present }
            }
            Reason::NotOrphaned(v1::Orphan { uid, home }) => {
                Self::NotOrphaned { uid: read_uid("uid", &uid)?, home: read_path("home", &home)? }
            }
            Reason::OtherHome(v1::Orphan { uid, home }) => {
                Self::OtherHome { uid: read_uid("uid", &uid)?, home: read_path("home", &home)? }
            }
            Reason::ChildrenUnknown(name) => Self::ChildrenUnknown(read_name("name", &name)?),
            Reason::TaintExists(taint) => Self::TaintExists(taint),
            Reason::Invalid(problem) => Self::Invalid(problem),
        })
    }
}

fn orphan(uid: &Uid, home: &Path) -> v1::Orphan {
    v1::Orphan { uid: bytes(uid.0), home: home.to_string() }
}

fn read_kind(text: &str) -> Result<Kind, Error> {
    let kinds = [Kind::Hub, Kind::Cluster, Kind::Machine, Kind::Placement, Kind::Workload];
    required("kind", kinds.into_iter().find(|kind| kind.name() == text))
}
