//! Uids that are refused for ever, whatever certificate they come with.
//!
//! A revoked hub takes all that its authority issued with it: it is refused on every chain in which
//! it appears. The set is kept apart from the store, so that a lost store does not let anyone back.

use std::collections::BTreeSet;

use canopy_model::Uid;
use serde::{Deserialize, Serialize};

use crate::certificate::Certified;
use crate::text::Text;

/// What a hub refuses.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Revocations {
    #[serde(default)]
    uids: BTreeSet<Text<Uid>>,
}

impl Revocations {
    /// Refuses a node from now on. Says whether that is news.
    pub fn revoke_uid(&mut self, uid: Uid) -> bool {
        self.uids.insert(Text(uid))
    }

    /// Whether the node of this certificate is refused.
    pub fn refuses(&self, certified: &Certified) -> bool {
        self.uids.contains(&Text(certified.peer.uid))
    }
}
