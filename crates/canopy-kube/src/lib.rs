//! Apply, prune, watch and health on a Kubernetes cluster.
