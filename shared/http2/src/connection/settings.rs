//! What both sides tell each other first.

use super::{Connection, LARGEST_WINDOW, STREAM_WINDOW};
use crate::{
    Limits, Service,
    frame::{
        self, ACK, ENABLE_PUSH, HEADER_TABLE_SIZE, INITIAL_WINDOW_SIZE, MAX_CONCURRENT_STREAMS,
        MAX_FRAME_SIZE, MAX_HEADER_LIST_SIZE, SETTINGS,
    },
    head,
    reason::{Fault, Reason},
};

/// So many streams get another window for nothing.
const FREE: usize = 256;

const TOO_LARGE: &str = "a window that is too large";

/// Writes ours.
pub fn write(out: &mut Vec<u8>, limits: &Limits) {
    let ours = [
        (MAX_CONCURRENT_STREAMS, limits.streams()),
        (INITIAL_WINDOW_SIZE, STREAM_WINDOW as u32),
        (MAX_HEADER_LIST_SIZE, head::MOST as u32),
    ];
    let mut content = Vec::new();
    for (name, value) in ours {
        content.extend_from_slice(&u16::to_be_bytes(name));
        content.extend_from_slice(&u32::to_be_bytes(value));
    }
    frame::frame(out, SETTINGS, 0, 0, &content);
}

impl<S: Service> Connection<S> {
    /// Takes the client's.
    pub(super) fn settings(&mut self, head: frame::Head, content: &[u8]) -> Result<(), Fault> {
        if head.stream != 0 {
            return Err(Fault::protocol("SETTINGS of a stream"));
        }
        let wrong_size = Err(Fault::Connection(Reason::FrameSize, "SETTINGS of a wrong size"));
        if head.has(ACK) {
            return if content.is_empty() { Ok(()) } else { wrong_size };
        }
        let (settings, []) = content.as_chunks::<6>() else {
            return wrong_size;
        };
        // The first ones are free.
        if self.has_settings {
            self.spend();
        }
        let mut initial = self.initial;
        for [a, b, c, d, e, f] in settings {
            let value = u32::from_be_bytes([*c, *d, *e, *f]);
            match u16::from_be_bytes([*a, *b]) {
                HEADER_TABLE_SIZE => self.encoder.limit(value as usize),
                ENABLE_PUSH if value > 1 => return Err(Fault::protocol("ENABLE_PUSH that is neither")),
                INITIAL_WINDOW_SIZE if i64::from(value) > LARGEST_WINDOW => {
                    return Err(Fault::Connection(Reason::FlowControl, TOO_LARGE));
                }
                INITIAL_WINDOW_SIZE => initial = i64::from(value),
                MAX_FRAME_SIZE if !(1 << 14..1 << 24).contains(&value) => {
                    return Err(Fault::protocol("MAX_FRAME_SIZE that cannot be"));
                }
                // A larger frame would only make others wait.
                _ => {}
            }
        }
        if initial != self.initial {
            self.resize(initial)?;
        }
        frame::frame(&mut self.out, SETTINGS, ACK, 0, &[]);
        Ok(())
    }

    /// Streams begin with another window, and those that there are change by as much.
    fn resize(&mut self, initial: i64) -> Result<(), Fault> {
        let more = initial - self.initial;
        let largest = self.streams.values().map(|stream| stream.window + more).max();
        if largest.is_some_and(|largest| largest > LARGEST_WINDOW) {
            return Err(Fault::Connection(Reason::FlowControl, TOO_LARGE));
        }
        self.initial = initial;
        (0..self.streams.len() / FREE).for_each(|_| self.spend());
        for (id, stream) in &mut self.streams {
            stream.window += more;
            if stream.window > 0 && !stream.is_ready && !stream.queue.is_empty() {
                stream.is_ready = true;
                self.ready.push_back(*id);
            }
        }
        Ok(())
    }
}
