//! HPACK (RFC 7541): headers, compressed.

mod decoder;
mod encoder;
mod huffman;
mod table;

pub use decoder::Decoder;
pub use encoder::Encoder;
