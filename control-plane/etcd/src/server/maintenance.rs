//! The Maintenance service.

use super::{
    Member, VERSION,
    failure::{Refusal, status},
    snapshot,
};
use crate::{KeyValue, RangeRequest, Revision, Store};
use bytes::Bytes;
use crc32fast::Hasher;
use etcd_proto::etcdserverpb::{
    self as pb, AlarmType, alarm_request::AlarmAction, maintenance_server::Maintenance,
};
use futures::{StreamExt, stream, stream::BoxStream};
use std::sync::atomic::Ordering;
use tonic::{Request, Response, Status, async_trait};

impl Member {
    fn alarms(&self) -> Vec<pb::AlarmMember> {
        let raised = self.0.no_space.load(Ordering::Relaxed);
        let alarm = pb::AlarmMember {
            member_id: self.0.id,
            alarm: AlarmType::Nospace as i32,
        };
        raised.then_some(alarm).into_iter().collect()
    }

    /// A checksum of all keys with their values as of a revision; 0: now.
    async fn hash_at(&self, revision: Revision) -> Result<(u32, Revision), Status> {
        let all = RangeRequest {
            start: Bytes::from_static(&[0]),
            end: Bytes::from_static(&[0]),
            revision,
            ..RangeRequest::default()
        };
        let found = self.engine().range(all).await.map_err(status)?;
        let mut hasher = Hasher::new();
        for KeyValue {
            key,
            value,
            mod_revision,
            create_revision,
            version,
            lease,
        } in &found.kvs
        {
            for number in [*mod_revision, *create_revision, *version, *lease as u64] {
                hasher.update(&number.to_le_bytes());
            }
            hasher.update(&(key.len() as u64).to_le_bytes());
            hasher.update(key);
            hasher.update(value);
        }
        Ok((hasher.finalize(), found.revision))
    }
}

#[async_trait]
impl Maintenance for Member {
    async fn alarm(&self, request: Request<pb::AlarmRequest>) -> Result<Response<pb::AlarmResponse>, Status> {
        let request = request.into_inner();
        let about_space = matches!(request.alarm(), AlarmType::Nospace | AlarmType::None);
        let about_me = request.member_id == 0 || request.member_id == self.0.id;
        let mut alarms = self.alarms();
        match request.action() {
            AlarmAction::Get => {
                alarms.retain(|alarm| request.alarm() == AlarmType::None || alarm.alarm == request.alarm)
            }
            AlarmAction::Activate if request.alarm() == AlarmType::Nospace && about_me => {
                self.0.no_space.store(true, Ordering::Relaxed);
                alarms = self.alarms();
            }
            AlarmAction::Activate => {
                return Err(Status::unimplemented("etcdserver: only NOSPACE can be raised"));
            }
            AlarmAction::Deactivate if about_space && about_me => {
                self.0.no_space.store(false, Ordering::Relaxed);
            }
            AlarmAction::Deactivate => alarms.clear(),
        }
        Ok(Response::new(pb::AlarmResponse {
            header: self.header_now(),
            alarms,
        }))
    }

    async fn status(&self, _: Request<pb::StatusRequest>) -> Result<Response<pb::StatusResponse>, Status> {
        let revision = self.engine().visible();
        let alarms = self.alarms().into_iter();
        let errors = alarms.map(|alarm| format!("memberID:{} alarm:NOSPACE ", alarm.member_id));
        Ok(Response::new(pb::StatusResponse {
            header: self.header(revision),
            version: VERSION.to_owned(),
            db_size: self.engine().file_bytes() as i64,
            leader: self.0.id,
            raft_index: revision,
            raft_term: 2,
            raft_applied_index: revision,
            errors: errors.collect(),
            db_size_in_use: self.engine().live_bytes() as i64,
            is_learner: false,
        }))
    }

    async fn defragment(
        &self,
        _: Request<pb::DefragmentRequest>,
    ) -> Result<Response<pb::DefragmentResponse>, Status> {
        // Space comes back by itself; what can come back now is looked for at once.
        self.engine().tidy();
        Ok(Response::new(pb::DefragmentResponse {
            header: self.header_now(),
        }))
    }

    async fn hash(&self, _: Request<pb::HashRequest>) -> Result<Response<pb::HashResponse>, Status> {
        let (hash, revision) = self.hash_at(0).await?;
        Ok(Response::new(pb::HashResponse {
            header: self.header(revision),
            hash,
        }))
    }

    async fn hash_kv(
        &self,
        request: Request<pb::HashKvRequest>,
    ) -> Result<Response<pb::HashKvResponse>, Status> {
        let revision = Revision::try_from(request.into_inner().revision).unwrap_or(0);
        let (hash, _) = self.hash_at(revision).await?;
        Ok(Response::new(pb::HashKvResponse {
            header: self.header_now(),
            hash,
            compact_revision: self.engine().compacted() as i64,
        }))
    }

    type SnapshotStream = BoxStream<'static, Result<pb::SnapshotResponse, Status>>;

    async fn snapshot(
        &self,
        _: Request<pb::SnapshotRequest>,
    ) -> Result<Response<Self::SnapshotStream>, Status> {
        let file = snapshot::file(self).await?;
        let member = self.clone();
        let total = file.len();
        let parts = stream::iter((0..total).step_by(snapshot::PART)).map(move |start| {
            let end = (start + snapshot::PART).min(total);
            Ok(pb::SnapshotResponse {
                header: member.header_now(),
                remaining_bytes: (total - end) as u64,
                blob: file.slice(start..end),
            })
        });
        Ok(Response::new(parts.boxed()))
    }

    async fn move_leader(
        &self,
        request: Request<pb::MoveLeaderRequest>,
    ) -> Result<Response<pb::MoveLeaderResponse>, Status> {
        if request.into_inner().target_id != self.0.id {
            return Err(Refusal::BadTransferee.into());
        }
        Ok(Response::new(pb::MoveLeaderResponse {
            header: self.header_now(),
        }))
    }
}
