//! Admin objects as documents.

use serde::Serialize;

use super::{API_VERSION, Document, spec};
use crate::admin::v1::{self, object::Spec};

/// A document of any kind, ready to be written as YAML or JSON.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
#[allow(missing_docs)] // the kinds
pub enum AnyDocument {
    Placement(Document<spec::Placement>),
    Workload(Document<spec::Workload>),
    Cluster(Document<spec::Cluster>),
    /// A hub or a machine.
    Node(Document<spec::Empty>),
}

/// The document that shows this object. An object without a specification, which no hub sends, is
/// shown as one of unknown kind.
pub fn document(object: v1::Object) -> AnyDocument {
    let kind = object.kind().name();
    let metadata = object.metadata.unwrap_or_default().into();
    let status = object.status.map(Into::into);
    let api_version = API_VERSION.to_owned();
    let kind = kind.to_owned();
    match object.spec {
        Some(Spec::Placement(spec)) => {
            AnyDocument::Placement(Document { api_version, kind, metadata, spec: spec.into(), status })
        }
        Some(Spec::Workload(spec)) => {
            AnyDocument::Workload(Document { api_version, kind, metadata, spec: spec.into(), status })
        }
        Some(Spec::Cluster(spec)) => {
            AnyDocument::Cluster(Document { api_version, kind, metadata, spec: spec.into(), status })
        }
        Some(Spec::Hub(_) | Spec::Machine(_)) | None => {
            AnyDocument::Node(Document { api_version, kind, metadata, spec: spec::Empty {}, status })
        }
    }
}

impl v1::Object {
    /// What sort of object this is, told by its specification.
    pub fn kind(&self) -> v1::Kind {
        match self.spec {
            Some(Spec::Placement(_)) => v1::Kind::Placement,
            Some(Spec::Workload(_)) => v1::Kind::Workload,
            Some(Spec::Cluster(_)) => v1::Kind::Cluster,
            Some(Spec::Hub(_)) => v1::Kind::Hub,
            Some(Spec::Machine(_)) => v1::Kind::Machine,
            None => v1::Kind::Unspecified,
        }
    }
}

impl v1::Kind {
    /// The kind as written in a document.
    pub fn name(self) -> &'static str {
        match self {
            Self::Unspecified => "Unknown",
            Self::Hub => "Hub",
            Self::Cluster => "Cluster",
            Self::Machine => "Machine",
            Self::Placement => "Placement",
            Self::Workload => "Workload",
        }
    }
}
