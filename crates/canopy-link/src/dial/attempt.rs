//! Why the parent was not reached, told so that someone can do something about it.

use std::error::Error as StdError;
use std::fmt;
use std::io;

use canopy_identity::tls::refusal_of;
use canopy_identity::verify::Refusal;

use crate::limits::CONNECT_MAX;
use crate::proxy::{self, Proxy};

/// Why one address did not lead to the parent.
#[derive(Debug, thiserror::Error)]
pub enum Attempt {
    /// Not of the form `host:port`.
    #[error("{address} is no address: write it as host:port")]
    Form {
        /// The address.
        address: String,
    },
    /// The name is unknown here.
    #[error("{address} cannot be resolved: is the name right, and does this machine's DNS know it?")]
    Resolve {
        /// The address.
        address: String,
        /// What the resolver says.
        #[source]
        source: io::Error,
    },
    /// Nothing accepts connections there, or the network is in the way.
    #[error("{address} cannot be connected to: is the hub running, and is the port open on the way?")]
    Connect {
        /// The address.
        address: String,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// The proxy opened no way there.
    #[error("{address} was not reached through the proxy {proxy}")]
    Proxy {
        /// The address.
        address: String,
        /// The proxy.
        proxy: Proxy,
        /// Why not.
        #[source]
        source: proxy::Error,
    },
    /// No answer in time.
    #[error("{address} did not answer within {} s: is a firewall dropping packets?", CONNECT_MAX.as_secs())]
    Timeout {
        /// The address.
        address: String,
    },
    /// Somebody else's certificate.
    #[error(
        "{address} presented a certificate that is not of this fleet (issuer {issuer}): a TLS-breaking proxy? \
         Ask for an exception for this address"
    )]
    Foreign {
        /// The address.
        address: String,
        /// The issuer that the certificate names.
        issuer: String,
    },
    /// Somebody of the fleet, and not the parent; or a certificate that is not valid now.
    #[error("{address} is not the hub that this node belongs to")]
    Refused {
        /// The address.
        address: String,
        /// Why not.
        #[source]
        source: Refusal,
    },
    /// TLS failed otherwise.
    #[error("{address} does not speak TLS 1.3 as a hub does: is it another service's port?")]
    Tls {
        /// The address.
        address: String,
        /// What went wrong.
        #[source]
        source: io::Error,
    },
    /// The hub does not accept this node's certificate.
    #[error(
        "the hub at {address} refuses this node's certificate: it has let this node go (to have it back, \
         join it again with a new token and an empty data folder), or the certificate has expired"
    )]
    Certificate {
        /// The address.
        address: String,
    },
    /// The hub, or something on the way, closed the connection.
    #[error("{address} closed the connection before it said anything: has the hub too many from here?")]
    Closed {
        /// The address.
        address: String,
        /// What the system or TLS says.
        #[source]
        source: io::Error,
    },
    /// HTTP/2 failed.
    #[error("{address} broke the connection off")]
    Http {
        /// The address.
        address: String,
        /// What went wrong.
        #[source]
        source: tonic::transport::Error,
    },
}

/// Why no address led to the parent: one attempt for each.
#[derive(Debug)]
pub struct Error(pub Vec<Attempt>);

/// Why a hub said nothing after the handshake: it looks at this node's certificate only then.
pub(super) fn unheard(address: &str, source: io::Error) -> Attempt {
    use rustls::AlertDescription as Alert;
    let address = address.to_owned();
    match source.get_ref().and_then(|inner| inner.downcast_ref()) {
        Some(rustls::Error::AlertReceived(Alert::CertificateUnknown | Alert::CertificateExpired)) => {
            Attempt::Certificate { address }
        }
        _ => Attempt::Closed { address, source },
    }
}

pub(super) fn tls_attempt(address: &str, source: io::Error) -> Attempt {
    let address = address.to_owned();
    let refusal = source.get_ref().and_then(|inner| inner.downcast_ref()).and_then(refusal_of);
    match refusal.cloned() {
        Some(Refusal::Foreign { issuer } | Refusal::Pin { issuer }) => Attempt::Foreign { address, issuer },
        Some(source) => Attempt::Refused { address, source },
        None => Attempt::Tls { address, source },
    }
}

/// An error and what caused it, on one line.
pub(crate) fn with_sources(error: &(dyn StdError + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    text
}

impl fmt::Display for Error {
    /// Names every address. The causes are part of it, since a list has no single source.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("no address of the parent is known: join again with a token that names one");
        }
        let attempts: Vec<_> = self.0.iter().map(|attempt| with_sources(attempt)).collect();
        f.write_str(&attempts.join("; "))
    }
}

impl StdError for Error {}

impl Error {
    /// Whether a hub was reached that does not accept this node's certificate.
    pub fn is_refusal(&self) -> bool {
        self.0.iter().any(|attempt| matches!(attempt, Attempt::Certificate { .. }))
    }
}
