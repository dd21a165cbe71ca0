//! One call of the admin API: where it belongs, and carrying it out here or below.
//!
//! Calls come from administrators and from the hub above, and both take this way. A call about
//! something at home below travels down the second stream of the link, hub by hub, to its home.

use std::sync::Arc;
use std::time::{Duration, Instant};

use canopy_content::Pull;
use canopy_core::Hub;
use canopy_core::command::{Command, Outcome, Refusal, Verb};
use canopy_core::hub::rehearse::Rehearsal;
use canopy_identity::{Peer, TrustDomain, key};
use canopy_link::{Children, Contact, Query};
use canopy_model::{Kind, Name, Path, Role, Uid};
use canopy_node::{Handle, clock};
use canopy_proto::admin::v1::relay::Call;
use canopy_proto::admin::v1::relay_answer::Result as Answer;
use canopy_proto::admin::v1::{self, Relay, RelayAnswer};
use canopy_proto::convert::inbound;
use prost::Message;

use super::error::Error;
use super::region;
use crate::registry::Registry;

/// How long a call may take if the caller does not say: longer than a hub that is asked may need,
/// shorter than patience.
pub const CALL_MAX: Duration = Duration::from_secs(30);
/// What a hub keeps of the time of a call for itself, so that the answer of a hub below that is
/// late still can be told as such.
const OWN_TIME: Duration = Duration::from_millis(200);
/// The same as a part of the time that is left: a round trip to a hub behind a bad line takes long.
const OWN_PART: u32 = 5;
/// The largest answer of a hub below, and the largest question to one, in bytes: what fits into a
/// message of the link.
pub(super) const ANSWER_BYTES_MAX: usize = canopy_link::converse::ANSWER_BYTES_MAX;

/// What calls need.
#[derive(Clone)]
pub struct Api {
    /// The hub's driver.
    pub hub: Handle<Hub>,
    /// Who this hub is.
    pub peer: Peer,
    /// The fleet's name.
    pub domain: TrustDomain,
    /// Tokens and certificates.
    pub registry: Arc<Registry>,
    /// The hubs below.
    pub children: Children,
    /// What keeps this hub from its parent.
    pub contact: Contact,
    /// Content that is too large for a row.
    pub content: Pull,
    /// Where children reach this hub, each `host:port`.
    pub advertised: Vec<String>,
}

/// Who calls.
#[derive(Debug, Clone)]
pub struct Caller {
    /// Names the call: a write that is repeated under the same id is carried out once.
    pub id: Uid,
    /// Whom the certificate names.
    pub principal: String,
    /// When the answer is of no use any more.
    pub until: Instant,
}

impl Caller {
    /// A call of `principal`; a new one unless it says which it repeats.
    pub fn new(principal: String, id: Option<Uid>) -> Self {
        Self { id: id.unwrap_or_else(key::random_uid), principal, until: Instant::now() + CALL_MAX }
    }
}

impl Api {
    /// Carries out a call where it belongs.
    pub async fn call(&self, caller: &Caller, call: Call) -> Result<Answer, Error> {
        let destination = self.destination(&call)?;
        if destination == self.peer.path {
            return self.carry_out(caller, call).await;
        }
        match self.peer.path.child_towards(&destination) {
            Some(child) => region::check(&destination, self.relay(caller, &child, call).await?),
            None => Err(Error::Above { home: destination, here: self.peer.path.clone() }),
        }
    }

    async fn carry_out(&self, caller: &Caller, call: Call) -> Result<Answer, Error> {
        Ok(match call {
            Call::Apply(request) => Answer::Apply(self.apply(caller, request).await?),
            Call::Get(request) => Answer::Object(self.get(request).await?),
            Call::List(request) => Answer::List(self.list(caller, request).await?),
            Call::ListEvents(request) => Answer::Events(self.list_events(caller, request).await?),
            Call::Delete(request) => Answer::Delete(self.delete(caller, request).await?),
            Call::Label(request) => Answer::Object(self.label(caller, request).await?),
            Call::Taint(request) => Answer::Object(self.taint(caller, request).await?),
            Call::CreateToken(request) => Answer::Token(self.create_token(request).await?),
            Call::Tree(request) => Answer::Tree(self.tree(caller, request).await?),
            Call::ListOrphans(_) => Answer::Orphans(self.list_orphans().await?),
            Call::DropOrphan(request) => Answer::Dropped(self.drop_orphan(caller, request).await?),
            Call::ForgetMissing(_) => Answer::Forgotten(self.forget_missing(caller).await?),
        })
    }

    /// The hub where a call is to be carried out.
    fn destination(&self, call: &Call) -> Result<Path, Error> {
        match call {
            Call::Apply(request) => {
                let object = request.object.as_ref().ok_or(missing("object"))?;
                let metadata = object.metadata.as_ref().ok_or(missing("metadata"))?;
                self.home(object.kind(), &metadata.name, &metadata.home)
            }
            Call::Get(v1::GetRequest { object }) => {
                let object = object.as_ref().ok_or(missing("object"))?;
                let home = self.home(object.kind(), &object.name, &object.home)?;
                let is_node = inbound::kind(object.kind())?.role().is_some();
                // What is inherited can be read here.
                Ok(if !is_node && home.contains(&self.peer.path) { self.peer.path.clone() } else { home })
            }
            Call::Delete(v1::DeleteRequest { object, .. })
            | Call::Label(v1::LabelRequest { object, .. })
            | Call::Taint(v1::TaintRequest { object, .. }) => {
                let object = object.as_ref().ok_or(missing("object"))?;
                self.home(object.kind(), &object.name, &object.home)
            }
            Call::List(_) | Call::ListEvents(_) => Ok(self.peer.path.clone()),
            Call::CreateToken(request) => self.place("parent", &request.parent),
            Call::Tree(request) => self.place("path", &request.path),
            Call::ListOrphans(request) => self.place("path", &request.path),
            Call::DropOrphan(request) => self.place("path", &request.path),
            Call::ForgetMissing(request) => self.place("path", &request.path),
        }
    }

    /// Hubs and clusters are recorded by the hub above them; a hub knows itself.
    fn home(&self, kind: v1::Kind, name: &str, home: &str) -> Result<Path, Error> {
        if inbound::kind(kind)?.role().is_none() {
            return self.place("metadata.home", home);
        }
        let path = inbound::path("metadata.name", name)?;
        if path == self.peer.path {
            return Ok(path);
        }
        Ok(path.parent().unwrap_or(path))
    }

    /// The hub in this field; nothing means the hub that is asked.
    pub(super) fn place(&self, field: &'static str, text: &str) -> Result<Path, Error> {
        if text.is_empty() { Ok(self.peer.path.clone()) } else { Ok(inbound::path(field, text)?) }
    }

    /// Passes a call on to a hub below.
    pub(super) async fn relay(&self, caller: &Caller, child: &Name, call: Call) -> Result<Answer, Error> {
        let path = self.peer.path.child(child);
        let role = {
            let child = child.clone();
            let role = move |hub: &Hub| hub.children().get(&child)?.record.as_ref().map(|record| record.role);
            self.hub.read(role).await?
        };
        if role != Some(Role::Hub) {
            return Err(self.not_found(Kind::Hub, path));
        }
        let body = Relay { call: Some(call) }.encode_to_vec();
        if body.len() > ANSWER_BYTES_MAX {
            return Err(Error::RequestTooLarge { bytes: body.len(), max: ANSWER_BYTES_MAX });
        }
        let left = caller.until.saturating_duration_since(Instant::now());
        let left = left.saturating_sub(OWN_TIME.max(left / OWN_PART));
        let query = Query {
            id: caller.id,
            principal: caller.principal.clone(),
            deadline_ms: u32::try_from(left.as_millis()).unwrap_or(u32::MAX),
            max_bytes: u32::try_from(ANSWER_BYTES_MAX).unwrap_or(u32::MAX),
            body,
        };
        let asked = self.children.ask(child, query).await;
        let answer = asked.map_err(|source| Error::asked(path.clone(), source))?;
        if answer.partial && answer.body.is_empty() {
            return Err(Error::TooMuch(path));
        }
        match RelayAnswer::decode(answer.body.as_slice()).map(|answer| answer.result) {
            Ok(Some(Answer::Refused(refused))) => Err(refused.into()),
            Ok(Some(result)) => Ok(result),
            Ok(None) | Err(_) => Err(Error::Unreadable(path)),
        }
    }

    /// Asks this hub's machine for a write.
    pub(super) async fn command(&self, caller: &Caller, verb: Verb) -> Result<Outcome, Error> {
        let command = Command { id: caller.id, principal: caller.principal.clone(), verb };
        match self.hub.command(command).await.map_err(Error::Unsure)? {
            Outcome::Refused(refusal) => Err(Error::Refused(refusal)),
            outcome => Ok(outcome),
        }
    }

    /// Asks this hub's machine what a write would come to.
    pub(super) async fn rehearse(&self, caller: &Caller, verb: Verb) -> Result<Rehearsal, Error> {
        let principal = caller.principal.clone();
        let rehearse = move |hub: &Hub| hub.rehearse(clock::now(), &principal, verb);
        self.hub.read(rehearse).await?.map_err(Error::Refused)
    }

    pub(super) fn not_found(&self, kind: Kind, name: impl ToString) -> Error {
        Error::Refused(Refusal::NotFound { kind, name: name.to_string(), home: self.peer.path.clone() })
    }
}

pub(super) fn missing(field: &'static str) -> Error {
    Error::Field(canopy_proto::convert::Error::Missing(field))
}
