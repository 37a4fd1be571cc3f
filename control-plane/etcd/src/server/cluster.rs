//! The Cluster service.

use super::{
    Member,
    failure::{Refusal, failed},
};
use crate::replica;
use etcd_proto::etcdserverpb::{self as pb, cluster_server::Cluster};
use tonic::{Request, Response, Status, async_trait};

fn member(member: &replica::Member) -> pb::Member {
    pb::Member {
        id: member.id,
        name: member.name.clone(),
        peer_ur_ls: member.peer_urls.clone(),
        client_ur_ls: member.client_urls.clone(),
        is_learner: member.learner,
    }
}

impl Member {
    fn members(&self) -> Vec<pb::Member> {
        self.replica().members().iter().map(member).collect()
    }
}

/// The URLs, if others can be reached there.
fn peer_urls(mut urls: Vec<String>) -> Result<Vec<String>, Refusal> {
    let good = |url: &String| {
        let address = url
            .strip_prefix("http://")
            .or_else(|| url.strip_prefix("https://"));
        address
            .and_then(|address| address.rsplit_once(':'))
            .is_some_and(|(host, port)| {
                !host.is_empty() && !host.contains('/') && port.parse::<u16>().is_ok()
            })
    };
    if urls.is_empty() || !urls.iter().all(good) {
        return Err(Refusal::MemberUrls);
    }
    urls.sort();
    Ok(urls)
}

#[async_trait]
impl Cluster for Member {
    async fn member_add(
        &self,
        request: Request<pb::MemberAddRequest>,
    ) -> Result<Response<pb::MemberAddResponse>, Status> {
        self.root_only(&request).await?;
        let request = request.into_inner();
        let urls = peer_urls(request.peer_ur_ls)?;
        let added = self
            .replica()
            .add(urls, request.is_learner)
            .await
            .map_err(failed)?;
        Ok(Response::new(pb::MemberAddResponse {
            header: self.header_now(),
            member: Some(member(&added)),
            members: self.members(),
        }))
    }

    async fn member_remove(
        &self,
        request: Request<pb::MemberRemoveRequest>,
    ) -> Result<Response<pb::MemberRemoveResponse>, Status> {
        self.root_only(&request).await?;
        self.replica()
            .remove(request.into_inner().id)
            .await
            .map_err(failed)?;
        Ok(Response::new(pb::MemberRemoveResponse {
            header: self.header_now(),
            members: self.members(),
        }))
    }

    async fn member_update(
        &self,
        request: Request<pb::MemberUpdateRequest>,
    ) -> Result<Response<pb::MemberUpdateResponse>, Status> {
        self.root_only(&request).await?;
        let request = request.into_inner();
        let urls = peer_urls(request.peer_ur_ls)?;
        self.replica().update(request.id, urls).await.map_err(failed)?;
        Ok(Response::new(pb::MemberUpdateResponse {
            header: self.header_now(),
            members: self.members(),
        }))
    }

    async fn member_list(
        &self,
        request: Request<pb::MemberListRequest>,
    ) -> Result<Response<pb::MemberListResponse>, Status> {
        self.no_stranger(&request).await?;
        if request.into_inner().linearizable {
            self.replica().linearizable().await.map_err(failed)?;
        }
        Ok(Response::new(pb::MemberListResponse {
            header: self.header_now(),
            members: self.members(),
        }))
    }

    async fn member_promote(
        &self,
        request: Request<pb::MemberPromoteRequest>,
    ) -> Result<Response<pb::MemberPromoteResponse>, Status> {
        self.root_only(&request).await?;
        self.replica()
            .promote(request.into_inner().id)
            .await
            .map_err(failed)?;
        Ok(Response::new(pb::MemberPromoteResponse {
            header: self.header_now(),
            members: self.members(),
        }))
    }
}
