//! Calls of gRPC, counted under the names of gRPC's Prometheus metrics and told in the words of gRPC for Go.

use super::http::Body;
use bytes::Bytes;
use component::metrics::{Counter, Description, Family, Registry};
use http::{HeaderMap, Request, Response};
use http_body::{Frame, SizeHint};
use prost_reflect::DescriptorPool;
use std::{
    collections::BTreeMap,
    pin::Pin,
    sync::{Arc, LazyLock, OnceLock},
    task::{Context, Poll, ready},
};
use tonic::{Code, Status, codegen::StdError};

/// A method: its service, its name and what kind it is.
type Method = (String, String, &'static str);

/// The methods, by path.
static METHODS: LazyLock<BTreeMap<String, Method>> = LazyLock::new(|| {
    let pool = DescriptorPool::decode(etcd_proto::DESCRIPTORS).unwrap_or_default();
    let methods = pool
        .services()
        .flat_map(|service| service.methods().collect::<Vec<_>>());
    let rows = methods.map(|method| {
        let service = method.parent_service().full_name().to_owned();
        let kind = match (method.is_client_streaming(), method.is_server_streaming()) {
            (false, false) => "unary",
            (true, false) => "client_stream",
            (false, true) => "server_stream",
            (true, true) => "bidi_stream",
        };
        let path = format!("/{service}/{}", method.name());
        (path, (service, method.name().to_owned(), kind))
    });
    rows.collect()
});

/// Services that etcd builds upon the others.
const BY_CLIENTS: &[&str] = &["/v3lockpb.", "/v3electionpb."];
const OF_METHOD: &[&str] = &["grpc_method", "grpc_service", "grpc_type"];

/// What is counted.
pub struct Calls {
    registry: Registry,
    started: Arc<Family<Counter>>,
    handled: Arc<Family<Counter>>,
    received: Arc<Family<Counter>>,
    sent: Arc<Family<Counter>>,
    requests: Arc<Family<Counter>>,
    bytes_in: Arc<Counter>,
    bytes_out: Arc<Counter>,
}

impl Default for Calls {
    fn default() -> Self {
        let registry = Registry::default();
        let of = |name, help, labels| registry.family::<Counter>(Description::new(name, help, labels));
        let bytes = |name, help| of(name, help, &[]).of(&[]).clone();
        Self {
            started: of(
                "grpc_server_started_total",
                "Total number of RPCs started on the server.",
                OF_METHOD,
            ),
            handled: of(
                "grpc_server_handled_total",
                "Total number of RPCs completed on the server, regardless of success or failure.",
                &["grpc_code", "grpc_method", "grpc_service", "grpc_type"],
            ),
            received: of(
                "grpc_server_msg_received_total",
                "Total number of RPC stream messages received on the server.",
                OF_METHOD,
            ),
            sent: of(
                "grpc_server_msg_sent_total",
                "Total number of gRPC stream messages sent by the server.",
                OF_METHOD,
            ),
            requests: of(
                "etcd_server_client_requests_total",
                "The total number of client requests per client version.",
                &["type", "client_api_version"],
            ),
            bytes_in: bytes(
                "etcd_network_client_grpc_received_bytes_total",
                "The total number of bytes received from grpc clients.",
            ),
            bytes_out: bytes(
                "etcd_network_client_grpc_sent_bytes_total",
                "The total number of bytes sent to grpc clients.",
            ),
            registry,
        }
    }
}

/// A call that is under way.
struct Call {
    calls: Arc<Calls>,
    method: &'static Method,
}

impl Call {
    fn ended(&self, code: Code) {
        self.calls.handled_of(self.method, code).add(1);
    }
}

/// What is counted of calls of one method that have one message and one answer, found once for all of them.
pub struct One {
    calls: Arc<Calls>,
    method: &'static Method,
    started: Arc<Counter>,
    requests: Arc<Counter>,
    /// These are told of once there is one.
    received: OnceLock<Arc<Counter>>,
    sent: OnceLock<Arc<Counter>>,
    well: OnceLock<Arc<Counter>>,
}

impl One {
    /// A call begins.
    pub fn begun(&self) {
        self.started.add(1);
        self.requests.add(1);
    }

    /// Its message came, of so many bytes.
    pub fn received(&self, bytes: usize) {
        let of = || self.calls.received.of(&labels(self.method)).clone();
        self.received.get_or_init(of).add(1);
        self.calls.bytes_in.add(bytes as u64);
    }

    /// It was answered with a message of so many bytes.
    pub fn answered(&self, bytes: usize) {
        let of = || self.calls.sent.of(&labels(self.method)).clone();
        self.sent.get_or_init(of).add(1);
        self.calls.bytes_out.add(bytes as u64);
        let of = || self.calls.handled_of(self.method, Code::Ok).clone();
        self.well.get_or_init(of).add(1);
    }

    /// It was refused.
    pub fn refused(&self, code: Code) {
        self.calls.handled_of(self.method, code).add(1);
    }
}

fn labels((service, name, kind): &'static Method) -> [&'static str; 3] {
    [name, service, kind]
}

impl Calls {
    /// Writes what is counted.
    pub fn write(&self, out: &mut String) {
        self.registry.write(out);
    }

    /// What is counted of calls of a method whose heads are like this one.
    pub fn one(self: &Arc<Self>, path: &str, headers: &HeaderMap) -> Option<One> {
        let method = METHODS.get(path)?;
        Some(One {
            method,
            started: self.started.of(&labels(method)).clone(),
            requests: self.requests_of(method, headers).clone(),
            received: OnceLock::new(),
            sent: OnceLock::new(),
            well: OnceLock::new(),
            calls: self.clone(),
        })
    }

    fn requests_of(&self, (_, _, kind): &Method, headers: &HeaderMap) -> &Arc<Counter> {
        let version = headers.get("client-api-version");
        let version = version.and_then(|version| version.to_str().ok());
        let known = version.filter(|version| version.len() <= 8 && version.starts_with("3."));
        let many = if *kind == "unary" { "unary" } else { "stream" };
        self.requests.of(&[many, known.unwrap_or("unknown")])
    }

    fn handled_of(&self, (service, name, kind): &Method, code: Code) -> &Arc<Counter> {
        self.handled.of(&[spelled(code), name, service, kind])
    }

    /// Counts a call that begins.
    pub fn begin<B>(self: &Arc<Self>, request: Request<B>) -> (Request<Body>, Option<Begun>)
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<StdError>,
    {
        // What is not known is not counted: whoever asks could make up names without end.
        let Some(method) = METHODS.get(request.uri().path()) else {
            return (request.map(Body::new), None);
        };
        self.started.of(&labels(method)).add(1);
        self.requests_of(method, request.headers()).add(1);
        let call = Arc::new(Call {
            calls: self.clone(),
            method,
        });
        let count = Count {
            bytes: self.bytes_in.clone(),
            messages: self.received.of(&labels(method)).clone(),
            split: Split::default(),
        };
        let request = request.map(|body| {
            Body::new(Metered {
                body: Body::new(body),
                count,
                ends: None,
            })
        });
        (request, Some(Begun(call)))
    }
}

/// A call whose answer is to be counted.
pub struct Begun(Arc<Call>);

impl Begun {
    /// Counts the answer as it is told, message by message.
    pub fn told(self) -> Told {
        Told {
            sent: self.0.calls.sent.of(&labels(self.0.method)).clone(),
            ends: Ends(self.0, Code::Cancelled),
        }
    }

    /// Counts the answer.
    pub fn answer(self, answer: Response<Body>) -> Response<Body> {
        if let Some(status) = Status::from_header_map(answer.headers()) {
            self.0.ended(status.code());
            return answer;
        }
        let count = Count {
            bytes: self.0.calls.bytes_out.clone(),
            messages: self.0.calls.sent.of(&labels(self.0.method)).clone(),
            split: Split::default(),
        };
        answer.map(|body| {
            Body::new(Metered {
                body,
                count,
                ends: Some(Ends(self.0, Code::Cancelled)),
            })
        })
    }
}

/// An answer of several messages whose end is counted when it is dropped.
pub struct Told {
    sent: Arc<Counter>,
    ends: Ends,
}

impl Told {
    /// A message of so many bytes was sent.
    pub fn sent(&self, bytes: usize) {
        self.sent.add(1);
        self.ends.0.calls.bytes_out.add(bytes as u64);
    }

    /// It ended so.
    pub fn ended(mut self, code: Code) {
        self.ends.1 = code;
    }
}

/// Finds messages in a stream of bytes.
#[derive(Default)]
struct Split {
    head: [u8; 5],
    have: usize,
    left: usize,
}

impl Split {
    /// How many messages begin in these bytes.
    fn feed(&mut self, mut bytes: &[u8]) -> u64 {
        let mut begun = 0;
        while !bytes.is_empty() {
            if self.left > 0 {
                let skipped = self.left.min(bytes.len());
                (self.left, bytes) = (self.left - skipped, &bytes[skipped..]);
                continue;
            }
            let taken = (self.head.len() - self.have).min(bytes.len());
            self.head[self.have..self.have + taken].copy_from_slice(&bytes[..taken]);
            (self.have, bytes) = (self.have + taken, &bytes[taken..]);
            if self.have == self.head.len() {
                let [_, a, b, c, d] = self.head;
                (self.have, self.left) = (0, u32::from_be_bytes([a, b, c, d]) as usize);
                begun += 1;
            }
        }
        begun
    }
}

struct Count {
    bytes: Arc<Counter>,
    messages: Arc<Counter>,
    split: Split,
}

/// Counts how a call ended: as its trailers say, else its client went.
struct Ends(Arc<Call>, Code);

impl Drop for Ends {
    fn drop(&mut self) {
        self.0.ended(self.1);
    }
}

/// A body whose bytes and messages are counted.
struct Metered {
    body: Body,
    count: Count,
    ends: Option<Ends>,
}

impl http_body::Body for Metered {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = &mut *self;
        let polled = ready!(Pin::new(&mut this.body).poll_frame(context));
        if let Some(Ok(frame)) = &polled {
            if let Some(data) = frame.data_ref() {
                this.count.bytes.add(data.len() as u64);
                this.count.messages.add(this.count.split.feed(data));
            }
            if let (Some(ends), Some(trailers)) = (&mut this.ends, frame.trailers_ref()) {
                ends.1 = Status::from_header_map(trailers).map_or(Code::Unknown, |status| status.code());
            }
        }
        Poll::Ready(polled)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A code in the words of gRPC for Go.
pub fn spelled(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "Canceled",
        Code::Unknown => "Unknown",
        Code::InvalidArgument => "InvalidArgument",
        Code::DeadlineExceeded => "DeadlineExceeded",
        Code::NotFound => "NotFound",
        Code::AlreadyExists => "AlreadyExists",
        Code::PermissionDenied => "PermissionDenied",
        Code::ResourceExhausted => "ResourceExhausted",
        Code::FailedPrecondition => "FailedPrecondition",
        Code::Aborted => "Aborted",
        Code::OutOfRange => "OutOfRange",
        Code::Unimplemented => "Unimplemented",
        Code::Internal => "Internal",
        Code::Unavailable => "Unavailable",
        Code::DataLoss => "DataLoss",
        Code::Unauthenticated => "Unauthenticated",
    }
}

/// What the library says of calls that it refuses itself, as gRPC for Go says it.
pub fn in_gos_words(path: &str, answer: Response<Body>) -> Response<Body> {
    let Some(status) = Status::from_header_map(answer.headers()) else {
        return answer;
    };
    match reworded(path, &status) {
        Some(status) => status.into_http(),
        None => answer,
    }
}

fn reworded(path: &str, status: &Status) -> Option<Status> {
    let numbers = || {
        let words = status.message().split(|c: char| !c.is_ascii_digit());
        let mut numbers = words.filter(|word| !word.is_empty());
        Some((numbers.next()?, numbers.next()?))
    };
    match status.code() {
        Code::OutOfRange if status.message().contains("message length too large") => {
            let (found, most) = numbers()?;
            let why = format!("grpc: received message larger than max ({found} vs. {most})");
            Some(Status::resource_exhausted(why))
        }
        Code::Unimplemented if status.message().is_empty() => {
            let (service, method) = path.strip_prefix('/')?.split_once('/')?;
            let why = format!("unknown method {method} for service {service}");
            Some(Status::unimplemented(why))
        }
        Code::Ok | Code::Unknown | Code::Unimplemented | Code::Unavailable => None,
        // etcd's own lock and election services are clients of it, and pass on what they are told without its code.
        _ if BY_CLIENTS.iter().any(|service| path.starts_with(service)) => {
            Some(Status::unknown(status.message()))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_library_refuses_is_told_in_the_words_of_gos() {
        let told = |path, status| {
            let status: Status = reworded(path, &status)?;
            Some((status.code(), status.message().to_owned()))
        };
        let large = Status::out_of_range(
            "Error, decoded message length too large: found 3000006 bytes, the limit is: 2097152 bytes",
        );
        let why = "grpc: received message larger than max (3000006 vs. 2097152)".to_owned();
        assert_eq!(
            told("/etcdserverpb.KV/Put", large),
            Some((Code::ResourceExhausted, why))
        );
        let why = "unknown method Nothing for service etcdserverpb.KV".to_owned();
        let unknown = told("/etcdserverpb.KV/Nothing", Status::unimplemented(""));
        assert_eq!(unknown, Some((Code::Unimplemented, why)));
        let lost = || Status::not_found("etcdserver: requested lease not found");
        let why = "etcdserver: requested lease not found".to_owned();
        assert_eq!(told("/v3lockpb.Lock/Lock", lost()), Some((Code::Unknown, why)));
        assert_eq!(told("/etcdserverpb.KV/Put", lost()), None);
    }

    #[test]
    fn messages_are_counted_however_they_are_cut() {
        let mut bytes = Vec::new();
        for length in [0_usize, 3, 300] {
            bytes.push(0);
            bytes.extend((length as u32).to_be_bytes());
            bytes.extend(vec![7; length]);
        }
        for size in 1..bytes.len() {
            let mut split = Split::default();
            let count: u64 = bytes.chunks(size).map(|part| split.feed(part)).sum();
            assert_eq!((count, split.left, split.have), (3, 0, 0), "in parts of {size}");
        }
    }
}
