//! Views: the fields of API objects that a kubelet reads and writes, and no others.

mod container;
mod objects;
mod pod;
mod status;
mod volume;

pub use container::{
    Capabilities, Container, EnvFrom, EnvSource, EnvVar, ExecAction, FieldRef, Grpc, Handler, HttpGet,
    HttpHeader, IntOrString, KeyRef, Lifecycle, NameOptional, Port, Probe, RefName, Requirements,
    ResourceFieldRef, SeccompProfile, SecurityContext, SleepAction, TcpSocket, VolumeMount,
};
pub use objects::{ConfigMap, Node, NodeSpec, Secret, Service, ServicePort, ServiceSpec, TokenResponse};
pub use pod::{DnsOption, HostAlias, Meta, Pod, PodDns, PodSecurityContext, PodSpec, ReadinessGate, Sysctl};
pub use status::{
    Condition, ContainerState, ContainerStatus, Ip, NO_CONDITION, PodStatus, Running, Terminated, Waiting,
};
pub use volume::{
    DownwardItem, DownwardVolume, EmptyDir, HostPath, Item, NamedSource, Projected, Projection, SecretVolume,
    TokenSource, Volume,
};
