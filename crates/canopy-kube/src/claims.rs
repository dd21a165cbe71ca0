//! What a cluster says about itself.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::Namespace;
use kube::ResourceExt;
use kube::api::Api;

use crate::cluster::{Cluster, RequestError, bounded};

/// What a cluster of a product that is not recognised says.
const OTHER: &str = "Other";

impl Cluster {
    /// Claims by reserved name: `id.k8s.io` (uid of the namespace kube-system, which stays for the
    /// cluster's life; left out where it may not be read), `kubeversion`, `product`, and from the nodes
    /// `platform` and `architecture`, several with commas between them. Where nodes may not be listed, the
    /// platform is `Other`, and the architecture left out.
    pub async fn claims(&self) -> Result<BTreeMap<String, String>, RequestError> {
        let id = self.id().await?;
        let version = bounded(self.client.apiserver_version()).await?.git_version;
        let groups = bounded(self.client.list_api_groups()).await?;
        let openshift = groups.groups.iter().any(|group| group.name == "config.openshift.io");
        let nodes = match self.some_nodes().await {
            Ok(nodes) => nodes,
            // The watch on nodes tells of it.
            Err(error) if error.is_forbidden() => Vec::new(),
            Err(error) => return Err(error),
        };
        let provider = nodes.iter().find_map(|node| node.spec.provider_id.clone()).unwrap_or_default();
        let architectures = nodes.into_iter().filter_map(|node| Some(node.status?.node_info.architecture));
        let architectures: BTreeSet<String> = architectures.filter(|it| !it.is_empty()).collect();
        let architecture = architectures.into_iter().collect::<Vec<_>>().join(",");
        let claims = [
            ("product", product(&version, openshift).to_owned()),
            ("platform", platform(&provider).to_owned()),
            ("kubeversion", version),
            ("architecture", architecture),
        ];
        let id = id.map(|id| ("id.k8s.io", id));
        let known = claims.into_iter().chain(id).filter(|(_, value)| !value.is_empty());
        Ok(known.map(|(name, value)| (name.to_owned(), value)).collect())
    }
}

impl Cluster {
    /// The id that a cluster keeps for its life: the uid of its namespace kube-system. None where that may
    /// not be read.
    pub async fn id(&self) -> Result<Option<String>, RequestError> {
        let namespaces = Api::<Namespace>::all(self.client.clone());
        match bounded(namespaces.get_metadata("kube-system")).await {
            Err(error) if error.is_forbidden() => {
                let reason = error.to_string();
                tracing::debug!(reason, "which cluster this is is not known");
                Ok(None)
            }
            system => Ok(system?.uid()),
        }
    }
}

/// The distribution, by how it marks its versions.
fn product(version: &str, openshift: bool) -> &'static str {
    let marks = [("+k3s", "K3s"), ("+rke2", "RKE2"), ("-eks-", "EKS"), ("-gke.", "GKE")];
    let marked = marks.into_iter().find(|(mark, _)| version.contains(mark)).map(|(_, product)| product);
    if openshift { "OpenShift" } else { marked.unwrap_or(OTHER) }
}

/// Where the nodes run, by the scheme of a node's provider id.
fn platform(provider_id: &str) -> &'static str {
    match provider_id.split_once("://").map(|(scheme, _)| scheme) {
        Some("aws") => "AWS",
        Some("azure") => "Azure",
        Some("gce") => "GCP",
        Some("ibm") => "IBM",
        Some("openstack") => "OpenStack",
        Some("vsphere") => "VSphere",
        _ => OTHER,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_and_platforms_are_recognised_by_their_marks() {
        for (version, openshift, expected) in [
            ("v1.37.2", false, "Other"),
            ("v1.37.2+k3s1", false, "K3s"),
            ("v1.37.2+rke2r1", false, "RKE2"),
            ("v1.37.2-eks-a1b2", false, "EKS"),
            ("v1.37.2-gke.100", false, "GKE"),
            ("v1.37.2", true, "OpenShift"),
        ] {
            assert_eq!(product(version, openshift), expected, "{version}");
        }
        assert_eq!(platform("aws:///eu-central-1a/i-0"), "AWS");
        assert_eq!(platform("k3s://press-3"), "Other");
        assert_eq!(platform(""), "Other");
    }
}
