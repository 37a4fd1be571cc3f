//! The body of a watch: events, a line each.

use crate::{WatchEvent, WatchStream};
use api::{Object, Status, scan};
use bytes::{Bytes, BytesMut};
use futures::{StreamExt, stream};
use http_body_util::BodyExt;
use hyper::body::Body;
use std::{collections::VecDeque, sync::Arc};

/// The longest line.
const MAX_LINE: usize = 32 << 20;

struct State<B> {
    body: B,
    partial: BytesMut,
    lines: VecDeque<Bytes>,
    done: bool,
}

/// The events of a body. A broken connection ends the stream with an error, so that it is begun anew.
pub(super) fn events<B>(body: B) -> WatchStream
where
    B: Body<Data = Bytes, Error: std::fmt::Display> + Send + Unpin + 'static,
{
    let state = State {
        body,
        partial: BytesMut::new(),
        lines: VecDeque::new(),
        done: false,
    };
    stream::unfold(state, |mut state| async move {
        if state.done {
            return None;
        }
        let event = match state.line().await {
            Ok(Some(line)) => parse(&line),
            Ok(None) => return None,
            Err(status) => Err(status),
        };
        state.done = event.is_err();
        Some((event, state))
    })
    .boxed()
}

impl<B> State<B>
where
    B: Body<Data = Bytes, Error: std::fmt::Display> + Unpin,
{
    async fn line(&mut self) -> Result<Option<Bytes>, Status> {
        loop {
            if let Some(line) = self.lines.pop_front() {
                return Ok(Some(line));
            }
            let Some(frame) = self.body.frame().await else {
                return Ok(None);
            };
            let frame = frame.map_err(|error| Status::unavailable(format!("the watch broke: {error}")))?;
            if let Ok(data) = frame.into_data() {
                self.take(&data)?;
            }
        }
    }

    fn take(&mut self, data: &Bytes) -> Result<(), Status> {
        for piece in data.split_inclusive(|byte| *byte == b'\n') {
            self.partial.extend_from_slice(piece);
            if self.partial.len() > MAX_LINE {
                return Err(Status::too_large("an event of the watch is too long"));
            }
            if piece.ends_with(b"\n") {
                let line = self.partial.split().freeze();
                if !line.iter().all(u8::is_ascii_whitespace) {
                    self.lines.push_back(line);
                }
            }
        }
        Ok(())
    }
}

fn parse(line: &Bytes) -> Result<WatchEvent, Status> {
    let broken = |what: &str| Status::internal(format!("the watch told an event without {what}"));
    let kind = scan::scalar(line, "type").map_err(Status::internal)?;
    let range = scan::find(line, "object")
        .map_err(Status::internal)?
        .ok_or_else(|| broken("object"))?;
    let body = line.slice(range);
    if kind == "ERROR" {
        return Err(serde_json::from_slice::<Status>(&body).unwrap_or_else(Status::internal));
    }
    // A copy: an object that is kept must not keep the line.
    let object = Object::parse_any(Bytes::copy_from_slice(&body), &[])
        .map(Arc::new)
        .map_err(Status::internal)?;
    match &*kind {
        "ADDED" => Ok(WatchEvent::Added(object)),
        "MODIFIED" => Ok(WatchEvent::Modified(object)),
        "DELETED" => Ok(WatchEvent::Deleted(object)),
        "BOOKMARK" => Ok(WatchEvent::Bookmark(object.resource_version())),
        other => Err(broken(&format!("a known type ({other:?})"))),
    }
}
