//! An HTTP proxy on the way to the parent, as factory networks have.
//!
//! It is asked by CONNECT to open a way, and what goes through is TLS from end to end: a proxy that
//! looks inside presents a certificate of its own and is found out by [`crate::dial`]. Whoever
//! prints a [`Proxy`] sees where it is and not what it is told.

use std::error::Error as StdError;
use std::fmt;
use std::str::FromStr;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use hyper::client::conn::http1;
use hyper::header::{HOST, HeaderValue, PROXY_AUTHORIZATION};
use hyper::{Request, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use percent_encoding::percent_decode_str;
use tokio::net::TcpStream;
use tokio_util::task::AbortOnDropHandle;

use crate::dial::{Unreached, reach};

/// A proxy that opens ways to others by HTTP's CONNECT.
#[derive(Clone, PartialEq, Eq)]
pub struct Proxy {
    host: String,
    port: u16,
    authorization: Option<HeaderValue>,
}

/// A text is no proxy. It is not repeated, since it may hold a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// Not the form of a proxy.
    #[error(
        "a proxy is written http://HOST:PORT or http://USER:PASSWORD@HOST:PORT, special characters of user \
         and password in percent-encoding"
    )]
    Form,
    /// A proxy that itself wants TLS.
    #[error("a proxy is spoken to by http://, and what goes through it is encrypted anyway")]
    Scheme,
}

/// Why a proxy opened no way.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It was not reached.
    #[error("the proxy itself cannot be connected to: is --proxy right?")]
    Unreached(#[source] Unreached),
    /// What answers is no proxy.
    #[error("what answers does not speak as an HTTP proxy: is --proxy the address of another service?")]
    Strange(#[source] Box<dyn StdError + Send + Sync>),
    /// It wants credentials, or others.
    #[error(
        "the proxy asks for credentials (407): give those that it accepts, as \
         --proxy http://USER:PASSWORD@HOST:PORT"
    )]
    Credentials,
    /// It does not allow this.
    #[error("the proxy forbids it (403): ask for an exception for this address and port")]
    Forbidden,
    /// It refused otherwise.
    #[error("the proxy answered {0}: does it reach that address?")]
    Refused(StatusCode),
}

impl Proxy {
    /// Has the proxy open a way to `address`, which is `host:port` and for the proxy to resolve.
    pub(crate) async fn open(&self, address: &Uri) -> Result<TcpStream, Error> {
        let stream = reach(&self.host, self.port).await.map_err(Error::Unreached)?;
        let (mut asking, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(strange)?;
        let _connection = AbortOnDropHandle::new(tokio::spawn(connection.with_upgrades()));
        let mut request = Request::connect(address).body(String::new()).map_err(strange)?;
        let host = HeaderValue::from_str(&address.to_string()).map_err(strange)?;
        request.headers_mut().insert(HOST, host);
        if let Some(authorization) = &self.authorization {
            request.headers_mut().insert(PROXY_AUTHORIZATION, authorization.clone());
        }
        let answer = asking.send_request(request).await.map_err(strange)?;
        match answer.status() {
            status if status.is_success() => {}
            StatusCode::PROXY_AUTHENTICATION_REQUIRED => return Err(Error::Credentials),
            StatusCode::FORBIDDEN => return Err(Error::Forbidden),
            status => return Err(Error::Refused(status)),
        }
        let opened = hyper::upgrade::on(answer).await.map_err(strange)?;
        let way = opened.downcast::<TokioIo<TcpStream>>().expect("the handshake was given this stream");
        if !way.read_buf.is_empty() {
            return Err(strange("it speaks before it is spoken to"));
        }
        Ok(way.io.into_inner())
    }
}

fn strange(error: impl Into<Box<dyn StdError + Send + Sync>>) -> Error {
    Error::Strange(error.into())
}

impl FromStr for Proxy {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let uri: Uri = text.parse().map_err(|_| ParseError::Form)?;
        let (scheme, authority) = uri.scheme_str().zip(uri.authority()).ok_or(ParseError::Form)?;
        if scheme != "http" {
            return Err(ParseError::Scheme);
        }
        let port = authority.port_u16().ok_or(ParseError::Form)?;
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        if host.is_empty() || uri.path_and_query().is_some_and(|rest| rest != "/") {
            return Err(ParseError::Form);
        }
        let credentials = authority.as_str().rsplit_once('@').map(|(credentials, _)| credentials);
        Ok(Self { host, port, authorization: credentials.map(basic).transpose()? })
    }
}

/// The header for `user:password`.
fn basic(credentials: &str) -> Result<HeaderValue, ParseError> {
    if !credentials.contains(':') {
        return Err(ParseError::Form);
    }
    let credentials: Vec<u8> = percent_decode_str(credentials).collect();
    let value = format!("Basic {}", BASE64_STANDARD.encode(credentials));
    let mut value = HeaderValue::try_from(value).expect("base64 has no special characters");
    value.set_sensitive(true);
    Ok(value)
}

impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.contains(':') {
            true => write!(f, "[{}]:{}", self.host, self.port),
            false => write!(f, "{}:{}", self.host, self.port),
        }
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Proxy({self})")
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use canopy_identity::tls::anonymous_config;
    use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, copy_bidirectional};
    use tokio::net::TcpListener;
    use tonic::transport::Channel;

    use super::*;
    use crate::dial::{self, Attempt, Dialer, Way};
    use crate::fixture::{Fleet, Hub};
    use crate::limits::{Admission, KeepAlive};

    /// A proxy for one connection that lets those with the credentials `user:p@ss` through, unless
    /// it gives everyone the same `answer`.
    async fn start(answer: Option<&'static str>) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            let mut stream = BufReader::new(listener.accept().await.unwrap().0);
            let mut head = String::new();
            while !head.ends_with("\r\n\r\n") {
                stream.read_line(&mut head).await.unwrap();
            }
            let known = head.to_lowercase().contains("proxy-authorization: basic dxnlcjpwqhnz\r\n");
            let refused = (!known).then_some("HTTP/1.1 407 Proxy Authentication Required\r\n\r\n");
            if let Some(answer) = answer.or(refused) {
                stream.write_all(answer.as_bytes()).await.unwrap();
                return;
            }
            let wanted = head.strip_prefix("CONNECT ").unwrap().split(' ').next().unwrap();
            let mut hub = TcpStream::connect(wanted).await.unwrap();
            stream.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await.unwrap();
            let _ = copy_bidirectional(&mut stream, &mut hub).await;
        });
        address.to_string()
    }

    async fn dial_through(fleet: &Fleet, hub: &Hub, proxy: &str) -> Result<Channel, dial::Error> {
        let tls = anonymous_config(fleet.trust(), fleet.plant.peer().path.clone()).unwrap();
        let way = Way { addresses: vec![hub.address.clone()], proxy: Some(proxy.parse().unwrap()) };
        Dialer { way, tls: Arc::new(tls), keep_alive: KeepAlive::default() }.dial().await
    }

    async fn refusal(fleet: &Fleet, hub: &Hub, proxy: &str) -> String {
        let error = dial_through(fleet, hub, proxy).await.unwrap_err();
        assert!(matches!(&error.0[..], [Attempt::Proxy { .. }]), "{error}");
        error.to_string()
    }

    #[tokio::test]
    async fn a_hub_is_reached_through_a_proxy_that_wants_credentials() {
        let fleet = Fleet::new();
        let hub = Hub::start(&fleet, Admission::default()).await;
        let proxy = format!("http://user:p%40ss@{}", start(None).await);
        dial_through(&fleet, &hub, &proxy).await.unwrap();
    }

    #[tokio::test]
    async fn a_proxy_that_opens_no_way_is_named_with_what_to_do() {
        let fleet = Fleet::new();
        let hub = Hub::start(&fleet, Admission::default()).await;
        let proxy = start(None).await;
        let error = refusal(&fleet, &hub, &format!("http://user:guess@{proxy}")).await;
        let expected = format!("{} was not reached through the proxy {proxy}", hub.address);
        assert!(error.starts_with(&expected) && error.contains("asks for credentials (407)"), "{error}");
        assert!(!error.contains("guess") && !error.contains("Basic"), "{error}");
        for (answer, expected) in [
            ("HTTP/1.1 403 Forbidden\r\n\r\n", "ask for an exception"),
            ("HTTP/1.1 502 Bad Gateway\r\n\r\n", "answered 502 Bad Gateway"),
            ("SSH-2.0-OpenSSH_9.2\r\n", "is --proxy the address of another service?"),
        ] {
            let error = refusal(&fleet, &hub, &format!("http://{}", start(Some(answer)).await)).await;
            assert!(error.contains(expected), "{error}");
        }
        let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let error = refusal(&fleet, &hub, &format!("http://{closed}")).await;
        assert!(error.contains("is --proxy right?"), "{error}");
    }

    #[test]
    fn a_proxy_shows_where_it_is_and_not_what_it_is_told() {
        let proxy: Proxy = "http://user:secret@proxy.example:3128/".parse().unwrap();
        assert_eq!(
            (proxy.to_string(), format!("{proxy:?}")),
            ("proxy.example:3128".to_owned(), "Proxy(proxy.example:3128)".to_owned())
        );
        assert_eq!("http://[2001:db8::1]:3128".parse::<Proxy>().unwrap().to_string(), "[2001:db8::1]:3128");
        for (text, expected) in [
            ("https://proxy.example:3128", ParseError::Scheme),
            ("proxy.example:3128", ParseError::Form),
            ("http://proxy.example", ParseError::Form),
            ("http://user@proxy.example:3128", ParseError::Form),
            ("http://proxy.example:3128/path", ParseError::Form),
            ("http://", ParseError::Form),
        ] {
            assert_eq!(text.parse::<Proxy>(), Err(expected), "{text}");
        }
    }
}
