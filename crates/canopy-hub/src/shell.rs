//! What the core's effects mean outside of connections.

use std::sync::Arc;

use canopy_content::Pull;
use canopy_core::Effect;
use canopy_model::Digest;
use canopy_node::Shell;
use canopy_proto::convert::one_line;
use tokio::task::block_in_place;
use tracing::{debug, error, warn};

use crate::registry::Registry;

/// Performs a hub's effects.
pub struct HubShell {
    /// Where revocations go.
    pub registry: Arc<Registry>,
    /// Where content comes from.
    pub content: Pull,
}

impl Shell for HubShell {
    fn perform(&mut self, effect: Effect) {
        match effect {
            Effect::Fetch(digest) => self.fetch(digest),
            // Rare, and nothing may be told to anyone before it is written down.
            Effect::Revoke(uid) => block_in_place(|| self.registry.revoke(uid)),
            Effect::Alert(alert) => warn!(%alert, "needs attention"),
            Effect::Send { .. } | Effect::Disconnect { .. } | Effect::Reply { .. } | Effect::Cluster(_) => {
                error!(?effect, "an effect that is not a hub shell's");
            }
        }
    }
}

impl HubShell {
    /// Has content here before children ask for it. What cannot be had now is fetched when they do.
    fn fetch(&self, digest: Digest) {
        let content = self.content.clone();
        tokio::spawn(async move {
            if let Err(error) = content.ensure(digest).await {
                debug!(%digest, error = one_line(&error), "content is not here yet");
            }
        });
    }
}
