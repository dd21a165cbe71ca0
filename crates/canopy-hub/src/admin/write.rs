//! Calls that change something here.

use std::collections::BTreeMap;
use std::sync::Arc;

use canopy_core::command::{Outcome, Refusal, Verb};
use canopy_core::link::Row;
use canopy_core::row::{Body, Key, Payload, RowKind};
use canopy_identity::key;
use canopy_model::workload::INLINE_BYTES_MAX;
use canopy_model::{
    Boot, Cursor, Digest, Home, Incarnation, Kind, Labels, Metadata, Name, Object, ObjectName,
    ResourceVersion, Revision, Spec, Uid, Wall,
};
use canopy_proto::admin::v1::{self, object};
use canopy_proto::convert::{inbound, outbound};
use canopy_proto::link;
use canopy_proto::wire::row::VALUE_BYTES_MAX;
use prost::Message;
use tokio::task::block_in_place;

use super::api::{Api, Caller, missing};
use super::error::Error;
use super::show;

impl Api {
    pub(super) async fn apply(
        &self,
        caller: &Caller,
        request: v1::ApplyRequest,
    ) -> Result<v1::ApplyResponse, Error> {
        let object = request.object.ok_or(missing("object"))?;
        let metadata = object.metadata.ok_or(missing("metadata"))?;
        let labels = inbound::labels(&metadata.labels)?;
        let mut large = None;
        let spec = match object.spec.ok_or(missing("spec"))? {
            object::Spec::Placement(spec) => Spec::Placement(inbound::placement(&spec)?),
            object::Spec::Workload(spec) => {
                Spec::Workload(inbound::workload(&spec, |content| revision(content, &mut large))?)
            }
            object::Spec::Cluster(_) | object::Spec::Hub(_) => {
                return self.apply_labels(caller, &metadata.name, labels).await;
            }
        };
        let name = inbound::object_name(&metadata.project, &metadata.name)?;
        let expected = inbound::resource_version(&request.if_resource_version)?;
        self.check_size(caller, &name, &labels, &spec)?;
        let uid = self.uid_for(&metadata.uid).await?;
        if let Some(content) = large {
            block_in_place(|| self.content.blobs().put(&content)).map_err(Error::Content)?;
        }
        let verb = Verb::Apply { name, labels, spec, uid, expected };
        let (outcome, object) = match self.command(caller, verb).await? {
            Outcome::Created(object) => (v1::apply_response::Outcome::Created, object),
            Outcome::Configured(object) => (v1::apply_response::Outcome::Configured, object),
            Outcome::Unchanged(object) => (v1::apply_response::Outcome::Unchanged, object),
            other => return Err(unexpected(&other)),
        };
        let uid = object.metadata.uid;
        let shown = self.hub.read(move |hub| show::by_uid(hub, uid)).await?;
        let object = shown.unwrap_or_else(|| outbound::object(&object));
        Ok(v1::ApplyResponse { object: Some(object), outcome: outcome.into() })
    }

    /// An object that names the uid of an orphan adopts it; any other gets a fresh one.
    async fn uid_for(&self, named: &str) -> Result<Uid, Error> {
        let fresh = key::random_uid();
        let Ok(named) = named.parse::<Uid>() else { return Ok(fresh) };
        let is_orphan = self.hub.read(move |hub| hub.orphans().iter().any(|(uid, _)| *uid == named)).await?;
        Ok(if is_orphan { named } else { fresh })
    }

    /// What is kept must fit into a row, and into a record of the store.
    fn check_size(
        &self,
        caller: &Caller,
        name: &ObjectName,
        labels: &Labels,
        spec: &Spec,
    ) -> Result<(), Error> {
        let born = Cursor { incarnation: Incarnation(u128::MAX), boot: Boot(u128::MAX), version: u64::MAX };
        let metadata = Metadata {
            name: name.clone(),
            uid: Uid(u128::MAX),
            home: Home { path: self.peer.path.clone(), born },
            generation: u64::MAX,
            resource_version: ResourceVersion(u64::MAX),
            labels: labels.clone(),
            created_by: caller.principal.clone(),
            changed_by: caller.principal.clone(),
            created: Wall(u64::MAX),
            deleted: Some(Wall(u64::MAX)),
        };
        let largest = Payload::from(Body::Object(Arc::new(Object { metadata, spec: spec.clone() })));
        let key = Key { kind: RowKind::Object, uid: Uid(u128::MAX) };
        let row = Row { key, version: u64::MAX, payload: Some(largest) };
        let bytes = link::v1::Row::from(&row).encoded_len();
        if bytes > VALUE_BYTES_MAX {
            return Err(Error::TooLarge { bytes, max: VALUE_BYTES_MAX });
        }
        Ok(())
    }

    /// Hubs and clusters have nothing to specify besides their labels. Labels that are not named
    /// stay: others set them, and work may hang on them.
    async fn apply_labels(
        &self,
        caller: &Caller,
        path: &str,
        labels: Labels,
    ) -> Result<v1::ApplyResponse, Error> {
        let name = self.child_name(path)?;
        let recorded = self.labels_of(&name).await?;
        let changes = labels.iter().map(|(key, value)| (key.clone(), Some(value.clone()))).collect();
        self.command(caller, Verb::Label { name: name.clone(), changes, overwrite: true }).await?;
        let unchanged = labels.iter().all(|(key, value)| recorded.get(key) == Some(value));
        let outcome = match unchanged {
            true => v1::apply_response::Outcome::Unchanged,
            false => v1::apply_response::Outcome::Configured,
        };
        Ok(v1::ApplyResponse { object: Some(self.node(&name).await?), outcome: outcome.into() })
    }

    async fn labels_of(&self, child: &Name) -> Result<Labels, Error> {
        let name = child.clone();
        let labels = move |hub: &canopy_core::Hub| {
            hub.children().get(&name)?.record.as_ref().map(|record| record.labels.clone())
        };
        let found = self.hub.read(labels).await?;
        found.ok_or_else(|| self.not_found(Kind::Cluster, self.peer.path.child(child)))
    }

    pub(super) async fn delete(
        &self,
        caller: &Caller,
        request: v1::DeleteRequest,
    ) -> Result<v1::DeleteResponse, Error> {
        let object = request.object.ok_or(missing("object"))?;
        let (kind, forget) = (inbound::kind(object.kind())?, request.forget);
        if matches!(kind, Kind::Hub | Kind::Cluster) {
            let name = self.child_name(&object.name)?;
            self.command(caller, Verb::Release { name: name.clone(), forget }).await?;
            return Ok(v1::DeleteResponse { object: self.node(&name).await.ok() });
        }
        let name = inbound::object_name(&object.project, &object.name)?;
        let found = self.find(kind, &name).await?;
        self.command(caller, Verb::Delete { kind, name, forget, expected: None }).await?;
        let uid = found.metadata.uid;
        Ok(v1::DeleteResponse { object: self.hub.read(move |hub| show::by_uid(hub, uid)).await? })
    }

    pub(super) async fn label(
        &self,
        caller: &Caller,
        request: v1::LabelRequest,
    ) -> Result<v1::Object, Error> {
        let object = request.object.ok_or(missing("object"))?;
        let kind = inbound::kind(object.kind())?;
        let removed = request.remove.into_iter().map(|key| (key, None));
        let set = inbound::labels(&request.set)?.into_iter().map(|(key, value)| (key, Some(value)));
        let changes: BTreeMap<String, Option<String>> = removed.chain(set).collect();
        let overwrite = request.overwrite;
        if matches!(kind, Kind::Hub | Kind::Cluster) {
            let name = self.child_name(&object.name)?;
            self.command(caller, Verb::Label { name: name.clone(), changes, overwrite }).await?;
            return self.node(&name).await;
        }
        let name = inbound::object_name(&object.project, &object.name)?;
        let found = self.find(kind, &name).await?;
        let labels = changed(&found.metadata.labels, changes, overwrite)?;
        self.check_size(caller, &name, &labels, &found.spec)?;
        let Metadata { uid, resource_version, .. } = found.metadata;
        let expected = Some(resource_version);
        self.command(
            caller,
            Verb::Apply { name: name.clone(), labels, spec: found.spec.clone(), uid, expected },
        )
        .await?;
        let shown = self.hub.read(move |hub| show::by_uid(hub, uid)).await?;
        shown.ok_or_else(|| self.not_found(kind, &name.name))
    }

    pub(super) async fn list_orphans(&self) -> Result<v1::ListOrphansResponse, Error> {
        let orphans = self.hub.read(|hub| hub.orphans()).await?;
        let orphans = orphans.into_iter().map(|(uid, orphan)| v1::Orphan {
            uid: uid.to_string(),
            kind: show::kind(orphan.kind).into(),
            project: orphan.name.project.to_string(),
            name: orphan.name.name.to_string(),
            home: orphan.home.path.to_string(),
            clusters: orphan.clusters,
            reason: "its home does not know it: the home, or this hub, lost its memory".to_owned(),
        });
        Ok(v1::ListOrphansResponse { orphans: orphans.collect() })
    }

    pub(super) async fn drop_orphan(
        &self,
        caller: &Caller,
        request: v1::DropOrphanRequest,
    ) -> Result<v1::DropOrphanResponse, Error> {
        let uid = inbound::uid("uid", &request.uid)?;
        let orphans = self.hub.read(|hub| hub.orphans()).await?;
        let found = orphans.into_iter().find(|(orphan, _)| *orphan == uid).map(|(_, orphan)| orphan);
        let orphan = found.ok_or_else(|| Error::NotFound {
            kind: "Orphan",
            name: uid.to_string(),
            home: self.peer.path.clone(),
        })?;
        if orphan.home.path != self.peer.path {
            let (home, here) = (orphan.home.path, self.peer.path.clone());
            return Err(Error::Above { home, here });
        }
        self.command(caller, Verb::Drop(uid)).await?;
        Ok(v1::DropOrphanResponse {})
    }

    pub(super) async fn forget_missing(&self, caller: &Caller) -> Result<v1::ForgetMissingResponse, Error> {
        let missing = self.hub.read(|hub| hub.missing()).await?;
        self.command(caller, Verb::ForgetMissing).await?;
        Ok(v1::ForgetMissingResponse { forgotten: missing.iter().map(ToString::to_string).collect() })
    }

    /// The last segment of the path of a child of this hub.
    pub(super) fn child_name(&self, path: &str) -> Result<Name, Error> {
        let path = inbound::path("metadata.name", path)?;
        if path == self.peer.path {
            let text = "a hub's own record is kept by the hub above: ask that one";
            return Err(Error::Invalid(text.to_owned()));
        }
        path.name().ok_or_else(|| self.not_found(Kind::Hub, &path))
    }

    pub(super) async fn find(&self, kind: Kind, name: &ObjectName) -> Result<Arc<Object>, Error> {
        let wanted = name.clone();
        let found = self.hub.read(move |hub| hub.find(kind, &wanted).cloned()).await?;
        found.ok_or_else(|| self.not_found(kind, &name.name))
    }
}

/// The revision that this content is. Content that is too large for a row becomes a blob.
fn revision(content: &[u8], large: &mut Option<Vec<u8>>) -> Revision {
    let inline = (content.len() <= INLINE_BYTES_MAX).then(|| content.into());
    *large = inline.is_none().then(|| content.to_vec());
    Revision { digest: Digest(blake3::hash(content).into()), size: content.len() as u64, inline }
}

fn changed(
    labels: &Labels,
    changes: BTreeMap<String, Option<String>>,
    overwrite: bool,
) -> Result<Labels, Error> {
    let mut labels = labels.clone();
    for (key, value) in changes {
        match (labels.get(&key), value) {
            (Some(old), Some(new)) if *old != new && !overwrite => {
                return Err(Error::Refused(Refusal::LabelExists { value: old.clone(), key }));
            }
            (_, Some(new)) => {
                labels.insert(key, new);
            }
            (_, None) => {
                labels.remove(&key);
            }
        }
    }
    Ok(labels)
}

fn unexpected(outcome: &Outcome) -> Error {
    Error::Invalid(format!("the same call id was used for something else before: {outcome:?}"))
}
