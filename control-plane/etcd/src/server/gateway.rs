//! The JSON gateway: `/v3/…`, each a method of gRPC, its messages in protobuf's JSON form.

use super::{Member, http::Body};
use bytes::{Buf, BufMut, Bytes, BytesMut};
use futures::StreamExt;
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Frame;
use prost::Message;
use prost_reflect::{DescriptorPool, DeserializeOptions, DynamicMessage, MethodDescriptor, SerializeOptions};

/// The interface could not be read.
#[derive(Debug, thiserror::Error)]
#[error("the descriptors of etcd's interface: {0}")]
pub struct GatewayError(pub(super) String);

/// Each path after `/v3/` (and `/v3beta/`), and the method.
const PATHS: &[(&str, &str)] = &[
    ("kv/range", "etcdserverpb.KV/Range"),
    ("kv/put", "etcdserverpb.KV/Put"),
    ("kv/deleterange", "etcdserverpb.KV/DeleteRange"),
    ("kv/txn", "etcdserverpb.KV/Txn"),
    ("kv/compaction", "etcdserverpb.KV/Compact"),
    ("watch", "etcdserverpb.Watch/Watch"),
    ("lease/grant", "etcdserverpb.Lease/LeaseGrant"),
    ("lease/revoke", "etcdserverpb.Lease/LeaseRevoke"),
    ("kv/lease/revoke", "etcdserverpb.Lease/LeaseRevoke"),
    ("lease/keepalive", "etcdserverpb.Lease/LeaseKeepAlive"),
    ("lease/timetolive", "etcdserverpb.Lease/LeaseTimeToLive"),
    ("kv/lease/timetolive", "etcdserverpb.Lease/LeaseTimeToLive"),
    ("lease/leases", "etcdserverpb.Lease/LeaseLeases"),
    ("kv/lease/leases", "etcdserverpb.Lease/LeaseLeases"),
    ("cluster/member/add", "etcdserverpb.Cluster/MemberAdd"),
    ("cluster/member/remove", "etcdserverpb.Cluster/MemberRemove"),
    ("cluster/member/update", "etcdserverpb.Cluster/MemberUpdate"),
    ("cluster/member/list", "etcdserverpb.Cluster/MemberList"),
    ("cluster/member/promote", "etcdserverpb.Cluster/MemberPromote"),
    ("maintenance/alarm", "etcdserverpb.Maintenance/Alarm"),
    ("maintenance/status", "etcdserverpb.Maintenance/Status"),
    ("maintenance/defragment", "etcdserverpb.Maintenance/Defragment"),
    ("maintenance/hash", "etcdserverpb.Maintenance/HashKV"),
    ("maintenance/hashkv", "etcdserverpb.Maintenance/HashKV"),
    ("maintenance/snapshot", "etcdserverpb.Maintenance/Snapshot"),
    (
        "maintenance/transfer-leadership",
        "etcdserverpb.Maintenance/MoveLeader",
    ),
    ("auth/enable", "etcdserverpb.Auth/AuthEnable"),
    ("auth/disable", "etcdserverpb.Auth/AuthDisable"),
    ("auth/status", "etcdserverpb.Auth/AuthStatus"),
    ("auth/authenticate", "etcdserverpb.Auth/Authenticate"),
    ("auth/user/add", "etcdserverpb.Auth/UserAdd"),
    ("auth/user/get", "etcdserverpb.Auth/UserGet"),
    ("auth/user/list", "etcdserverpb.Auth/UserList"),
    ("auth/user/delete", "etcdserverpb.Auth/UserDelete"),
    ("auth/user/changepw", "etcdserverpb.Auth/UserChangePassword"),
    ("auth/user/grant", "etcdserverpb.Auth/UserGrantRole"),
    ("auth/user/revoke", "etcdserverpb.Auth/UserRevokeRole"),
    ("auth/role/add", "etcdserverpb.Auth/RoleAdd"),
    ("auth/role/get", "etcdserverpb.Auth/RoleGet"),
    ("auth/role/list", "etcdserverpb.Auth/RoleList"),
    ("auth/role/delete", "etcdserverpb.Auth/RoleDelete"),
    ("auth/role/grant", "etcdserverpb.Auth/RoleGrantPermission"),
    ("auth/role/revoke", "etcdserverpb.Auth/RoleRevokePermission"),
    ("lock/lock", "v3lockpb.Lock/Lock"),
    ("lock/unlock", "v3lockpb.Lock/Unlock"),
    ("election/campaign", "v3electionpb.Election/Campaign"),
    ("election/proclaim", "v3electionpb.Election/Proclaim"),
    ("election/leader", "v3electionpb.Election/Leader"),
    ("election/observe", "v3electionpb.Election/Observe"),
    ("election/resign", "v3electionpb.Election/Resign"),
];

/// The gateway.
pub struct Gateway(DescriptorPool);

impl Gateway {
    /// A gateway to all methods.
    pub fn new() -> Result<Self, GatewayError> {
        let pool = DescriptorPool::decode(etcd_proto::DESCRIPTORS);
        pool.map(Self).map_err(|error| GatewayError(error.to_string()))
    }

    fn method(&self, path: &str) -> Option<MethodDescriptor> {
        let path = path
            .strip_prefix("/v3/")
            .or_else(|| path.strip_prefix("/v3beta/"))?;
        let (_, method) = PATHS.iter().find(|(known, _)| *known == path)?;
        let (service, method) = method.split_once('/')?;
        let service = self.0.get_service_by_name(service)?;
        service.methods().find(|known| known.name() == method)
    }

    /// Answers a request of the gateway.
    pub async fn answer(
        &self,
        member: &Member,
        path: &str,
        token: Option<HeaderValue>,
        body: Bytes,
    ) -> Response<Body> {
        let Some(method) = self.method(path) else {
            return refusal(StatusCode::NOT_FOUND, 5, "Not Found");
        };
        let message = match parse(&method, &body) {
            Ok(message) => message,
            Err(why) => return refusal(StatusCode::BAD_REQUEST, 3, &why),
        };
        let grpc = format!("/{}/{}", method.parent_service().full_name(), method.name());
        let mut frame = BytesMut::new();
        frame.put_u8(0);
        frame.put_u32(message.encoded_len() as u32);
        frame.extend_from_slice(&message.encode_to_vec());
        let first = futures::stream::iter([Ok::<_, std::io::Error>(Frame::data(frame.freeze()))]);
        // A watch goes on as long as its client listens.
        let stream: futures::stream::BoxStream<'static, _> = match path.ends_with("/watch") {
            true => first.chain(futures::stream::pending()).boxed(),
            false => first.boxed(),
        };
        let request = Request::post(grpc)
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .body(Body::new(StreamBody::new(stream)));
        let Ok(mut request) = request else {
            return refusal(StatusCode::BAD_REQUEST, 3, "no such method");
        };
        if let Some(token) = token {
            request.headers_mut().insert(http::header::AUTHORIZATION, token);
        }
        let answer = member.grpc(request).await;
        if method.is_server_streaming() {
            stream_of(&method, answer)
        } else {
            one_of(&method, answer).await
        }
    }
}

fn parse(method: &MethodDescriptor, body: &[u8]) -> Result<DynamicMessage, String> {
    let body = if body.iter().all(u8::is_ascii_whitespace) {
        b"{}"
    } else {
        body
    };
    let mut json = serde_json::Deserializer::from_slice(body);
    let options = DeserializeOptions::new().deny_unknown_fields(true);
    let message = DynamicMessage::deserialize_with_options(method.input(), &mut json, &options);
    message.map_err(|error| error.to_string())
}

fn text(method: &MethodDescriptor, message: &[u8]) -> Result<Vec<u8>, String> {
    let message = DynamicMessage::decode(method.output(), message).map_err(|error| error.to_string())?;
    let options = SerializeOptions::new()
        .use_proto_field_name(true)
        .stringify_64_bit_integers(true)
        .skip_default_fields(true);
    let mut out = Vec::new();
    let mut json = serde_json::Serializer::new(&mut out);
    message
        .serialize_with_options(&mut json, &options)
        .map_err(|error| error.to_string())?;
    Ok(out)
}

/// The code and message that gRPC ended with, if it did not end well.
fn failure(headers: &http::HeaderMap) -> Option<(StatusCode, i32, String)> {
    let status = tonic::Status::from_header_map(headers)?;
    let code = match status.code() {
        tonic::Code::Ok => return None,
        tonic::Code::InvalidArgument | tonic::Code::FailedPrecondition | tonic::Code::OutOfRange => {
            StatusCode::BAD_REQUEST
        }
        tonic::Code::NotFound => StatusCode::NOT_FOUND,
        tonic::Code::Unauthenticated => StatusCode::UNAUTHORIZED,
        tonic::Code::PermissionDenied => StatusCode::FORBIDDEN,
        tonic::Code::ResourceExhausted => StatusCode::TOO_MANY_REQUESTS,
        tonic::Code::Unimplemented => StatusCode::NOT_IMPLEMENTED,
        tonic::Code::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    };
    Some((code, i32::from(status.code()), status.message().to_owned()))
}

async fn one_of(method: &MethodDescriptor, answer: Response<Body>) -> Response<Body> {
    if let Some((code, number, message)) = failure(answer.headers()) {
        return refusal(code, number, &message);
    }
    let collected = match answer.into_body().collect().await {
        Ok(collected) => collected,
        Err(error) => return refusal(StatusCode::INTERNAL_SERVER_ERROR, 13, &error.to_string()),
    };
    let failed = collected.trailers().and_then(failure);
    if let Some((code, number, message)) = failed {
        return refusal(code, number, &message);
    }
    let bytes = collected.to_bytes();
    match text(method, bytes.get(5..).unwrap_or_default()) {
        Ok(json) => respond(StatusCode::OK, json),
        Err(why) => refusal(StatusCode::INTERNAL_SERVER_ERROR, 13, &why),
    }
}

/// One line each answer, as `{"result": …}`.
fn stream_of(method: &MethodDescriptor, answer: Response<Body>) -> Response<Body> {
    if let Some((code, number, message)) = failure(answer.headers()) {
        return refusal(code, number, &message);
    }
    let (method, mut waiting) = (method.clone(), BytesMut::new());
    let frames = answer.into_body().into_data_stream().map(move |data| {
        waiting.extend_from_slice(&data.map_err(std::io::Error::other)?);
        let mut lines = Vec::new();
        while waiting.len() >= 5 {
            let length = (&waiting[1..5]).get_u32() as usize;
            if waiting.len() < 5 + length {
                break;
            }
            waiting.advance(5);
            let message = waiting.split_to(length);
            lines.extend_from_slice(b"{\"result\":");
            lines.extend(text(&method, &message).map_err(std::io::Error::other)?);
            lines.extend_from_slice(b"}\n");
        }
        Ok::<_, std::io::Error>(Frame::data(Bytes::from(lines)))
    });
    let mut response = Response::new(Body::new(StreamBody::new(frames)));
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert("content-type", json);
    response
}

fn refusal(code: StatusCode, number: i32, message: &str) -> Response<Body> {
    let message = serde_json::to_string(message).unwrap_or_default();
    let body = format!("{{\"error\":{message},\"message\":{message},\"code\":{number}}}");
    respond(code, body.into_bytes())
}

fn respond(code: StatusCode, body: Vec<u8>) -> Response<Body> {
    let mut response = Response::new(Body::new(Full::new(Bytes::from(body))));
    *response.status_mut() = code;
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert("content-type", json);
    response
}
