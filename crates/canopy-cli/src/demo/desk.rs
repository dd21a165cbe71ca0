//! What the demonstration asks of a hub, over the same API as every command.

use std::collections::HashMap;

use canopy_proto::admin::v1::status::Detail;
use canopy_proto::admin::v1::{
    ApplyRequest, Counts, CreateTokenRequest, DeleteRequest, Fleet, GetRequest, Kind, LabelRequest,
    ListOrphansRequest, Object, ObjectRef, Role, TreeRequest,
};
use tonic::{Code, Status};

use super::check::Seen;
use crate::connect::{Client, connect};
use crate::context::Context;
use crate::error::{Asked, Error};

/// One hub, as its administrator speaks to it. Each question has its own connection, since hubs are
/// killed between them.
#[derive(Clone)]
pub(super) struct Desk {
    pub(super) context: Context,
}

impl Desk {
    async fn client(&self) -> Result<Client, Error> {
        Ok(connect(&self.context, None).await?)
    }

    /// Creates or changes an object; `version` is the one that it must still have.
    pub(super) async fn apply(&self, object: Object, version: &str) -> Result<Result<Object, Status>, Error> {
        let request =
            ApplyRequest { object: Some(object), if_resource_version: version.to_owned(), dry_run: false };
        let answer = self.client().await?.apply(request).await;
        Ok(answer.map(|answer| answer.into_inner().object.unwrap_or_default()))
    }

    /// Applies, and takes no refusal.
    pub(super) async fn put(&self, object: Object) -> Result<(), Error> {
        self.apply(object, "")
            .await?
            .map(drop)
            .map_err(Error::refused(Asked::change("apply", Kind::Unspecified)))
    }

    pub(super) async fn get(&self, kind: Kind, name: &str) -> Result<Object, Error> {
        let request = GetRequest { object: Some(reference(kind, name, "")) };
        let answer = self
            .client()
            .await?
            .get(request)
            .await
            .map_err(Error::refused(Asked::read(format!("get {name}"), kind)));
        Ok(answer?.into_inner())
    }

    /// Expects that there is no such object.
    pub(super) async fn lacks(&self, kind: Kind, name: &str) -> Seen {
        match self.get(kind, name).await {
            Err(Error::Refused { status, .. }) if status.code() == Code::NotFound => Ok(()),
            Err(error) => Err(error.to_string()),
            Ok(_) => Err(format!("{name} is still there")),
        }
    }

    /// The wanted revision of a workload, and the hub's own counts of it.
    pub(super) async fn workload(&self, name: &str) -> Result<(String, Counts), Error> {
        let object = self.get(Kind::Workload, name).await?;
        match object.status.and_then(|status| status.detail) {
            Some(Detail::Workload(status)) => Ok((status.revision, status.counts.unwrap_or_default())),
            _ => Ok(Default::default()),
        }
    }

    /// Deletes an object; `home` is the hub where it lives, if that is another than the one asked.
    pub(super) async fn delete(
        &self,
        kind: Kind,
        name: &str,
        home: &str,
    ) -> Result<Result<(), Status>, Error> {
        let request =
            DeleteRequest { object: Some(reference(kind, name, home)), forget: false, ..Default::default() };
        Ok(self.client().await?.delete(request).await.map(drop))
    }

    /// Sets the label `line` of a cluster.
    pub(super) async fn set_line(&self, cluster: &str, line: &str) -> Result<(), Error> {
        let request = LabelRequest {
            object: Some(reference(Kind::Cluster, cluster, "")),
            set: HashMap::from([("line".to_owned(), line.to_owned())]),
            remove: Vec::new(),
            overwrite: true,
            dry_run: false,
        };
        let answer = self.client().await?.label(request).await;
        answer.map(drop).map_err(Error::refused(Asked::change(format!("label {cluster}"), Kind::Cluster)))
    }

    /// Invites a child to this hub.
    pub(super) async fn invite(&self, role: Role, name: &str, line: Option<&str>) -> Result<String, Error> {
        let labels = line.map(|line| ("line".to_owned(), line.to_owned()));
        let request = CreateTokenRequest {
            parent: String::new(),
            role: role.into(),
            name: name.to_owned(),
            labels: labels.into_iter().collect(),
            ttl_seconds: 0,
        };
        let answer = self.client().await?.create_token(request).await;
        Ok(answer.map_err(Error::refused(Asked::change("create a token", Kind::Hub)))?.into_inner().token)
    }

    /// How many hubs and clusters stand below.
    pub(super) async fn fleet(&self) -> Result<Fleet, Error> {
        let answer = self.client().await?.tree(TreeRequest { path: String::new(), depth: 1 }).await;
        let tree = answer.map_err(Error::refused(Asked::read("read the tree", Kind::Hub)))?.into_inner();
        Ok(tree.nodes.first().and_then(|node| node.fleet).unwrap_or_default())
    }

    /// How many orphans the hub keeps.
    pub(super) async fn orphans(&self) -> Result<usize, Error> {
        let answer = self.client().await?.list_orphans(ListOrphansRequest::default()).await;
        Ok(answer.map_err(Error::refused(Asked::read("list orphans", Kind::Hub)))?.into_inner().orphans.len())
    }
}

fn reference(kind: Kind, name: &str, home: &str) -> ObjectRef {
    ObjectRef { kind: kind.into(), project: String::new(), name: name.to_owned(), home: home.to_owned() }
}
