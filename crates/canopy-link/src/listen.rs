//! Accepting connections, and who is at the other end of a request.
//!
//! tonic's own TLS has no limit on handshakes and cannot check paths, so the accept loop is here.
//! It survives whatever connects to it: a port scanner, plain HTTP, a proxy, a client that says
//! nothing. A client without a certificate is let in where children are, since it may want to
//! join; every service but that one asks for its [`peer`].

mod connection;

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use canopy_identity::{Certified, Peer, certificate};
use rustls::ServerConfig;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_stream::Stream;
use tokio_util::task::AbortOnDropHandle;
use tonic::transport::Server;
use tonic::{Extensions, Status};
use tracing::{debug, warn};

use crate::limits::{ACCEPT_PAUSE, Admission, HEADER_BYTES_MAX, KeepAlive, PENDING_RESETS_MAX, STREAMS_MAX};
use crate::shares::{Share, Shares};

pub use connection::{ConnectInfo, Connection};

/// Connections that wait for the server to take them.
const READY_MAX: usize = 16;

/// What a client that is refused may have sent before it knew: its first flight and a request.
const REFUSED_BYTES_MAX: u64 = 64 * 1024;

/// The stream of accepted connections. Dropping it closes the listener.
#[derive(Debug)]
pub struct Incoming {
    ready: mpsc::Receiver<Connection>,
    _accepting: AbortOnDropHandle<()>,
}

/// Accepts connections that `tls` lets in. Must be called within a tokio runtime.
pub fn incoming(listener: TcpListener, tls: ServerConfig, admission: Admission) -> Incoming {
    let (sender, ready) = mpsc::channel(READY_MAX);
    let accepting = tokio::spawn(accept(listener, TlsAcceptor::from(Arc::new(tls)), admission, sender));
    Incoming { ready, _accepting: AbortOnDropHandle::new(accepting) }
}

/// A tonic server with our limits, to which services are added.
pub fn server(keep_alive: KeepAlive) -> Server {
    Server::builder()
        .http2_keepalive_interval(Some(keep_alive.every))
        .http2_keepalive_timeout(Some(keep_alive.wait))
        .http2_max_header_list_size(HEADER_BYTES_MAX)
        .http2_max_pending_accept_reset_streams(Some(PENDING_RESETS_MAX))
        .max_concurrent_streams(STREAMS_MAX)
}

/// What is certified about the node that makes a request with these extensions.
pub fn certified(request: &Extensions) -> Result<&Certified, Status> {
    let info = request.get::<ConnectInfo>();
    info.and_then(|info| info.certified.as_ref()).ok_or_else(|| {
        Status::unauthenticated("this service needs a certificate: join first, with a token of this hub")
    })
}

/// The node that makes a request with these extensions.
pub fn peer(request: &Extensions) -> Result<&Peer, Status> {
    Ok(&certified(request)?.peer)
}

async fn accept(
    listener: TcpListener,
    tls: TlsAcceptor,
    admission: Admission,
    sender: mpsc::Sender<Connection>,
) {
    let handshakes = Arc::new(Semaphore::new(admission.handshakes));
    let entrance = Entrance {
        tls,
        admission,
        handshakes: Shares::new("handshakes", admission.handshakes_per_address),
        connections: Shares::new("connections", admission.per_address),
        strangers: Shares::new("connections without a certificate", admission.strangers_per_address),
    };
    loop {
        let permit = handshakes.clone().acquire_owned().await.expect("the semaphore is never closed");
        let (stream, remote) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                warn!(%error, "no connection can be accepted; trying again");
                sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let Some(connection) = entrance.connections.take(remote.ip()) else { continue };
        let Some(handshake) = entrance.handshakes.take(remote.ip()) else { continue };
        let (entrance, sender) = (entrance.clone(), sender.clone());
        tokio::spawn(async move {
            let admitted = entrance.admit(stream, remote, connection, (permit, handshake)).await;
            if let Some(connection) = admitted {
                // The server has gone if this fails, and the connection with it.
                let _ = sender.send(connection).await;
            }
        });
    }
}

/// Where connections become those of somebody.
#[derive(Clone)]
struct Entrance {
    tls: TlsAcceptor,
    admission: Admission,
    handshakes: Shares,
    connections: Shares,
    strangers: Shares,
}

impl Entrance {
    async fn admit(
        &self,
        stream: TcpStream,
        remote: SocketAddr,
        share: Share,
        _handshake: (OwnedSemaphorePermit, Share),
    ) -> Option<Connection> {
        let limit = self.admission.handshake;
        let stream = match timeout(limit, shake_hands(&self.tls, stream)).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => {
                debug!(%remote, error = %error.to_string().escape_debug(), "refused a connection");
                return None;
            }
            Err(_) => {
                debug!(%remote, ?limit, "a handshake took too long");
                return None;
            }
        };
        let certified = match enrolled(&stream) {
            Ok(certified) => certified,
            Err(error) => {
                debug!(%remote, %error, "refused a connection");
                return None;
            }
        };
        let mut shares = [Some(share), None];
        if certified.is_none() {
            shares[1] = Some(self.strangers.take(remote.ip())?);
        }
        let ends = certified.is_none().then(|| Box::pin(sleep(self.admission.stranger)));
        let peer = certified.as_ref().map(|certified| tracing::field::display(&certified.peer));
        debug!(%remote, peer, "connected");
        Some(Connection { stream, info: ConnectInfo { certified, remote }, ends, _shares: shares })
    }
}

/// Completes the handshake and waits for the first byte, so that only clients with something to
/// say get past the limits of a handshake.
async fn shake_hands(tls: &TlsAcceptor, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
    stream.set_nodelay(true)?;
    let mut stream = match tls.accept(stream).into_fallible().await {
        Ok(stream) => stream,
        Err((error, stream)) => {
            last_words(stream).await;
            return Err(error);
        }
    };
    if stream.fill_buf().await?.is_empty() {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(stream)
}

/// Lets the client read why it was refused: closing with bytes of it unread would reset the
/// connection, and the reason might be lost. The limit of a handshake applies.
async fn last_words(mut stream: TcpStream) {
    // Whatever fails here, the connection is over.
    let _ = stream.shutdown().await;
    let _ = tokio::io::copy(&mut stream.take(REFUSED_BYTES_MAX), &mut tokio::io::sink()).await;
}

fn enrolled(stream: &TlsStream<TcpStream>) -> Result<Option<Certified>, certificate::Error> {
    stream.get_ref().1.peer_certificates().map(Certified::enrolled).transpose()
}

impl Stream for Incoming {
    type Item = Result<Connection, Infallible>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.ready.poll_recv(context).map(|connection| connection.map(Ok))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use canopy_identity::Role;
    use canopy_identity::tls::{anonymous_config, client_config};
    use canopy_proto::enroll::v1::RenewRequest;
    use canopy_proto::enroll::v1::enroll_client::EnrollClient;
    use rustls::ClientConfig;
    use tokio::io::AsyncRead;
    use tokio::net::TcpSocket;
    use tokio_rustls::TlsConnector;
    use tonic::transport::Channel;
    use tonic::transport::server::Connected;
    use tonic::{Code, Request};

    use super::*;
    use crate::dial::{self, dial};
    use crate::fixture::{Fleet, Hub, PATIENCE, Registrar, SETTINGS_FRAME, child};
    use crate::{enroll, limits};

    fn anonymous(fleet: &Fleet) -> ClientConfig {
        anonymous_config(fleet.trust(), fleet.plant.peer().path.clone()).unwrap()
    }

    async fn connect(fleet: &Fleet, hub: &Hub) -> Result<Channel, dial::Error> {
        let address = std::slice::from_ref(&hub.address);
        dial(address, Arc::new(anonymous(fleet)), KeepAlive::default()).await
    }

    /// Asks for something that is refused, to see how far a request gets.
    async fn ask(channel: Channel) -> Code {
        EnrollClient::new(channel).renew(RenewRequest::default()).await.unwrap_err().code()
    }

    async fn closes(mut stream: impl AsyncRead + Unpin) {
        let mut sink = tokio::io::sink();
        let reading = tokio::io::copy(&mut stream, &mut sink);
        // A connection that is cut off may end in an error as well.
        let _ = tokio::time::timeout(PATIENCE, reading).await.expect("the connection stays open");
    }

    async fn tls_stream(fleet: &Fleet, hub: &Hub) -> tokio_rustls::client::TlsStream<TcpStream> {
        let stream = TcpStream::connect(&hub.address).await.unwrap();
        let connector = TlsConnector::from(Arc::new(anonymous(fleet)));
        connector.connect("hub".try_into().unwrap(), stream).await.unwrap()
    }

    #[tokio::test]
    async fn those_who_say_nothing_are_cut_off() {
        let fleet = Fleet::new();
        let admission = Admission { handshake: Duration::from_millis(100), ..Admission::default() };
        let hub = Hub::start(&fleet, admission).await;
        closes(TcpStream::connect(&hub.address).await.unwrap()).await;
        // Long enough for a handshake on a busy machine.
        let admission = Admission { handshake: Duration::from_secs(3), ..Admission::default() };
        let hub = Hub::start(&fleet, admission).await;
        closes(tls_stream(&fleet, &hub).await).await;
    }

    #[tokio::test]
    async fn the_loop_survives_what_is_no_hub_or_agent() {
        let fleet = Fleet::new();
        let hub = Hub::start(&fleet, Admission::default()).await;
        for greeting in ["GET / HTTP/1.1\r\n\r\n", "CONNECT hub:7443 HTTP/1.1\r\n\r\n", "\0\0\0\0\0\0"] {
            let mut stream = TcpStream::connect(&hub.address).await.unwrap();
            stream.write_all(greeting.as_bytes()).await.unwrap();
            closes(stream).await;
        }
        assert_eq!(ask(connect(&fleet, &hub).await.unwrap()).await, Code::InvalidArgument);
    }

    #[tokio::test]
    async fn handshakes_wait_for_their_turn() {
        let fleet = Fleet::new();
        let admission = Admission { handshakes: 1, ..Admission::default() };
        let hub = Hub::start(&fleet, admission).await;
        let silent = TcpStream::connect(&hub.address).await.unwrap();
        let waiting = connect(&fleet, &hub);
        tokio::pin!(waiting);
        let early = tokio::time::timeout(Duration::from_millis(300), &mut waiting).await;
        assert!(early.is_err(), "a second handshake began beside the first");
        drop(silent);
        waiting.await.unwrap();
    }

    #[tokio::test]
    async fn one_address_gets_its_share_and_no_more() {
        let fleet = Fleet::new();
        let hub = Hub::start(&fleet, Admission { per_address: 1, ..Admission::default() }).await;
        let first = connect(&fleet, &hub).await.unwrap();
        assert_eq!(ask(first.clone()).await, Code::InvalidArgument);
        assert!(connect(&fleet, &hub).await.is_err());
        drop(first);
        let again = async {
            while connect(&fleet, &hub).await.is_err() {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, again).await.expect("a closed connection gives its place back");
    }

    #[tokio::test]
    async fn one_address_does_not_take_all_handshakes() {
        let fleet = Fleet::new();
        let admission = Admission { handshakes: 3, handshakes_per_address: 2, ..Admission::default() };
        let hub = Hub::start(&fleet, admission).await;
        let silent = async || TcpStream::connect(&hub.address).await.unwrap();
        let _waiting = [silent().await, silent().await];
        closes(silent().await).await;

        // From another address there is room.
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.2:0".parse().unwrap()).unwrap();
        let stream = socket.connect(hub.address.parse().unwrap()).await.unwrap();
        let connector = TlsConnector::from(Arc::new(anonymous(&fleet)));
        connector.connect("hub".try_into().unwrap(), stream).await.unwrap();
    }

    #[tokio::test]
    async fn who_has_no_certificate_is_let_in_seldom_and_not_for_long() {
        let fleet = Fleet::new();
        let admission = Admission {
            strangers_per_address: 1,
            stranger: Duration::from_millis(500),
            ..Admission::default()
        };
        let hub = Hub::start(&fleet, admission).await;
        let agent = child(&fleet.plant, Role::Agent, "press-3");
        let parent = fleet.plant.peer().path.clone();
        let tls = Arc::new(client_config(fleet.trust(), parent, &agent.leaf().unwrap()).unwrap());
        let address = std::slice::from_ref(&hub.address);
        let agent = dial(address, tls, KeepAlive::default()).await.unwrap();

        let greet = async || {
            let mut stream = tls_stream(&fleet, &hub).await;
            stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.unwrap();
            stream.write_all(SETTINGS_FRAME).await.unwrap();
            stream
        };
        let mut first = greet().await;
        first.read_u8().await.unwrap();
        closes(greet().await).await;
        closes(first).await;
        assert_eq!(ask(agent).await, Code::InvalidArgument, "a child's connection stays");
    }

    #[tokio::test]
    async fn a_silent_client_is_given_up() {
        let fleet = Fleet::new();
        let soon = KeepAlive { every: Duration::from_millis(50), wait: Duration::from_millis(50) };
        let desk = enroll::service(Registrar::new(&fleet, Default::default()));
        let hub = Hub::serve(&fleet, Admission::default(), server(soon).add_service(desk)).await;
        let mut stream = tls_stream(&fleet, &hub).await;
        stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.unwrap();
        stream.write_all(SETTINGS_FRAME).await.unwrap();
        closes(stream).await;
    }

    #[tokio::test]
    async fn strangers_get_nothing_but_enrolment() {
        let fleet = Fleet::new();
        let guarded = Hub::start_guarded(&fleet).await;
        assert_eq!(ask(connect(&fleet, &guarded).await.unwrap()).await, Code::Unauthenticated);

        let agent = child(&fleet.plant, Role::Agent, "press-3");
        let parent = fleet.plant.peer().path.clone();
        let tls = client_config(fleet.trust(), parent, &agent.leaf().unwrap()).unwrap();
        let address = std::slice::from_ref(&guarded.address);
        let channel = dial(address, Arc::new(tls), KeepAlive::default()).await.unwrap();
        assert_eq!(ask(channel).await, Code::InvalidArgument, "a child reaches the service behind the guard");
    }

    #[tokio::test]
    async fn a_connection_knows_its_peer() {
        let fleet = Fleet::new();
        let agent = child(&fleet.plant, Role::Agent, "press-3");
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let mut connections = incoming(listener, fleet.server_config(), Admission::default());
        let tls =
            client_config(fleet.trust(), fleet.plant.peer().path.clone(), &agent.leaf().unwrap()).unwrap();
        let dialling = async move { dial(&[address], Arc::new(tls), KeepAlive::default()).await };
        let _dialling = AbortOnDropHandle::new(tokio::spawn(dialling));
        let mut connection = tokio_stream::StreamExt::next(&mut connections).await.unwrap().unwrap();
        let info = connection.connect_info();
        let certified = info.certified.unwrap();
        assert_eq!((&certified.peer, certified.key), (agent.peer(), agent.key().fingerprint()));
        let mut preface = [0; 3];
        connection.read_exact(&mut preface).await.unwrap();
        assert_eq!(&preface, b"PRI", "the first byte, which was waited for, is still there");
    }

    #[tokio::test]
    async fn a_client_is_told_how_many_streams_it_may_open() {
        let fleet = Fleet::new();
        let hub = Hub::start(&fleet, Admission::default()).await;
        let mut stream = tls_stream(&fleet, &hub).await;
        stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.unwrap();
        stream.write_all(SETTINGS_FRAME).await.unwrap();
        let mut head = [0; 9];
        stream.read_exact(&mut head).await.unwrap();
        assert_eq!(head[3], 4, "the first frame is SETTINGS");
        let mut settings = vec![0; u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize];
        stream.read_exact(&mut settings).await.unwrap();
        let max_concurrent_streams = [&[0, 3][..], &limits::STREAMS_MAX.to_be_bytes()].concat();
        assert!(settings.chunks(6).any(|setting| setting == max_concurrent_streams), "{settings:?}");
    }

    #[tokio::test]
    async fn headers_are_bounded() {
        let fleet = Fleet::new();
        let hub = Hub::start(&fleet, Admission::default()).await;
        let mut request = Request::new(RenewRequest::default());
        let long = "x".repeat(limits::HEADER_BYTES_MAX as usize);
        request.metadata_mut().insert("x-long", long.parse().unwrap());
        let mut client = EnrollClient::new(connect(&fleet, &hub).await.unwrap());
        assert_ne!(client.renew(request).await.unwrap_err().code(), Code::InvalidArgument);
    }
}
