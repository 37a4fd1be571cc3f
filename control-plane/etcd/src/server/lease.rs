//! The Lease service.

use super::{
    Member,
    failure::{Refusal, failed},
    who::Credentials,
};
use crate::{
    replica::auth::{Access, Auth, Who},
    state::Command,
};
use bytes::Bytes;
use etcd_proto::etcdserverpb::{self as pb, lease_server::Lease};
use futures::{StreamExt, stream, stream::BoxStream};
use std::time::Duration;
use tonic::{Request, Response, Status, Streaming, async_trait};

/// The longest that a lease may live, in seconds.
const LONGEST: i64 = 9_000_000_000;

fn seconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_secs()).unwrap_or(i64::MAX)
}

#[async_trait]
impl Lease for Member {
    async fn lease_grant(
        &self,
        request: Request<pb::LeaseGrantRequest>,
    ) -> Result<Response<pb::LeaseGrantResponse>, Status> {
        // Anybody may have a lease, but nobody with a token that is none.
        self.who(&Credentials::of(&request)).await.map_err(failed)?;
        let pb::LeaseGrantRequest { ttl, id } = request.into_inner();
        if ttl > LONGEST {
            return Err(Refusal::LeaseTtlTooLarge.into());
        }
        let ttl = ttl.max(1);
        let granted = self
            .replica()
            .grant_as(id, Duration::from_secs(ttl.unsigned_abs()))
            .await
            .map_err(failed)?;
        Ok(Response::new(pb::LeaseGrantResponse {
            header: self.header_now(),
            id: granted,
            ttl,
            error: String::new(),
        }))
    }

    async fn lease_revoke(
        &self,
        request: Request<pb::LeaseRevokeRequest>,
    ) -> Result<Response<pb::LeaseRevokeResponse>, Status> {
        let who = self.who(&Credentials::of(&request)).await.map_err(failed)?;
        let revoke = Command::Revoke(request.into_inner().id);
        self.replica().submit_as(&who, revoke).await.map_err(failed)?;
        Ok(Response::new(pb::LeaseRevokeResponse {
            header: self.header_now(),
        }))
    }

    type LeaseKeepAliveStream = BoxStream<'static, Result<pb::LeaseKeepAliveResponse, Status>>;

    async fn lease_keep_alive(
        &self,
        request: Request<Streaming<pb::LeaseKeepAliveRequest>>,
    ) -> Result<Response<Self::LeaseKeepAliveStream>, Status> {
        let state = (self.clone(), Credentials::of(&request), request.into_inner());
        let answers = stream::unfold(state, |(member, by, mut requests)| async move {
            let answer = match requests.message().await {
                Ok(Some(request)) => member.keep(&by, request.id).await,
                // The client has gone, or has said all.
                Ok(None) | Err(_) => return None,
            };
            Some((answer, (member, by, requests)))
        });
        Ok(Response::new(answers.boxed()))
    }

    async fn lease_time_to_live(
        &self,
        request: Request<pb::LeaseTimeToLiveRequest>,
    ) -> Result<Response<pb::LeaseTimeToLiveResponse>, Status> {
        let by = Credentials::of(&request);
        let pb::LeaseTimeToLiveRequest { id, keys } = request.into_inner();
        if keys {
            self.may_see(&by, &[id], Access::Read).await?;
        }
        let lease = self.replica().lease(id).await.map_err(failed)?;
        let mut response = pb::LeaseTimeToLiveResponse {
            header: self.header_now(),
            id,
            ttl: -1,
            ..pb::LeaseTimeToLiveResponse::default()
        };
        if let Some(lease) = lease {
            response.ttl = seconds(lease.left);
            response.granted_ttl = seconds(lease.ttl);
            response.keys = if keys { lease.keys } else { Vec::new() };
        }
        Ok(Response::new(response))
    }

    async fn lease_leases(
        &self,
        request: Request<pb::LeaseLeasesRequest>,
    ) -> Result<Response<pb::LeaseLeasesResponse>, Status> {
        self.replica().linearizable().await.map_err(failed)?;
        let leases = self.engine().leases();
        self.may_see(&Credentials::of(&request), &leases, Access::Read)
            .await?;
        Ok(Response::new(pb::LeaseLeasesResponse {
            header: self.header_now(),
            leases: leases.into_iter().map(|id| pb::LeaseStatus { id }).collect(),
        }))
    }
}

impl Member {
    /// An error unless who asks may read, or write, all keys of the leases.
    async fn may_see(&self, by: &Credentials, leases: &[i64], access: Access) -> Result<(), Status> {
        let engine = self.engine();
        let judge = |auth: &Auth, who: &Who| {
            auth.must_say(who)?;
            if auth.may_all(who).is_ok() {
                return Ok(());
            }
            let mut keys = leases.iter().flat_map(|lease| engine.lease_keys(*lease));
            keys.try_for_each(|key| auth.may(who, &key, &Bytes::new(), access))
        };
        self.judged(by, judge).await.map(drop)
    }

    async fn keep(&self, by: &Credentials, id: i64) -> Result<pb::LeaseKeepAliveResponse, Status> {
        self.may_see(by, &[id], Access::Write).await?;
        let kept = self.replica().keep_alive(id).await.map_err(failed)?;
        let ttl = kept.map_or(0, seconds);
        Ok(pb::LeaseKeepAliveResponse {
            header: self.header_now(),
            id,
            ttl,
        })
    }
}
