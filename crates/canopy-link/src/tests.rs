//! A hub and its children over mTLS on loopback.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use canopy_core::link::{EdgeId, Frame, Hello, Message, Row, SessionId};
use canopy_core::row::{Body, Key, RowKind};
use canopy_identity::tls::{anonymous_config, client_config};
use canopy_identity::{Certified, Identity, Peer, Role};
use canopy_model::{Boot, Incarnation, Path, Uid, Wall};
use canopy_proto::link::v1;
use canopy_proto::link::v1::link_client::LinkClient;
use futures::stream::BoxStream;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::task::AbortOnDropHandle;
use tonic::transport::Channel;
use tonic::{Code, Request, Response, Status, Streaming};

use crate::converse::ASKS_MAX;
use crate::dial::{dial, with_sources};
use crate::downlink::limited;
use crate::fixture::{Fleet, Hub, PATIENCE, child};
use crate::limits::{Admission, KeepAlive};
use crate::listen::server;
use crate::membership::Refused;
use crate::terms::Limits;
use crate::uplink::keep;
use crate::{
    Answer, AskError, Children, Contact, Dialer, LinkEvent, Members, Membership, Memberships, Query,
    Responder, Way, uplink,
};

/// A hub with the link service, whose driver is the test.
struct Parent {
    fleet: Fleet,
    hub: Hub,
    events: mpsc::Receiver<LinkEvent>,
    children: Children,
    members: Invited,
}

/// Everyone is a member but those who were banned.
#[derive(Clone, Default)]
struct Invited {
    memberships: Memberships,
    banned: Arc<Mutex<Vec<Uid>>>,
}

impl Members for Invited {
    async fn admit(&self, child: &Certified) -> Result<Membership, Refused> {
        let membership = self.memberships.begin(child);
        match self.banned.lock().unwrap().contains(&child.peer.uid) {
            true => Err(Refused::Released(child.peer.clone())),
            false => Ok(membership),
        }
    }
}

impl Parent {
    async fn start(limits: Limits) -> Self {
        let fleet = Fleet::new();
        let path = fleet.plant.peer().path.clone();
        Self::at(fleet, path, limits).await
    }

    async fn at(fleet: Fleet, path: Path, limits: Limits) -> Self {
        let (handing_in, events) = mpsc::channel(16);
        let children = Children::default();
        let members = Invited::default();
        let service = limited(path, limits, handing_in, children.clone(), members.clone());
        let router = server(KeepAlive::default()).add_service(service);
        let hub = Hub::serve(&fleet, Admission::default(), router).await;
        Self { fleet, hub, events, children, members }
    }

    fn press(&self) -> Identity {
        child(&self.fleet.plant, Role::Agent, "press-3")
    }

    fn dialer(&self, child: &Identity) -> Dialer {
        let hub = self.fleet.plant.peer().path.clone();
        let tls = client_config(self.fleet.trust(), hub, &child.leaf().unwrap()).unwrap();
        let way = Way { addresses: vec![self.hub.address.clone()], proxy: None };
        Dialer { way, tls: Arc::new(tls), keep_alive: KeepAlive::default() }
    }

    async fn client(&self) -> LinkClient<Channel> {
        LinkClient::new(self.dialer(&self.press()).dial().await.unwrap())
    }
}

/// A child with the real uplink, whose driver is the test.
struct Child {
    events: mpsc::Receiver<LinkEvent>,
    contact: Contact,
    _uplink: AbortOnDropHandle<()>,
}

impl Child {
    fn start(parent: &Parent) -> Self {
        Self::of(parent, &parent.press())
    }

    fn of(parent: &Parent, identity: &Identity) -> Self {
        let (handing_in, events) = mpsc::channel(16);
        let dialer = parent.dialer(identity);
        let contact = Contact::default();
        let linked = uplink(dialer, contact.clone(), handing_in, Echo);
        Self { events, contact, _uplink: AbortOnDropHandle::new(tokio::spawn(linked)) }
    }
}

/// Answers with the question, or not at all when that is empty.
struct Echo;

impl Responder for Echo {
    async fn answer(&self, query: Query) -> Answer {
        if query.body.is_empty() {
            std::future::pending::<()>().await;
        }
        Answer { id: query.id, as_of: Wall(7), partial: false, next: query.principal, body: query.body }
    }
}

fn query(body: &[u8], deadline_ms: u32) -> Query {
    Query { id: Uid(1), principal: "alice".to_owned(), deadline_ms, max_bytes: 1000, body: body.to_vec() }
}

fn patience_ms() -> u32 {
    PATIENCE.as_millis() as u32
}

fn hello() -> Frame {
    let (boot, incarnation) = (Boot(1), Incarnation(2));
    let hello = Hello { boot, incarnation, cursor: None, seen: 0, wall: Wall(3), record: None };
    Frame { seq: 0, message: Message::Hello(hello) }
}

fn beat(seq: u64) -> Frame {
    Frame { seq, message: Message::Heartbeat { sent: None, stalest_ms: 0 } }
}

async fn next(events: &mut mpsc::Receiver<LinkEvent>) -> LinkEvent {
    timeout(PATIENCE, events.recv()).await.expect("in time").expect("an event")
}

async fn connected(events: &mut mpsc::Receiver<LinkEvent>) -> (EdgeId, SessionId, mpsc::Sender<Frame>) {
    match next(events).await {
        LinkEvent::Connected { edge, session, frames } => (edge, session, frames),
        other => panic!("{other:?}"),
    }
}

async fn received(events: &mut mpsc::Receiver<LinkEvent>) -> Frame {
    match next(events).await {
        LinkEvent::Received { frame, .. } => frame,
        other => panic!("{other:?}"),
    }
}

async fn disconnected(events: &mut mpsc::Receiver<LinkEvent>) -> SessionId {
    match next(events).await {
        LinkEvent::Disconnected { session, .. } => session,
        other => panic!("{other:?}"),
    }
}

async fn ended(mut frames: Streaming<v1::Frame>) -> Status {
    let ended = async {
        loop {
            match frames.message().await {
                Ok(Some(_)) => {}
                Ok(None) => panic!("the stream ended without a reason"),
                Err(status) => return status,
            }
        }
    };
    timeout(PATIENCE, ended).await.expect("in time")
}

#[tokio::test]
async fn frames_flow_both_ways_and_a_child_comes_back() {
    let mut parent = Parent::start(Limits::default()).await;
    let mut child = Child::start(&parent);
    let (edge, first, to_child) = connected(&mut parent.events).await;
    let (up, _, to_parent) = connected(&mut child.events).await;
    assert_eq!((edge, up), (EdgeId::Child("press-3".parse().unwrap()), EdgeId::Parent));

    to_child.send(hello()).await.unwrap();
    assert_eq!(received(&mut child.events).await, hello());
    to_parent.send(hello()).await.unwrap();
    assert_eq!(received(&mut parent.events).await, hello());
    let key = Key { kind: RowKind::Grant, uid: Uid(9) };
    let row = Row { key, version: 4, payload: Some(Body::Grant(5).into()) };
    let rows = Message::Rows { rows: vec![row], through: Some(4), seen: 4 };
    to_child.send(Frame { seq: 1, message: rows }).await.unwrap();
    match received(&mut child.events).await.message {
        Message::Rows { rows, .. } => assert_eq!(rows[0].payload.as_ref().unwrap().body, Body::Grant(5)),
        other => panic!("{other:?}"),
    }

    drop(to_child);
    assert_eq!(disconnected(&mut parent.events).await, first);
    disconnected(&mut child.events).await;
    let (_, second, _to_child) = connected(&mut parent.events).await;
    assert_ne!(first, second);
    let (.., _to_parent) = connected(&mut child.events).await;

    drop(child.events);
    assert_eq!(disconnected(&mut parent.events).await, second);
}

#[tokio::test]
async fn who_is_no_child_of_this_hub_opens_nothing() {
    let fleet = Fleet::new();
    let elsewhere = "eu/plant-8".parse().unwrap();
    let mut parent = Parent::at(fleet, elsewhere, Limits::default()).await;
    let mut client = parent.client().await;
    let refused = client.exchange(tokio_stream::pending::<v1::Frame>()).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);
    assert_eq!(refused.message(), "agent plant-7/press-3 is no child of the hub at eu/plant-8");
    let refused = client.converse(tokio_stream::pending::<v1::Answer>()).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);

    let tls = anonymous_config(parent.fleet.trust(), parent.fleet.plant.peer().path.clone()).unwrap();
    let addresses = [parent.hub.address.clone()];
    let stranger = dial(&addresses, Arc::new(tls), KeepAlive::default()).await.unwrap();
    let refused = LinkClient::new(stranger).exchange(tokio_stream::pending::<v1::Frame>()).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unauthenticated);
    assert!(parent.events.try_recv().is_err(), "the driver hears nothing of it");
}

#[tokio::test]
async fn who_is_no_longer_a_member_is_told_at_once_and_on_every_stream() {
    let mut parent = Parent::start(Limits::default()).await;
    let press = parent.press();
    let mut client = LinkClient::new(parent.dialer(&press).dial().await.unwrap());
    let frames = client.exchange(tokio_stream::pending::<v1::Frame>()).await.unwrap().into_inner();
    let mut queries = client.converse(tokio_stream::pending::<v1::Answer>()).await.unwrap().into_inner();
    let (_, session, _to_child) = connected(&mut parent.events).await;

    let uid = press.peer().uid;
    parent.members.banned.lock().unwrap().push(uid);
    let reason = |peer: &Peer, _| (peer.uid == uid).then(|| Refused::Released(peer.clone()));
    parent.members.memberships.end(reason);
    let status = ended(frames).await;
    assert_eq!(status.code(), Code::PermissionDenied);
    assert!(status.message().contains("has let agent plant-7/press-3 go"), "{}", status.message());
    assert_eq!(disconnected(&mut parent.events).await, session);
    let status = timeout(PATIENCE, queries.message()).await.unwrap().unwrap_err();
    assert_eq!(status.code(), Code::PermissionDenied);

    // Nor does the connection that is still open bring it back.
    let refused = client.exchange(tokio_stream::pending::<v1::Frame>()).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);
    let refused = client.converse(tokio_stream::pending::<v1::Answer>()).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);
    assert!(parent.events.try_recv().is_err());
}

#[tokio::test]
async fn a_session_that_the_driver_releases_tells_a_child_that_it_is_no_member() {
    let mut parent = Parent::start(Limits::default()).await;
    let press = parent.press();
    let mut client = LinkClient::new(parent.dialer(&press).dial().await.unwrap());
    for (banned, code) in [(false, Code::Aborted), (true, Code::PermissionDenied)] {
        let frames = client.exchange(tokio_stream::pending::<v1::Frame>()).await.unwrap().into_inner();
        let (.., to_child) = connected(&mut parent.events).await;
        if banned {
            parent.members.banned.lock().unwrap().push(press.peer().uid);
        }
        drop(to_child);
        assert_eq!(ended(frames).await.code(), code);
        disconnected(&mut parent.events).await;
    }
}

/// What a child makes of one attempt to keep a session.
async fn attempt(parent: &Parent, identity: &Identity) -> (String, bool) {
    let (events, _received) = mpsc::channel(16);
    let dialer = parent.dialer(identity);
    let failure =
        timeout(PATIENCE, keep(&dialer, &Contact::default(), &events, &Echo)).await.expect("in time");
    (with_sources(&failure), failure.is_refusal())
}

#[tokio::test]
async fn a_child_says_plainly_that_it_is_refused() {
    let parent = Parent::start(Limits::default()).await;
    let press = parent.press();
    parent.members.banned.lock().unwrap().push(press.peer().uid);
    let (reason, refused) = attempt(&parent, &press).await;
    let expected = "the parent refuses this node: this hub has let agent plant-7/press-3 go";
    assert!(refused && reason.starts_with(expected), "{reason}");

    // The same, where TLS refuses it already.
    let mut fleet = Fleet::new();
    let press = child(&fleet.plant, Role::Agent, "press-3");
    fleet.revocations.revoke_uid(press.peer().uid);
    let path = fleet.plant.peer().path.clone();
    let parent = Parent::at(fleet, path, Limits::default()).await;
    let (reason, refused) = attempt(&parent, &press).await;
    assert!(
        refused && reason.contains("refuses this node's certificate: it has let this node go"),
        "{reason}"
    );
}

/// A hub of a later version.
struct Later;

#[tonic::async_trait]
impl v1::link_server::Link for Later {
    type ExchangeStream = BoxStream<'static, Result<v1::Frame, Status>>;
    type ConverseStream = BoxStream<'static, Result<v1::Query, Status>>;

    async fn exchange(
        &self,
        _: Request<Streaming<v1::Frame>>,
    ) -> Result<Response<Self::ExchangeStream>, Status> {
        let hello = v1::Hello { protocol: Some(v1::Protocol { min: 2, max: 3 }), ..v1::Hello::default() };
        let frame = v1::Frame { seq: 0, message: Some(v1::frame::Message::Hello(hello)) };
        Ok(Response::new(Box::pin(tokio_stream::iter([Ok(frame)]).chain(tokio_stream::pending()))))
    }

    async fn converse(
        &self,
        _: Request<Streaming<v1::Answer>>,
    ) -> Result<Response<Self::ConverseStream>, Status> {
        Ok(Response::new(Box::pin(tokio_stream::pending())))
    }
}

#[tokio::test]
async fn what_keeps_a_child_from_its_parent_is_told_until_it_is_over() {
    let mut parent = Parent::start(Limits::default()).await;
    let press = parent.press();
    parent.members.banned.lock().unwrap().push(press.peer().uid);
    let mut child = Child::of(&parent, &press);
    let mut trouble = child.contact.0.subscribe();
    let told = timeout(PATIENCE, trouble.wait_for(Option::is_some)).await.unwrap().unwrap().clone();
    assert!(told.unwrap().contains("has let agent plant-7/press-3 go"));

    let mut child_again = Child::start(&parent);
    let (.., _to_child) = connected(&mut parent.events).await;
    let (.., _to_parent) = connected(&mut child_again.events).await;
    assert_eq!(child_again.contact.trouble(), None);
    assert!(child.events.try_recv().is_err() && child.contact.trouble().is_some());
}

#[tokio::test]
async fn a_child_says_that_it_is_too_old() {
    let mut parent = Parent::start(Limits::default()).await;
    let router = server(KeepAlive::default()).add_service(v1::link_server::LinkServer::new(Later));
    parent.hub = Hub::serve(&parent.fleet, Admission::default(), router).await;
    let (reason, refused) = attempt(&parent, &parent.press()).await;
    let expected = "the hub above speaks protocol versions 2 to 3, this node 1 to 1: update this node first";
    assert!(refused && reason.ends_with(expected), "{reason}");
}

#[tokio::test]
async fn a_hub_says_which_side_is_too_old() {
    let mut parent = Parent::start(Limits::default()).await;
    let newer = v1::Protocol { min: 2, max: 3 };
    let hello = v1::Hello { protocol: Some(newer), ..v1::Hello::default() };
    let frame = v1::Frame { seq: 0, message: Some(v1::frame::Message::Hello(hello)) };
    let mut client = parent.client().await;
    let frames = client.exchange(tokio_stream::iter([frame]).chain(tokio_stream::pending())).await.unwrap();
    let (.., _to_child) = connected(&mut parent.events).await;
    let status = ended(frames.into_inner()).await;
    assert_eq!(status.code(), Code::FailedPrecondition);
    let expected = "the node below speaks protocol versions 2 to 3, this hub 1 to 1: update this hub first";
    assert!(status.message().ends_with(expected), "{}", status.message());
    disconnected(&mut parent.events).await;
}

#[tokio::test]
async fn thousands_of_tiny_frames_for_a_busy_hub_end_the_session_and_not_the_connection() {
    let parent = Parent::start(Limits::default()).await;
    let mut client = parent.client().await;
    let (answers, answered) = mpsc::channel(1);
    let mut queries = client.converse(ReceiverStream::new(answered)).await.unwrap().into_inner();
    let flood = (0..20_000)
        .map(|seq| v1::Frame { seq, message: Some(v1::frame::Message::Heartbeat(v1::Heartbeat::default())) });
    // The test, being the hub's driver, takes no events.
    let frames = client.exchange(tokio_stream::iter(flood)).await.unwrap().into_inner();
    let status = ended(frames).await;
    assert!(status.message().contains("frames are waiting"), "{status}");

    let name = "press-3".parse().unwrap();
    let echo = async {
        let id = queries.message().await.unwrap().unwrap().id;
        answers.send(v1::Answer { id, ..v1::Answer::default() }).await.unwrap();
    };
    let (answer, ()) = tokio::join!(parent.children.ask(&name, query(b"?", patience_ms())), echo);
    assert_eq!(answer.unwrap().id, Uid(1));
}

#[tokio::test]
async fn a_parent_refuses_a_message_beyond_its_limit() {
    let mut parent = Parent::start(Limits { message_bytes_max: 2000, ..Limits::default() }).await;
    let row = |bytes| v1::Row { kind: 77, uid: vec![0; 16], version: 1, value: Some(vec![0; bytes]) };
    let rows = |bytes| v1::Rows { rows: vec![row(bytes)], ..v1::Rows::default() };
    let frame = |bytes| v1::Frame { seq: 0, message: Some(v1::frame::Message::Rows(rows(bytes))) };
    let mut client = parent.client().await;
    let frames = tokio_stream::iter([frame(1900), frame(2100)]);
    let frames = client.exchange(frames).await.unwrap().into_inner();
    connected(&mut parent.events).await;
    received(&mut parent.events).await;
    disconnected(&mut parent.events).await;
    ended(frames).await;
}

#[tokio::test]
async fn a_child_gives_up_a_parent_that_falls_silent_when_the_parent_said_it_would_not() {
    let heartbeat = Duration::from_millis(200);
    let mut parent = Parent::start(Limits { heartbeat, ..Limits::default() }).await;
    let mut child = Child::start(&parent);
    let (.., to_child) = connected(&mut parent.events).await;
    let (_, first, to_parent) = connected(&mut child.events).await;
    to_child.send(hello()).await.unwrap();
    received(&mut child.events).await;

    // The child itself shows life all the time, so it is not the parent that ends the session.
    let beats = async {
        let mut seq = 0..;
        while to_parent.send(beat(seq.next().unwrap())).await.is_ok() {
            received(&mut parent.events).await;
            tokio::time::sleep(heartbeat / 4).await;
        }
        std::future::pending::<()>().await;
    };
    tokio::select! {
        session = disconnected(&mut child.events) => assert_eq!(session, first),
        () = beats => unreachable!("it never ends"),
    }
}

#[tokio::test]
async fn a_parent_asks_and_its_child_answers() {
    let mut parent = Parent::start(Limits::default()).await;
    let name = "press-3".parse().unwrap();
    let asked = parent.children.ask(&name, query(b"?", patience_ms())).await;
    assert_eq!(asked, Err(AskError::NotConnected(name.clone())));

    let mut child = Child::start(&parent);
    let (.., _to_child) = connected(&mut parent.events).await;
    let (.., to_parent) = connected(&mut child.events).await;
    let answer = parent.children.ask(&name, query(b"how are you?", patience_ms())).await.unwrap();
    assert_eq!((answer.id, &answer.body[..], &answer.next[..]), (Uid(1), &b"how are you?"[..], "alice"));

    let answer = parent.children.ask(&name, query(&[b'?'; 1001], patience_ms())).await.unwrap();
    assert_eq!((answer.partial, answer.body.len()), (true, 0), "larger than was asked for");

    let late = AskError::Deadline { child: name.clone(), deadline_ms: 50 };
    assert_eq!(parent.children.ask(&name, query(b"", 50)).await, Err(late));

    let asking = parent.children.ask(&name, query(b"", patience_ms()));
    let ending = async { drop(to_parent) };
    assert_eq!(tokio::join!(asking, ending).0, Err(AskError::Lost(name.clone())));
}

#[tokio::test]
async fn a_child_is_not_asked_more_than_it_can_hold() {
    let mut parent = Parent::start(Limits::default()).await;
    let _child = Child::start(&parent);
    let (.., _to_child) = connected(&mut parent.events).await;
    let name: canopy_model::Name = "press-3".parse().unwrap();
    while parent.children.ask(&name, query(b"?", patience_ms())).await.is_err() {
        tokio::task::yield_now().await;
    }
    let unanswered = |id| {
        let (children, name) = (parent.children.clone(), name.clone());
        let query = Query { id: Uid(id), ..query(b"", patience_ms()) };
        AbortOnDropHandle::new(tokio::spawn(async move { children.ask(&name, query).await }))
    };
    let mut asking: futures::stream::FuturesUnordered<_> = (0..=ASKS_MAX as u128).map(unanswered).collect();
    let first = timeout(PATIENCE, futures::StreamExt::next(&mut asking)).await.unwrap().unwrap().unwrap();
    assert_eq!(first, Err(AskError::Busy(name)));
}
