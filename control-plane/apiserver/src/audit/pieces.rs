//! Answers that go out while they are made.

use super::{latency::Layer, record::Record};
use crate::http::answer::Body;
use bytes::Bytes;
use hyper::body::{Frame, SizeHint};
use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};
use tokio::time::Instant;

/// The body of an answer that is told of: what it took to make its pieces, and until they were taken. Its record ends with
/// it.
pub(super) struct Pieces {
    body: Body,
    record: Arc<Record>,
    /// What is going on; none: it waits for others.
    layer: Option<Layer>,
    /// Since when.
    since: Instant,
}

impl Pieces {
    pub fn new(body: Body, record: Arc<Record>) -> Self {
        let since = record.now();
        Self {
            body,
            record,
            layer: Some(Layer::Write),
            since,
        }
    }

    /// From now on something else goes on.
    fn turn(&mut self, layer: Option<Layer>) {
        let now = self.record.now();
        if let Some(layer) = self.layer {
            self.record.took(layer, now - self.since);
        }
        (self.layer, self.since) = (layer, now);
    }
}

impl hyper::body::Body for Pieces {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        self.turn(Some(Layer::Serialize));
        let made = Pin::new(&mut self.body).poll_frame(context);
        self.turn(made.is_ready().then_some(Layer::Write));
        made
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Pieces {
    fn drop(&mut self) {
        self.turn(None);
    }
}
