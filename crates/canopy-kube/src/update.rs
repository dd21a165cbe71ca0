//! Brings one object to what its manifest says, by the strategy that its workload chose for it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use canopy_model::Uid;
use canopy_upkeep::{JsonPath, StrategyType, UpdateStrategy};
use kube::api::{Api, DeleteParams, DynamicObject, Patch, PatchParams, Preconditions};
use kube::core::Status;
use kube::{Client, ResourceExt};
use tokio::time::Instant;

use crate::applied::Member;
use crate::applyset::{self, FIELD_MANAGER, LABEL_PART_OF, LABEL_UID};
use crate::bundle::Manifest;
use crate::cluster::{Cluster, RequestError, bounded};
use crate::delete::ATTEMPTS_MAX;
use crate::health::shorten;
use crate::ignored;
use crate::kinds::Kind;
use crate::object::{GroupKind, ObjectName, kind_of};
use crate::ownership::Seen;
use crate::rights::MissingRight;

/// The longest wait for a kind whose definition is in the same bundle. API servers serve a new
/// definition within a second or two; a definition that needs longer is broken.
const DEFINITION_WAIT: Duration = Duration::from_secs(15);

/// The longest wait until an object is gone that is made anew. Finalizers may take longer; then the
/// next attempt goes on.
const RECREATE_WAIT: Duration = Duration::from_secs(15);

/// Between two looks for a kind, or for an object to be gone.
const POLL: Duration = Duration::from_millis(250);

/// How API servers say that a field can't be changed. There is no code for it.
const IMMUTABLE: [&str; 6] = [
    "immutable",
    "may not change once set",
    "may not be changed",
    "cannot change",
    "for fields other than",
    "may not change fields other than",
];

/// Why the cluster does not take an object.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    /// No such kind is served.
    #[error("the cluster serves no kind {kind} in {api_version}: install its definition first")]
    UnknownKind {
        /// The manifest's `apiVersion`.
        api_version: String,
        /// The manifest's `kind`.
        kind: String,
    },
    /// Objects of this kind live in a namespace, and the manifest names none.
    #[error("names no namespace: set metadata.namespace")]
    NoNamespace,
    /// The namespace does not exist.
    #[error("namespace {0} does not exist: add it to the workload's manifests or create it")]
    NamespaceNotFound(String),
    /// A field differs that can't be changed.
    #[error(
        "has a field that can't be changed: {0}; to have an object that the workload itself made deleted \
         and made anew, set updateStrategy.recreate for it in spec.manifestConfigs"
    )]
    Immutable(String),
    /// The old object, which is to be made anew, takes its time to go.
    #[error("is being deleted to be made anew")]
    Leaving,
    /// Other managers hold fields of it, and it is not to take them.
    #[error(
        "others hold fields of it: {0}; to take them set serverSideApply.force, to leave them name them in \
         ignoreFields"
    )]
    Held(String),
    /// A right is missing.
    #[error("{0}")]
    Forbidden(MissingRight),
    /// The API server said no.
    #[error("{reason}: {message}")]
    Rejected {
        /// The server's reason in one word, such as `Invalid` or `Forbidden`.
        reason: String,
        /// The server's own words, cut to [`crate::health::MESSAGE_BYTES_MAX`].
        message: String,
    },
}

/// What keeps one object from being applied.
pub(crate) enum Obstacle {
    Refused(Reason),
    Failed(RequestError),
}

impl From<RequestError> for Obstacle {
    fn from(error: RequestError) -> Self {
        Self::Failed(error)
    }
}

/// One object that is to be brought to what its manifest says.
pub(crate) struct Task {
    pub(crate) manifest: Manifest,
    pub(crate) strategy: UpdateStrategy,
    /// What of it is told.
    pub(crate) feedback: Arc<[JsonPath]>,
    /// Whether the object becomes, or stays, the workload's own.
    pub(crate) owned: bool,
}

/// An object as it is to be, and where it goes.
struct Wanted<'a> {
    task: &'a Task,
    object: DynamicObject,
    /// Read by the agent, written in the name of the workload's executor.
    api: Api<DynamicObject>,
    written: Api<DynamicObject>,
}

impl Cluster {
    /// Brings one object to what its manifest says.
    pub(crate) async fn bring(
        &self,
        uid: Uid,
        task: &Task,
        defined: &BTreeSet<GroupKind>,
        writer: &Client,
    ) -> Result<Member, Obstacle> {
        let Task { manifest, strategy, feedback, owned } = task;
        let kind = self.served_kind(manifest, defined).await?;
        if kind.namespaced && manifest.name.namespace.is_none() {
            return Err(Obstacle::Refused(Reason::NoNamespace));
        }
        let mut object = manifest.object.clone();
        object.metadata.namespace = object.metadata.namespace.filter(|_| kind.namespaced);
        leave_to_controllers(&mut object);
        if *owned {
            object.labels_mut().insert(LABEL_UID.to_owned(), uid.to_string());
            object.labels_mut().insert(LABEL_PART_OF.to_owned(), applyset::id(uid));
        }
        let of = |client| kind.api(client, manifest.name.namespace.as_deref());
        let wanted = Wanted { task, object, api: of(&self.client), written: of(writer) };
        let live = match strategy.kind {
            StrategyType::ReadOnly => self.watched_only(uid, &wanted, &kind, writer).await,
            StrategyType::CreateOnly => match wanted.live().await {
                Ok(None) => wanted.applied().await.map(Some),
                found => found,
            },
            StrategyType::Update => wanted.merged().await.map(Some),
            StrategyType::ServerSideApply => wanted.applied().await.map(Some),
        };
        let live = match live {
            Err(RequestError::Answer(status)) if strategy.recreate && is_immutable(&status) => {
                self.made_anew(uid, &wanted, &kind, &status).await.map(Some)
            }
            live => live.map_err(|error| self.obstacle(&wanted, &kind, error)),
        };
        let accepted = live?.map(|live| {
            let mut seen = Seen::of(&live);
            seen.tell(uid, &live, &manifest.name, feedback);
            seen
        });
        Ok(Member { kind: Some(kind), strategy: strategy.kind, feedback: feedback.clone(), accepted })
    }

    /// An object that is only watched; it is let go of if it was the workload's own.
    async fn watched_only(
        &self,
        uid: Uid,
        wanted: &Wanted<'_>,
        kind: &Kind,
        writer: &Client,
    ) -> Result<Option<DynamicObject>, RequestError> {
        let live = wanted.live().await?;
        let owner = live.as_ref().and_then(|live| live.labels().get(LABEL_UID));
        if owner == Some(&uid.to_string()) {
            self.let_go(&wanted.task.manifest.name, kind, writer).await?;
            return wanted.live().await;
        }
        Ok(live)
    }

    /// Deletes the object that is there, if it is the workload's own and nobody else stands on it, and
    /// makes it anew.
    async fn made_anew(
        &self,
        uid: Uid,
        wanted: &Wanted<'_>,
        kind: &Kind,
        immutable: &Status,
    ) -> Result<DynamicObject, Obstacle> {
        let name = &wanted.task.manifest.name;
        for attempt in 1.. {
            let Some(old) = wanted.live().await? else { break };
            let ours = wanted.task.owned && old.labels().get(LABEL_UID) == Some(&uid.to_string());
            if !ours || (name.kind.is_foundation() && self.is_used_by_others(uid, name, kind).await?) {
                return Err(Obstacle::Refused(reason(name, immutable)));
            }
            let exactly_this = Preconditions { uid: old.uid(), resource_version: old.resource_version() };
            let params = DeleteParams { preconditions: Some(exactly_this), ..DeleteParams::background() };
            match bounded(wanted.written.delete(&name.name, &params)).await {
                Err(RequestError::Answer(status)) if status.code == 409 && attempt < ATTEMPTS_MAX => {}
                Err(error) if !error.is_not_found() => return Err(error.into()),
                _ => {
                    tracing::info!(object = %name, "deleted to be made anew");
                    wanted.gone(old.uid()).await?;
                    break;
                }
            }
        }
        wanted.applied().await.map_err(|error| self.obstacle(wanted, kind, error))
    }

    fn obstacle(&self, wanted: &Wanted<'_>, kind: &Kind, error: RequestError) -> Obstacle {
        match error {
            RequestError::Answer(status) if status.code != 401 => {
                if status.code == 404 {
                    self.kinds.forget(kind);
                }
                Obstacle::Refused(reason(&wanted.task.manifest.name, &status))
            }
            error => error.into(),
        }
    }

    /// The kind of a manifest; waits for it while its definition in the same bundle takes effect.
    async fn served_kind(
        &self,
        manifest: &Manifest,
        defined: &BTreeSet<GroupKind>,
    ) -> Result<Kind, Obstacle> {
        let kind = &manifest.name.kind;
        let patience = if defined.contains(kind) { DEFINITION_WAIT } else { Duration::ZERO };
        let deadline = Instant::now() + patience;
        loop {
            if let Some(found) = self.kinds.find(&manifest.api_version, &kind.kind).await? {
                return Ok(found);
            }
            if Instant::now() >= deadline {
                let api_version = manifest.api_version.clone();
                return Err(Obstacle::Refused(Reason::UnknownKind { api_version, kind: kind.kind.clone() }));
            }
            tokio::time::sleep(POLL).await;
        }
    }
}

impl Wanted<'_> {
    fn name(&self) -> &str {
        &self.task.manifest.name.name
    }

    async fn live(&self) -> Result<Option<DynamicObject>, RequestError> {
        bounded(self.api.get_opt(self.name())).await
    }

    /// Applied on the server's side, less the fields that are left to others.
    async fn applied(&self) -> Result<DynamicObject, RequestError> {
        let options = &self.task.strategy.server_side_apply;
        let mut object = self.object.clone();
        if !options.ignore_fields.is_empty()
            && let Some(live) = self.live().await?
        {
            object = ignored::leave(&object, &live, &options.ignore_fields);
        }
        let params = PatchParams { force: options.force, ..PatchParams::apply(FIELD_MANAGER) };
        bounded(self.written.patch(self.name(), &params, &Patch::Apply(&object))).await
    }

    /// Made, or with the manifest merged over what is there.
    async fn merged(&self) -> Result<DynamicObject, RequestError> {
        let params = PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
        match bounded(self.written.patch(self.name(), &params, &Patch::Merge(&self.object))).await {
            Err(error) if error.is_not_found() => self.applied().await,
            merged => merged,
        }
    }

    async fn gone(&self, old: Option<String>) -> Result<(), Obstacle> {
        let deadline = Instant::now() + RECREATE_WAIT;
        while self.live().await?.is_some_and(|live| live.uid() == old) {
            if Instant::now() >= deadline {
                return Err(Obstacle::Refused(Reason::Leaving));
            }
            tokio::time::sleep(POLL).await;
        }
        Ok(())
    }
}

/// Takes out what a controller writes whatever the manifest says: both would undo each other for ever.
fn leave_to_controllers(object: &mut DynamicObject) {
    let aggregated = kind_of(object).kind == "ClusterRole" && object.data.get("aggregationRule").is_some();
    if let Some(fields) = object.data.as_object_mut().filter(|_| aggregated) {
        fields.remove("rules");
    }
}

fn is_immutable(status: &Status) -> bool {
    status.code == 422 && IMMUTABLE.iter().any(|words| status.message.contains(words))
}

/// Who holds which field, of the refusal of a server-side apply.
fn held_by_others(status: &Status) -> Option<String> {
    let causes = status.details.as_ref().filter(|_| status.code == 409)?.causes.iter();
    let held = causes.filter(|cause| cause.reason == "FieldManagerConflict");
    let held: Vec<_> = held.map(|cause| format!("{} ({})", cause.field, cause.message)).collect();
    (!held.is_empty()).then(|| shorten(&held.join(", ")))
}

/// Why an object is refused.
pub(crate) fn reason(name: &ObjectName, status: &Status) -> Reason {
    if let Some(missing) = MissingRight::read(&status.message).filter(|_| status.code == 403) {
        return Reason::Forbidden(missing);
    }
    if let Some(held) = held_by_others(status) {
        return Reason::Held(held);
    }
    let missing =
        status.details.as_ref().filter(|details| status.code == 404 && details.kind == "namespaces");
    match (missing, &name.namespace) {
        (Some(_), Some(namespace)) => Reason::NamespaceNotFound(namespace.clone()),
        _ if is_immutable(status) => Reason::Immutable(shorten(&status.message)),
        _ => Reason::Rejected { reason: status.reason.clone(), message: shorten(&status.message) },
    }
}
