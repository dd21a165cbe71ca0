//! How an agent keeps its identity: a new certificate at two thirds of the old one's life.

use std::time::Duration;

use canopy_identity::tls::Leaf;
use canopy_identity::{Certified, Folder, Identity, Trust};
use canopy_link::enroll;
use canopy_node::clock;
use canopy_proto::convert::one_line;
use tokio::time::sleep;
use tracing::{info, warn};

/// How often to look whether it is time, and so to try again: often against the ten days that a
/// renewal has, rarely against what an attempt costs. Clocks may jump, so no sleep is longer.
const LOOK_EVERY: Duration = Duration::from_secs(3600);

/// Renews the identity for ever. `leaf` presents the newest certificate.
pub(crate) async fn renew(mut identity: Identity, trust: Trust, folder: Folder, leaf: Leaf) {
    loop {
        let now = clock::wall().0 / 1000;
        let due = Certified::read(identity.enrolled().1).is_ok_and(|certified| certified.renew_at() <= now);
        if due {
            match enroll::renew(&identity, trust.clone(), &folder, now).await {
                Ok(renewed) => match leaf.replace(renewed.chain().to_vec(), renewed.key()) {
                    Ok(()) => {
                        info!("the certificate was renewed");
                        identity = renewed;
                    }
                    Err(error) => warn!(%error, "the renewed certificate cannot be presented"),
                },
                Err(error) => {
                    warn!(reason = one_line(&error), "the certificate was not renewed; trying again")
                }
            }
        }
        sleep(LOOK_EVERY).await;
    }
}
