//! The fields behind gates that can be switched. A gate that is locked on guards nothing.

use super::Gated;

/// What the names of the types begin with.
pub(super) const PREFIX: &str = "io.k8s.api.";

const fn of(gate: &'static str, ty: &'static str, field: &'static str) -> Gated {
    Gated {
        ty,
        field,
        with: "",
        gate,
    }
}

impl Gated {
    const fn with(self, with: &'static str) -> Self {
        Self { with, ..self }
    }
}

/// The fields, by gate.
pub const GATED: &[Gated] = &[
    of(
        "AtomicWriteVolumeUserFields",
        "core.v1.ClusterTrustBundleProjection",
        "user",
    ),
    of(
        "AtomicWriteVolumeUserFields",
        "core.v1.ConfigMapVolumeSource",
        "defaultUser",
    ),
    of(
        "AtomicWriteVolumeUserFields",
        "core.v1.DownwardAPIVolumeFile",
        "user",
    ),
    of(
        "AtomicWriteVolumeUserFields",
        "core.v1.DownwardAPIVolumeSource",
        "defaultUser",
    ),
    of("AtomicWriteVolumeUserFields", "core.v1.KeyToPath", "user"),
    of(
        "AtomicWriteVolumeUserFields",
        "core.v1.PodCertificateProjection",
        "user",
    ),
    of(
        "AtomicWriteVolumeUserFields",
        "core.v1.ProjectedVolumeSource",
        "defaultUser",
    ),
    of(
        "AtomicWriteVolumeUserFields",
        "core.v1.SecretVolumeSource",
        "defaultUser",
    ),
    of(
        "AtomicWriteVolumeUserFields",
        "core.v1.ServiceAccountTokenProjection",
        "user",
    ),
    of(
        "CSIVolumeHealth",
        "core.v1.PersistentVolumeClaimStatus",
        "healthStatus",
    ),
    of("CSIVolumeHealth", "core.v1.PodStatus", "volumeHealth"),
    of("CSIVolumeHealth", "storage.v1.CSINodeStatus", "storageHealth"),
    of(
        "ClusterTrustBundleProjection",
        "core.v1.VolumeProjection",
        "clusterTrustBundle",
    ),
    of("ContainerRestartRules", "core.v1.Container", "restartPolicyRules"),
    of(
        "ContainerRestartRules",
        "core.v1.EphemeralContainer",
        "restartPolicyRules",
    ),
    of("ContainerStopSignals", "core.v1.ContainerStatus", "stopSignal"),
    of("ContainerStopSignals", "core.v1.Lifecycle", "stopSignal"),
    of(
        "CoordinatedLeaderElection",
        "coordination.v1.LeaseSpec",
        "preferredHolder",
    ),
    of(
        "CoordinatedLeaderElection",
        "coordination.v1.LeaseSpec",
        "strategy",
    ),
    of(
        "CrossNamespaceVolumeDataSource",
        "core.v1.PersistentVolumeClaimSpec",
        "dataSourceRef",
    )
    .with("namespace"),
    of(
        "DRAConsumableCapacity",
        "resource.v1.AllocatedDeviceStatus",
        "shareID",
    ),
    of(
        "DRAConsumableCapacity",
        "resource.v1.Device",
        "allowMultipleAllocations",
    ),
    of(
        "DRAConsumableCapacity",
        "resource.v1.DeviceCapacity",
        "requestPolicy",
    ),
    of(
        "DRAConsumableCapacity",
        "resource.v1.DeviceConstraint",
        "distinctAttribute",
    ),
    of(
        "DRAConsumableCapacity",
        "resource.v1.DeviceRequestAllocationResult",
        "consumedCapacity",
    ),
    of(
        "DRAConsumableCapacity",
        "resource.v1.DeviceRequestAllocationResult",
        "shareID",
    ),
    of(
        "DRAConsumableCapacity",
        "resource.v1.DeviceSubRequest",
        "capacity",
    ),
    of(
        "DRAConsumableCapacity",
        "resource.v1.ExactDeviceRequest",
        "capacity",
    ),
    of(
        "DRADeviceBindingConditions",
        "resource.v1.AllocationResult",
        "allocationTimestamp",
    ),
    of(
        "DRADeviceBindingConditions",
        "resource.v1.Device",
        "bindingConditions",
    ),
    of(
        "DRADeviceBindingConditions",
        "resource.v1.Device",
        "bindingFailureConditions",
    ),
    of("DRADeviceBindingConditions", "resource.v1.Device", "bindsToNode"),
    of(
        "DRADeviceBindingConditions",
        "resource.v1.DeviceRequestAllocationResult",
        "bindingConditions",
    ),
    of(
        "DRADeviceBindingConditions",
        "resource.v1.DeviceRequestAllocationResult",
        "bindingFailureConditions",
    ),
    of("DRADeviceTaints", "resource.v1.Device", "taints"),
    of(
        "DRADeviceTaints",
        "resource.v1.DeviceRequestAllocationResult",
        "tolerations",
    ),
    of("DRADeviceTaints", "resource.v1.DeviceSubRequest", "tolerations"),
    of("DRADeviceTaints", "resource.v1.ExactDeviceRequest", "tolerations"),
    of("DRAListTypeAttributes", "resource.v1.DeviceAttribute", "bools"),
    of("DRAListTypeAttributes", "resource.v1.DeviceAttribute", "ints"),
    of("DRAListTypeAttributes", "resource.v1.DeviceAttribute", "strings"),
    of("DRAListTypeAttributes", "resource.v1.DeviceAttribute", "versions"),
    of(
        "DRANodeAllocatableResources",
        "core.v1.PodStatus",
        "nodeAllocatableResourceClaimStatuses",
    ),
    of(
        "DRANodeAllocatableResources",
        "resource.v1.Device",
        "nodeAllocatableResources",
    ),
    of(
        "DRAOptionalNodeOperations",
        "resource.v1.DeviceRequestAllocationResult",
        "skipNodeOperations",
    ),
    of(
        "DRAOptionalNodeOperations",
        "resource.v1.ResourceSliceSpec",
        "skipNodeOperations",
    ),
    of("DRAPartitionableDevices", "resource.v1.Device", "allNodes"),
    of(
        "DRAPartitionableDevices",
        "resource.v1.Device",
        "consumesCounters",
    ),
    of("DRAPartitionableDevices", "resource.v1.Device", "nodeName"),
    of("DRAPartitionableDevices", "resource.v1.Device", "nodeSelector"),
    of(
        "DRAPartitionableDevices",
        "resource.v1.ResourceSliceSpec",
        "perDeviceNodeSelection",
    ),
    of(
        "DRAPartitionableDevices",
        "resource.v1.ResourceSliceSpec",
        "sharedCounters",
    ),
    of(
        "DRAPartitionableDevicesType",
        "resource.v1.ResourceSliceSpec",
        "partitionTypeAttribute",
    ),
    of(
        "DeploymentReplicaSetTerminatingReplicas",
        "apps.v1.DeploymentStatus",
        "terminatingReplicas",
    ),
    of(
        "DeploymentReplicaSetTerminatingReplicas",
        "apps.v1.ReplicaSetStatus",
        "terminatingReplicas",
    ),
    of("EmptyDirVolumeMode", "core.v1.EmptyDirVolumeSource", "mode"),
    of("EnvFiles", "core.v1.EnvVarSource", "fileKeyRef"),
    of("EvictionRequestAPI", "core.v1.PodSpec", "evictionResponders"),
    of("GRPCContainerProbeTLS", "core.v1.GRPCAction", "mode"),
    of("GenericWorkload", "core.v1.PodSpec", "schedulingGroup"),
    of("H2CContainerProbe", "core.v1.HTTPGetAction", "protocol"),
    of("ImageVolumeWithDigest", "core.v1.VolumeStatus", "image"),
    of(
        "InPlacePodLevelResourcesVerticalScaling",
        "core.v1.PodStatus",
        "allocatedResources",
    ),
    of(
        "InPlacePodLevelResourcesVerticalScaling",
        "core.v1.PodStatus",
        "resources",
    ),
    of(
        "InPlacePodVerticalScalingSchedulerPreemption",
        "core.v1.NodeSpec",
        "podPreemptionPolicy",
    ),
    of(
        "MatchLabelKeysInPodTopologySpread",
        "core.v1.TopologySpreadConstraint",
        "matchLabelKeys",
    ),
    of(
        "MaxUnavailableStatefulSet",
        "apps.v1.RollingUpdateStatefulSetStrategy",
        "maxUnavailable",
    ),
    of(
        "PodCertificateRequest",
        "core.v1.VolumeProjection",
        "podCertificate",
    ),
    of("PodLevelResources", "core.v1.PodSpec", "resources"),
    of(
        "ResourceHealthStatus",
        "core.v1.ContainerStatus",
        "allocatedResourcesStatus",
    ),
    of("ResourceHealthStatusMessage", "core.v1.ResourceHealth", "message"),
    of(
        "VolumeBindMountOptions",
        "core.v1.VolumeMount",
        "bindMountOptions",
    ),
    of(
        "VolumeLimitScaling",
        "storage.v1.CSIDriverSpec",
        "preventPodSchedulingIfMissing",
    ),
    of("WorkloadWithJob", "batch.v1.JobSpec", "scheduling"),
];
