//! Requests: from headers and bodies to the service.

use super::{Connection, HEADS, HELD, OWED, STREAM_OWED, STREAM_WINDOW};
use crate::{
    Answering, Incoming, Service, frame,
    head::{Fields, Head, Refused, Shared},
    incoming::Feed,
    reason::{Fault, Reason},
    stream::{Receiving, Stream},
};
use http::{HeaderMap, Request, StatusCode};
use std::sync::Arc;

/// Bytes of a block that is remembered.
const SHORT: usize = 512;
/// Bytes before a message of gRPC: whether it is compressed, and its length.
const PREFIX: usize = 5;

impl<S: Service> Connection<S> {
    /// Takes a block of headers, which must be read whatever becomes of its stream: later ones build upon it.
    pub(super) fn fields(&mut self, id: u32, last: bool, circular: bool, block: &[u8]) -> Result<(), Fault> {
        let is_new = id > self.last;
        if is_new && !self.is_leaving && !circular {
            self.last = id;
            return match self.head(block)? {
                Ok(head) => self.open(id, &head, last),
                Err(Refused::Malformed(why)) => Err(Fault::Stream(id, Reason::Protocol, why)),
                Err(Refused::TooLarge) => {
                    self.too_large(id, last);
                    Ok(())
                }
            };
        }
        let mut fields = Fields::default();
        self.decode(block, &mut fields)?;
        if circular {
            self.last = self.last.max(id);
            return Err(Fault::Stream(id, Reason::Protocol, "a stream before itself"));
        }
        if is_new || self.ended.contains(&id) {
            return Ok(());
        }
        let Some(stream) = self.streams.get_mut(&id) else {
            return Err(Fault::Connection(
                Reason::StreamClosed,
                "HEADERS of a closed stream",
            ));
        };
        if matches!(stream.receiving, Receiving::Ended) {
            return Err(Fault::Stream(id, Reason::StreamClosed, "HEADERS after the end"));
        }
        if !last {
            return Err(Fault::Stream(
                id,
                Reason::Protocol,
                "HEADERS that are not the end",
            ));
        }
        let size = fields.size();
        match fields.trailers() {
            Ok(_) if stream.left.is_some_and(|left| left > 0) => {
                Err(Fault::Stream(id, Reason::Protocol, "a body that is too short"))
            }
            Ok(trailers) => match std::mem::replace(&mut stream.receiving, Receiving::Ended) {
                Receiving::Body(feed) => {
                    self.hold(id, size)?;
                    feed.end(Some(trailers));
                    Ok(())
                }
                Receiving::Message(head, held) => self.request(id, &head, &held, true),
                Receiving::Ended => Ok(()),
            },
            Err(Refused::Malformed(why)) => Err(Fault::Stream(id, Reason::Protocol, why)),
            Err(Refused::TooLarge) => Err(Fault::Stream(
                id,
                Reason::EnhanceYourCalm,
                "an end that is too large",
            )),
        }
    }

    fn too_large(&mut self, id: u32, last: bool) {
        let code = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
        let (encoder, none) = (&mut self.encoder, HeaderMap::new());
        let write = |out: &mut Vec<u8>| encoder.head(code, &none, out);
        frame::headers(&mut self.out, id, true, self.largest, write);
        if !last {
            self.reset(id, Reason::NoError);
        }
        self.spend();
    }

    fn decode(&mut self, block: &[u8], fields: &mut Fields) -> Result<(), Fault> {
        let before = self.decoder.changes();
        let decoded = self.decoder.decode(block, |name, value| fields.take(name, value));
        if self.decoder.changes() != before {
            self.heads.clear();
        }
        decoded.map_err(|_| Fault::Connection(Reason::Compression, "headers that cannot be read"))
    }

    /// The head that a block says; nearly always it is one that was said before.
    fn head(&mut self, block: &[u8]) -> Result<Result<Shared<S>, Refused>, Fault> {
        if let Some((_, head)) = self.heads.iter().find(|(known, _)| &**known == block) {
            return Ok(Ok(head.clone()));
        }
        let (mut fields, before) = (Fields::default(), self.decoder.changes());
        self.decode(block, &mut fields)?;
        let size = fields.size();
        let (parts, length) = match fields.request() {
            Ok(request) => request,
            Err(refused) => return Ok(Err(refused)),
        };
        let known = self.service.known(&parts);
        let head = Arc::new(Head {
            parts,
            known,
            length,
            size,
        });
        // It means the same as long as nothing changes.
        if self.decoder.changes() == before && block.len() <= SHORT {
            if self.heads.len() == HEADS {
                self.heads.remove(0);
            }
            self.heads.push((block.into(), head.clone()));
        }
        Ok(Ok(head))
    }

    fn open(&mut self, id: u32, head: &Shared<S>, last: bool) -> Result<(), Fault> {
        if self.streams.len() >= self.limits.streams() as usize {
            return Err(Fault::Stream(id, Reason::RefusedStream, "too much is under way"));
        }
        if last && head.length.is_some_and(|length| length > 0) {
            return Err(Fault::Stream(id, Reason::Protocol, "a body that is too short"));
        }
        let mut stream = Stream::new(self.initial, STREAM_WINDOW, head.length);
        let whole = !last && head.known.is_some();
        if whole {
            stream.receiving = Receiving::Message(head.clone(), Vec::new());
        }
        self.streams.insert(id, stream);
        self.hold(id, head.size)?;
        match whole {
            true => Ok(()),
            false => self.request(id, head, &[], last),
        }
    }

    /// Counts what is kept for a stream, unless it is too much: then nothing is done for it.
    fn hold(&mut self, id: u32, bytes: usize) -> Result<(), Fault> {
        if self.held + bytes > HELD {
            return Err(Fault::Stream(id, Reason::RefusedStream, "too much is under way"));
        }
        if let Some(stream) = self.streams.get_mut(&id) {
            stream.held += bytes;
            self.held += bytes;
        }
        Ok(())
    }

    /// Gives a request to a task of its own; `first` has come of its body.
    fn request(&mut self, id: u32, head: &Head<S::Known>, first: &[u8], last: bool) -> Result<(), Fault> {
        let Some(stream) = self.streams.get_mut(&id) else {
            return Ok(());
        };
        let feed = Feed::new(self.outbox.clone(), id);
        if !first.is_empty() {
            feed.part(first);
            // The client was told already, and will be when it is read.
            self.owed -= first.len() as i64;
            stream.owed -= first.len() as i64;
        }
        match last {
            true => feed.end(None),
            false => stream.receiving = Receiving::Body(feed.clone()),
        }
        let request = Request::from_parts(head.parts.clone(), Incoming::new(feed));
        let answering = Answering::new(self.outbox.clone(), id);
        let answer = self.service.request(request, answering);
        self.hold(id, size_of_val(&answer))?;
        if let Some(stream) = self.streams.get_mut(&id) {
            stream.task = Some(self.tasks.spawn_draining("http2-request", answer));
        }
        Ok(())
    }

    /// Takes a part of a body, for which `length` is counted.
    pub(super) fn body(&mut self, id: u32, length: i64, content: &[u8], last: bool) -> Result<(), Fault> {
        let Some(stream) = self.streams.get_mut(&id) else {
            return Ok(());
        };
        match &mut stream.receiving {
            Receiving::Body(feed) => {
                let is_read = feed.part(content);
                // What is read is owed when it is.
                let now = if is_read {
                    length - content.len() as i64
                } else {
                    length
                };
                if last {
                    feed.end(None);
                    stream.receiving = Receiving::Ended;
                }
                self.owe(now);
                self.owe_stream(id, now);
                Ok(())
            }
            Receiving::Message(_, held) if !last => {
                let before = held.capacity();
                let room = held.is_empty().then(|| declared(content)).flatten();
                held.reserve(
                    room.map_or(0, |room| PREFIX + room.min(self.service.most()))
                        .max(content.len()),
                );
                held.extend_from_slice(content);
                let more = held.capacity() - before;
                let is_odd = is_odd(held, self.service.most());
                self.owe(length);
                self.hold(id, more)?;
                self.owe_stream(id, length);
                match is_odd {
                    true => self.streamed(id, false),
                    false => Ok(()),
                }
            }
            Receiving::Message(_, held) if held.is_empty() => {
                self.owe(length);
                self.hold(id, content.len())?;
                self.call(id, content)
            }
            Receiving::Message(_, held) => {
                let before = held.capacity();
                held.extend_from_slice(content);
                let held = std::mem::take(held);
                self.owe(length);
                self.hold(id, held.capacity() - before)?;
                self.call(id, &held)
            }
            Receiving::Ended => Ok(()),
        }
    }

    /// Gives a call to the service; `body` is all of it.
    fn call(&mut self, id: u32, body: &[u8]) -> Result<(), Fault> {
        let Some(stream) = self.streams.get_mut(&id) else {
            return Ok(());
        };
        let Receiving::Message(head, held) = &mut stream.receiving else {
            return Ok(());
        };
        match (&head.known, declared(body)) {
            (Some(known), Some(length)) if body.len() == PREFIX + length && length <= self.service.most() => {
                let answering = Answering::new(self.outbox.clone(), id);
                self.service.call(known, &body[PREFIX..], answering);
                stream.receiving = Receiving::Ended;
                Ok(())
            }
            _ => {
                *held = body.to_vec();
                self.streamed(id, true)
            }
        }
    }

    /// A call that is not as usual is a request like others.
    fn streamed(&mut self, id: u32, last: bool) -> Result<(), Fault> {
        let Some(stream) = self.streams.get_mut(&id) else {
            return Ok(());
        };
        match std::mem::replace(&mut stream.receiving, Receiving::Ended) {
            Receiving::Message(head, held) => self.request(id, &head, &held, last),
            Receiving::Body(_) | Receiving::Ended => Ok(()),
        }
    }

    /// So many bytes are done with: the client may send as many again.
    pub(super) fn owe(&mut self, bytes: i64) {
        self.owed += bytes;
        if self.owed >= OWED {
            frame::window(&mut self.out, 0, self.owed as usize);
            self.allowed += self.owed;
            self.owed = 0;
        }
    }

    /// The same of a stream.
    pub(super) fn owe_stream(&mut self, id: u32, bytes: i64) {
        let Some(stream) = self.streams.get_mut(&id) else {
            return;
        };
        stream.owed += bytes;
        if stream.owed >= STREAM_OWED && !matches!(stream.receiving, Receiving::Ended) {
            frame::window(&mut self.out, id, stream.owed as usize);
            stream.allowed += stream.owed;
            stream.owed = 0;
        }
    }
}

/// The length that a message says it has; none if it is compressed, or not there yet.
fn declared(body: &[u8]) -> Option<usize> {
    match body.first_chunk::<PREFIX>()? {
        [0, a, b, c, d] => Some(u32::from_be_bytes([*a, *b, *c, *d]) as usize),
        _ => None,
    }
}

/// Whether what has come of a body cannot become a message of at most so many bytes alone.
fn is_odd(body: &[u8], most: usize) -> bool {
    match declared(body) {
        Some(length) => length > most || body.len() > PREFIX + length,
        None => body.first().is_some_and(|compressed| *compressed != 0),
    }
}
