//! The hub's side of enrolment.
//!
//! The service answers strangers, so it reads little and believes nothing: of a request it takes a
//! token, a name and a key. What the hub makes of them is its [`Enroller`]'s to say.

use std::error::Error as StdError;

use canopy_identity::authority::Chain;
use canopy_identity::book::{self, Claim};
use canopy_identity::token::Secret;
use canopy_identity::{Certified, ProvenKey, Role, authority, key};
use canopy_proto::enroll::v1 as wire;
use canopy_proto::enroll::v1::enroll_server::{Enroll, EnrollServer};
use rustls::pki_types::CertificateDer;
use tonic::{Code, Request, Response, Status};
use tracing::info;

use crate::dial::with_sources;
use crate::limits::ENROLL_BYTES_MAX;
use crate::listen::ConnectInfo;
use crate::membership;

/// The longest id of a token that is looked at: ours have 16 digits.
pub(super) const TOKEN_ID_BYTES_MAX: usize = 64;

/// What a hub makes of those who ask for a certificate.
pub trait Enroller: Send + Sync + 'static {
    /// Redeems a token for a key that has been proven. Durable before it returns.
    fn join(&self, claim: Claim, key: ProvenKey) -> impl Future<Output = Result<Chain, Refused>> + Send;

    /// Renews a certificate, in DER, for a key that has been proven.
    fn renew(
        &self,
        certificate: Vec<u8>,
        key: ProvenKey,
    ) -> impl Future<Output = Result<Chain, Refused>> + Send;
}

/// Why a hub gives no certificate.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// The token does not admit this node.
    #[error("the join was refused")]
    Token(#[source] book::Refusal),
    /// The name belongs to another node.
    #[error("the name is taken")]
    Taken(#[source] Box<dyn StdError + Send + Sync>),
    /// The node is no member of this hub.
    #[error("this node is not the one that is accepted here")]
    Member(#[source] membership::Refused),
    /// The authority does not issue this.
    #[error("no certificate was issued")]
    Authority(#[source] authority::Error),
    /// The request cannot be read.
    #[error("the request is unusable")]
    Key(#[source] key::Error),
    /// A field of the request cannot be read.
    #[error("the request's {0} is missing or malformed")]
    Field(&'static str),
    /// The hub itself failed; its log says why.
    #[error("the hub could not do it")]
    Hub(#[source] Box<dyn StdError + Send + Sync>),
}

/// The service over a hub's `enroller`. It is the one service that needs no certificate.
pub fn service<E: Enroller>(enroller: E) -> EnrollServer<impl Enroll> {
    EnrollServer::new(Desk(enroller))
        .max_decoding_message_size(ENROLL_BYTES_MAX)
        .max_encoding_message_size(ENROLL_BYTES_MAX)
}

pub(super) struct Desk<E>(pub(super) E);

#[tonic::async_trait]
impl<E: Enroller> Enroll for Desk<E> {
    async fn join(
        &self,
        request: Request<wire::JoinRequest>,
    ) -> Result<Response<wire::JoinResponse>, Status> {
        let remote = request.extensions().get::<ConnectInfo>().map(|info| info.remote);
        let message = request.into_inner();
        let token: String = message.token_id.chars().take(TOKEN_ID_BYTES_MAX).collect();
        let token = token.escape_debug().to_string();
        let outcome = match claim_from_wire(message) {
            Ok((claim, key)) => self.0.join(claim, key).await,
            Err(unreadable) => Err(unreadable),
        };
        let chain = outcome.map_err(|reason| {
            info!(?remote, token, reason = with_sources(&reason), "refused a join");
            status(&reason)
        })?;
        info!(?remote, token, node = whose(&chain), "a node joined");
        Ok(Response::new(wire::JoinResponse { chain: chain_to_wire(chain) }))
    }

    async fn renew(
        &self,
        request: Request<wire::RenewRequest>,
    ) -> Result<Response<wire::RenewResponse>, Status> {
        let remote = request.extensions().get::<ConnectInfo>().map(|info| info.remote);
        let message = request.into_inner();
        let outcome = match ProvenKey::from_request(&message.csr) {
            Ok(key) => self.0.renew(message.certificate, key).await,
            Err(unreadable) => Err(Refused::Key(unreadable)),
        };
        let chain = outcome.map_err(|reason| {
            info!(?remote, reason = with_sources(&reason), "refused a renewal");
            status(&reason)
        })?;
        info!(?remote, node = whose(&chain), "a node renewed its certificate");
        Ok(Response::new(wire::RenewResponse { chain: chain_to_wire(chain) }))
    }
}

/// The one place where a refusal becomes a status.
fn status(refused: &Refused) -> Status {
    use authority::Error as Issue;
    let code = match refused {
        Refused::Token(book::Refusal::Expired | book::Refusal::Used) => Code::FailedPrecondition,
        Refused::Token(book::Refusal::Taken(_)) | Refused::Taken(_) => Code::AlreadyExists,
        Refused::Member(refused) => Status::from(refused).code(),
        Refused::Token(book::Refusal::Nameless) => Code::InvalidArgument,
        Refused::Token(_) => Code::PermissionDenied,
        Refused::Authority(Issue::Place(_) | Issue::TooDeep { .. } | Issue::RenewUnreadable(_)) => {
            Code::InvalidArgument
        }
        Refused::Authority(
            Issue::RenewForeign { .. }
            | Issue::RenewAdmin(_)
            | Issue::RenewKey(_)
            | Issue::RenewRevoked(_)
            | Issue::RenewLate(_),
        ) => Code::PermissionDenied,
        Refused::Key(_) | Refused::Field(_) => Code::InvalidArgument,
        Refused::Authority(_) | Refused::Hub(_) => {
            return Status::internal("the hub failed; its log says why");
        }
    };
    Status::new(code, with_sources(refused))
}

fn whose(chain: &[CertificateDer<'_>]) -> String {
    let first = chain.first().and_then(|first| Certified::read(first).ok());
    first.map(|certified| certified.peer.to_string()).unwrap_or_default()
}

fn claim_from_wire(message: wire::JoinRequest) -> Result<(Claim, ProvenKey), Refused> {
    let kind = match message.kind() {
        wire::Kind::Hub => Role::Hub,
        wire::Kind::Agent => Role::Agent,
        wire::Kind::Unspecified => return Err(Refused::Field("kind")),
    };
    if message.token_id.len() > TOKEN_ID_BYTES_MAX {
        return Err(Refused::Field("token_id"));
    }
    let secret = message.secret.try_into().map_err(|_| Refused::Field("secret"))?;
    let name = match message.name.as_str() {
        "" => None,
        name => Some(name.parse().map_err(|_| Refused::Field("name"))?),
    };
    let proven = ProvenKey::from_request(&message.csr).map_err(Refused::Key)?;
    let key = proven.fingerprint();
    Ok((Claim { id: message.token_id, secret: Secret(secret), kind, name, key }, proven))
}

fn chain_to_wire(chain: Chain) -> Vec<Vec<u8>> {
    chain.into_iter().map(|der| der.to_vec()).collect()
}
