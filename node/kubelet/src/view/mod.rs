//! Views: the fields of API objects that a kubelet reads and writes, and no others.

mod container;
mod objects;
mod pod;
mod status;
mod volume;

pub use container::{
    AppArmorProfile, Capabilities, Container, EnvFrom, EnvSource, EnvVar, ExecAction, ExitCodes, FieldRef,
    FileKeyRef, Grpc, Handler, HttpGet, HttpHeader, IntOrString, KeyRef, Lifecycle, NameOptional, Port,
    Probe, RefName, Requirements, ResizePolicy, ResourceFieldRef, RestartRule, SeccompProfile,
    SecurityContext, SleepAction, TcpSocket, VolumeDevice, VolumeMount,
};
pub use objects::{ConfigMap, Node, NodeSpec, Secret, Service, ServicePort, ServiceSpec, TokenResponse};
pub use pod::{
    DnsOption, HostAlias, Meta, Pod, PodDns, PodOs, PodSecurityContext, PodSpec, ReadinessGate, Sysctl,
};
pub use status::{
    Condition, ContainerState, ContainerStatus, Delete, Ip, NO_CONDITION, PodStatus, Running, Terminated,
    Waiting, is_last,
};
pub use volume::{
    BundleSource, CertificateSource, Claim, ClaimRef, ClaimSource, ClaimSpec, ClaimStatus, Csi, DownwardItem,
    DownwardVolume, EmptyDir, Ephemeral, HostPath, ImageVolume, Item, Local, NamedSource, NodeMatch,
    NodeTerm, NodeTerms, PersistentVolume, PersistentVolumeSpec, Projected, Projection, SecretVolume,
    TokenSource, Volume, VolumeAffinity,
};
