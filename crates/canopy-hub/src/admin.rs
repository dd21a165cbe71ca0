//! The admin API: for administrators over gRPC, and for the hub above over the link.
//!
//! In reading order:
//!
//! - [`api`]: where a call belongs, and carrying it out here or below;
//! - [`read`], [`write`], [`list`], [`tree`], [`tokens`], [`watch`], [`events`]: the calls;
//! - [`region`]: what hubs below answer for their part;
//! - [`show`]: what objects look like;
//! - [`error`]: why a call fails.

pub mod api;
pub mod error;
mod events;
mod list;
mod read;
mod region;
mod show;
mod tokens;
mod tree;
mod watch;
mod write;

use std::time::{Duration, Instant};

use canopy_identity::Role;
use canopy_link::{Answer as LinkAnswer, Query, Responder, listen};
use canopy_node::clock;
use canopy_proto::admin::v1::admin_server::{Admin, AdminServer};
use canopy_proto::admin::v1::relay::Call;
use canopy_proto::admin::v1::relay_answer::Result as Answer;
use canopy_proto::admin::v1::{self, Relay, RelayAnswer};
use canopy_proto::convert::inbound;
use prost::Message;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Request, Response, Status};
use tracing::info;

pub use api::{Api, Caller};
use error::Error;

/// The largest request, in bytes: a workload with its manifests. What stands beside it on the link
/// fits into a message too.
const REQUEST_BYTES_MAX: usize = api::ANSWER_BYTES_MAX - 64 * 1024;
/// What is read of a request that is refused as too large: enough to say so in our words.
const READ_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Where a client says which call this is, so that a repetition is answered and not carried out
/// again.
const REQUEST_ID: &str = "canopy-request-id";

/// The service for administrators.
pub fn service(api: Api) -> AdminServer<Service> {
    AdminServer::new(Service(api)).max_decoding_message_size(READ_BYTES_MAX)
}

/// Answers administrators.
pub struct Service(Api);

impl Service {
    async fn call<T: Message>(
        &self,
        request: Request<T>,
        call: impl FnOnce(T) -> Call,
    ) -> Result<Answer, Status> {
        let caller = self.caller(&request)?;
        let request = request.into_inner();
        let bytes = request.encoded_len();
        if bytes > REQUEST_BYTES_MAX {
            return Err(Error::RequestTooLarge { bytes, max: REQUEST_BYTES_MAX }.into());
        }
        let call = call(request);
        let written = name_of_write(&call);
        let until = tokio::time::Instant::from_std(caller.until);
        let answer = tokio::time::timeout_at(until, self.0.call(&caller, call)).await;
        let answer = answer.unwrap_or(Err(Error::Late));
        if let Some(call) = written {
            let outcome = answer.as_ref().map_or_else(Error::code, |_| Code::Ok);
            info!(principal = caller.principal, id = %caller.id, call, ?outcome, "a write");
        }
        Ok(answer?)
    }

    /// Only admins of this hub, or of one above it, may call.
    fn caller<T>(&self, request: &Request<T>) -> Result<Caller, Status> {
        let peer = listen::peer(request.extensions())?;
        if peer.role != Role::Admin || !peer.scope().contains(&self.0.peer.path) {
            let here = self.0.peer.path.clone();
            return Err(Error::NoAdministrator { peer: Box::new(peer.clone()), here }.into());
        }
        let id = request.metadata().get(REQUEST_ID).map(|id| {
            let id = id.to_str().unwrap_or_default();
            inbound::uid(REQUEST_ID, id).map_err(Error::from)
        });
        Ok(Caller::new(peer.path.to_string(), id.transpose()?))
    }
}

/// What the log calls a call that changes something.
fn name_of_write(call: &Call) -> Option<&'static str> {
    match call {
        Call::Apply(request) => (!request.dry_run).then_some("apply"),
        Call::Delete(request) => (!request.dry_run).then_some("delete"),
        Call::Label(request) => (!request.dry_run).then_some("label"),
        Call::Taint(request) => (!request.dry_run).then_some("taint"),
        Call::CreateToken(_) => Some("create token"),
        Call::DropOrphan(_) => Some("drop orphan"),
        Call::ForgetMissing(_) => Some("forget missing"),
        Call::Get(_) | Call::List(_) | Call::ListEvents(_) => None,
        Call::Tree(_) | Call::ListOrphans(_) => None,
    }
}

/// The variant of an answer that fits the call.
macro_rules! answer {
    ($self:expr, $answer:expr, $variant:path) => {
        match $answer {
            $variant(answer) => Ok(Response::new(answer)),
            _ => {
                let path = $self.0.peer.path.clone();
                Err(Error::Strange { path, what: "another question" }.into())
            }
        }
    };
}

#[tonic::async_trait]
impl Admin for Service {
    type WatchStream = ReceiverStream<Result<v1::WatchEvent, Status>>;

    async fn apply(&self, request: Request<v1::ApplyRequest>) -> Result<Response<v1::ApplyResponse>, Status> {
        answer!(self, self.call(request, Call::Apply).await?, Answer::Apply)
    }

    async fn get(&self, request: Request<v1::GetRequest>) -> Result<Response<v1::Object>, Status> {
        answer!(self, self.call(request, Call::Get).await?, Answer::Object)
    }

    async fn list(&self, request: Request<v1::ListRequest>) -> Result<Response<v1::ListResponse>, Status> {
        answer!(self, self.call(request, Call::List).await?, Answer::List)
    }

    async fn watch(&self, request: Request<v1::WatchRequest>) -> Result<Response<Self::WatchStream>, Status> {
        self.caller(&request)?;
        let request = request.into_inner();
        let kind = inbound::kind(request.kind()).map_err(Error::from)?;
        let project = match request.project.as_str() {
            "" => None,
            project => Some(inbound::object_name(project, "x").map_err(Error::from)?.project),
        };
        Ok(Response::new(ReceiverStream::new(watch::watch(self.0.hub.clone(), kind, project))))
    }

    async fn list_events(
        &self,
        request: Request<v1::ListEventsRequest>,
    ) -> Result<Response<v1::ListEventsResponse>, Status> {
        answer!(self, self.call(request, Call::ListEvents).await?, Answer::Events)
    }

    type WatchEventsStream = ReceiverStream<Result<v1::Event, Status>>;

    async fn watch_events(
        &self,
        request: Request<v1::ListEventsRequest>,
    ) -> Result<Response<Self::WatchEventsStream>, Status> {
        self.caller(&request)?;
        let events = self.0.watch_events(request.get_ref())?;
        Ok(Response::new(ReceiverStream::new(events)))
    }

    async fn delete(
        &self,
        request: Request<v1::DeleteRequest>,
    ) -> Result<Response<v1::DeleteResponse>, Status> {
        answer!(self, self.call(request, Call::Delete).await?, Answer::Delete)
    }

    async fn label(&self, request: Request<v1::LabelRequest>) -> Result<Response<v1::Object>, Status> {
        answer!(self, self.call(request, Call::Label).await?, Answer::Object)
    }

    async fn taint(&self, request: Request<v1::TaintRequest>) -> Result<Response<v1::Object>, Status> {
        answer!(self, self.call(request, Call::Taint).await?, Answer::Object)
    }

    async fn create_token(
        &self,
        request: Request<v1::CreateTokenRequest>,
    ) -> Result<Response<v1::CreateTokenResponse>, Status> {
        answer!(self, self.call(request, Call::CreateToken).await?, Answer::Token)
    }

    async fn tree(&self, request: Request<v1::TreeRequest>) -> Result<Response<v1::TreeResponse>, Status> {
        answer!(self, self.call(request, Call::Tree).await?, Answer::Tree)
    }

    async fn version(
        &self,
        request: Request<v1::VersionRequest>,
    ) -> Result<Response<v1::VersionResponse>, Status> {
        self.caller(&request)?;
        Ok(Response::new(v1::VersionResponse {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            path: self.0.peer.path.to_string(),
            uid: self.0.peer.uid.to_string(),
            trust_domain: self.0.domain.to_string(),
        }))
    }

    async fn list_orphans(
        &self,
        request: Request<v1::ListOrphansRequest>,
    ) -> Result<Response<v1::ListOrphansResponse>, Status> {
        answer!(self, self.call(request, Call::ListOrphans).await?, Answer::Orphans)
    }

    async fn drop_orphan(
        &self,
        request: Request<v1::DropOrphanRequest>,
    ) -> Result<Response<v1::DropOrphanResponse>, Status> {
        answer!(self, self.call(request, Call::DropOrphan).await?, Answer::Dropped)
    }

    async fn forget_missing(
        &self,
        request: Request<v1::ForgetMissingRequest>,
    ) -> Result<Response<v1::ForgetMissingResponse>, Status> {
        answer!(self, self.call(request, Call::ForgetMissing).await?, Answer::Forgotten)
    }
}

impl Responder for Api {
    /// Answers the hub above, on behalf of an administrator there.
    async fn answer(&self, query: Query) -> LinkAnswer {
        let until = Instant::now() + Duration::from_millis(query.deadline_ms.into());
        let caller = Caller { id: query.id, principal: query.principal, until };
        let result = match Relay::decode(query.body.as_slice()).map(|relay| relay.call) {
            Ok(Some(call)) => self.call(&caller, call).await,
            Ok(None) | Err(_) => {
                Err(Error::Invalid(format!("hub {} does not know this call: update it", self.peer.path)))
            }
        };
        let result = result.unwrap_or_else(|error| Answer::Refused(error.into()));
        let body = RelayAnswer { result: Some(result) }.encode_to_vec();
        LinkAnswer { id: query.id, as_of: clock::wall(), partial: false, next: String::new(), body }
    }
}
