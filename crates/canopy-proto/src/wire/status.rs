//! What flows up: reports, counts, offers and orphans.

use canopy_core::row::{Offer, Orphan};
use canopy_model::{
    Counts, Feedback, FeedbackValue, FieldValue, Fleet, Health, Kind, Readiness, Report, Summary, Sync, Work,
};

use super::part::{read_digest, read_uids, uids};
use super::{Error, required};
use crate::link::v1;

impl From<&Report> for v1::Report {
    fn from(report: &Report) -> Self {
        Self { stamp: report.stamp.map(Into::into), work: report.work.as_ref().map(Into::into) }
    }
}

impl TryFrom<v1::Report> for Report {
    type Error = Error;

    fn try_from(report: v1::Report) -> Result<Self, Error> {
        Ok(Self {
            stamp: report.stamp.map(TryInto::try_into).transpose()?,
            work: report.work.map(TryInto::try_into).transpose()?,
        })
    }
}

impl From<&Work> for v1::Work {
    fn from(work: &Work) -> Self {
        let sync = match work.sync {
            Sync::Synced => v1::Sync::Synced,
            Sync::OutOfSync => v1::Sync::OutOfSync,
            Sync::Unknown => v1::Sync::Unknown,
        };
        let health = match work.health {
            Health::Healthy => v1::Health::Healthy,
            Health::Progressing => v1::Health::Progressing,
            Health::Degraded => v1::Health::Degraded,
            Health::Missing => v1::Health::Missing,
            Health::Unknown => v1::Health::Unknown,
        };
        Self {
            name: Some((&work.name).into()),
            home: Some((&work.home).into()),
            placements: uids(&work.placements),
            revision: work.revision.map(|digest| digest.0.to_vec()),
            sync: sync.into(),
            health: health.into(),
            message: work.message.clone(),
            refused: work.refused,
            feedback: work.feedback.values.iter().map(Into::into).collect(),
            feedback_left_out: work.feedback.left_out,
        }
    }
}

impl From<&FeedbackValue> for v1::FeedbackValue {
    fn from(FeedbackValue { object, name, value }: &FeedbackValue) -> Self {
        let value = match value {
            FieldValue::Integer(integer) => v1::feedback_value::Value::Integer(*integer),
            FieldValue::String(text) => v1::feedback_value::Value::String(text.clone()),
            FieldValue::Boolean(boolean) => v1::feedback_value::Value::Boolean(*boolean),
        };
        Self { object: object.clone(), name: name.clone(), value: Some(value) }
    }
}

/// None when the value is of a sort that this version does not know.
fn read_feedback(v1::FeedbackValue { object, name, value }: v1::FeedbackValue) -> Option<FeedbackValue> {
    let value = match value? {
        v1::feedback_value::Value::Integer(integer) => FieldValue::Integer(integer),
        v1::feedback_value::Value::String(text) => FieldValue::String(text),
        v1::feedback_value::Value::Boolean(boolean) => FieldValue::Boolean(boolean),
    };
    Some(FeedbackValue { object, name, value })
}

impl TryFrom<v1::Work> for Work {
    type Error = Error;

    fn try_from(work: v1::Work) -> Result<Self, Error> {
        let sync = match work.sync() {
            v1::Sync::Synced => Sync::Synced,
            v1::Sync::OutOfSync => Sync::OutOfSync,
            v1::Sync::Unknown => Sync::Unknown,
        };
        let health = match work.health() {
            v1::Health::Healthy => Health::Healthy,
            v1::Health::Progressing => Health::Progressing,
            v1::Health::Degraded => Health::Degraded,
            v1::Health::Missing => Health::Missing,
            v1::Health::Unknown => Health::Unknown,
        };
        Ok(Self {
            name: required("work.name", work.name)?.try_into()?,
            home: required("work.home", work.home)?.try_into()?,
            placements: read_uids("work.placements", &work.placements)?,
            revision: work.revision.as_deref().map(read_digest).transpose()?,
            sync,
            health,
            message: work.message,
            refused: work.refused,
            feedback: Feedback {
                values: work.feedback.into_iter().filter_map(read_feedback).collect(),
                left_out: work.feedback_left_out,
            },
        })
    }
}

impl From<&Summary> for v1::Summary {
    fn from(summary: &Summary) -> Self {
        Self {
            generation: summary.generation,
            counts: Some(summary.counts.into()),
            example: summary.example.clone(),
            gone: summary.gone,
        }
    }
}

impl TryFrom<v1::Summary> for Summary {
    type Error = Error;

    fn try_from(summary: v1::Summary) -> Result<Self, Error> {
        Ok(Self {
            generation: summary.generation,
            counts: required("counts", summary.counts)?.into(),
            example: summary.example,
            gone: summary.gone,
        })
    }
}

impl From<Counts> for v1::Counts {
    fn from(counts: Counts) -> Self {
        let Counts { selected, updated, healthy, degraded, refused, removing } = counts;
        Self { selected, updated, healthy, degraded, refused, removing }
    }
}

impl From<v1::Counts> for Counts {
    fn from(counts: v1::Counts) -> Self {
        let v1::Counts { selected, updated, healthy, degraded, refused, removing } = counts;
        Self { selected, updated, healthy, degraded, refused, removing }
    }
}

impl From<&Offer> for v1::Offer {
    fn from(offer: &Offer) -> Self {
        Self {
            stamp: offer.stamp.map(Into::into),
            grant: offer.grant,
            held: offer.held,
            spare: offer.spare,
            unsure: offer.unsure,
            generation: offer.generation,
        }
    }
}

impl TryFrom<v1::Offer> for Offer {
    type Error = Error;

    fn try_from(offer: v1::Offer) -> Result<Self, Error> {
        Ok(Self {
            stamp: offer.stamp.map(TryInto::try_into).transpose()?,
            grant: offer.grant,
            held: offer.held,
            spare: offer.spare,
            unsure: offer.unsure,
            generation: offer.generation,
        })
    }
}

impl From<&Orphan> for v1::Orphan {
    fn from(orphan: &Orphan) -> Self {
        Self {
            name: Some((&orphan.name).into()),
            home: Some((&orphan.home).into()),
            placement: orphan.kind == Kind::Placement,
            clusters: orphan.clusters,
        }
    }
}

impl TryFrom<v1::Orphan> for Orphan {
    type Error = Error;

    fn try_from(orphan: v1::Orphan) -> Result<Self, Error> {
        Ok(Self {
            kind: if orphan.placement { Kind::Placement } else { Kind::Workload },
            name: required("orphan.name", orphan.name)?.try_into()?,
            home: required("orphan.home", orphan.home)?.try_into()?,
            clusters: orphan.clusters,
        })
    }
}

impl From<Fleet> for v1::Fleet {
    fn from(Fleet { hubs, clusters, connected, readiness }: Fleet) -> Self {
        let readiness = match readiness {
            Readiness::Ready => v1::Readiness::Ready,
            Readiness::Starting => v1::Readiness::Starting,
            Readiness::WaitingForParent => v1::Readiness::WaitingForParent,
            Readiness::WaitingForChildren => v1::Readiness::WaitingForChildren,
            Readiness::Recovering => v1::Readiness::Recovering,
            Readiness::Unknown => v1::Readiness::Unspecified,
        };
        Self { hubs, clusters, connected, readiness: readiness.into() }
    }
}

impl From<v1::Fleet> for Fleet {
    fn from(fleet: v1::Fleet) -> Self {
        let readiness = match fleet.readiness() {
            v1::Readiness::Ready => Readiness::Ready,
            v1::Readiness::Starting => Readiness::Starting,
            v1::Readiness::WaitingForParent => Readiness::WaitingForParent,
            v1::Readiness::WaitingForChildren => Readiness::WaitingForChildren,
            v1::Readiness::Recovering => Readiness::Recovering,
            v1::Readiness::Unspecified => Readiness::Unknown,
        };
        let v1::Fleet { hubs, clusters, connected, .. } = fleet;
        Self { hubs, clusters, connected, readiness }
    }
}
