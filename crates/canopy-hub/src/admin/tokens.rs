//! Join tokens for children of this hub.

use canopy_identity::token::TOKEN_LIFE_SECS;
use canopy_identity::{JoinToken, Role};
use canopy_proto::admin::v1::{self, CreateTokenRequest, CreateTokenResponse};
use canopy_proto::convert::inbound;

use super::api::{Api, missing};
use super::error::Error;
use crate::registry::{self, Invitation};

/// The longest life of a token, in seconds: a machine that is shipped overseas.
const TOKEN_LIFE_MAX_SECS: u64 = 90 * 24 * 60 * 60;

impl Api {
    pub(super) async fn create_token(
        &self,
        request: CreateTokenRequest,
    ) -> Result<CreateTokenResponse, Error> {
        if self.advertised.is_empty() {
            return Err(Error::NoAddress);
        }
        let kind = match request.role() {
            v1::Role::Hub => Role::Hub,
            v1::Role::Agent => Role::Agent,
            v1::Role::Unspecified => return Err(missing("role")),
        };
        let name = match request.name.as_str() {
            "" => None,
            name => Some(inbound::object_name("", name)?.name),
        };
        let life_secs = match request.ttl_seconds {
            0 => TOKEN_LIFE_SECS,
            asked if asked > TOKEN_LIFE_MAX_SECS => {
                return Err(Error::TokenLife { asked, max: TOKEN_LIFE_MAX_SECS });
            }
            asked => asked,
        };
        let labels = inbound::labels(&request.labels)?;
        let addresses = self.advertised.clone();
        let token = self.registry.invite(Invitation { kind, name, labels, life_secs, addresses }).await;
        let token = token.map_err(|error| match error {
            registry::Error::Issue(error) => Error::Token(error),
            registry::Error::Folder(error) => Error::Folder(error),
        })?;
        let role = match token.kind {
            Role::Hub => v1::Role::Hub,
            Role::Agent | Role::Admin => v1::Role::Agent,
        };
        let JoinToken { parent, addresses, expires, .. } = token.clone();
        Ok(CreateTokenResponse {
            token: token.to_string(),
            addresses,
            parent: parent.to_string(),
            role: role.into(),
            expires_ms: expires.saturating_mul(1000),
        })
    }
}
