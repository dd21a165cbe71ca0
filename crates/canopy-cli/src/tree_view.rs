//! The tree of nodes, drawn.

use canopy_model::Path;
use canopy_proto::admin::v1::{Role, TreeNode};

use crate::show::{connection, word};

/// The lines of a tree whose nodes come in path order, the first being the top.
pub(crate) fn draw(nodes: &[TreeNode]) -> Vec<Vec<String>> {
    let Some(top) = nodes.first() else { return Vec::new() };
    let paths: Vec<Path> = nodes.iter().map(|node| node.path.parse().unwrap_or_default()).collect();
    let base = paths[0].depth();
    let lines = nodes.iter().enumerate().map(|(at, node)| {
        let depth = paths[at].depth();
        let name = if at == 0 {
            top.path.clone()
        } else {
            let trunk: String = (base + 1..depth)
                .map(|level| if continues(&paths[at..], level) { "│  " } else { "   " })
                .collect();
            let branch = if continues(&paths[at..], depth) { "├─ " } else { "└─ " };
            let name = paths[at].name().map(|name| name.to_string()).unwrap_or_default();
            format!("{trunk}{branch}{name}")
        };
        line(name, node)
    });
    lines.collect()
}

/// Whether below the first of these paths another node hangs on the same branch of that level.
fn continues(paths: &[Path], level: usize) -> bool {
    let above = |path: &Path| path.segments().take(level - 1).map(str::to_owned).collect::<Vec<_>>();
    let (first, rest) = (&paths[0], &paths[1..]);
    let below = rest.iter().take_while(|path| above(path) == above(first));
    below.into_iter().any(|path| path.segments().nth(level - 1) != first.segments().nth(level - 1))
}

fn line(name: String, node: &TreeNode) -> Vec<String> {
    let [connection, seen] = connection(node.connected, node.age_ms);
    let (role, clusters) = match node.role() {
        Role::Hub => {
            let fleet = node.fleet.unwrap_or_default();
            ("hub", format!("{}/{}", fleet.connected, fleet.clusters))
        }
        Role::Agent => ("cluster", String::new()),
        Role::Unspecified => ("unknown", String::new()),
    };
    vec![name, role.to_owned(), word(node.ready.as_ref()), connection, seen, clusters]
}
