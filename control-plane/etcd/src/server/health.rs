//! gRPC's health service.

use super::Member;
use etcd_proto::health::{
    HealthCheckRequest, HealthCheckResponse, health_check_response::ServingStatus, health_server::Health,
};
use futures::{StreamExt, stream, stream::BoxStream};
use tonic::{Request, Response, Status, async_trait};

/// The services that may be asked for; the empty name is the server.
const KNOWN: &[&str] = &[
    "",
    "etcdserverpb.KV",
    "etcdserverpb.Watch",
    "etcdserverpb.Lease",
    "etcdserverpb.Cluster",
    "etcdserverpb.Maintenance",
    "etcdserverpb.Auth",
];

fn serving() -> HealthCheckResponse {
    HealthCheckResponse {
        status: ServingStatus::Serving as i32,
    }
}

#[async_trait]
impl Health for Member {
    async fn check(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        if !KNOWN.contains(&request.into_inner().service.as_str()) {
            return Err(Status::not_found("unknown service"));
        }
        Ok(Response::new(serving()))
    }

    type WatchStream = BoxStream<'static, Result<HealthCheckResponse, Status>>;

    async fn watch(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let known = KNOWN.contains(&request.into_inner().service.as_str());
        let first = if known {
            serving()
        } else {
            HealthCheckResponse {
                status: ServingStatus::ServiceUnknown as i32,
            }
        };
        // It stays so until the server ends, and the stream with it.
        let stream = stream::iter([Ok(first)]).chain(stream::pending());
        Ok(Response::new(stream.boxed()))
    }
}
