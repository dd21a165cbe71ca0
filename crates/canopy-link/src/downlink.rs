//! The parent's side: the service that its children call.

use std::future::pending;

use canopy_core::link::EdgeId;
use canopy_identity::Role;
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
use crate::listen::peer;
use crate::session::{Events, Session};
use crate::terms::{Limits, Terms};

/// The service of one hub.
#[derive(Debug)]
pub struct Downlink {
    path: Path,
    limits: Limits,
    events: Events,
    children: Children,
}

/// The link service of the hub at `path`, for its direct children: hubs and agents. Sessions are
/// reported to `events`; connected children can be asked through `children`.
pub fn downlink(path: Path, events: Events, children: Children) -> LinkServer<Downlink> {
    limited(path, Limits::default(), events, children)
}

pub(crate) fn limited(
    path: Path,
    limits: Limits,
    events: Events,
    children: Children,
) -> LinkServer<Downlink> {
    LinkServer::new(Downlink { path, limits, events, children })
        .max_decoding_message_size(limits.message_bytes_max)
        .max_encoding_message_size(MESSAGE_BYTES_MAX)
}

impl Downlink {
    /// The name of the child that makes a request.
    fn child<T>(&self, request: &Request<T>) -> Result<Name, Status> {
        let peer = peer(request.extensions())?;
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
impl Link for Downlink {
    type ExchangeStream = ReceiverStream<Result<Frame, Status>>;
    type ConverseStream = ReceiverStream<Result<Query, Status>>;

    async fn exchange(
        &self,
        request: Request<Streaming<Frame>>,
    ) -> Result<Response<Self::ExchangeStream>, Status> {
        let child = self.child(&request)?;
        let (outgoing, frames) = mpsc::channel(1);
        let (events, limits) = (self.events.clone(), self.limits);
        let span = info_span!("link", peer = %child);
        let session = async move {
            let session = Session::new(EdgeId::Child(child), Terms::parent(limits), &events);
            info!(session = session.id().0, "a child has connected");
            let end = session.run(request.into_inner(), outgoing, pending()).await;
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
        let child = self.child(&request)?;
        let (outgoing, queries) = mpsc::channel(ASKS_MAX);
        let children = self.children.clone();
        tokio::spawn(async move { children.converse(&child, request.into_inner(), outgoing).await });
        Ok(Response::new(ReceiverStream::new(queries)))
    }
}
