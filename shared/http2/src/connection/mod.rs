//! A connection as a state machine: bytes come in, requests go to the service, and bytes go out.

mod receive;
mod requests;
mod send;
mod settings;

use crate::{
    Limits, Service,
    flood::Patience,
    frame::{self, PING, PREFACE},
    head::Shared,
    hpack::{Decoder, Encoder},
    limits::Pings,
    outbox::{Batch, Outbox},
    reason::{Fault, Reason},
    stream::{Receiving, Stream},
};
use component::{Clock, Tasks};
use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

/// Bytes that the client may send before it is told of more: on one stream, and on all together.
const STREAM_WINDOW: i64 = 1 << 20;
const WINDOW: i64 = 32 << 20;
/// Bytes that were taken before the client is told.
const STREAM_OWED: i64 = STREAM_WINDOW / 2;
const OWED: i64 = WINDOW / 8;
/// What both sides may send from the beginning.
const USUAL_WINDOW: i64 = 65_535;
/// The largest window that there can be.
const LARGEST_WINDOW: i64 = (1 << 31) - 1;
/// Bytes of requests under way at most: heads, messages that are half sent or not answered yet, and who answers them.
const HELD: usize = 128 << 20;
/// Bytes that are made ready for a write.
const READY: usize = 256 << 10;
/// Bytes that wait for the socket before no more is read from it.
const BEHIND: usize = 1 << 20;
/// Streams whose early end is remembered, since the client may not know of it yet.
const REMEMBERED: usize = 1024;
/// Heads that are remembered.
const HEADS: usize = 4;

/// A block of headers that is not whole yet.
struct Block {
    stream: u32,
    last: bool,
    /// It depends on itself.
    circular: bool,
    bytes: Vec<u8>,
    frames: usize,
}

/// The state of a connection.
pub struct Connection<S: Service> {
    service: Arc<S>,
    tasks: Tasks,
    pub outbox: Arc<Outbox>,
    batch: Batch,
    decoder: Decoder,
    encoder: Encoder,
    /// Heads by their blocks, as long as the tables do not change.
    heads: Vec<(Box<[u8]>, Shared<S>)>,
    streams: BTreeMap<u32, Stream<S::Known>>,
    /// Those that this side ended before the client did.
    ended: VecDeque<u32>,
    /// The last that the client began.
    last: u32,
    block: Option<Block>,
    /// How far the client has introduced itself.
    has_preface: bool,
    has_settings: bool,
    /// What the client takes: on the connection, on a new stream, in a frame.
    window: i64,
    initial: i64,
    largest: usize,
    /// What it may send, and is to be told of.
    allowed: i64,
    owed: i64,
    /// Streams that have something to send, in turn.
    ready: VecDeque<u32>,
    /// Bytes of requests under way.
    held: usize,
    pub limits: Limits,
    pings: Pings,
    patience: Patience,
    pub clock: Clock,
    /// What goes out next.
    pub out: Vec<u8>,
    /// No more requests are taken.
    is_leaving: bool,
    /// Nothing more is read.
    pub is_broken: bool,
}

impl<S: Service> Connection<S> {
    /// One on which nothing has come; its settings go out.
    pub fn new(service: S, tasks: Tasks, clock: Clock) -> Self {
        let (mut out, limits) = (Vec::new(), service.limits());
        settings::write(&mut out, &limits);
        frame::window(&mut out, 0, (WINDOW - USUAL_WINDOW) as usize);
        Self {
            service: Arc::new(service),
            tasks,
            outbox: Arc::default(),
            batch: Batch::default(),
            decoder: Decoder::default(),
            encoder: Encoder::default(),
            heads: Vec::new(),
            streams: BTreeMap::new(),
            ended: VecDeque::new(),
            last: 0,
            block: None,
            has_preface: false,
            has_settings: false,
            window: USUAL_WINDOW,
            initial: USUAL_WINDOW,
            largest: frame::LARGEST,
            allowed: WINDOW,
            owed: 0,
            ready: VecDeque::new(),
            held: 0,
            limits,
            pings: Pings::default(),
            patience: Patience::new(clock.clone()),
            clock,
            out,
            is_leaving: false,
            is_broken: false,
        }
    }

    /// Takes what has come; how much of it was whole.
    pub fn receive(&mut self, bytes: &[u8]) -> usize {
        let mut at = 0;
        if !self.has_preface {
            let known = bytes.len().min(PREFACE.len());
            if bytes[..known] != PREFACE[..known] {
                self.fail(Reason::Protocol, "no preface");
                return bytes.len();
            }
            if known < PREFACE.len() {
                return 0;
            }
            self.has_preface = true;
            at = known;
        }
        while !self.is_broken
            && let Some(head) = frame::Head::read(&bytes[at..])
        {
            if head.length > frame::LARGEST {
                self.fail(Reason::FrameSize, "a frame that is too large");
                break;
            }
            let start = at + frame::HEAD;
            let Some(content) = bytes.get(start..start + head.length) else {
                break;
            };
            at = start + head.length;
            match self.frame(head, content) {
                Ok(()) => {}
                Err(Fault::Connection(reason, why)) => self.fail(reason, why),
                Err(Fault::Stream(stream, reason, why)) => {
                    tracing::debug!(stream, ?reason, why, "reset");
                    self.reset(stream, reason);
                    self.spend();
                }
            }
        }
        if self.is_broken { bytes.len() } else { at }
    }

    /// Takes no more requests; those that have come are answered.
    pub fn leave(&mut self) {
        if !self.is_leaving && !self.is_broken {
            self.is_leaving = true;
            frame::go_away(&mut self.out, self.last, Reason::NoError, "");
        }
    }

    /// Asks the client whether it is there.
    pub fn ask(&mut self) {
        frame::frame(&mut self.out, PING, 0, 0, &[0; 8]);
    }

    /// Whether all is said.
    pub fn is_over(&self) -> bool {
        let is_idle = || self.ready.is_empty() && self.streams.values().all(|stream| stream.task.is_some());
        self.out.is_empty() && (self.is_broken || self.is_leaving && is_idle())
    }

    /// Whether more may be read.
    pub fn has_room(&self) -> bool {
        !self.is_broken && self.out.len() < BEHIND
    }

    /// The client does what cannot be.
    fn fail(&mut self, reason: Reason, why: &'static str) {
        tracing::debug!(?reason, why, "connection ends");
        self.is_broken = true;
        self.streams.clear();
        self.ready.clear();
        self.held = 0;
        self.outbox.close();
        frame::go_away(&mut self.out, self.last, reason, why);
    }

    /// The client costs work for nothing.
    fn spend(&mut self) {
        if !self.patience.spend() && !self.is_broken {
            self.fail(Reason::EnhanceYourCalm, "too much for nothing");
        }
    }

    /// Ends a stream before its time.
    fn reset(&mut self, stream: u32, reason: Reason) {
        self.forget(stream);
        self.remember(stream);
        frame::reset(&mut self.out, stream, reason);
    }

    fn remember(&mut self, stream: u32) {
        if self.ended.len() == REMEMBERED {
            self.ended.pop_front();
        }
        self.ended.push_back(stream);
    }

    /// Drops a stream, and what is under way for it.
    fn forget(&mut self, stream: u32) -> Option<Stream<S::Known>> {
        let stream = self.streams.remove(&stream)?;
        self.outbox.taken(stream.waiting());
        self.held -= stream.held;
        Some(stream)
    }

    /// The answer of a stream is sent whole.
    fn finish(&mut self, id: u32) {
        let Some(mut stream) = self.forget(id) else {
            return;
        };
        // It ends by itself.
        stream.task = None;
        if !matches!(stream.receiving, Receiving::Ended) {
            self.remember(id);
            frame::reset(&mut self.out, id, Reason::NoError);
        }
    }
}

impl<S: Service> Drop for Connection<S> {
    fn drop(&mut self) {
        self.outbox.close();
    }
}
