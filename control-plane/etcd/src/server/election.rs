//! The Election service: the oldest key under a name is the leader, and its value what the leader proclaims.

use super::{
    Member, convert,
    failure::{Refusal, status},
    lock::{Leaving, end_of, made_at},
    who::Credentials,
};
use crate::{
    WatchRequest,
    txn::{Txn, TxnOp},
};
use etcd_proto::v3electionpb::{
    CampaignRequest, CampaignResponse, LeaderKey, LeaderRequest, LeaderResponse, ProclaimRequest,
    ProclaimResponse, ResignRequest, ResignResponse, election_server::Election,
};
use futures::{StreamExt, stream, stream::BoxStream};
use tonic::{Request, Response, Status, async_trait};

impl Member {
    async fn proclaim_at(
        &self,
        by: &Credentials,
        leader: &LeaderKey,
        value: bytes::Bytes,
    ) -> Result<bool, Status> {
        let put = TxnOp::Put {
            key: leader.key.clone(),
            value: Some(value),
            lease: Some(leader.lease),
            prev: false,
        };
        let txn = Txn {
            compare: vec![made_at(&leader.key, leader.rev as u64)],
            success: vec![put],
            failure: Vec::new(),
        };
        Ok(self.transact(by, txn).await?.succeeded)
    }

    async fn leader_of(
        &self,
        by: &Credentials,
        name: &bytes::Bytes,
    ) -> Result<Option<LeaderResponse>, Status> {
        let first = self.first(by, name).await?;
        Ok(first.map(|kv| LeaderResponse {
            header: self.header_now(),
            kv: Some(convert::key_value(kv)),
        }))
    }
}

#[async_trait]
impl Election for Member {
    async fn campaign(
        &self,
        request: Request<CampaignRequest>,
    ) -> Result<Response<CampaignResponse>, Status> {
        let by = Credentials::of(&request);
        let CampaignRequest { name, lease, value } = request.into_inner();
        let (key, made, new) = self.stand(&by, &name, lease, &value).await?;
        let leader = LeaderKey {
            name: name.clone(),
            key: key.clone(),
            rev: made as i64,
            lease,
        };
        if !new {
            self.proclaim_at(&by, &leader, value).await?;
        }
        let mut leaving = Leaving {
            member: self.clone(),
            by: by.clone(),
            key: key.clone(),
            made,
            armed: new,
        };
        let held = self.turn(&by, &name, &key, made).await;
        leaving.armed &= held.is_err();
        if !held? {
            return Err(Refusal::SessionExpired.into());
        }
        Ok(Response::new(CampaignResponse {
            header: self.header_now(),
            leader: Some(leader),
        }))
    }

    async fn proclaim(
        &self,
        request: Request<ProclaimRequest>,
    ) -> Result<Response<ProclaimResponse>, Status> {
        let by = Credentials::of(&request);
        let ProclaimRequest { leader, value } = request.into_inner();
        let leader = leader.ok_or_else(|| Status::unknown("\"leader\" field must be provided"))?;
        if !self.proclaim_at(&by, &leader, value).await? {
            return Err(Refusal::SessionExpired.into());
        }
        Ok(Response::new(ProclaimResponse {
            header: self.header_now(),
        }))
    }

    async fn leader(&self, request: Request<LeaderRequest>) -> Result<Response<LeaderResponse>, Status> {
        let by = Credentials::of(&request);
        let leader = self.leader_of(&by, &request.into_inner().name).await?;
        leader.map(Response::new).ok_or_else(|| Refusal::NoLeader.into())
    }

    type ObserveStream = BoxStream<'static, Result<LeaderResponse, Status>>;

    async fn observe(
        &self,
        request: Request<LeaderRequest>,
    ) -> Result<Response<Self::ObserveStream>, Status> {
        let by = Credentials::of(&request);
        let name = request.into_inner().name;
        let prefix = [name.as_ref(), b"/"].concat();
        let changes = self.replica().watch(WatchRequest {
            end: end_of(&prefix),
            start: prefix.into(),
            ..WatchRequest::default()
        });
        let told = self.leader_of(&by, &name).await?;
        let seen = told.as_ref().and_then(|told| told.kv.clone());
        let later = stream::unfold(
            (self.clone(), by, name, changes, seen),
            |(member, by, name, mut changes, seen)| async move {
                loop {
                    if let Err(error) = changes.next().await? {
                        return Some((Err(status(error)), (member, by, name, changes, seen)));
                    }
                    match member.leader_of(&by, &name).await {
                        Ok(Some(told)) if told.kv != seen => {
                            let seen = told.kv.clone();
                            return Some((Ok(told), (member, by, name, changes, seen)));
                        }
                        Ok(_) => {}
                        Err(error) => return Some((Err(error), (member, by, name, changes, seen))),
                    }
                }
            },
        );
        Ok(Response::new(stream::iter(told.map(Ok)).chain(later).boxed()))
    }

    async fn resign(&self, request: Request<ResignRequest>) -> Result<Response<ResignResponse>, Status> {
        let by = Credentials::of(&request);
        let leader = request.into_inner().leader;
        let leader = leader.ok_or_else(|| Status::unknown("\"leader\" field must be provided"))?;
        self.step_back(&by, &leader.key, leader.rev as u64).await?;
        Ok(Response::new(ResignResponse {
            header: self.header_now(),
        }))
    }
}
