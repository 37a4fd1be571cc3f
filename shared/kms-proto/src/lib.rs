//! The gRPC interface of key management services, and the message in which values sealed by one are stored: made from the
//! .proto files in `proto`. It never does anything.

#![expect(missing_docs, reason = "the interface is documented where it is published")]
#![expect(clippy::allow_attributes, reason = "made code allows what it needs")]

/// The service.
pub mod v2 {
    tonic::include_proto!("v2");
}

/// Stored values.
pub mod stored {
    tonic::include_proto!("stored");
}
