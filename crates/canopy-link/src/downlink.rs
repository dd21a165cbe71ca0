//! The parent's side: the service that its children call.

use std::sync::Arc;

use canopy_core::link::EdgeId;
use canopy_identity::{Certified, Peer, Role};
use canopy_model::{Name, Path};
use canopy_proto::link::v1::link_server::{Link, LinkServer};
use canopy_proto::link::v1::{Answer, Frame, Query};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};
use tracing::{Instrument, info, info_span};

use crate::converse::{ASKS_MAX, Children};
use crate::dial::with_sources;
use crate::limits::MESSAGE_BYTES_MAX;
use crate::listen::certified;
use crate::membership::{Members, Membership, Refused};
use crate::session::{End, Events, Session, goodbye};
use crate::terms::{Limits, Terms};

/// The service of one hub.
#[derive(Debug)]
pub struct Downlink<M> {
    path: Path,
    limits: Limits,
    events: Events,
    children: Children,
    members: Arc<M>,
}

/// The link service of the hub at `path`, for those of its direct children that are `members`: hubs
/// and agents. Sessions are reported to `events`; connected children can be asked through
/// `children`.
pub fn downlink<M: Members>(
    path: Path,
    events: Events,
    children: Children,
    members: M,
) -> LinkServer<Downlink<M>> {
    limited(path, Limits::default(), events, children, members)
}

pub(crate) fn limited<M: Members>(
    path: Path,
    limits: Limits,
    events: Events,
    children: Children,
    members: M,
) -> LinkServer<Downlink<M>> {
    LinkServer::new(Downlink { path, limits, events, children, members: Arc::new(members) })
        .max_decoding_message_size(MESSAGE_BYTES_MAX)
        .max_encoding_message_size(MESSAGE_BYTES_MAX)
}

impl<M: Members> Downlink<M> {
    /// The child that makes a request, its name, and its permission to.
    async fn child<T>(&self, request: &Request<T>) -> Result<(Certified, Name, Membership), Status> {
        let certified = certified(request.extensions())?;
        let name = self.name(&certified.peer)?;
        let admitted = self.members.admit(certified).await;
        let membership = admitted.map_err(|refused| {
            info!(child = %name, reason = with_sources(&refused), "refused a child");
            Status::from(&refused)
        })?;
        Ok((certified.clone(), name, membership))
    }

    fn name(&self, peer: &Peer) -> Result<Name, Status> {
        let member = matches!(peer.role, Role::Hub | Role::Agent);
        let direct = peer.path.parent().as_ref() == Some(&self.path);
        match peer.path.name().filter(|_| member && direct) {
            Some(name) => Ok(name),
            None => {
                let path = &self.path;
                Err(Status::permission_denied(format!("{peer} is no child of the hub at {path}")))
            }
        }
    }
}

#[tonic::async_trait]
impl<M: Members> Link for Downlink<M> {
    type ExchangeStream = ReceiverStream<Result<Frame, Status>>;
    type ConverseStream = ReceiverStream<Result<Query, Status>>;

    async fn exchange(
        &self,
        request: Request<Streaming<Frame>>,
    ) -> Result<Response<Self::ExchangeStream>, Status> {
        let (certified, child, mut membership) = self.child(&request).await?;
        let (outgoing, frames) = mpsc::channel(1);
        let (events, limits, members) = (self.events.clone(), self.limits, self.members.clone());
        let span = info_span!("link", peer = %child);
        let session = async move {
            let terms = Terms::parent(limits, certified.peer.clone());
            let session = Session::new(EdgeId::Child(child), terms, &events);
            info!(session = session.id().0, "a child has connected");
            let dismissed = async { End::Dismissed(membership.ended().await) };
            // A driver that lets a child go releases its session first and says so afterwards.
            let judge = async |end| match end {
                End::Released => match members.admit(&certified).await {
                    Err(refused @ (Refused::Released(_) | Refused::Other(_))) => End::Dismissed(refused),
                    Ok(_) | Err(Refused::Unable(_)) => End::Released,
                },
                end => end,
            };
            let end = session.run(request.into_inner(), outgoing, dismissed, judge).await;
            let reason = with_sources(&end).escape_debug().to_string();
            info!(session = session.id().0, reason, "a child's session has ended");
        };
        tokio::spawn(session.instrument(span));
        Ok(Response::new(ReceiverStream::new(frames)))
    }

    async fn converse(
        &self,
        request: Request<Streaming<Answer>>,
    ) -> Result<Response<Self::ConverseStream>, Status> {
        let (_, child, mut membership) = self.child(&request).await?;
        let (outgoing, queries) = mpsc::channel(ASKS_MAX);
        let children = self.children.clone();
        tokio::spawn(async move {
            tokio::select! {
                () = children.converse(&child, request.into_inner(), outgoing.clone()) => {}
                refused = membership.ended() => goodbye(outgoing, &End::Dismissed(refused)).await,
            }
        });
        Ok(Response::new(ReceiverStream::new(queries)))
    }
}
