//! Answers as they go.

use super::{Connection, READY};
use crate::{
    Service,
    frame::{self, DATA, END_STREAM},
    outbox::Item,
    stream::{Piece, Stream},
};
use bytes::{Buf, Bytes};

/// What became of a stream's turn.
enum Turn {
    /// It has more, and may send it.
    Again,
    /// It has nothing, or may not send.
    Waits,
    /// Its answer is sent.
    Over,
    /// No stream may send.
    Blocked,
}

impl<S: Service> Connection<S> {
    /// Takes what others have for the client.
    pub fn answers(&mut self) {
        let mut batch = std::mem::take(&mut self.batch);
        self.outbox.take(&mut batch);
        if !self.is_broken {
            self.pings.sent |= !batch.items.is_empty();
            let mut at = 0;
            for (id, item) in batch.items.drain(..) {
                self.item(id, item, &batch.bytes, &mut at);
            }
            self.owe(batch.taken as i64);
        }
        batch.clear();
        self.batch = batch;
    }

    fn item(&mut self, id: u32, item: Item, bytes: &[u8], at: &mut usize) {
        let mut next = |length: usize| {
            *at += length;
            &bytes[*at - length..*at]
        };
        match item {
            Item::Message(length) => self.message(id, next(length)),
            Item::Framed(message) => self.whole(id, message),
            Item::Part(length) => self.part(id, next(length)),
            Item::Data(data, last) => self.queue(id, Piece::Data(data, last)),
            Item::Head(head, last, flow) => {
                if let Some(stream) = self.streams.get_mut(&id) {
                    stream.flow = flow;
                } else if let Some(flow) = flow {
                    flow.end();
                }
                self.queue(id, Piece::Head(head, last));
            }
            Item::Well => self.queue(id, Piece::Well),
            Item::Trailers(trailers) => self.queue(id, Piece::Trailers(trailers)),
            Item::Reset(reason) => {
                if let Some(mut stream) = self.forget(id) {
                    stream.task = None;
                    self.remember(id);
                    frame::reset(&mut self.out, id, reason);
                }
            }
            Item::Taken(bytes) => self.owe_stream(id, bytes as i64),
        }
    }

    /// Whether so much can go at once.
    fn goes(&self, stream: &Stream<S::Known>, length: usize) -> bool {
        let window = stream.window.min(self.window);
        stream.queue.is_empty() && length as i64 <= window && length <= self.largest && self.out.len() < READY
    }

    /// Sends the whole answer of a call.
    fn message(&mut self, id: u32, message: &[u8]) {
        let Some(stream) = self.streams.get(&id) else {
            return self.outbox.taken(message.len());
        };
        if !self.goes(stream, message.len()) {
            return self.whole(id, Bytes::copy_from_slice(message));
        }
        self.outbox.taken(message.len());
        self.window -= message.len() as i64;
        let (out, encoder) = (&mut self.out, &mut self.encoder);
        frame::headers(out, id, false, self.largest, |out| encoder.grpc(out));
        frame::frame(out, DATA, 0, id, message);
        frame::headers(out, id, true, self.largest, |out| encoder.well(out));
        self.finish(id);
    }

    /// Sends it when there is room for it.
    fn whole(&mut self, id: u32, message: Bytes) {
        self.queue(id, Piece::Grpc);
        self.queue(id, Piece::Data(message, false));
        self.queue(id, Piece::Well);
    }

    /// Sends a part of an answer.
    fn part(&mut self, id: u32, part: &[u8]) {
        let Some(stream) = self.streams.get(&id) else {
            return self.outbox.taken(part.len());
        };
        if !self.goes(stream, part.len()) {
            return self.queue(id, Piece::Data(Bytes::copy_from_slice(part), false));
        }
        self.outbox.taken(part.len());
        self.window -= part.len() as i64;
        frame::frame(&mut self.out, DATA, 0, id, part);
        if let Some(stream) = self.streams.get_mut(&id) {
            stream.sent(part.len());
        }
    }

    /// Puts a piece behind the others of its stream.
    fn queue(&mut self, id: u32, piece: Piece) {
        let Some(stream) = self.streams.get_mut(&id) else {
            if let Piece::Data(data, _) = &piece {
                self.outbox.taken(data.len());
            }
            return;
        };
        stream.is_answered = true;
        stream.queue.push_back(piece);
        if !stream.is_ready {
            stream.is_ready = true;
            self.ready.push_back(id);
        }
    }

    /// Makes ready what can go, a frame of each stream in turn. Whether there may be more.
    pub fn fill(&mut self) -> bool {
        while self.out.len() < READY {
            let Some(id) = self.ready.pop_front() else {
                return false;
            };
            self.pings.sent = true;
            match self.turn(id) {
                Turn::Again => self.ready.push_back(id),
                Turn::Over => self.finish(id),
                Turn::Waits => {
                    if let Some(stream) = self.streams.get_mut(&id) {
                        stream.is_ready = false;
                    }
                }
                Turn::Blocked => {
                    self.ready.push_front(id);
                    return false;
                }
            }
        }
        true
    }

    fn turn(&mut self, id: u32) -> Turn {
        let Some(stream) = self.streams.get_mut(&id) else {
            return Turn::Waits;
        };
        let (out, encoder, largest) = (&mut self.out, &mut self.encoder, self.largest);
        while let Some(piece) = stream.queue.pop_front() {
            let last = match piece {
                Piece::Grpc => {
                    frame::headers(out, id, false, largest, |out| encoder.grpc(out));
                    false
                }
                Piece::Head(head, last) => {
                    frame::headers(out, id, last, largest, |out| encoder.head(head.0, &head.1, out));
                    last
                }
                Piece::Well => {
                    frame::headers(out, id, true, largest, |out| encoder.well(out));
                    true
                }
                Piece::Trailers(trailers) => {
                    frame::headers(out, id, true, largest, |out| encoder.trailers(&trailers, out));
                    true
                }
                Piece::Data(mut data, last) => {
                    let window = stream.window.min(self.window).max(0);
                    let length = data.len().min(largest).min(window as usize);
                    if length == 0 && !data.is_empty() {
                        stream.queue.push_front(Piece::Data(data, last));
                        return if stream.window > 0 {
                            Turn::Blocked
                        } else {
                            Turn::Waits
                        };
                    }
                    let ends = last && length == data.len();
                    if length > 0 || ends {
                        let flags = if ends { END_STREAM } else { 0 };
                        frame::frame(out, DATA, flags, id, &data[..length]);
                    }
                    self.window -= length as i64;
                    self.outbox.taken(length);
                    stream.sent(length);
                    data.advance(length);
                    if !data.is_empty() {
                        stream.queue.push_front(Piece::Data(data, last));
                        return Turn::Again;
                    }
                    ends
                }
            };
            if last {
                return Turn::Over;
            }
        }
        Turn::Waits
    }
}
