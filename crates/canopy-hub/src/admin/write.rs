//! Calls that change something here.

use std::collections::BTreeMap;
use std::sync::Arc;

use canopy_core::Hub;
use canopy_core::command::{Amendment, Meant, Outcome, Verb};
use canopy_core::hub::rehearse::Rehearsal;
use canopy_core::link::Row;
use canopy_core::row::{Body, Key, Payload, RowKind};
use canopy_identity::key;
use canopy_model::workload::INLINE_BYTES_MAX;
use canopy_model::{
    Boot, Cursor, Digest, Home, Incarnation, Kind, Labels, Metadata, Name, Object, ObjectName,
    ResourceVersion, Revision, Role, Spec, Uid, Wall, labels, taint,
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

/// The most bytes of a workload's content: as text inside a message it grows by a third at most, and
/// with all that stands beside it, it fits into an answer.
const CONTENT_BYTES_MAX: usize = 5 * 1024 * 1024;
/// The most bytes of the orphans of an answer; several thousand. The rest is counted.
const ORPHANS_BYTES_MAX: usize = 1024 * 1024;

impl Api {
    pub(super) async fn apply(
        &self,
        caller: &Caller,
        request: v1::ApplyRequest,
    ) -> Result<v1::ApplyResponse, Error> {
        let object = request.object.ok_or(missing("object"))?;
        let metadata = object.metadata.ok_or(missing("metadata"))?;
        let labels = inbound::labels(&metadata.labels)?;
        let expected = inbound::resource_version(&request.if_resource_version)?;
        let mut large = None;
        let spec = match object.spec.ok_or(missing("spec"))? {
            object::Spec::Placement(spec) => Spec::Placement(inbound::placement(&spec)?),
            object::Spec::Workload(spec) => {
                Spec::Workload(inbound::workload(&spec, |content| revision(content, &mut large))?)
            }
            object::Spec::Cluster(spec) => {
                let child = (Role::Agent, metadata.name.as_str());
                let taints = spec.taints.iter().map(inbound::taint).collect::<Result<_, _>>()?;
                let amendment = amendment(labels, taints);
                return self.apply_child(caller, child, amendment, expected, request.dry_run).await;
            }
            object::Spec::Machine(_) => return Err(Error::Field(canopy_proto::convert::Error::Observed)),
            object::Spec::Hub(_) => {
                let child = (Role::Hub, metadata.name.as_str());
                let amendment = amendment(labels, Vec::new());
                return self.apply_child(caller, child, amendment, expected, request.dry_run).await;
            }
        };
        let name = inbound::object_name(&metadata.project, &metadata.name)?;
        self.check_home(spec.kind(), &name, &metadata.home).await?;
        self.check_size(caller, &name, &labels, &spec)?;
        let bytes = large.as_ref().map_or(0, Vec::len);
        if bytes > CONTENT_BYTES_MAX {
            return Err(Error::ContentTooLarge { bytes, max: CONTENT_BYTES_MAX });
        }
        let uid = match metadata.uid.as_str() {
            "" => Meant::Any { fresh: key::random_uid() },
            named => Meant::This(inbound::uid("metadata.uid", named)?),
        };
        if request.dry_run {
            let verb = Verb::Apply { name, labels, spec, uid, expected };
            return self.rehearse_apply(caller, verb, large).await;
        }
        if let Some(content) = large {
            block_in_place(|| self.content.blobs().put(&content)).map_err(Error::Content)?;
        }
        let outcome = self.command(caller, Verb::Apply { name, labels, spec, uid, expected }).await?;
        let (outcome, uid) = applied(caller, &outcome)?;
        let object = self.hub.read(move |hub| show::by_uid(hub, uid)).await?;
        Ok(v1::ApplyResponse { object, outcome: outcome.into() })
    }

    /// The object as it would be; `large` is its content if that does not fit into a row.
    async fn rehearse_apply(
        &self,
        caller: &Caller,
        verb: Verb,
        large: Option<Vec<u8>>,
    ) -> Result<v1::ApplyResponse, Error> {
        let Rehearsal { outcome, object, .. } = self.rehearse(caller, verb).await?;
        let (outcome, _) = applied(caller, &outcome)?;
        let object = object.map(|object| {
            let mut shown = outbound::object(&object);
            let inline = object.workload().and_then(|workload| workload.revision.inline.clone());
            let content = large.as_deref().or(inline.as_deref());
            if let (Some(object::Spec::Workload(spec)), Some(content)) = (&mut shown.spec, content) {
                outbound::fill(spec, content).expect("the hub made this content itself");
            }
            shown
        });
        Ok(v1::ApplyResponse { object, outcome: outcome.into() })
    }

    /// The name of an inherited object is not taken for a new one, or an absent one, by accident.
    async fn check_home(&self, kind: Kind, name: &ObjectName, home: &str) -> Result<(), Error> {
        if !home.is_empty() {
            return Ok(());
        }
        let wanted = name.clone();
        let found = move |hub: &Hub| Some(hub.find_nearest(kind, &wanted)?.metadata.home.path.clone());
        match self.hub.read(found).await? {
            Some(home) if home != self.peer.path => {
                let (name, here) = (name.name.clone(), self.peer.path.clone());
                Err(Error::Inherited { kind, name, home, here })
            }
            _ => Ok(()),
        }
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
            return Err(Error::ObjectTooLarge { bytes, max: VALUE_BYTES_MAX });
        }
        Ok(())
    }

    /// Hubs and clusters have nothing to specify besides their labels, and clusters their taints. Those
    /// that are not named stay: others set them, and work may hang on them.
    async fn apply_child(
        &self,
        caller: &Caller,
        (role, path): (Role, &str),
        amendment: Amendment,
        expected: Option<ResourceVersion>,
        dry_run: bool,
    ) -> Result<v1::ApplyResponse, Error> {
        let name = self.child_name(role.kind(), path)?;
        let verb = Verb::Amend { role, name: name.clone(), amendment, expected };
        let (outcome, object) = self.amend_child(caller, (role, &name), verb, dry_run).await?;
        let (outcome, _) = applied(caller, &outcome)?;
        Ok(v1::ApplyResponse { object: Some(object), outcome: outcome.into() })
    }

    /// Changes what is recorded about a child, or says how it would be then.
    async fn amend_child(
        &self,
        caller: &Caller,
        (role, name): (Role, &Name),
        verb: Verb,
        dry_run: bool,
    ) -> Result<(Outcome, v1::Object), Error> {
        if !dry_run {
            let outcome = self.command(caller, verb).await?;
            return Ok((outcome, self.node(role.kind(), name).await?));
        }
        let Rehearsal { outcome, record, .. } = self.rehearse(caller, verb).await?;
        let mut object = self.node(role.kind(), name).await?;
        if let (Some(metadata), Some(record)) = (&mut object.metadata, record) {
            metadata.labels = record.labels.into_iter().collect();
            if let Some(object::Spec::Cluster(spec)) = &mut object.spec {
                spec.taints = record.taints.iter().map(outbound::taint).collect();
            }
        }
        Ok((outcome, object))
    }

    pub(super) async fn delete(
        &self,
        caller: &Caller,
        request: v1::DeleteRequest,
    ) -> Result<v1::DeleteResponse, Error> {
        let object = request.object.ok_or(missing("object"))?;
        let (kind, forget) = (inbound::kind(object.kind())?, request.forget);
        let expected = inbound::resource_version(&request.if_resource_version)?;
        if let Some(role) = kind.role() {
            let name = self.child_name(kind, &object.name)?;
            let verb = Verb::Release { role, name: name.clone(), forget, expected };
            if request.dry_run {
                self.rehearse(caller, verb).await?;
                // A hub goes at once, and a cluster when nothing of the hub's is left on it.
                let stays = role == Role::Agent && !forget;
                let object = if stays { self.node(kind, &name).await.ok() } else { None };
                return Ok(v1::DeleteResponse { object });
            }
            self.command(caller, verb).await?;
            return Ok(v1::DeleteResponse { object: self.node(kind, &name).await.ok() });
        }
        let name = inbound::object_name(&object.project, &object.name)?;
        self.check_home(kind, &name, &object.home).await?;
        if request.dry_run {
            let verb = Verb::Delete { kind, name, forget, expected };
            let left = self.rehearse(caller, verb).await?.object;
            return Ok(v1::DeleteResponse { object: left.map(|object| outbound::object(&object)) });
        }
        self.command(caller, Verb::Delete { kind, name: name.clone(), forget, expected }).await?;
        let left = move |hub: &Hub| hub.find(kind, &name).map(|found| show::object(hub, found));
        Ok(v1::DeleteResponse { object: self.hub.read(left).await? })
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
        if let Some(role) = kind.role() {
            let name = self.child_name(kind, &object.name)?;
            let amendment = Amendment { labels: changes, overwrite, ..Amendment::default() };
            let verb = Verb::Amend { role, name: name.clone(), amendment, expected: None };
            return Ok(self.amend_child(caller, (role, &name), verb, request.dry_run).await?.1);
        }
        let name = inbound::object_name(&object.project, &object.name)?;
        self.check_home(kind, &name, &object.home).await?;
        let wanted = name.clone();
        let found = self.hub.read(move |hub| hub.find(kind, &wanted).cloned()).await?;
        let found = found.ok_or_else(|| self.not_found(kind, &name.name))?;
        let labels = labels::change(&found.metadata.labels, changes, overwrite)
            .map_err(|taken| Error::Refused(taken.into()))?;
        self.check_size(caller, &name, &labels, &found.spec)?;
        let Metadata { uid, resource_version, .. } = found.metadata;
        let (spec, expected) = (found.spec.clone(), Some(resource_version));
        let verb = Verb::Apply { name: name.clone(), labels, spec, uid: Meant::This(uid), expected };
        if request.dry_run {
            let object = self.rehearse(caller, verb).await?.object;
            return object
                .map(|object| outbound::object(&object))
                .ok_or_else(|| self.not_found(kind, &name.name));
        }
        self.command(caller, verb).await?;
        let shown = self.hub.read(move |hub| show::by_uid(hub, uid)).await?;
        shown.ok_or_else(|| self.not_found(kind, &name.name))
    }

    pub(super) async fn taint(
        &self,
        caller: &Caller,
        request: v1::TaintRequest,
    ) -> Result<v1::Object, Error> {
        let object = request.object.ok_or(missing("object"))?;
        let kind = inbound::kind(object.kind())?;
        if kind != Kind::Cluster {
            let text = "only clusters have taints: name one, or those of a hub with --under";
            return Err(Error::Invalid(text.to_owned()));
        }
        let name = self.child_name(kind, &object.name)?;
        let removed = request.remove.iter().map(inbound::untaint);
        let taints = removed.chain(request.set.iter().map(inbound::taint)).collect::<Result<_, _>>()?;
        let amendment = Amendment { taints, overwrite: request.overwrite, ..Amendment::default() };
        let role = Role::Agent;
        let verb = Verb::Amend { role, name: name.clone(), amendment, expected: None };
        Ok(self.amend_child(caller, (role, &name), verb, request.dry_run).await?.1)
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
        let mut answer = v1::ListOrphansResponse::default();
        let mut bytes = 0;
        for orphan in orphans {
            bytes += orphan.encoded_len();
            match bytes > ORPHANS_BYTES_MAX {
                true => answer.left_out += 1,
                false => answer.orphans.push(orphan),
            }
        }
        Ok(answer)
    }

    pub(super) async fn drop_orphan(
        &self,
        caller: &Caller,
        request: v1::DropOrphanRequest,
    ) -> Result<v1::DropOrphanResponse, Error> {
        let uid = inbound::uid("uid", &request.uid)?;
        self.command(caller, Verb::Drop(uid)).await?;
        Ok(v1::DropOrphanResponse {})
    }

    pub(super) async fn forget_missing(&self, caller: &Caller) -> Result<v1::ForgetMissingResponse, Error> {
        let missing = self.hub.read(|hub| hub.missing()).await?;
        self.command(caller, Verb::ForgetMissing).await?;
        Ok(v1::ForgetMissingResponse { forgotten: missing.iter().map(ToString::to_string).collect() })
    }

    /// The last segment of the path of a child of this hub.
    pub(super) fn child_name(&self, kind: Kind, path: &str) -> Result<Name, Error> {
        let path = inbound::path("metadata.name", path)?;
        if path == self.peer.path {
            let text = "a hub's own record is kept by the hub above: ask that one";
            return Err(Error::Invalid(text.to_owned()));
        }
        path.name().ok_or_else(|| self.not_found(kind, &path))
    }
}

/// What a document of a child changes: what it names gets the value that it names.
fn amendment(labels: Labels, taints: Vec<taint::Change>) -> Amendment {
    let labels = labels.into_iter().map(|(key, value)| (key, Some(value))).collect();
    Amendment { labels, taints, overwrite: true }
}

/// The revision that this content is. Content that is too large for a row becomes a blob.
fn revision(content: &[u8], large: &mut Option<Vec<u8>>) -> Revision {
    let inline = (content.len() <= INLINE_BYTES_MAX).then(|| content.into());
    *large = inline.is_none().then(|| content.to_vec());
    Revision { digest: Digest(blake3::hash(content).into()), size: content.len() as u64, inline }
}

/// What an outcome says about the object that was applied.
fn applied(caller: &Caller, outcome: &Outcome) -> Result<(v1::apply_response::Outcome, Uid), Error> {
    match outcome {
        Outcome::Created(uid) => Ok((v1::apply_response::Outcome::Created, *uid)),
        Outcome::Configured(uid) => Ok((v1::apply_response::Outcome::Configured, *uid)),
        Outcome::Unchanged(uid) => Ok((v1::apply_response::Outcome::Unchanged, *uid)),
        Outcome::Deleted | Outcome::Done | Outcome::Refused(_) => Err(Error::IdUsed(caller.id)),
    }
}
