//! A snapshot from a server, over gRPC.

use crate::{Chunks, Error};
use etcd_proto::etcdserverpb::{SnapshotRequest, maintenance_client::MaintenanceClient};
use futures::{StreamExt, stream};
use rustls::ClientConfig;

/// Gets the snapshot of the server at `endpoint` (`https://host:port`, `http://host:port`, or without a scheme).
pub async fn fetch(endpoint: &str, tls: Option<&ClientConfig>) -> Result<Chunks, Error> {
    let channel = etcd::remote::channel(endpoint.trim_end_matches('/'), tls).map_err(Error::Server)?;
    let place = endpoint.to_owned();
    let said = move |status: tonic::Status| Error::Server(format!("{place}: {}", status.message()));
    let mut client = MaintenanceClient::new(channel);
    let answer = client.snapshot(SnapshotRequest {}).await.map_err(&said)?;
    let mut parts = answer.into_inner();
    // What is refused is refused before the first part.
    let first = parts.message().await.map_err(&said)?.map(|part| part.blob);
    let first = first.filter(|blob| !blob.is_empty());
    let first = first.ok_or_else(|| Error::Server(format!("{endpoint}: the answer is empty")))?;
    let rest = stream::try_unfold(parts, move |mut parts| {
        let said = said.clone();
        async move {
            let part = parts.message().await.map_err(said)?;
            Ok(part.map(|part| (part.blob, parts)))
        }
    });
    Ok(stream::iter([Ok(first)]).chain(rest).boxed())
}
