//! A snapshot from a server, over gRPC.

use crate::Error;
use bytes::{Bytes, BytesMut};
use etcd_proto::etcdserverpb::{SnapshotRequest, maintenance_client::MaintenanceClient};
use rustls::ClientConfig;

/// Gets the snapshot of the server at `endpoint` (`https://host:port`, `http://host:port`, or without a scheme).
pub async fn fetch(endpoint: &str, tls: Option<&ClientConfig>) -> Result<Bytes, Error> {
    let channel = etcd::remote::channel(endpoint.trim_end_matches('/'), tls).map_err(Error::Server)?;
    let said = |status: tonic::Status| Error::Server(format!("{endpoint}: {}", status.message()));
    let mut client = MaintenanceClient::new(channel);
    let mut parts = client
        .snapshot(SnapshotRequest {})
        .await
        .map_err(said)?
        .into_inner();
    let mut file = BytesMut::new();
    let mut left = None;
    while let Some(part) = parts.message().await.map_err(said)? {
        file.extend_from_slice(&part.blob);
        left = Some(part.remaining_bytes);
    }
    if file.is_empty() || left.is_none() {
        return Err(Error::Server(format!("{endpoint}: the answer is empty")));
    }
    Ok(file.freeze())
}
