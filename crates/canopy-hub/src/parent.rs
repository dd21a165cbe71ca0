//! The hub above: reaching it, fetching content from it, and staying certified by it.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use canopy_content::{Blobs, Fetch, FetchError};
use canopy_identity::{Certified, tls};
use canopy_link::limits::KeepAlive;
use canopy_link::{Dialer, dial, enroll};
use canopy_model::Digest;
use canopy_proto::convert::one_line;
use tokio::time::sleep;
use tracing::{info, warn};

use crate::registry::{Registry, seconds};

/// How often the certificates' age is looked at. They are renewed when a third of their life is
/// left, which is ten days at least.
const LOOK_EVERY: Duration = Duration::from_secs(3600);

/// How to reach the hub above; none for the root.
pub fn dialer(registry: &Registry) -> anyhow::Result<Option<Dialer>> {
    let identity = registry.identity();
    let Some(path) = identity.parent() else { return Ok(None) };
    let tls = tls::client_config(registry.trust().clone(), path, registry.leaf())
        .context("the hub's certificate cannot be used")?;
    let addresses = identity.parents().to_vec();
    Ok(Some(Dialer { addresses, tls: Arc::new(tls), keep_alive: KeepAlive::default() }))
}

/// Content that the hub above has.
pub struct ParentContent(pub Dialer);

#[tonic::async_trait]
impl Fetch for ParentContent {
    async fn fetch(&self, digest: Digest, blobs: &Blobs) -> Result<(), FetchError> {
        let Dialer { addresses, tls, keep_alive } = &self.0;
        let channel = dial::dial(addresses, tls.clone(), *keep_alive).await;
        let channel = channel.map_err(|error| FetchError::Unavailable { digest, why: one_line(&error) })?;
        canopy_content::fetch(channel, digest, blobs).await
    }
}

/// Renews this hub's certificates in time, for ever.
pub async fn stay_certified(registry: Arc<Registry>) -> anyhow::Result<()> {
    loop {
        if let Err(error) = renew(&registry).await {
            warn!(error = format!("{error:#}"), "a certificate was not renewed; trying again in an hour");
        }
        sleep(LOOK_EVERY).await;
    }
}

/// The authority is renewed by the hub above, the TLS certificate by this hub itself.
async fn renew(registry: &Registry) -> anyhow::Result<()> {
    let (now, identity) = (seconds(), registry.identity());
    if identity.parent().is_some() && Certified::read(identity.enrolled().1)?.renew_at() <= now {
        let trust = registry.trust().clone();
        registry.replace(enroll::renew(&identity, trust, registry.folder(), now).await?)?;
        info!("this hub's authority is renewed");
    }
    let identity = registry.identity();
    if Certified::read(&identity.chain()[0])?.renew_at() <= now {
        let renewed = identity.reissued(now)?;
        registry.folder().save(&renewed)?;
        registry.replace(renewed)?;
        info!("this hub's TLS certificate is renewed");
    }
    Ok(())
}
