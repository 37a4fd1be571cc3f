//! The Maintenance service.

use super::{
    Member, VERSION,
    failure::{failed, status},
    snapshot,
};
use crate::{Revision, replica::Alarm};
use etcd_proto::etcdserverpb::{
    self as pb, AlarmType, alarm_request::AlarmAction, maintenance_server::Maintenance,
};
use futures::{StreamExt, stream, stream::BoxStream};
use tonic::{Request, Response, Status, async_trait};

/// Each alarm here and there.
const ALARMS: [(Alarm, AlarmType); 2] = [
    (Alarm::NoSpace, AlarmType::Nospace),
    (Alarm::Corrupt, AlarmType::Corrupt),
];

impl Member {
    /// The alarms of one kind; `None`: of all.
    fn alarms(&self, kind: AlarmType) -> Vec<pb::AlarmMember> {
        let raised = self.replica().alarms().into_iter();
        let told = raised.filter_map(|(member_id, alarm)| {
            let (_, told) = ALARMS.into_iter().find(|(known, _)| *known == alarm)?;
            (kind == AlarmType::None || kind == told).then_some(pb::AlarmMember {
                member_id,
                alarm: told as i32,
            })
        });
        told.collect()
    }

    async fn raise(&self, member: u64, kind: AlarmType) -> Result<Vec<pb::AlarmMember>, Status> {
        let Some((alarm, _)) = ALARMS.into_iter().find(|(_, told)| *told == kind) else {
            return Ok(Vec::new());
        };
        self.replica()
            .set_alarm(member, alarm, true)
            .await
            .map_err(failed)?;
        let mut raised = self.alarms(kind);
        raised.retain(|raised| raised.member_id == member);
        Ok(raised)
    }

    /// Takes back the alarms of a kind about a member (0: of all); gives those.
    async fn disarm(&self, member: u64, kind: AlarmType) -> Result<Vec<pb::AlarmMember>, Status> {
        let mut raised = self.alarms(kind);
        raised.retain(|raised| member == 0 || raised.member_id == member);
        for one in &raised {
            for (alarm, _) in ALARMS.iter().filter(|(_, told)| *told as i32 == one.alarm) {
                let disarmed = self.replica().set_alarm(one.member_id, *alarm, false).await;
                disarmed.map_err(failed)?;
            }
        }
        Ok(raised)
    }
}

#[async_trait]
impl Maintenance for Member {
    async fn alarm(&self, request: Request<pb::AlarmRequest>) -> Result<Response<pb::AlarmResponse>, Status> {
        match request.get_ref().action() {
            AlarmAction::Get => self.no_stranger(&request).await?,
            AlarmAction::Activate | AlarmAction::Deactivate => self.root_only(&request).await?,
        }
        let request = request.into_inner();
        let alarms = match request.action() {
            AlarmAction::Get => self.alarms(request.alarm()),
            AlarmAction::Activate => self.raise(request.member_id, request.alarm()).await?,
            AlarmAction::Deactivate => self.disarm(request.member_id, request.alarm()).await?,
        };
        Ok(Response::new(pb::AlarmResponse {
            header: self.header_now(),
            alarms,
        }))
    }

    async fn status(
        &self,
        request: Request<pb::StatusRequest>,
    ) -> Result<Response<pb::StatusResponse>, Status> {
        self.no_stranger(&request).await?;
        let (engine, replica) = (self.engine(), self.replica());
        let view = replica.view();
        let alarms = self.alarms(AlarmType::None).into_iter();
        let mut errors: Vec<String> = alarms
            .map(|alarm| {
                format!(
                    "memberID:{} alarm:{} ",
                    alarm.member_id,
                    alarm.alarm().as_str_name()
                )
            })
            .collect();
        if view.leader == 0 {
            errors.push("etcdserver: no leader".to_owned());
        }
        Ok(Response::new(pb::StatusResponse {
            header: self.header(engine.visible()),
            version: VERSION.to_owned(),
            db_size: engine.file_bytes() as i64,
            leader: view.leader,
            raft_index: replica.committed(),
            raft_term: view.term,
            raft_applied_index: replica.applied(),
            errors,
            db_size_in_use: engine.live_bytes() as i64,
            is_learner: replica.is_learner(),
        }))
    }

    async fn defragment(
        &self,
        request: Request<pb::DefragmentRequest>,
    ) -> Result<Response<pb::DefragmentResponse>, Status> {
        self.root_only(&request).await?;
        // Space comes back by itself; what can come back now is looked for at once.
        self.engine().tidy();
        Ok(Response::new(pb::DefragmentResponse {
            header: self.header_now(),
        }))
    }

    async fn hash(&self, request: Request<pb::HashRequest>) -> Result<Response<pb::HashResponse>, Status> {
        self.root_only(&request).await?;
        let (hash, revision) = self.engine().hash(0).await.map_err(status)?;
        Ok(Response::new(pb::HashResponse {
            header: self.header(revision),
            hash,
        }))
    }

    async fn hash_kv(
        &self,
        request: Request<pb::HashKvRequest>,
    ) -> Result<Response<pb::HashKvResponse>, Status> {
        self.root_only(&request).await?;
        let revision = Revision::try_from(request.into_inner().revision).unwrap_or(0);
        // As upstream does, so that what was acknowledged is in it.
        self.replica().linearizable().await.map_err(failed)?;
        let (hash, _) = self.engine().hash(revision).await.map_err(status)?;
        Ok(Response::new(pb::HashKvResponse {
            header: self.header_now(),
            hash,
            compact_revision: self.engine().compacted() as i64,
        }))
    }

    type SnapshotStream = BoxStream<'static, Result<pb::SnapshotResponse, Status>>;

    async fn snapshot(
        &self,
        request: Request<pb::SnapshotRequest>,
    ) -> Result<Response<Self::SnapshotStream>, Status> {
        self.root_only(&request).await?;
        let snapshot = self.engine().snapshot().await.map_err(status)?;
        let (member, mut left) = (self.clone(), snapshot.bytes);
        let parts = snapshot.chunks.flat_map(|chunk| {
            let parts = match chunk {
                Ok(chunk) => snapshot::parts(&chunk).map(Ok).collect(),
                Err(error) => vec![Err(status(error))],
            };
            stream::iter(parts)
        });
        let parts = parts.map(move |part: Result<_, Status>| {
            let blob = part?;
            left -= blob.len() as u64;
            Ok(pb::SnapshotResponse {
                header: member.header_now(),
                remaining_bytes: left,
                blob,
            })
        });
        Ok(Response::new(parts.boxed()))
    }

    async fn move_leader(
        &self,
        request: Request<pb::MoveLeaderRequest>,
    ) -> Result<Response<pb::MoveLeaderResponse>, Status> {
        self.root_only(&request).await?;
        let target = request.into_inner().target_id;
        self.replica().transfer(target).await.map_err(failed)?;
        Ok(Response::new(pb::MoveLeaderResponse {
            header: self.header_now(),
        }))
    }
}
