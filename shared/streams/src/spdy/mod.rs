//! SPDY/3.1 (the draft of the Chromium project): frames, and a connection of many streams.

mod dictionary;
mod frame;
mod headers;
mod session;
#[cfg(test)]
mod stories;
mod stream;

pub use frame::{Decoder, Encoder, Frame, Id};
pub use headers::Headers;
pub use session::{Role, Session};
pub use stream::{Reader, Stream, Writer};
