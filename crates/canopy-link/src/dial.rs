//! Reaching the parent at one of its addresses.
//!
//! Addresses are tried in turn, each with its own time limit, if need be through a proxy. The address
//! says only where to go: who answers there is checked by path. A channel is one connection; when it
//! breaks, whoever holds it dials again, with a back-off of its own.

mod attempt;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures::future::select_ok;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::{TcpStream, lookup_host};
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tonic::transport::{Channel, Endpoint, Uri};
use tracing::debug;

use crate::hearing::{Hearing, hearing};
use crate::limits::{CONNECT_MAX, HEADER_BYTES_MAX, KeepAlive, SOCKET_MAX, SOCKET_STAGGER, SOCKETS_MAX};
use crate::proxy::Proxy;

use attempt::{tls_attempt, unheard};

pub(crate) use attempt::with_sources;
pub use attempt::{Attempt, Error};

/// What HTTP calls the hub. It is never looked up.
const AUTHORITY: &str = "http://hub.canopy.internal";

/// How to reach the parent.
#[derive(Debug, Clone)]
pub struct Dialer {
    /// Where it is.
    pub way: Way,
    /// Presents this node and accepts the parent only.
    pub tls: Arc<ClientConfig>,
    /// When a silent connection is given up.
    pub keep_alive: KeepAlive,
}

/// Where the parent is.
#[derive(Debug, Clone, Default)]
pub struct Way {
    /// Its addresses, each `host:port`, tried in turn.
    pub addresses: Vec<String>,
    /// Through what they are reached; none leads straight to them.
    pub proxy: Option<Proxy>,
}

/// Why no socket of a name was connected to.
#[derive(Debug, thiserror::Error)]
pub enum Unreached {
    /// The name is unknown here.
    #[error("the name cannot be resolved")]
    Resolve(#[source] io::Error),
    /// Nothing accepts connections there, or the network is in the way.
    #[error("no connection")]
    Connect(#[source] io::Error),
}

/// Connects straight to the first of `addresses` (each `host:port`) that `tls` accepts.
pub async fn dial(
    addresses: &[String],
    tls: Arc<ClientConfig>,
    keep_alive: KeepAlive,
) -> Result<Channel, Error> {
    let way = Way { addresses: addresses.to_vec(), proxy: None };
    Dialer { way, tls, keep_alive }.dial().await
}

impl Dialer {
    /// Connects to the first address that leads to the parent.
    pub async fn dial(&self) -> Result<Channel, Error> {
        let mut attempts = Vec::new();
        for address in &self.way.addresses {
            let late = |_| Attempt::Timeout { address: address.clone() };
            let attempt = timeout(CONNECT_MAX, self.attempt(address)).await.map_err(late);
            match attempt.flatten() {
                Ok(channel) => return Ok(channel),
                Err(failed) => {
                    debug!(reason = %with_sources(&failed), "an address failed");
                    attempts.push(failed);
                }
            }
        }
        Err(Error(attempts))
    }

    async fn attempt(&self, address: &str) -> Result<Channel, Attempt> {
        let (stream, heard) = hearing(self.connect(address).await?);
        let channel = over(stream, self.keep_alive).await;
        match heard.await {
            Ok(Err(error)) => Err(unheard(address, error)),
            Ok(Ok(())) | Err(_) => {
                channel.map_err(|source| Attempt::Http { address: address.to_owned(), source })
            }
        }
    }

    async fn connect(&self, address: &str) -> Result<TlsStream<TcpStream>, Attempt> {
        let owned = || address.to_owned();
        let form = || Attempt::Form { address: owned() };
        let uri: Uri = address.parse().map_err(|_| form())?;
        let (host, port) = uri.host().zip(uri.port_u16()).ok_or_else(form)?;
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let name = ServerName::try_from(host.to_owned()).map_err(|_| form())?;

        let stream = match &self.way.proxy {
            Some(proxy) => proxy.open(&uri).await.map_err(|source| Attempt::Proxy {
                address: owned(),
                proxy: proxy.clone(),
                source,
            })?,
            None => reach(host, port).await.map_err(|error| match error {
                Unreached::Resolve(source) => Attempt::Resolve { address: owned(), source },
                Unreached::Connect(source) => Attempt::Connect { address: owned(), source },
            })?,
        };
        let tls = TlsConnector::from(self.tls.clone());
        tls.connect(name, stream).await.map_err(|error| tls_attempt(address, error))
    }
}

/// Connects to what a name resolves to.
pub(crate) async fn reach(host: &str, port: u16) -> Result<TcpStream, Unreached> {
    let sockets = lookup_host((host, port)).await.map_err(Unreached::Resolve)?;
    let sockets: Vec<_> = sockets.take(SOCKETS_MAX).collect();
    let stream = first_of(&sockets, SOCKET_MAX, SOCKET_STAGGER).await.map_err(Unreached::Connect)?;
    stream.set_nodelay(true).map_err(Unreached::Connect)?;
    Ok(stream)
}

/// Connects to the first socket that accepts. Each is begun a little after the one before, whatever
/// has become of that one.
async fn first_of(sockets: &[SocketAddr], limit: Duration, stagger: Duration) -> io::Result<TcpStream> {
    let attempts = sockets.iter().zip(0..).map(|(socket, place)| {
        Box::pin(async move {
            sleep(stagger * place).await;
            timeout(limit, TcpStream::connect(socket)).await?
        })
    });
    if sockets.is_empty() {
        return Err(io::ErrorKind::NotFound.into());
    }
    select_ok(attempts).await.map(|(stream, _)| stream)
}

/// Speaks HTTP/2 over one connection that is already made.
async fn over(
    stream: Hearing<TlsStream<TcpStream>>,
    keep_alive: KeepAlive,
) -> Result<Channel, tonic::transport::Error> {
    let mut once = Some(TokioIo::new(stream));
    let connector = tower::service_fn(move |_: Uri| {
        let stream = once.take();
        async move { stream.ok_or_else(|| io::Error::other("the connection has ended: dial again")) }
    });
    Endpoint::from_static(AUTHORITY)
        .http2_keep_alive_interval(keep_alive.every)
        .keep_alive_timeout(keep_alive.wait)
        .keep_alive_while_idle(true)
        .http2_max_header_list_size(HEADER_BYTES_MAX)
        .connect_with_connector(connector)
        .await
}

#[cfg(test)]
mod tests {
    use canopy_identity::tls::anonymous_config;
    use canopy_proto::enroll::v1::RenewRequest;
    use canopy_proto::enroll::v1::enroll_client::EnrollClient;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpSocket};
    use tokio::task::JoinHandle;
    use tokio_rustls::TlsAcceptor;

    use super::*;
    use crate::fixture::{Fleet, Hub, PATIENCE};
    use crate::limits::Admission;

    async fn dial_to(fleet: &Fleet, addresses: &[&str]) -> Result<Channel, Error> {
        let tls = anonymous_config(fleet.trust(), fleet.plant.peer().path.clone()).unwrap();
        let addresses: Vec<_> = addresses.iter().map(|&address| address.to_owned()).collect();
        dial(&addresses, Arc::new(tls), KeepAlive::default()).await
    }

    /// An address on which nothing listens.
    async fn closed_port() -> String {
        TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().to_string()
    }

    #[tokio::test]
    async fn addresses_are_tried_in_turn() {
        let fleet = Fleet::new();
        let hub = Hub::start(&fleet, Admission::default()).await;
        let closed = closed_port().await;
        dial_to(&fleet, &[&closed, "nonsense", &hub.address]).await.unwrap();
        let error = dial_to(&fleet, &[&closed, "nonsense"]).await.unwrap_err().to_string();
        assert!(error.contains(&format!("{closed} cannot be connected to")), "{error}");
        assert!(error.contains("; nonsense is no address"), "{error}");
    }

    /// A socket that swallows what is sent to it: nobody accepts, and its backlog is full.
    async fn black_hole() -> (TcpListener, Vec<TcpStream>) {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let listener = socket.listen(1).unwrap();
        let address = listener.local_addr().unwrap();
        let mut waiting = Vec::new();
        let soon = Duration::from_millis(100);
        while let Ok(stream) = timeout(soon, TcpStream::connect(address)).await {
            waiting.push(stream.unwrap());
        }
        (listener, waiting)
    }

    #[tokio::test]
    async fn a_socket_that_never_answers_does_not_keep_from_the_next() {
        let (hole, _waiting) = black_hole().await;
        let other = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let [hole, other] = [&hole, &other].map(|listener| listener.local_addr().unwrap());
        let stagger = Duration::from_millis(10);
        let stream = first_of(&[hole, other], PATIENCE * 2, stagger).await.unwrap();
        assert_eq!(stream.peer_addr().unwrap(), other);
        let alone = first_of(&[hole], Duration::from_millis(50), stagger).await.unwrap_err();
        assert_eq!(alone.kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test]
    async fn an_unknown_name_is_said_to_be_one() {
        let error = dial_to(&Fleet::new(), &["hub.invalid:7443"]).await.unwrap_err();
        assert!(matches!(&error.0[..], [Attempt::Resolve { .. }]), "{error}");
    }

    #[tokio::test]
    async fn a_proxy_that_breaks_tls_is_named() {
        let (fleet, other) = (Fleet::new(), Fleet::of("proxy.example"));
        let proxy = Hub::start(&other, Admission::default()).await;
        let error = dial_to(&fleet, &[&proxy.address]).await.unwrap_err().to_string();
        let expected =
            format!("{} presented a certificate that is not of this fleet (issuer CN=", proxy.address);
        assert!(error.contains(&expected) && error.contains("a TLS-breaking proxy?"), "{error}");
    }

    #[tokio::test]
    async fn another_hub_of_the_fleet_is_not_the_parent() {
        let fleet = Fleet::new();
        let hub = Hub::start(&fleet, Admission::default()).await;
        let tls = anonymous_config(fleet.trust(), "elsewhere".parse().unwrap()).unwrap();
        let dialled = dial(std::slice::from_ref(&hub.address), Arc::new(tls), KeepAlive::default()).await;
        let error = dialled.unwrap_err();
        assert!(matches!(&error.0[..], [Attempt::Refused { .. }]), "{error}");
        assert!(error.to_string().contains("only hub elsewhere is accepted here"), "{error}");
    }

    #[tokio::test]
    async fn a_port_of_another_service_is_recognised() {
        let fleet = Fleet::new();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            stream.write_all(b"SSH-2.0-OpenSSH_9.2\r\n").await.unwrap();
            let _ = stream.read_to_end(&mut Vec::new()).await;
        });
        let error = dial_to(&fleet, &[&address]).await.unwrap_err();
        assert!(matches!(&error.0[..], [Attempt::Tls { .. }]), "{error}");
    }

    #[tokio::test(start_paused = true)]
    async fn an_address_that_does_not_answer_is_given_up() {
        let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = silent.local_addr().unwrap().to_string();
        let error = dial_to(&Fleet::new(), &[&address]).await.unwrap_err();
        assert!(matches!(&error.0[..], [Attempt::Timeout { .. }]), "{error}");
    }

    /// A hub that shakes hands and then reads everything and answers nothing, not even a ping; and
    /// what became of the connection.
    async fn deaf_hub(fleet: &Fleet) -> (String, JoinHandle<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let acceptor = TlsAcceptor::from(Arc::new(fleet.server_config()));
        let closed = tokio::spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            let mut stream = acceptor.accept(stream).await.unwrap();
            stream.write_all(crate::fixture::SETTINGS_FRAME).await.unwrap();
            // However it ends.
            let _ = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
        });
        (address, closed)
    }

    async fn dial_soon(fleet: &Fleet, address: String) -> Channel {
        let tls = anonymous_config(fleet.trust(), fleet.plant.peer().path.clone()).unwrap();
        let soon = KeepAlive { every: Duration::from_millis(50), wait: Duration::from_millis(50) };
        dial(&[address], Arc::new(tls), soon).await.unwrap()
    }

    #[tokio::test]
    async fn a_silent_hub_is_given_up() {
        let fleet = Fleet::new();
        let (address, _) = deaf_hub(&fleet).await;
        let channel = dial_soon(&fleet, address).await;
        let asking = async { EnrollClient::new(channel).renew(RenewRequest::default()).await };
        let answer = timeout(PATIENCE, asking).await.expect("hangs for ever without keep-alive");
        assert!(answer.is_err());
    }

    #[tokio::test]
    async fn a_silent_hub_is_given_up_also_when_nothing_is_asked() {
        let fleet = Fleet::new();
        let (address, closed) = deaf_hub(&fleet).await;
        let _idle = dial_soon(&fleet, address).await;
        timeout(PATIENCE, closed).await.expect("an idle connection is not looked after").unwrap();
    }
}
