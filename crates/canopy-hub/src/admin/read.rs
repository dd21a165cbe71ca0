//! Calls that read one thing here.

use canopy_core::Hub;
use canopy_model::{Digest, Kind, Name, Object};
use canopy_node::clock;
use canopy_proto::admin::v1::{self, object, status};
use canopy_proto::convert::{inbound, one_line, outbound};
use tokio::task::block_in_place;
use tracing::warn;

use super::api::{Api, missing};
use super::error::Error;
use super::show;

impl Api {
    /// An object that applies here: one that is at home here, or inherited.
    pub(super) async fn get(&self, request: v1::GetRequest) -> Result<v1::Object, Error> {
        let wanted = request.object.ok_or(missing("object"))?;
        let kind = inbound::kind(wanted.kind())?;
        if kind == Kind::Machine {
            return Err(Error::Field(canopy_proto::convert::Error::Observed));
        }
        if kind.role().is_some() {
            return self.get_node(kind, &wanted.name).await;
        }
        let name = inbound::object_name(&wanted.project, &wanted.name)?;
        let home = match wanted.home.as_str() {
            "" => None,
            home => Some(inbound::path("object.home", home)?),
        };
        let answer = move |hub: &Hub| {
            let found = match home {
                Some(home) => hub.find_at(&home, kind, &name),
                None => hub.find_nearest(kind, &name),
            };
            found.map(|found| full(hub, found))
        };
        let found = self.hub.read(answer).await?;
        let mut found = found.ok_or_else(|| self.not_found(kind, &wanted.name))?;
        self.fill(&mut found);
        Ok(found)
    }

    /// Adds the manifests that are a blob. Where it cannot be read, the object says so.
    pub(super) fn fill(&self, shown: &mut v1::Object) {
        let Some(status) = &mut shown.status else { return };
        let (Some(object::Spec::Workload(spec)), Some(status::Detail::Workload(detail))) =
            (&mut shown.spec, &status.detail)
        else {
            return;
        };
        let Ok(digest) = detail.revision.parse::<Digest>() else { return };
        if !spec.manifests.is_empty() {
            return;
        }
        let problem = match block_in_place(|| self.content.blobs().get(&digest)) {
            Ok(Some(content)) => match outbound::fill(spec, &content) {
                Ok(()) => return,
                Err(error) => one_line(&error),
            },
            Ok(None) => format!("{digest} is not here: it is missing or was damaged"),
            Err(error) => one_line(&error),
        };
        warn!(problem, "a workload is shown without its manifests");
        status.conditions.insert(0, show::unreadable(&problem, status.observed_generation));
    }

    async fn get_node(&self, kind: Kind, path: &str) -> Result<v1::Object, Error> {
        if kind == Kind::Hub && inbound::path("metadata.name", path)? == self.peer.path {
            let (uid, trouble) = (self.peer.uid, self.contact.trouble());
            return Ok(self.hub.read(move |hub| show::this_hub(hub, uid, trouble.as_deref())).await?);
        }
        self.node(kind, &self.child_name(kind, path)?).await
    }

    /// A child with all that is known about it.
    pub(super) async fn node(&self, kind: Kind, name: &Name) -> Result<v1::Object, Error> {
        let child = name.clone();
        let found = self.hub.read(move |hub| show::node(hub, clock::now(), &child, true)).await?;
        let found = found.filter(|node| node.kind() == show::kind(kind));
        found.ok_or_else(|| self.not_found(kind, self.peer.path.child(name)))
    }
}

/// An object with its manifests, unless they are a blob.
pub(super) fn full(hub: &Hub, found: &Object) -> v1::Object {
    let mut shown = show::object(hub, found);
    let content = found.workload().and_then(|workload| workload.revision.inline.as_ref());
    if let (Some(object::Spec::Workload(spec)), Some(content)) = (&mut shown.spec, content) {
        outbound::fill(spec, content).unwrap_or_else(|error| {
            warn!(error = one_line(&error), "a workload is shown without its manifests");
        });
    }
    shown
}
