//! How an agent keeps its identity: a new certificate at two thirds of the old one's life.

use canopy_identity::tls::Leaf;
use canopy_identity::{Folder, Identity, Trust};
use canopy_link::{Way, enroll};
use canopy_node::clock;
use canopy_proto::convert::one_line;
use tokio::time::sleep;
use tracing::{info, warn};

use crate::secret::Kept;

/// Renews the identity for ever, over `way`. `leaf` presents the newest certificate.
/// What is renewed is written to `kept` too, again until that succeeds.
pub(crate) async fn renew(
    mut identity: Identity,
    way: Way,
    trust: Trust,
    folder: Folder,
    leaf: Leaf,
    kept: Option<Kept>,
) {
    let mut unkept = kept.is_some();
    loop {
        let now = clock::seconds();
        if enroll::is_due(&identity, now) {
            match enroll::renew(&identity, way.clone(), trust.clone(), &folder, now).await {
                Ok(renewed) => match leaf.replace(renewed.chain().to_vec(), renewed.key()) {
                    Ok(()) => {
                        info!("the certificate was renewed");
                        identity = renewed;
                        unkept = kept.is_some();
                    }
                    Err(error) => warn!(%error, "the renewed certificate cannot be presented"),
                },
                Err(error) => {
                    warn!(reason = one_line(&error), "the certificate was not renewed; trying again")
                }
            }
        }
        if let Some(kept) = kept.as_ref().filter(|_| unkept) {
            match kept.keep(&folder).await {
                Ok(()) => unkept = false,
                Err(error) => warn!(reason = format!("{error:#}"), "the identity was not kept in its Secret"),
            }
        }
        sleep(enroll::LOOK_EVERY).await;
    }
}
