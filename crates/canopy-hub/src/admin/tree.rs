//! The tree of hubs and clusters below a hub.

use canopy_core::Hub;
use canopy_identity::key;
use canopy_model::{Name, Role};
use canopy_node::clock;
use canopy_proto::admin::v1::relay::Call;
use canopy_proto::admin::v1::relay_answer::Result as Answer;
use canopy_proto::admin::v1::{TreeNode, TreeRequest, TreeResponse, Unanswered};
use canopy_proto::convert::{one_line, outbound};

use super::api::{Api, Caller};
use super::error::Error;
use super::show;

/// The most nodes of an answer: with 200 bytes each they fit into a message of the link.
const NODES_MAX: usize = 10_000;

impl Api {
    pub(super) async fn tree(&self, caller: &Caller, request: TreeRequest) -> Result<TreeResponse, Error> {
        let uid = self.peer.uid;
        let (this, children) = self.hub.read(move |hub| own_level(hub, uid)).await?;
        let mut answer = TreeResponse { nodes: vec![this], unanswered: Vec::new() };
        for (name, role, node) in children {
            if answer.nodes.len() >= NODES_MAX {
                let reason = format!("more than {NODES_MAX} nodes: ask for less --depth, or for a region");
                answer.unanswered.push(Unanswered { path: node.path, reason });
                break;
            }
            if role == Role::Agent || request.depth == 1 {
                answer.nodes.push(node);
                continue;
            }
            let below = TreeRequest { path: node.path.clone(), depth: request.depth.saturating_sub(1) };
            let caller = Caller { id: key::random_uid(), ..caller.clone() };
            match self.relay(&caller, &name, Call::Tree(below)).await {
                Ok(Answer::Tree(mut part)) => {
                    // What a hub says about itself is its own; how it is connected, its parent knows.
                    if let Some(first) = part.nodes.first_mut() {
                        first.connected = node.connected;
                        first.age_ms = node.age_ms;
                    }
                    answer.nodes.append(&mut part.nodes);
                    answer.unanswered.append(&mut part.unanswered);
                }
                Ok(_) => leave_out(&mut answer, node, "it answered something else"),
                Err(error) => leave_out(&mut answer, node, &one_line(&error)),
            }
        }
        Ok(answer)
    }
}

/// Shows a hub without what stands below it.
fn leave_out(answer: &mut TreeResponse, node: TreeNode, reason: &str) {
    answer.unanswered.push(Unanswered { path: node.path.clone(), reason: reason.to_owned() });
    answer.nodes.push(node);
}

type Children = Vec<(Name, Role, TreeNode)>;

fn own_level(hub: &Hub, uid: canopy_model::Uid) -> (TreeNode, Children) {
    let this = TreeNode {
        path: hub.path().to_string(),
        role: outbound::role(Role::Hub).into(),
        uid: uid.to_string(),
        connected: true,
        age_ms: 0,
        fleet: Some(outbound::fleet(&hub.fleet())),
        ready: Some(show::condition(&hub.readiness())),
    };
    let now = clock::now();
    let children = hub.children().keys().filter_map(|name| {
        let view = hub.node(now, name)?;
        Some((name.clone(), view.record.role, show::tree_node(&view)))
    });
    (this, children.collect())
}
