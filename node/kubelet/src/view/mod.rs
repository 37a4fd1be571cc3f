//! Views: the fields of API objects that a kubelet reads and writes, and no others.

mod container;
mod objects;
mod pod;
mod status;
mod volume;

pub use container::{
    Capabilities, Container, EnvFrom, EnvSource, EnvVar, Handler, HttpGet, KeyRef, Lifecycle, Probe, RefName, Requirements,
    SeccompProfile, SecurityContext, TcpSocket, FieldRef, ResourceFieldRef, VolumeMount, Port, IntOrString, ExecAction,
    HttpHeader, NameOptional, SleepAction, Grpc,
};
pub use objects::{ConfigMap, Node, NodeSpec, Secret, Service, ServicePort, ServiceSpec, TokenResponse};
pub use pod::{DnsOption, HostAlias, Meta, Pod, PodDns, PodSecurityContext, PodSpec, ReadinessGate, Sysctl};
pub use status::{
    Condition, ContainerState, ContainerStatus, Ip, PodStatus, Running, Terminated, Waiting, NO_CONDITION,
};
pub use volume::{
    DownwardItem, DownwardVolume, EmptyDir, HostPath, Item, NamedSource, Projected, Projection, SecretVolume, TokenSource, Volume,
};
