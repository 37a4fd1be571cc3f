//! A watch that goes on at another endpoint when one is lost.
//!
//! Every revision of etcd changes some key. So a watch that is to tell how far it is watches all keys, and what is
//! not in its range is progress: it is as far as its reader must know without a word of etcd about it, which releases
//! before 3.4.25 may say too early. If etcd does not let it see all keys, it asks for that word.

use super::Inner;
use crate::{Error, Event, Revision, WatchItem, WatchRequest, state::contains};
use bytes::Bytes;
use etcd_proto::{
    etcdserverpb::{self as pb, watch_client::WatchClient, watch_request::RequestUnion as Union},
    mvccpb,
};
use futures::{StreamExt, channel::mpsc, stream, stream::BoxStream};
use std::{sync::Arc, time::Duration};
use tonic::{Status, Streaming};

/// How long to wait before the next endpoint is tried, at first and at most.
const PAUSE: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));
/// How often to ask how far the watch is, if it does not see all keys.
const ASK: Duration = Duration::from_millis(100);

struct Cursor {
    inner: Arc<Inner>,
    request: WatchRequest,
    /// All changes up to here were told; none: not yet known from where on.
    after: Option<Revision>,
    /// How far it is, if its reader is to be told.
    owed: Option<Revision>,
    /// Watch all keys.
    all: bool,
    open: Option<Open>,
    pause: Duration,
    ended: bool,
}

struct Open {
    requests: mpsc::UnboundedSender<pb::WatchRequest>,
    answers: Streaming<pb::WatchResponse>,
}

pub(super) fn watch(
    inner: Arc<Inner>,
    request: WatchRequest,
) -> BoxStream<'static, Result<WatchItem, Error>> {
    let cursor = Cursor {
        inner,
        after: (request.after != 0).then_some(request.after),
        owed: None,
        all: request.progress,
        request,
        open: None,
        pause: PAUSE.0,
        ended: false,
    };
    stream::unfold(cursor, |mut cursor| async move {
        if cursor.ended {
            return None;
        }
        let item = cursor.next().await;
        cursor.ended = item.is_err();
        Some((item, cursor))
    })
    .boxed()
}

impl Cursor {
    async fn next(&mut self) -> Result<WatchItem, Error> {
        if let Some(reached) = self.owed.take() {
            return Ok(WatchItem::Progress(reached));
        }
        loop {
            let done = match self.open.as_mut() {
                None => self.start().await,
                Some(open) if self.request.progress && !self.all => {
                    match self.inner.env.clock.timeout(ASK, open.answers.message()).await {
                        Some(answer) => answer,
                        None => {
                            let ask = Union::ProgressRequest(pb::WatchProgressRequest {});
                            // A stream that is closed says so at the next look.
                            let _ = open.requests.unbounded_send(request(ask));
                            continue;
                        }
                    }
                }
                Some(open) => open.answers.message().await,
            };
            match done {
                Ok(Some(answer)) => {
                    if let Some(item) = self.take_in(answer)? {
                        return Ok(item);
                    }
                }
                Ok(None) => self.lost(&Status::unavailable("the stream ended")).await,
                Err(status) => self.lost(&status).await,
            }
        }
    }

    /// Opens a stream; its first answer.
    async fn start(&mut self) -> Result<Option<pb::WatchResponse>, Status> {
        let (start, end) = if self.all {
            (Bytes::from_static(&[0]), Bytes::from_static(&[0]))
        } else {
            let prefix = &self.inner.prefix;
            (prefix.there(&self.request.start), prefix.there(&self.request.end))
        };
        let create = pb::WatchCreateRequest {
            key: start,
            range_end: end,
            start_revision: self.after.map_or(0, |after| after as i64 + 1),
            prev_kv: self.request.prev,
            ..pb::WatchCreateRequest::default()
        };
        let (requests, outgoing) = mpsc::unbounded();
        // The receiver is right here.
        let _ = requests.unbounded_send(request(Union::CreateRequest(create)));
        let current = self.inner.current.load(std::sync::atomic::Ordering::Relaxed);
        let opened = async {
            let mut client = WatchClient::new(self.inner.channels[current].clone())
                .max_decoding_message_size(i32::MAX as usize);
            let mut answers = client.watch(outgoing).await?.into_inner();
            let first = answers.message().await?;
            Ok((answers, first))
        };
        let opened = self.inner.env.clock.timeout(super::PATIENCE, opened).await;
        let opened = opened.unwrap_or_else(|| Err(Status::deadline_exceeded("etcd did not answer in time")));
        if opened.is_err() {
            self.inner.leave(current);
        }
        let (answers, first) = opened?;
        self.open = Some(Open { requests, answers });
        Ok(first)
    }

    async fn lost(&mut self, status: &Status) {
        self.open = None;
        tracing::info!(why = status.message(), "the watch of etcd starts again");
        self.inner.env.clock.sleep(self.pause).await;
        self.pause = (self.pause * 2).min(PAUSE.1);
    }

    fn take_in(&mut self, answer: pb::WatchResponse) -> Result<Option<WatchItem>, Error> {
        let revision = answer.header.map_or(0, |header| header.revision) as Revision;
        if answer.compact_revision > 0 {
            return Err(Error::Compacted(answer.compact_revision as Revision));
        }
        if answer.canceled {
            let denied = answer.cancel_reason.contains("permission denied");
            if denied && self.all {
                tracing::warn!(
                    "etcd does not show all of its keys: consistent reads ask it how far the watch is"
                );
                (self.all, self.open) = (false, None);
                return Ok(None);
            }
            return Err(Error::Unavailable(format!(
                "etcd ended the watch: {}",
                answer.cancel_reason
            )));
        }
        self.pause = PAUSE.0;
        if answer.created {
            // A watch from now on must not lose its place with its stream.
            self.after.get_or_insert(revision);
            return Ok(None);
        }
        let last = answer.events.last().and_then(|event| event.kv.as_ref());
        let reached = last.map_or(revision, |kv| kv.mod_revision as Revision);
        let before = self.after.replace(reached.max(self.after.unwrap_or_default()));
        let events: Vec<Event> = answer
            .events
            .into_iter()
            .filter_map(|event| self.event(event))
            .collect();
        let progress = (self.request.progress && before < self.after).then_some(reached);
        if events.is_empty() {
            return Ok(progress.map(WatchItem::Progress));
        }
        // What came last may be of no concern, and yet it is how far the reader is.
        self.owed = progress.filter(|reached| events.last().map(Event::revision) != Some(*reached));
        Ok(Some(WatchItem::Events(events)))
    }

    fn event(&self, event: mvccpb::Event) -> Option<Event> {
        let (prefix, request) = (&self.inner.prefix, &self.request);
        let (start, end) = (prefix.there(&request.start), prefix.there(&request.end));
        let kv = event.kv.as_ref()?;
        if !contains(&start, &end, &kv.key) {
            return None;
        }
        let removed = event.r#type() == mvccpb::event::EventType::Delete;
        let prev = event.prev_kv.map(|kv| self.inner.key_value(kv));
        let kv = self.inner.key_value(event.kv?);
        Some(if removed {
            Event::Delete {
                key: kv.key,
                revision: kv.mod_revision,
                prev,
            }
        } else {
            Event::Put { kv, prev }
        })
    }
}

fn request(union: Union) -> pb::WatchRequest {
    pb::WatchRequest {
        request_union: Some(union),
    }
}
