//! The Cluster service of a cluster that has one member and takes no others.

use super::{Member, failure::Refusal};
use etcd_proto::etcdserverpb::{self as pb, cluster_server::Cluster};
use tonic::{Request, Response, Status, async_trait};

impl Member {
    pub(super) fn me(&self) -> pb::Member {
        pb::Member {
            id: self.0.id,
            name: self.settings().name.clone(),
            peer_ur_ls: self.settings().peer_urls.clone(),
            client_ur_ls: self.settings().client_urls.clone(),
            is_learner: false,
        }
    }

    fn is_me(&self, id: u64) -> Result<(), Refusal> {
        if id == self.0.id {
            Ok(())
        } else {
            Err(Refusal::MemberNotFound)
        }
    }
}

#[async_trait]
impl Cluster for Member {
    async fn member_add(
        &self,
        request: Request<pb::MemberAddRequest>,
    ) -> Result<Response<pb::MemberAddResponse>, Status> {
        let urls = request.into_inner().peer_ur_ls;
        if urls.is_empty() || urls.iter().any(|url| !url.starts_with("http")) {
            return Err(Refusal::MemberUrls.into());
        }
        Err(Status::unimplemented(
            "etcdserver: this cluster has one member and takes no others",
        ))
    }

    async fn member_remove(
        &self,
        request: Request<pb::MemberRemoveRequest>,
    ) -> Result<Response<pb::MemberRemoveResponse>, Status> {
        self.is_me(request.into_inner().id)?;
        Err(Refusal::OneMember.into())
    }

    async fn member_update(
        &self,
        request: Request<pb::MemberUpdateRequest>,
    ) -> Result<Response<pb::MemberUpdateResponse>, Status> {
        let pb::MemberUpdateRequest { id, peer_ur_ls } = request.into_inner();
        self.is_me(id)?;
        if peer_ur_ls != self.settings().peer_urls {
            let why = "etcdserver: this member talks to no others; its URLs are those of its flags";
            return Err(Status::unimplemented(why));
        }
        Ok(Response::new(pb::MemberUpdateResponse {
            header: self.header_now(),
            members: vec![self.me()],
        }))
    }

    async fn member_list(
        &self,
        _: Request<pb::MemberListRequest>,
    ) -> Result<Response<pb::MemberListResponse>, Status> {
        Ok(Response::new(pb::MemberListResponse {
            header: self.header_now(),
            members: vec![self.me()],
        }))
    }

    async fn member_promote(
        &self,
        request: Request<pb::MemberPromoteRequest>,
    ) -> Result<Response<pb::MemberPromoteResponse>, Status> {
        self.is_me(request.into_inner().id)?;
        Err(Refusal::MemberNotLearner.into())
    }
}
