//! Frames as they come.

use super::{Block, Connection, LARGEST_WINDOW};
use crate::{
    Service,
    frame::{
        self, ACK, CONTINUATION, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, PADDED, PING, PRIORITY,
        PUSH_PROMISE, RST_STREAM, SETTINGS, WINDOW_UPDATE, WITH_PRIORITY,
    },
    reason::{Fault, Reason},
    stream::Receiving,
};

/// Bytes of a block of headers, and frames that it comes in, at most.
const BLOCK: usize = 32 << 10;
const FRAMES: usize = 16;

impl<S: Service> Connection<S> {
    pub(super) fn frame(&mut self, head: frame::Head, content: &[u8]) -> Result<(), Fault> {
        if let Some(block) = &self.block
            && (head.kind != CONTINUATION || head.stream != block.stream)
        {
            return Err(Fault::protocol("a frame within headers"));
        }
        if !self.has_settings {
            if head.kind != SETTINGS || head.has(ACK) {
                return Err(Fault::protocol("SETTINGS are not first"));
            }
            self.settings(head, content)?;
            self.has_settings = true;
            return Ok(());
        }
        if self.is_leaving
            && head.stream > self.last
            && matches!(head.kind, DATA | RST_STREAM | WINDOW_UPDATE)
        {
            // The client does not know yet that nothing is done for it.
            return Ok(());
        }
        match head.kind {
            DATA => self.data(head, content),
            HEADERS => self.headers(head, content),
            CONTINUATION => self.continuation(head, content),
            WINDOW_UPDATE => self.window_update(head, content),
            RST_STREAM => self.rst_stream(head, content),
            SETTINGS => self.settings(head, content),
            PING => self.ping(head, content),
            PRIORITY => self.priority(head, content),
            GOAWAY if head.stream != 0 => Err(Fault::protocol("GOAWAY of a stream")),
            GOAWAY if content.len() < 8 => {
                Err(Fault::Connection(Reason::FrameSize, "GOAWAY of a wrong size"))
            }
            PUSH_PROMISE => Err(Fault::protocol("a client pushes")),
            // The client says why it goes, or something of another protocol.
            _ => Ok(()),
        }
    }

    /// Refuses frames of streams that the client has not begun.
    fn begun(&self, stream: u32) -> Result<(), Fault> {
        match stream {
            0 => Err(Fault::protocol("a frame of no stream")),
            stream if stream > self.last || stream.is_multiple_of(2) => {
                Err(Fault::protocol("a frame of an idle stream"))
            }
            _ => Ok(()),
        }
    }

    fn ping(&mut self, head: frame::Head, content: &[u8]) -> Result<(), Fault> {
        if head.stream != 0 {
            return Err(Fault::protocol("PING of a stream"));
        }
        if content.len() != 8 {
            return Err(Fault::Connection(Reason::FrameSize, "PING of a wrong size"));
        }
        if head.has(ACK) {
            return Ok(());
        }
        frame::frame(&mut self.out, PING, ACK, 0, content);
        let (now, is_idle) = (self.clock.now(), self.streams.is_empty());
        self.pings.judge(&self.limits, now, is_idle)
    }

    fn priority(&mut self, head: frame::Head, content: &[u8]) -> Result<(), Fault> {
        if head.stream == 0 {
            return Err(Fault::protocol("PRIORITY of no stream"));
        }
        let Some((on, _)) = content
            .split_first_chunk::<4>()
            .filter(|(_, rest)| rest.len() == 1)
        else {
            return Err(Fault::Stream(
                head.stream,
                Reason::FrameSize,
                "PRIORITY of a wrong size",
            ));
        };
        if u32::from_be_bytes(*on) & 0x7fff_ffff == head.stream {
            return Err(Fault::Stream(
                head.stream,
                Reason::Protocol,
                "a stream before itself",
            ));
        }
        self.spend();
        Ok(())
    }

    fn rst_stream(&mut self, head: frame::Head, content: &[u8]) -> Result<(), Fault> {
        self.begun(head.stream)?;
        if content.len() != 4 {
            return Err(Fault::Connection(Reason::FrameSize, "RST_STREAM of a wrong size"));
        }
        let dropped = self.forget(head.stream);
        if dropped.is_none() {
            // The client knows that it is over, so that nothing more may come.
            self.ended.retain(|ended| *ended != head.stream);
        }
        // Who wants no more of an answer that has begun costs nothing that was not wanted.
        if !dropped.is_some_and(|stream| stream.is_answered) {
            self.spend();
        }
        Ok(())
    }

    fn window_update(&mut self, head: frame::Head, content: &[u8]) -> Result<(), Fault> {
        let Ok(more) = <[u8; 4]>::try_from(content) else {
            return Err(Fault::Connection(
                Reason::FrameSize,
                "WINDOW_UPDATE of a wrong size",
            ));
        };
        let more = i64::from(u32::from_be_bytes(more) & 0x7fff_ffff);
        let overflow = "a window that is too large";
        if head.stream == 0 {
            if more == 0 {
                return Err(Fault::protocol("WINDOW_UPDATE of nothing"));
            }
            self.window += more;
            return match self.window > LARGEST_WINDOW {
                true => Err(Fault::Connection(Reason::FlowControl, overflow)),
                false => Ok(()),
            };
        }
        self.begun(head.stream)?;
        if more == 0 {
            return Err(Fault::Stream(
                head.stream,
                Reason::Protocol,
                "WINDOW_UPDATE of nothing",
            ));
        }
        let Some(stream) = self.streams.get_mut(&head.stream) else {
            return Ok(());
        };
        stream.window += more;
        if stream.window > LARGEST_WINDOW {
            return Err(Fault::Stream(head.stream, Reason::FlowControl, overflow));
        }
        if stream.window > 0 && !stream.is_ready && !stream.queue.is_empty() {
            stream.is_ready = true;
            self.ready.push_back(head.stream);
        }
        Ok(())
    }

    fn headers(&mut self, head: frame::Head, content: &[u8]) -> Result<(), Fault> {
        if head.stream.is_multiple_of(2) {
            return Err(Fault::protocol("HEADERS of a stream that no client begins"));
        }
        let mut fragment = unpadded(head, content)?;
        let mut circular = false;
        if head.has(WITH_PRIORITY) {
            let short = Fault::Connection(Reason::FrameSize, "HEADERS of a wrong size");
            let (on, rest) = fragment.split_first_chunk::<4>().ok_or(short)?;
            let short = Fault::Connection(Reason::FrameSize, "HEADERS of a wrong size");
            fragment = rest.split_first().ok_or(short)?.1;
            circular = u32::from_be_bytes(*on) & 0x7fff_ffff == head.stream;
        }
        let last = head.has(END_STREAM);
        if head.has(END_HEADERS) {
            return self.fields(head.stream, last, circular, fragment);
        }
        self.block = Some(Block {
            stream: head.stream,
            last,
            circular,
            bytes: fragment.to_vec(),
            frames: 1,
        });
        Ok(())
    }

    fn continuation(&mut self, head: frame::Head, content: &[u8]) -> Result<(), Fault> {
        let Some(mut block) = self.block.take() else {
            return Err(Fault::protocol("CONTINUATION of nothing"));
        };
        block.bytes.extend_from_slice(content);
        block.frames += 1;
        if block.bytes.len() > BLOCK || block.frames > FRAMES {
            return Err(Fault::Connection(Reason::EnhanceYourCalm, "headers without end"));
        }
        if head.has(END_HEADERS) {
            return self.fields(block.stream, block.last, block.circular, &block.bytes);
        }
        self.block = Some(block);
        Ok(())
    }

    fn data(&mut self, head: frame::Head, content: &[u8]) -> Result<(), Fault> {
        self.begun(head.stream)?;
        let (id, length, last) = (head.stream, content.len() as i64, head.has(END_STREAM));
        self.allowed -= length;
        if self.allowed < 0 {
            return Err(Fault::Connection(Reason::FlowControl, "more than the window"));
        }
        let content = unpadded(head, content)?;
        let Some(stream) = self.streams.get_mut(&id) else {
            self.owe(length);
            return match self.ended.contains(&id) {
                true => Ok(()),
                false => Err(Fault::Stream(id, Reason::StreamClosed, "DATA of a closed stream")),
            };
        };
        stream.allowed -= length;
        let fault = if matches!(stream.receiving, Receiving::Ended) {
            Some((Reason::StreamClosed, "DATA after the end"))
        } else if stream.allowed < 0 {
            Some((Reason::FlowControl, "more than the window of the stream"))
        } else {
            counted(&mut stream.left, content.len(), last)
                .err()
                .map(|why| (Reason::Protocol, why))
        };
        if let Some((reason, why)) = fault {
            self.owe(length);
            return Err(Fault::Stream(id, reason, why));
        }
        if content.is_empty() && !last {
            self.spend();
        }
        self.body(id, length, content, last)
    }
}

/// The content of a frame without what only fills it.
fn unpadded(head: frame::Head, content: &[u8]) -> Result<&[u8], Fault> {
    if !head.has(PADDED) {
        return Ok(content);
    }
    let Some((padding, content)) = content.split_first() else {
        return Err(Fault::Connection(
            Reason::FrameSize,
            "a padded frame without its length",
        ));
    };
    let length = content.len().checked_sub(usize::from(*padding));
    let length = length.ok_or(Fault::protocol("more padding than frame"))?;
    Ok(&content[..length])
}

/// Counts what was told to come.
fn counted(left: &mut Option<u64>, bytes: usize, last: bool) -> Result<(), &'static str> {
    let Some(left) = left else { return Ok(()) };
    *left = left.checked_sub(bytes as u64).ok_or("a body that is too long")?;
    match last && *left > 0 {
        true => Err("a body that is too short"),
        false => Ok(()),
    }
}
