//! From a context to a client: TLS 1.3 to exactly the hub that the context names.

use std::sync::Arc;

use canopy_identity::tls::{Leaf, client_config};
use canopy_identity::verify::Refusal;
use canopy_identity::{Anchor, Certified, Key, Revocations, Trust, certificate, key};
use canopy_link::dial::{self, Attempt, dial};
use canopy_link::limits::KeepAlive;
use canopy_model::{Path, path};
use canopy_proto::admin::v1::admin_client::AdminClient;
use rustls::ClientConfig;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::{self, PemObject};
use tonic::transport::Channel;

use crate::context::Context;

/// The largest answer, in bytes: a page of full workloads.
const MESSAGE_BYTES_MAX: usize = 64 * 1024 * 1024;

/// How to speak to a hub.
pub type Client = AdminClient<Channel>;

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A part of the context cannot be used.
    #[error("{part} of context {context} cannot be used: {RENEW}")]
    Broken {
        /// Which part.
        part: &'static str,
        /// The context's name.
        context: String,
        /// What is wrong with it.
        #[source]
        source: Box<Damage>,
    },
    /// The certificate's life is over.
    #[error("the certificate of context {context} expired on {on}: {RENEW}")]
    Expired {
        /// The context's name.
        context: String,
        /// The last day.
        on: String,
    },
    /// The hub knows neither this administrator nor a certificate like that.
    #[error("hub {0} does not accept the certificate of this context (--context chooses another): {RENEW}")]
    Stranger(Path),
    /// Nobody answers there, or not the hub of the context.
    #[error("cannot speak to hub {hub} (change the address with --server, the hub with --context)")]
    Dial {
        /// The hub that was expected.
        hub: Path,
        /// Why not.
        #[source]
        source: dial::Error,
    },
}

/// How an administrator gets a good certificate.
const RENEW: &str = "run `canopy-hub admin` at that hub's machine, which writes it anew";

/// What is wrong with a part of a context.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)] // their sources tell
pub enum Damage {
    #[error("no certificate in PEM")]
    Pem(#[source] pem::Error),
    #[error("no certificate of a root")]
    Ca(#[source] Refusal),
    #[error("no certificate of an administrator")]
    Certificate(#[source] certificate::Error),
    #[error("no private key")]
    Key(#[source] key::Error),
    #[error("no path of a hub")]
    Hub(#[source] path::Error),
    #[error("the key does not fit the certificate")]
    Leaf(#[source] rustls::Error),
}

impl Error {
    /// What no connection to `hub` means to an administrator: `dial` speaks to nodes.
    fn of(hub: Path, source: dial::Error) -> Error {
        if source.0.iter().any(|attempt| matches!(attempt, Attempt::Certificate { .. })) {
            return Error::Stranger(hub);
        }
        Error::Dial { hub, source }
    }
}

/// Connects to the context's hub, at `server` if it is not the context's own.
pub async fn connect(context: &Context, server: Option<&str>) -> Result<Client, Error> {
    let server = server.unwrap_or(&context.server);
    let hub: Path = context.hub.parse().map_err(broken(context, "hub", Damage::Hub))?;
    let tls = Arc::new(tls(context, &hub)?);
    let dialled = dial(&[server.to_owned()], tls, KeepAlive::default()).await;
    let channel = dialled.map_err(|source| Error::of(hub, source))?;
    Ok(AdminClient::new(channel).max_decoding_message_size(MESSAGE_BYTES_MAX))
}

/// Refuses a certificate whose life is over at this moment, and tells of one that is in its last
/// third. Nobody else renews it: administrators do not run all the time.
pub fn check_life(context: &Context, now_seconds: u64) -> Result<Option<String>, Error> {
    let chain = chain(context)?;
    let certified = match chain.first() {
        Some(leaf) => Certified::read(leaf),
        None => Err(certificate::Error::Missing),
    };
    let certified = certified.map_err(broken(context, "certificate", Damage::Certificate))?;
    let on = i64::try_from(certified.not_after).ok().and_then(|at| jiff::Timestamp::from_second(at).ok());
    let on = on.map_or_else(String::new, |at| at.strftime("%Y-%m-%d %H:%M UTC").to_string());
    let context = context.name.clone();
    if now_seconds > certified.not_after {
        return Err(Error::Expired { context, on });
    }
    let late = now_seconds >= certified.renew_at();
    Ok(late.then(|| format!("the certificate of context {context} expires on {on}: {RENEW}")))
}

fn tls(context: &Context, hub: &Path) -> Result<ClientConfig, Error> {
    let ca = CertificateDer::from_pem_slice(context.ca.as_bytes());
    let ca = ca.map_err(broken(context, "ca", Damage::Pem))?;
    let key = Key::from_pem(&context.key).map_err(broken(context, "key", Damage::Key))?;
    let anchor = Anchor::new(ca).map_err(broken(context, "ca", Damage::Ca))?;
    let trust = Trust::new(anchor, Revocations::default());
    let leaf = Leaf::new(chain(context)?, &key).map_err(broken(context, "certificate", Damage::Leaf))?;
    client_config(trust, hub.clone(), &leaf).map_err(broken(context, "certificate", Damage::Leaf))
}

fn chain(context: &Context) -> Result<Vec<CertificateDer<'static>>, Error> {
    let chain = CertificateDer::pem_slice_iter(context.certificate.as_bytes()).collect::<Result<_, _>>();
    chain.map_err(broken(context, "certificate", Damage::Pem))
}

fn broken<E>(
    context: &Context,
    part: &'static str,
    damage: impl FnOnce(E) -> Damage,
) -> impl FnOnce(E) -> Error {
    move |source| Error::Broken { part, context: context.name.clone(), source: Box::new(damage(source)) }
}
