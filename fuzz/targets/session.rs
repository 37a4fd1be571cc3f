//! A SPDY connection whose other end says anything: well-made frames in any order, and bytes that are none.
#![no_main]

use bytes::{Bytes, BytesMut};
use libfuzzer_sys::fuzz_target;
use std::sync::OnceLock;
use streams::spdy::{Encoder, Frame, Role, Session};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    runtime::{Builder, Runtime},
};

/// What the other end says: each piece is a kind, a stream, and as much more as its length says.
fn said(mut input: &[u8]) -> BytesMut {
    let (mut encoder, mut out) = (Encoder::default(), BytesMut::new());
    while let [kind, id, length, rest @ ..] = input {
        let (more, after) = rest.split_at(rest.len().min(usize::from(*length)));
        input = after;
        let (id, fin) = (u32::from(*id), kind & 0x80 != 0);
        let name = String::from_utf8_lossy(more).into_owned();
        let headers = vec![("streamtype".to_owned(), name)];
        let number = more
            .iter()
            .fold(0, |number: u32, byte| number << 8 | u32::from(*byte));
        let frame = match kind % 10 {
            0 => Frame::SynStream { id, headers, fin },
            1 => Frame::SynReply { id, headers, fin },
            2 => Frame::Rst { id, status: number },
            3 => Frame::Settings(vec![(id, number)]),
            4 => Frame::Ping(number),
            5 => Frame::GoAway {
                last: id,
                status: number,
            },
            6 => Frame::Headers { id, headers, fin },
            7 => Frame::WindowUpdate { id, delta: number },
            8 => Frame::Data {
                id,
                data: Bytes::copy_from_slice(more),
                fin,
            },
            _ => {
                out.extend_from_slice(more);
                continue;
            }
        };
        encoder.encode(&frame, &mut out).expect("small frames");
    }
    out
}

fuzz_target!(|input: &[u8]| {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    let runtime = RUNTIME.get_or_init(|| {
        Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime")
    });
    runtime.block_on(async {
        let (mut far, near) = tokio::io::duplex(1 << 20);
        let (session, mut streams, driver) = Session::new(near, Role::Server);
        let speak = async {
            far.write_all(&said(input)).await.expect("room");
            far.shutdown().await.expect("open");
            let _ = far.read_to_end(&mut Vec::new()).await;
        };
        let take = async {
            while let Some(stream) = streams.recv().await {
                drop(stream);
            }
        };
        drop(session);
        let _ = tokio::join!(speak, take, driver);
    });
});
