//! The tree of hubs and clusters below a hub.

use canopy_core::Hub;
use canopy_model::{Name, Role, Uid};
use canopy_node::clock;
use canopy_proto::admin::v1::{TreeNode, TreeRequest, TreeResponse, Unanswered};
use canopy_proto::convert::outbound;
use futures::StreamExt;
use prost::Message;

use super::api::{ANSWER_BYTES_MAX, Api, Caller};
use super::error::Error;
use super::region::REGIONS_AT_ONCE;
use super::show;

/// The most bytes of the nodes of an answer: about ten thousand, and as much again may tell who did
/// not answer.
const NODES_BYTES_MAX: usize = ANSWER_BYTES_MAX / 2;

impl Api {
    pub(super) async fn tree(&self, caller: &Caller, request: TreeRequest) -> Result<TreeResponse, Error> {
        let uid = self.peer.uid;
        let (this, children) = self.hub.read(move |hub| own_level(hub, uid)).await?;
        let branches = futures::stream::iter(children).map(|child| self.branch(caller, child, request.depth));
        let mut branches = std::pin::pin!(branches.buffered(REGIONS_AT_ONCE));
        let mut answer = TreeResponse { nodes: vec![this], unanswered: Vec::new() };
        let mut bytes = 0;
        while let Some(branch) = branches.next().await {
            answer.unanswered.extend(branch.unanswered);
            for node in branch.nodes {
                bytes += node.encoded_len();
                if bytes > NODES_BYTES_MAX {
                    let reason = "the answer is full; this and all that follows is left out: ask for fewer \
                                  levels, or for a part of the tree";
                    answer.unanswered.push(Unanswered { path: node.path, reason: reason.to_owned() });
                    return Ok(answer);
                }
                answer.nodes.push(node);
            }
        }
        Ok(answer)
    }

    /// A child with what stands below it.
    async fn branch(&self, caller: &Caller, (name, role, node): Child, depth: u32) -> TreeResponse {
        if role == Role::Agent || depth == 1 {
            return TreeResponse { nodes: vec![node], unanswered: Vec::new() };
        }
        let below = TreeRequest { path: node.path.clone(), depth: depth.saturating_sub(1) };
        match self.tree_region(caller, &name, below).await {
            Ok(mut part) => {
                // What a hub says about itself is its own; how it is connected, its parent knows.
                if let Some(first) = part.nodes.first_mut() {
                    (first.connected, first.age_ms) = (node.connected, node.age_ms);
                }
                part
            }
            Err(missing) => TreeResponse { nodes: vec![node], unanswered: vec![missing] },
        }
    }
}

type Child = (Name, Role, TreeNode);

fn own_level(hub: &Hub, uid: Uid) -> (TreeNode, Vec<Child>) {
    let this = TreeNode {
        path: hub.path().to_string(),
        role: outbound::role(Role::Hub).into(),
        uid: uid.to_string(),
        connected: true,
        age_ms: 0,
        fleet: Some(outbound::fleet(&hub.fleet())),
        ready: Some(show::condition(&hub.ready())),
    };
    let now = clock::now();
    let children = hub.children().keys().filter_map(|name| {
        let view = hub.node(now, name)?;
        Some((name.clone(), view.record.role, show::tree_node(&view)))
    });
    (this, children.collect())
}
