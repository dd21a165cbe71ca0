//! The kinds that an embedded cluster serves without a definition: those that every Kubernetes does.

/// A group's version, its kinds that live in a namespace, and those of the whole cluster.
type Group = (&'static str, &'static str, &'static [&'static str], &'static [&'static str]);

const BUILT_IN: [Group; 14] = [
    (
        "",
        "v1",
        &[
            "ConfigMap",
            "Endpoints",
            "Event",
            "LimitRange",
            "PersistentVolumeClaim",
            "Pod",
            "PodTemplate",
            "ReplicationController",
            "ResourceQuota",
            "Secret",
            "Service",
            "ServiceAccount",
        ],
        &["Namespace", "Node", "PersistentVolume"],
    ),
    ("admissionregistration.k8s.io", "v1", &[], ADMISSION),
    ("apiextensions.k8s.io", "v1", &[], &["CustomResourceDefinition"]),
    ("apiregistration.k8s.io", "v1", &[], &["APIService"]),
    ("apps", "v1", &["ControllerRevision", "DaemonSet", "Deployment", "ReplicaSet", "StatefulSet"], &[]),
    ("autoscaling", "v1", &["HorizontalPodAutoscaler"], &[]),
    ("autoscaling", "v2", &["HorizontalPodAutoscaler"], &[]),
    ("batch", "v1", &["CronJob", "Job"], &[]),
    ("coordination.k8s.io", "v1", &["Lease"], &[]),
    ("networking.k8s.io", "v1", &["Ingress", "NetworkPolicy"], &["IngressClass"]),
    ("policy", "v1", &["PodDisruptionBudget"], &[]),
    ("rbac.authorization.k8s.io", "v1", &["Role", "RoleBinding"], &["ClusterRole", "ClusterRoleBinding"]),
    ("scheduling.k8s.io", "v1", &[], &["PriorityClass"]),
    ("storage.k8s.io", "v1", &["CSIStorageCapacity"], &["CSIDriver", "StorageClass", "VolumeAttachment"]),
];

const ADMISSION: &[&str] = &[
    "MutatingWebhookConfiguration",
    "ValidatingAdmissionPolicy",
    "ValidatingAdmissionPolicyBinding",
    "ValidatingWebhookConfiguration",
];

/// Whether objects of a built-in kind live in a namespace; none for a kind that needs a definition.
pub(super) fn is_namespaced(group: &str, version: &str, kind: &str) -> Option<bool> {
    let served = BUILT_IN.iter().filter(|(its, at, ..)| (*its, *at) == (group, version));
    let mut scopes = served.filter_map(|(_, _, namespaced, whole)| {
        namespaced.contains(&kind).then_some(true).or_else(|| whole.contains(&kind).then_some(false))
    });
    scopes.next()
}
