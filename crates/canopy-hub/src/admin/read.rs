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
    pub(super) async fn get(&self, request: v1::GetRequest) -> Result<v1::Object, Error> {
        let wanted = request.object.ok_or(missing("object"))?;
        let kind = inbound::kind(wanted.kind())?;
        if matches!(kind, Kind::Hub | Kind::Cluster) {
            return self.get_node(kind, &wanted.name).await;
        }
        let name = inbound::object_name(&wanted.project, &wanted.name)?;
        let answer = move |hub: &Hub| hub.find(kind, &name).map(|found| full(hub, found));
        let found = self.hub.read(answer).await?;
        let mut found = found.ok_or_else(|| self.not_found(kind, &wanted.name))?;
        self.fill(&mut found)?;
        Ok(found)
    }

    /// Adds the manifests that are a blob.
    pub(super) fn fill(&self, shown: &mut v1::Object) -> Result<(), Error> {
        let detail = shown.status.as_ref().and_then(|status| status.detail.as_ref());
        if let (Some(object::Spec::Workload(spec)), Some(status::Detail::Workload(status))) =
            (&mut shown.spec, detail)
            && spec.manifests.is_empty()
            && let Ok(digest) = status.revision.parse::<Digest>()
        {
            let content = block_in_place(|| self.content.blobs().get(&digest)).map_err(Error::Content)?;
            content.iter().for_each(|content| add(spec, content));
        }
        Ok(())
    }

    async fn get_node(&self, kind: Kind, path: &str) -> Result<v1::Object, Error> {
        if kind == Kind::Hub && inbound::path("metadata.name", path)? == self.peer.path {
            let uid = self.peer.uid;
            return Ok(self.hub.read(move |hub| show::this_hub(hub, uid)).await?);
        }
        let node = self.node(&self.child_name(path)?).await?;
        if node.kind() == show::kind(kind) { Ok(node) } else { Err(self.not_found(kind, path)) }
    }

    /// A child with all that is known about it.
    pub(super) async fn node(&self, name: &Name) -> Result<v1::Object, Error> {
        let child = name.clone();
        let found = self.hub.read(move |hub| show::node(hub, clock::now(), &child, true)).await?;
        found.ok_or_else(|| self.not_found(Kind::Cluster, self.peer.path.child(name)))
    }
}

/// An object with its manifests, unless they are a blob.
pub(super) fn full(hub: &Hub, found: &Object) -> v1::Object {
    let mut shown = show::object(hub, found);
    let content = found.workload().and_then(|workload| workload.revision.inline.as_ref());
    if let (Some(object::Spec::Workload(spec)), Some(content)) = (&mut shown.spec, content) {
        add(spec, content);
    }
    shown
}

/// Adds a content to a specification. One that is broken is shown without.
fn add(spec: &mut v1::WorkloadSpec, content: &[u8]) {
    if let Err(error) = outbound::fill(spec, content) {
        warn!(error = one_line(&error), "a workload is shown without its manifests");
    }
}
