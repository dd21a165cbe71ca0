//! From a context to a client: TLS 1.3 to exactly the hub that the context names.

use std::sync::Arc;

use canopy_identity::tls::{Leaf, client_config};
use canopy_identity::verify::Refusal;
use canopy_identity::{Anchor, Key, Revocations, Trust, key};
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
    /// A certificate of the context is no PEM.
    #[error("{0} of the context is no certificate in PEM; write the context again with `canopy-hub init`")]
    Pem(&'static str, #[source] pem::Error),
    /// The context's root certificate cannot be trusted.
    #[error("ca of the context cannot be used")]
    Ca(#[source] Refusal),
    /// The context's key is none.
    #[error("key of the context cannot be used")]
    Key(#[source] key::Error),
    /// The context's hub is no path.
    #[error("hub of the context is not valid")]
    Hub(#[source] path::Error),
    /// Certificate and key do not fit.
    #[error("certificate and key of the context cannot be used")]
    Leaf(#[source] rustls::Error),
    /// The hub knows neither this administrator nor a certificate like that.
    #[error("hub {0} does not accept this certificate (--context)")]
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
    let hub: Path = context.hub.parse().map_err(Error::Hub)?;
    let tls = Arc::new(tls(context, &hub)?);
    let dialled = dial(&[server.to_owned()], tls, KeepAlive::default()).await;
    let channel = dialled.map_err(|source| Error::of(hub, source))?;
    Ok(AdminClient::new(channel).max_decoding_message_size(MESSAGE_BYTES_MAX))
}

fn tls(context: &Context, hub: &Path) -> Result<ClientConfig, Error> {
    let ca =
        CertificateDer::from_pem_slice(context.ca.as_bytes()).map_err(|error| Error::Pem("ca", error))?;
    let chain = CertificateDer::pem_slice_iter(context.certificate.as_bytes())
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| Error::Pem("certificate", error))?;
    let key = Key::from_pem(&context.key).map_err(Error::Key)?;
    let trust = Trust::new(Anchor::new(ca).map_err(Error::Ca)?, Revocations::default());
    let leaf = Leaf::new(chain, &key).map_err(Error::Leaf)?;
    client_config(trust, hub.clone(), &leaf).map_err(Error::Leaf)
}
