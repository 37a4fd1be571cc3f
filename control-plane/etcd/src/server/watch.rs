//! The Watch service: several watches on one stream.

use super::{
    Member,
    calls::{Begun, Told},
    convert,
    failure::{failed, spelled},
    http::Body,
    leaderless::{lost, needs_leader},
    who::Credentials,
};
use crate::{
    Error, Event, Revision, SharedEvents, SharedItem, WatchRequest,
    replica::auth::{Auth, Who},
};
use ::http::{HeaderMap, HeaderValue, header::CONTENT_TYPE};
use bytes::Bytes;
use etcd_proto::{
    etcdserverpb::{
        self as pb, watch_create_request::FilterType, watch_request::RequestUnion as Union,
        watch_server::Watch,
    },
    mvccpb,
};
use futures::{StreamExt, channel::oneshot, stream::BoxStream, stream::SelectAll};
use http2::{Answering, Sending};
use prost::Message;
use std::collections::BTreeMap;
use tokio::{sync::mpsc, time::Instant};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming, async_trait, codec::Codec};
use tonic_prost::ProstCodec;

/// Answers that wait for a client; a slow one holds no more.
const WAITING: usize = 16;
/// The number of answers that are about no single watch.
const ALL: i64 = -1;

type Item = (i64, Result<SharedItem, Error>);

/// The path of the method.
pub const WATCH: &str = "/etcdserverpb.Watch/Watch";

#[async_trait]
impl Watch for Member {
    type WatchStream = ReceiverStream<Result<pb::WatchResponse, Status>>;

    async fn watch(
        &self,
        request: Request<Streaming<pb::WatchRequest>>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let (out, answers) = mpsc::channel(WAITING);
        let mut session = Session::new(self, Credentials::of(&request), Out::Channel(out));
        let requests = request.into_inner();
        self.0.env.tasks.child().spawn("watch", async move {
            // The client went, which needs no word.
            let _ = session.run(requests).await;
        });
        Ok(Response::new(ReceiverStream::new(answers)))
    }
}

impl Member {
    /// Serves a stream of watches whose answers go out as they are made, without the library.
    pub(super) async fn watches(&self, request: ::http::Request<Body>, answering: Answering) {
        let led = needs_leader(request.headers());
        let (request, begun) = self.0.calls.begin(request);
        let Some(told) = begun.map(Begun::told) else {
            return;
        };
        if let Err(failure) = self.admits(WATCH, led) {
            let status = failed(failure);
            told.ended(status.code());
            return answering.head(status.into_http());
        }
        let (parts, body) = request.into_parts();
        let by = Credentials::of_head(&parts.headers, parts.extensions.get());
        let decoder = ProstCodec::<pb::WatchResponse, pb::WatchRequest>::default().decoder();
        let requests = Streaming::new_request(decoder, body, None, Some(self.most()));
        let mut head = ::http::Response::new(());
        let kind = HeaderValue::from_static("application/grpc");
        head.headers_mut().insert(CONTENT_TYPE, kind);
        let sending = answering.begin(head);
        let mut session = Session::new(self, by, Out::Wire(sending, told));
        let ended = tokio::select! {
            biased;
            () = self.clone().leaderless(), if led => lost(),
            ended = session.run(requests) => match ended {
                Ok(()) => Status::ok(""),
                Err(Gone) => return,
            },
        };
        session.end(&ended);
    }
}

/// Where answers go.
enum Out {
    Channel(mpsc::Sender<Result<pb::WatchResponse, Status>>),
    Wire(Sending, Told),
    Nowhere,
}

impl Out {
    async fn send(&mut self, response: pb::WatchResponse) -> Result<(), Gone> {
        match self {
            Self::Channel(out) => out.send(Ok(response)).await.map_err(|_| Gone),
            Self::Wire(sending, told) => {
                sending.room().await.map_err(|_| Gone)?;
                // There is room for it.
                let write = |out: &mut Vec<u8>| response.encode(out).unwrap_or_default();
                told.sent(sending.message(write));
                Ok(())
            }
            Self::Nowhere => Err(Gone),
        }
    }

    /// Sends `head` with all of these events, which are encoded once for whoever else gets them.
    async fn share(&mut self, head: pb::WatchResponse, events: &SharedEvents) -> Result<(), Gone> {
        let Self::Wire(sending, told) = self else {
            return self.send(with(head, events.events())).await;
        };
        sending.room().await.map_err(|_| Gone)?;
        let encoded = events.encoded(|events| {
            let alone = with(pb::WatchResponse::default(), events);
            alone.encode_to_vec().into()
        });
        told.sent(sending.message(|out| {
            // There is room for it.
            head.encode(out).unwrap_or_default();
            out.extend_from_slice(encoded);
        }));
        Ok(())
    }

    async fn closed(&self) {
        match self {
            Self::Channel(out) => out.closed().await,
            Self::Wire(sending, _) => sending.gone().await,
            Self::Nowhere => {}
        }
    }
}

/// A response with these events.
fn with(head: pb::WatchResponse, events: &[Event]) -> pb::WatchResponse {
    let events = events.iter().cloned().map(convert::event).collect();
    pb::WatchResponse { events, ..head }
}

/// A watch of the stream.
struct One {
    filters: Vec<i32>,
    fragment: bool,
    /// Tell now and then how far it is.
    notify: bool,
    /// What was looked at, and told when last.
    reached: Revision,
    told: Instant,
    /// Dropping it ends the watch.
    _end: oneshot::Sender<()>,
}

struct Session {
    member: Member,
    by: Credentials,
    out: Out,
    watches: BTreeMap<i64, One>,
    items: SelectAll<BoxStream<'static, Item>>,
    /// Who asked how far the watches are, at these revisions.
    asked: Vec<Revision>,
    next: i64,
}

/// The client has gone.
struct Gone;

impl Session {
    fn new(member: &Member, by: Credentials, out: Out) -> Self {
        member.0.counters.watch_streams.add();
        Self {
            member: member.clone(),
            by,
            out,
            watches: BTreeMap::new(),
            items: SelectAll::new(),
            asked: Vec::new(),
            next: 0,
        }
    }

    /// Tells how it ended.
    fn end(&mut self, status: &Status) {
        if let Out::Wire(sending, told) = std::mem::replace(&mut self.out, Out::Nowhere) {
            told.ended(status.code());
            let mut trailers = HeaderMap::new();
            // The message is plain text, which is always a header.
            let _ = status.add_header(&mut trailers);
            sending.end(trailers);
        }
    }

    async fn run(&mut self, mut requests: Streaming<pb::WatchRequest>) -> Result<(), Gone> {
        let clock = self.member.0.env.clock.clone();
        loop {
            let wake = self.next_notice();
            tokio::select! {
                biased;
                request = requests.message() => match request {
                    Ok(Some(request)) => self.take(request.request_union).await?,
                    // What is watched goes on when the client only has nothing more to ask.
                    Ok(None) if !self.watches.is_empty() => return self.rest().await,
                    Ok(None) | Err(_) => return Ok(()),
                },
                Some((id, item)) = self.items.next() => self.tell(id, item).await?,
                () = async {
                    match wake {
                        Some(at) => clock.sleep_until(at).await,
                        None => std::future::pending().await,
                    }
                } => self.notices().await?,
                () = self.out.closed() => return Ok(()),
            }
        }
    }

    async fn rest(&mut self) -> Result<(), Gone> {
        loop {
            tokio::select! {
                biased;
                () = self.out.closed() => return Ok(()),
                Some((id, item)) = self.items.next() => self.tell(id, item).await?,
                else => return Ok(()),
            }
        }
    }

    async fn send(&mut self, response: pb::WatchResponse) -> Result<(), Gone> {
        self.out.send(response).await
    }

    async fn take(&mut self, request: Option<Union>) -> Result<(), Gone> {
        match request {
            Some(Union::CreateRequest(create)) => self.create(create).await,
            Some(Union::CancelRequest(cancel)) => {
                if self.watches.remove(&cancel.watch_id).is_none() {
                    return Ok(());
                }
                self.member.0.counters.watches.remove();
                let canceled = pb::WatchResponse {
                    header: self.member.header_now(),
                    watch_id: cancel.watch_id,
                    canceled: true,
                    ..pb::WatchResponse::default()
                };
                self.send(canceled).await?;
                self.answer_asked().await
            }
            Some(Union::ProgressRequest(_)) => {
                self.asked.push(self.member.engine().visible());
                self.answer_asked().await
            }
            None => Ok(()),
        }
    }

    async fn create(&mut self, create: pb::WatchCreateRequest) -> Result<(), Gone> {
        let mut id = create.watch_id;
        let taken = id != 0 && self.watches.contains_key(&id);
        let start = match create.key.is_empty() {
            true => Bytes::from_static(&[0]),
            false => create.key.clone(),
        };
        let end = create.range_end.clone();
        let empty = !end.is_empty() && end != [0].as_slice() && start >= end;
        let revision = self.member.engine().visible();
        let mut created = pb::WatchResponse {
            header: self.member.header(revision),
            watch_id: id,
            created: true,
            ..pb::WatchResponse::default()
        };
        if taken || empty || create.start_revision < 0 {
            created.canceled = true;
            created.cancel_reason = match (create.start_revision < 0, taken) {
                (true, _) => "etcdserver: mvcc: required revision has been compacted",
                (_, true) => "mvcc: duplicate watch ID provided on the WatchStream",
                _ => "mvcc: watcher range is empty",
            }
            .to_owned();
            created.watch_id = ALL;
            return self.send(created).await;
        }
        let judge = |auth: &Auth, who: &Who| auth.may_read(who, &start, &end);
        if let Err(refusal) = self.member.judged(&self.by, judge).await {
            created.canceled = true;
            created.cancel_reason = spelled(&refusal);
            created.watch_id = ALL;
            return self.send(created).await;
        }
        if id == 0 {
            while self.watches.contains_key(&self.next) {
                self.next += 1;
            }
            id = self.next;
            self.next += 1;
            created.watch_id = id;
        }
        let after = match Revision::try_from(create.start_revision) {
            Ok(0) | Err(_) => revision,
            Ok(from) => (from - 1).max(1),
        };
        let (stop, stopped) = oneshot::channel::<()>();
        let items = self.member.replica().watch_shared(WatchRequest {
            start,
            end,
            after,
            prev: create.prev_kv,
            progress: true,
        });
        self.items
            .push(items.map(move |item| (id, item)).take_until(stopped).boxed());
        let one = One {
            filters: create.filters,
            fragment: create.fragment,
            notify: create.progress_notify,
            reached: after,
            told: self.member.0.env.clock.now(),
            _end: stop,
        };
        self.watches.insert(id, one);
        self.member.0.counters.watches.add();
        self.send(created).await
    }

    async fn tell(&mut self, id: i64, item: Result<SharedItem, Error>) -> Result<(), Gone> {
        let Some(one) = self.watches.get_mut(&id) else {
            return Ok(());
        };
        let events = match item {
            Ok(SharedItem::Progress(revision)) => {
                one.reached = revision;
                return self.answer_asked().await;
            }
            Ok(SharedItem::Events(events)) => events,
            Err(error) => {
                self.watches.remove(&id);
                self.member.0.counters.watches.remove();
                let ended = self.ended(id, &error);
                return self.send(ended).await;
            }
        };
        one.reached = events.revision().max(one.reached);
        let head = pb::WatchResponse {
            header: self.member.header(one.reached),
            watch_id: id,
            ..pb::WatchResponse::default()
        };
        if one.filters.is_empty() && !one.fragment {
            one.told = self.member.0.env.clock.now();
            self.out.share(head, &events).await?;
            return self.answer_asked().await;
        }
        let filters = &one.filters;
        let wanted = |event: &Event| match event {
            Event::Put { .. } => !filters.contains(&(FilterType::Noput as i32)),
            Event::Delete { .. } => !filters.contains(&(FilterType::Nodelete as i32)),
        };
        let wanted = events.events().iter().filter(|event| wanted(event));
        let events: Vec<mvccpb::Event> = wanted.cloned().map(convert::event).collect();
        if !events.is_empty() {
            one.told = self.member.0.env.clock.now();
            let response = pb::WatchResponse { events, ..head };
            let most = match one.fragment {
                true => self.member.settings().max_request_bytes,
                false => usize::MAX,
            };
            for part in fragments(response, most) {
                self.send(part).await?;
            }
        }
        self.answer_asked().await
    }

    fn ended(&self, id: i64, error: &Error) -> pb::WatchResponse {
        let mut response = pb::WatchResponse {
            header: self.member.header_now(),
            watch_id: id,
            canceled: true,
            ..pb::WatchResponse::default()
        };
        match error {
            Error::Compacted(oldest) => {
                response.compact_revision = *oldest as i64;
                response.cancel_reason = "etcdserver: mvcc: required revision has been compacted".to_owned();
            }
            error => response.cancel_reason = format!("etcdserver: {error}"),
        }
        response
    }

    /// Answers who asked how far the watches are, once all of them are as far as the store was then.
    async fn answer_asked(&mut self) -> Result<(), Gone> {
        if self.asked.is_empty() {
            return Ok(());
        }
        let slowest = self.watches.values().map(|one| one.reached).min();
        let slowest = slowest.unwrap_or(Revision::MAX);
        let (done, open) = self.asked.iter().partition(|asked| **asked <= slowest);
        self.asked = open;
        let done: Vec<Revision> = done;
        for revision in done {
            let answer = pb::WatchResponse {
                header: self.member.header(revision),
                watch_id: ALL,
                ..pb::WatchResponse::default()
            };
            self.send(answer).await?;
        }
        Ok(())
    }

    /// When the next watch is to be told how far it is.
    fn next_notice(&self) -> Option<Instant> {
        let interval = self.member.settings().progress_interval;
        let noted = self.watches.values().filter(|one| one.notify);
        noted.map(|one| one.told + interval).min()
    }

    async fn notices(&mut self) -> Result<(), Gone> {
        let now = self.member.0.env.clock.now();
        let interval = self.member.settings().progress_interval;
        let mut due = Vec::new();
        for (id, one) in &mut self.watches {
            if one.notify && one.told + interval <= now {
                one.told = now;
                due.push((*id, one.reached));
            }
        }
        for (id, reached) in due {
            let notice = pb::WatchResponse {
                header: self.member.header(reached),
                watch_id: id,
                ..pb::WatchResponse::default()
            };
            self.send(notice).await?;
        }
        Ok(())
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.member.0.counters.watch_streams.remove();
        for _ in &self.watches {
            self.member.0.counters.watches.remove();
        }
    }
}

/// Parts of a response, each of at most `most` bytes if its events allow it.
fn fragments(response: pb::WatchResponse, most: usize) -> Vec<pb::WatchResponse> {
    if most == usize::MAX || response.encoded_len() <= most || response.events.len() < 2 {
        return vec![response];
    }
    let head = pb::WatchResponse {
        events: Vec::new(),
        ..response.clone()
    };
    let mut parts: Vec<pb::WatchResponse> = Vec::new();
    let mut size = usize::MAX;
    for event in response.events {
        let length = event.encoded_len();
        match parts.last_mut() {
            Some(part) if size + length <= most => {
                size += length;
                part.events.push(event);
            }
            _ => {
                size = length;
                let mut part = head.clone();
                part.events.push(event);
                parts.push(part);
            }
        }
    }
    let last = parts.len() - 1;
    for part in &mut parts[..last] {
        part.fragment = true;
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_answer_comes_in_parts_of_which_the_last_says_so() {
        let event = |size| mvccpb::Event {
            kv: Some(mvccpb::KeyValue {
                value: vec![b'x'; size].into(),
                ..mvccpb::KeyValue::default()
            }),
            ..mvccpb::Event::default()
        };
        let response = pb::WatchResponse {
            watch_id: 7,
            events: vec![event(40), event(40), event(200), event(10)],
            ..pb::WatchResponse::default()
        };
        let parts = fragments(response.clone(), 110);
        let shape: Vec<(usize, bool)> = parts
            .iter()
            .map(|part| (part.events.len(), part.fragment))
            .collect();
        assert_eq!(shape, [(2, true), (1, true), (1, false)]);
        assert!(parts.iter().all(|part| part.watch_id == 7));
        assert_eq!(fragments(response, usize::MAX).len(), 1);
    }
}
