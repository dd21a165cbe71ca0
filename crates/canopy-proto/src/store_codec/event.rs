//! Events as they are stored.

use canopy_model::event::{Event, Reason, Subject};
use canopy_model::{Kind, Wall};

use crate::store::v1;
use crate::wire::part::{bytes, read_name, read_path, read_uid};
use crate::wire::{Error, required};

impl From<&Event> for v1::Event {
    fn from(event: &Event) -> Self {
        Self {
            about: Some((&event.about).into()),
            related: event.related.as_ref().map(Into::into),
            warning: event.warning,
            reason: event.reason.name().to_owned(),
            message: event.message.clone(),
            count: event.count,
            first_ms: event.first.0,
            last_ms: event.last.0,
        }
    }
}

impl TryFrom<v1::Event> for Event {
    type Error = Error;

    fn try_from(event: v1::Event) -> Result<Self, Error> {
        Ok(Self {
            about: required("event.about", event.about)?.try_into()?,
            related: event.related.map(TryInto::try_into).transpose()?,
            warning: event.warning,
            reason: required("event.reason", Reason::named(&event.reason))?,
            message: event.message,
            count: event.count,
            first: Wall(event.first_ms),
            last: Wall(event.last_ms),
        })
    }
}

impl From<&Subject> for v1::Subject {
    fn from(subject: &Subject) -> Self {
        Self {
            kind: subject.kind.name().to_owned(),
            uid: bytes(subject.uid.0),
            project: subject.project.as_ref().map(ToString::to_string),
            name: subject.name.clone(),
            home: subject.home.to_string(),
        }
    }
}

impl TryFrom<v1::Subject> for Subject {
    type Error = Error;

    fn try_from(subject: v1::Subject) -> Result<Self, Error> {
        let kinds = [Kind::Hub, Kind::Cluster, Kind::Placement, Kind::Workload];
        let kind = kinds.into_iter().find(|kind| kind.name() == subject.kind);
        Ok(Self {
            kind: required("subject.kind", kind)?,
            uid: read_uid("subject.uid", &subject.uid)?,
            project: subject.project.map(|project| read_name("subject.project", &project)).transpose()?,
            name: subject.name,
            home: read_path("subject.home", &subject.home)?,
        })
    }
}
