//! What is kept of a request until it is answered.

use crate::{answer::Flow, head::Head, incoming::Feed, reason::Reason};
use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use std::{collections::VecDeque, sync::Arc};
use tokio::task::AbortHandle;

/// What has come of a request.
pub enum Receiving<K> {
    /// A part of its only message.
    Message(Arc<Head<K>>, Vec<u8>),
    /// A body that somebody reads.
    Body(Arc<Feed>),
    /// All.
    Ended,
}

/// What is to be sent.
pub enum Piece {
    /// The head of an answer of gRPC.
    Grpc,
    Head(Box<(StatusCode, HeaderMap)>, bool),
    Data(Bytes, bool),
    /// The end of an answer that is well.
    Well,
    Trailers(Box<HeaderMap>),
}

/// A request that is under way.
pub struct Stream<K> {
    /// Bytes that the client still takes.
    pub window: i64,
    /// Bytes that it may still send, and that it is to be told of beyond them.
    pub allowed: i64,
    pub owed: i64,
    pub receiving: Receiving<K>,
    /// Bytes of the body that are to come, if that was told.
    pub left: Option<u64>,
    /// Bytes that are kept for it until it is answered.
    pub held: usize,
    pub queue: VecDeque<Piece>,
    /// It waits for its turn.
    pub is_ready: bool,
    /// Its answer has begun.
    pub is_answered: bool,
    /// Who sends the answer in parts.
    pub flow: Option<Arc<Flow>>,
    /// Who makes the answer.
    pub task: Option<AbortHandle>,
}

impl<K> Stream<K> {
    /// One of which nothing but the head has come.
    pub fn new(window: i64, allowed: i64, left: Option<u64>) -> Self {
        Self {
            window,
            allowed,
            owed: 0,
            receiving: Receiving::Ended,
            left,
            held: 0,
            queue: VecDeque::new(),
            is_ready: false,
            is_answered: false,
            flow: None,
            task: None,
        }
    }

    /// Bytes that wait in it.
    pub fn waiting(&self) -> usize {
        let lengths = self.queue.iter().map(|piece| match piece {
            Piece::Data(data, _) => data.len(),
            _ => 0,
        });
        lengths.sum()
    }

    /// So many bytes of its answer were sent.
    pub fn sent(&mut self, bytes: usize) {
        self.window -= bytes as i64;
        if let Some(flow) = &self.flow {
            flow.sent(bytes);
        }
    }
}

impl<K> Drop for Stream<K> {
    fn drop(&mut self) {
        if let Receiving::Body(feed) = &self.receiving {
            feed.fail(Reason::Cancel);
        }
        if let Some(flow) = &self.flow {
            flow.end();
        }
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}
