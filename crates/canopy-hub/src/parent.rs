//! The hub above: reaching it, fetching content from it, and staying certified by it.

use std::sync::Arc;

use anyhow::Context;
use canopy_identity::{Certified, tls};
use canopy_link::limits::KeepAlive;
use canopy_link::{Dialer, Way, enroll};
use canopy_node::clock::seconds;
use tokio::task::block_in_place;
use tokio::time::sleep;
use tracing::{info, warn};

use crate::registry::Registry;

/// How to reach the hub above, over this way; none for the root.
pub fn dialer(registry: &Registry, way: Way) -> anyhow::Result<Option<Dialer>> {
    let identity = registry.identity();
    let Some(path) = identity.parent() else { return Ok(None) };
    let tls = tls::client_config(registry.trust().clone(), path, registry.leaf())
        .context("the hub's certificate cannot be used")?;
    Ok(Some(Dialer { way, tls: Arc::new(tls), keep_alive: KeepAlive::default() }))
}

/// Renews this hub's certificates in time, for ever; `way` leads to the hub above.
pub async fn stay_certified(registry: Arc<Registry>, way: Way) -> anyhow::Result<()> {
    let told = |outcome: anyhow::Result<()>, what| {
        if let Err(error) = outcome {
            let error = format!("{error:#}");
            warn!(error, "this hub's {what} was not renewed; trying again in an hour");
        }
    };
    loop {
        // First what needs nobody: a hub that is cut off keeps its own children.
        told(block_in_place(|| reissue(&registry)), "TLS certificate");
        told(renew_authority(&registry, &way).await, "authority");
        sleep(enroll::LOOK_EVERY).await;
    }
}

/// This hub issues its TLS certificate itself.
fn reissue(registry: &Registry) -> anyhow::Result<()> {
    let (now, identity) = (seconds(), registry.identity());
    if Certified::read(&identity.chain()[0])?.is_due(now) {
        let renewed = identity.reissued(now)?;
        registry.folder().save(&renewed)?;
        registry.replace(renewed)?;
        info!("this hub's TLS certificate is renewed");
    }
    Ok(())
}

/// The hub above renews the authority.
async fn renew_authority(registry: &Registry, way: &Way) -> anyhow::Result<()> {
    let (now, identity) = (seconds(), registry.identity());
    if identity.parent().is_some() && enroll::is_due(&identity, now) {
        let (trust, way) = (registry.trust().clone(), way.clone());
        registry.replace(enroll::renew(&identity, way, trust, registry.folder(), now).await?)?;
        info!("this hub's authority is renewed");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use canopy_identity::authority::{AUTHORITY_LIFE_SECS, LEAF_LIFE_SECS};
    use canopy_identity::{Folder, Identity, Key, ProvenKey, Role, key};
    use tokio::net::TcpListener;

    use super::*;

    /// A hub whose certificates are all due, and whose hub above is away.
    async fn cut_off() -> (tempfile::TempDir, Registry) {
        let place = tempfile::tempdir().unwrap();
        let folder = Folder::open(place.path().join("identity")).unwrap();
        let joined = seconds() - AUTHORITY_LIFE_SECS / 4 * 3;
        let root = Identity::root(&Default::default(), key::random_uid(), joined).unwrap();
        let key = Key::generate().unwrap();
        let proven = ProvenKey::from_request(&key.request().unwrap()).unwrap();
        let authority = root.authority().unwrap();
        let chain = authority.issue(Role::Hub, &"eu".parse().unwrap(), key::random_uid(), &proven, joined);
        let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let hub = Identity::joined(chain.unwrap(), key, vec![nobody.to_string()], joined).unwrap();
        folder.create(&hub).unwrap();
        (place, Registry::open(folder, hub).unwrap())
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_hub_that_is_cut_off_keeps_its_own_certificate() {
        let (_place, registry) = cut_off().await;
        let registry = Arc::new(registry);
        let way = Way { addresses: registry.identity().parents().to_vec(), proxy: None };
        let certifying = tokio::spawn(stay_certified(registry.clone(), way.clone()));
        let present = || Certified::read(&registry.identity().chain()[0]).unwrap().not_after;
        let renewed = async {
            while present() <= seconds() + LEAF_LIFE_SECS / 2 {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), renewed).await.expect("it has expired");
        certifying.abort();
        let kept = registry.folder().load(seconds()).unwrap();
        assert_eq!(kept.chain(), registry.identity().chain());
        assert!(renew_authority(&registry, &way).await.is_err(), "the hub above was not asked");
    }
}
