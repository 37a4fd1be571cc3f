//! Messages to and from the store's own types.

use super::{Member, failure::Refusal, order};
use crate::{
    Event, KeyValue, RangeRequest, Revision,
    txn::{Compare, Field, Relation, Txn, TxnOp, TxnResult},
};
use bytes::Bytes;
use etcd_proto::{
    etcdserverpb::{
        self as pb,
        compare::{CompareResult, TargetUnion},
        request_op::Request,
        response_op::Response,
    },
    mvccpb,
};

pub fn key_value(kv: KeyValue) -> mvccpb::KeyValue {
    mvccpb::KeyValue {
        key: kv.key,
        create_revision: kv.create_revision as i64,
        mod_revision: kv.mod_revision as i64,
        version: kv.version as i64,
        value: kv.value,
        lease: kv.lease,
    }
}

pub fn event(event: Event) -> mvccpb::Event {
    let (kind, kv, prev) = match event {
        Event::Put { kv, prev } => (mvccpb::event::EventType::Put, key_value(kv), prev),
        Event::Delete { key, revision, prev } => {
            let kv = mvccpb::KeyValue {
                key,
                mod_revision: revision as i64,
                ..mvccpb::KeyValue::default()
            };
            (mvccpb::event::EventType::Delete, kv, prev)
        }
    };
    mvccpb::Event {
        r#type: kind as i32,
        kv: Some(kv),
        prev_kv: prev.map(key_value),
    }
}

pub fn range(request: &pb::RangeRequest) -> Result<RangeRequest, Refusal> {
    if request.key.is_empty() {
        return Err(Refusal::EmptyKey);
    }
    let plain = order::is_plain(request);
    let sorted_by_value = request.sort_target() == pb::range_request::SortTarget::Value;
    Ok(RangeRequest {
        start: request.key.clone(),
        end: request.range_end.clone(),
        // One more than asked is not needed to know that there are more: all are counted.
        limit: if plain {
            usize::try_from(request.limit).unwrap_or(0)
        } else {
            0
        },
        revision: Revision::try_from(request.revision).unwrap_or(0),
        keys_only: request.keys_only && (plain || !sorted_by_value),
        count_only: request.count_only && plain,
    })
}

impl Member {
    pub(super) fn range_response(
        &self,
        request: &pb::RangeRequest,
        mut found: crate::RangeResponse,
        revision: Revision,
    ) -> pb::RangeResponse {
        let limit = match usize::try_from(request.limit) {
            Ok(0) | Err(_) => usize::MAX,
            Ok(limit) => limit,
        };
        let more = if order::is_plain(request) {
            limit != usize::MAX && found.count > limit as u64
        } else {
            order::arrange(request, &mut found.kvs);
            let more = found.kvs.len() > limit;
            found.kvs.truncate(limit);
            more
        };
        if request.count_only {
            found.kvs.clear();
        }
        if request.keys_only {
            found.kvs.iter_mut().for_each(|kv| kv.value = Bytes::new());
        }
        pb::RangeResponse {
            header: self.header(revision),
            kvs: found.kvs.into_iter().map(key_value).collect(),
            more: more && !request.count_only,
            count: found.count as i64,
        }
    }
}

pub fn put(request: pb::PutRequest) -> Result<TxnOp, Refusal> {
    if request.key.is_empty() {
        return Err(Refusal::EmptyKey);
    }
    if request.ignore_value && !request.value.is_empty() {
        return Err(Refusal::ValueProvided);
    }
    if request.ignore_lease && request.lease != 0 {
        return Err(Refusal::LeaseProvided);
    }
    Ok(TxnOp::Put {
        key: request.key,
        value: (!request.ignore_value).then_some(request.value),
        lease: (!request.ignore_lease).then_some(request.lease),
        prev: request.prev_kv,
    })
}

pub fn delete(request: pb::DeleteRangeRequest) -> Result<TxnOp, Refusal> {
    if request.key.is_empty() {
        return Err(Refusal::EmptyKey);
    }
    Ok(TxnOp::Delete {
        start: request.key,
        end: request.range_end,
        prev: request.prev_kv,
    })
}

/// A transaction of at most `most` operations in each of its lists.
pub fn txn(request: &pb::TxnRequest, most: usize) -> Result<Txn, Refusal> {
    let longest = request
        .compare
        .len()
        .max(request.success.len())
        .max(request.failure.len());
    if longest > most {
        return Err(Refusal::TooManyOps);
    }
    // What is inside counts together with what is around it.
    let rest = most - longest;
    let ops = |ops: &[pb::RequestOp]| {
        ops.iter()
            .map(|op| match op.request.as_ref().ok_or(Refusal::KeyNotFound)? {
                Request::RequestRange(read) => range(read).map(TxnOp::Range),
                Request::RequestPut(write) => put(write.clone()),
                Request::RequestDeleteRange(removal) => delete(removal.clone()),
                Request::RequestTxn(inner) => txn(inner, rest).map(TxnOp::Txn),
            })
            .collect::<Result<Vec<_>, _>>()
    };
    let compare = request.compare.iter().map(compare).collect::<Result<_, _>>()?;
    Ok(Txn {
        compare,
        success: ops(&request.success)?,
        failure: ops(&request.failure)?,
    })
}

fn compare(request: &pb::Compare) -> Result<Compare, Refusal> {
    if request.key.is_empty() {
        return Err(Refusal::EmptyKey);
    }
    use pb::compare::CompareTarget as Target;
    // A value that is not given is zero.
    let number = match request.target_union {
        Some(
            TargetUnion::Version(n)
            | TargetUnion::CreateRevision(n)
            | TargetUnion::ModRevision(n)
            | TargetUnion::Lease(n),
        ) => n,
        Some(TargetUnion::Value(_)) | None => 0,
    };
    let field = match request.target() {
        Target::Version => Field::Version(number),
        Target::Create => Field::Create(number),
        Target::Mod => Field::Mod(number),
        Target::Lease => Field::Lease(number),
        Target::Value => Field::Value(match &request.target_union {
            Some(TargetUnion::Value(value)) => value.clone(),
            _ => Bytes::new(),
        }),
    };
    Ok(Compare {
        start: request.key.clone(),
        end: request.range_end.clone(),
        relation: match request.result() {
            CompareResult::Equal => Relation::Equal,
            CompareResult::Greater => Relation::Greater,
            CompareResult::Less => Relation::Less,
            CompareResult::NotEqual => Relation::NotEqual,
        },
        field,
    })
}

impl Member {
    pub(super) fn txn_response(
        &self,
        request: &pb::TxnRequest,
        succeeded: bool,
        results: Vec<TxnResult>,
        revision: Revision,
    ) -> pb::TxnResponse {
        let ops = if succeeded {
            &request.success
        } else {
            &request.failure
        };
        let asked = ops.iter().filter_map(|op| op.request.as_ref());
        let responses = asked.zip(results).map(|(asked, did)| pb::ResponseOp {
            response: Some(match did {
                TxnResult::Put(prev) => Response::ResponsePut(pb::PutResponse {
                    header: self.header(revision),
                    prev_kv: prev.map(key_value),
                }),
                TxnResult::Deleted(deleted, prev) => Response::ResponseDeleteRange(pb::DeleteRangeResponse {
                    header: self.header(revision),
                    deleted: deleted as i64,
                    prev_kvs: prev.into_iter().map(key_value).collect(),
                }),
                TxnResult::Range(found) => Response::ResponseRange(match asked {
                    Request::RequestRange(read) => self.range_response(read, found, revision),
                    _ => pb::RangeResponse::default(),
                }),
                TxnResult::Txn(succeeded, results) => Response::ResponseTxn(match asked {
                    Request::RequestTxn(inner) => self.txn_response(inner, succeeded, results, revision),
                    _ => pb::TxnResponse::default(),
                }),
            }),
        });
        pb::TxnResponse {
            header: self.header(revision),
            succeeded,
            responses: responses.collect(),
        }
    }
}
