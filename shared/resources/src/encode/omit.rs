//! Which empty fields upstream leaves out: the facts of Go's `omitempty` that the published schema does not tell.
//! Empty lists, maps and strings go unless kept here; zeros and `false` stay (most are pointers upstream) unless
//! dropped here.

use super::Shape;

/// Lists and strings that are written although empty, by type and field.
const KEPT: &[(&str, &str)] = &[
    ("ClusterRole", "rules"),
    ("Condition", "message"),
    ("ContainerStatus", "image"),
    ("ContainerStatus", "imageID"),
    ("EndpointPort", "name"),
    ("EndpointSlice", "endpoints"),
    ("EndpointSlice", "ports"),
    ("GRPCAction", "service"),
    ("HTTPHeader", "value"),
    ("HostPathVolumeSource", "type"),
    ("LeaseSpec", "holderIdentity"),
    ("NodeSystemInfo", "*"),
    ("PersistentVolumeClaimSpec", "storageClassName"),
    ("Role", "rules"),
    ("RoleRef", "apiGroup"),
    ("RoleRef", "name"),
    ("Subject", "name"),
];

/// Numbers and booleans that are left out when zero, by type and field.
const DROPPED: &[(&str, &str)] = &[
    ("ConfigMapVolumeSource", "readOnly"),
    ("Container", "stdin"),
    ("Container", "stdinOnce"),
    ("Container", "tty"),
    ("ContainerPort", "hostPort"),
    ("ContainerStateTerminated", "signal"),
    ("DeploymentSpec", "minReadySeconds"),
    ("DeploymentSpec", "paused"),
    ("DeploymentStatus", "availableReplicas"),
    ("DeploymentStatus", "observedGeneration"),
    ("DeploymentStatus", "readyReplicas"),
    ("DeploymentStatus", "replicas"),
    ("DeploymentStatus", "unavailableReplicas"),
    ("DeploymentStatus", "updatedReplicas"),
    ("EphemeralContainer", "stdin"),
    ("EphemeralContainer", "stdinOnce"),
    ("EphemeralContainer", "tty"),
    ("Event", "count"),
    ("Event", "deprecatedCount"),
    ("EventSeries", "count"),
    ("NodeSpec", "unschedulable"),
    ("ObjectMeta", "generation"),
    ("PersistentVolumeClaimVolumeSource", "readOnly"),
    ("PodCondition", "observedGeneration"),
    ("PodSpec", "hostIPC"),
    ("PodSpec", "hostNetwork"),
    ("PodSpec", "hostPID"),
    ("PodStatus", "observedGeneration"),
    ("PriorityClass", "globalDefault"),
    ("Probe", "failureThreshold"),
    ("Probe", "initialDelaySeconds"),
    ("Probe", "periodSeconds"),
    ("Probe", "successThreshold"),
    ("Probe", "timeoutSeconds"),
    ("ReplicaSetSpec", "minReadySeconds"),
    ("ReplicaSetStatus", "availableReplicas"),
    ("ReplicaSetStatus", "fullyLabeledReplicas"),
    ("ReplicaSetStatus", "observedGeneration"),
    ("ReplicaSetStatus", "readyReplicas"),
    ("ServicePort", "nodePort"),
    ("ServiceSpec", "healthCheckNodePort"),
    ("ServiceSpec", "publishNotReadyAddresses"),
    ("VolumeMount", "readOnly"),
];

/// Whether a field of type `name` is left out.
pub(super) fn omitted(name: &str, field: &str, shape: Shape) -> bool {
    let listed = |table: &[(&str, &str)]| table.iter().any(|&(n, f)| n == name && (f == field || f == "*"));
    match shape {
        Shape::Full => false,
        Shape::Null => true,
        Shape::Empty | Shape::Blank => !listed(KEPT),
        Shape::Zero => listed(DROPPED),
    }
}
