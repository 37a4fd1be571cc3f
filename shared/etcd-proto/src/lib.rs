//! etcd's gRPC interface: messages, clients, servers and descriptors, made from the .proto files in `proto`, which say
//! the names and numbers that etcd publishes. It never does anything.

#![expect(missing_docs, reason = "the interface is documented where it is published")]
#![expect(clippy::allow_attributes, reason = "made code allows what it needs")]

/// Keys, values and events.
pub mod mvccpb {
    tonic::include_proto!("mvccpb");
}

/// Users, roles and permissions.
pub mod authpb {
    tonic::include_proto!("authpb");
}

/// KV, Watch, Lease, Cluster, Maintenance, Auth.
pub mod etcdserverpb {
    tonic::include_proto!("etcdserverpb");
}

/// The Lock service.
pub mod v3lockpb {
    tonic::include_proto!("v3lockpb");
}

/// The Election service.
pub mod v3electionpb {
    tonic::include_proto!("v3electionpb");
}

/// gRPC's health service.
pub mod health {
    tonic::include_proto!("grpc.health.v1");
}

/// All of it as a `FileDescriptorSet`.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
