//! Frames of SPDY, messages of WebSockets with their channels, sizes of terminals, outcomes.
#![no_main]

use bytes::{Bytes, BytesMut};
use libfuzzer_sys::fuzz_target;
use streams::{
    Outcome,
    channel::{Frame, Protocol, SizeReader},
    spdy::{Decoder, Encoder},
};

fuzz_target!(|input: &[u8]| {
    let (mut decoder, mut encoder) = (Decoder::default(), Encoder::default());
    let mut buffer = BytesMut::from(input);
    while let Ok(Some(frame)) = decoder.decode(&mut buffer) {
        let _ = encoder.encode(&frame, &mut BytesMut::new());
    }
    let protocols = [
        Protocol::V5,
        Protocol::V4,
        Protocol::V4Base64,
        Protocol::V1,
        Protocol::V1Base64,
    ];
    for protocol in protocols {
        if let Ok(frame) = Frame::decode(protocol, Bytes::copy_from_slice(input)) {
            let again = Frame::decode(protocol, frame.encode(protocol));
            assert_eq!(again.ok(), Some(frame));
        }
    }
    let mut sizes = SizeReader::default();
    let (first, second) = input.split_at(input.len() / 2);
    let _ = (sizes.read(first), sizes.read(second));
    let _ = Outcome::parse(input);
});
