//! A connection of HTTP/2 whose client says anything: well-made frames in any order, and bytes that are none.
#![no_main]

use component::Env;
use http::{Request, Response, request::Parts};
use http2::{Answering, Incoming, Service};
use libfuzzer_sys::fuzz_target;
use std::sync::OnceLock;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    runtime::{Builder, Runtime},
    task::yield_now,
};

/// Sends messages and bodies back.
struct Echo;

impl Service for Echo {
    type Known = ();

    fn known(&self, head: &Parts) -> Option<()> {
        (head.uri.path() == "/").then_some(())
    }

    fn most(&self) -> usize {
        1000
    }

    fn call(&self, _: &(), message: &[u8], answering: Answering) {
        answering.message(|out| out.extend_from_slice(message));
    }

    fn request(
        &self,
        request: Request<Incoming>,
        answering: Answering,
    ) -> impl Future<Output = ()> + Send + 'static {
        answering.respond(Response::new(request.into_body()), None)
    }
}

/// What the client says, in pieces: each is a kind, flags, a stream, and as much more as its length says. Headers begin with
/// those that a request needs.
fn said(mut input: &[u8]) -> Vec<Vec<u8>> {
    let mut pieces = vec![b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0".to_vec()];
    while let [kind, flags, stream, length, rest @ ..] = input {
        let (more, after) = rest.split_at(rest.len().min(usize::from(*length)));
        input = after;
        let request: &[u8] = match kind % 12 {
            1 => &[0x83, 0x86, 0x84],
            // Bytes that are no frame, or the rest of one.
            11 => {
                pieces.push(more.to_vec());
                continue;
            }
            _ => &[],
        };
        let length = ((request.len() + more.len()) as u32).to_be_bytes();
        let head = [&length[1..], &[kind % 12, *flags, 0, 0, 0, *stream]].concat();
        pieces.push([&head[..], request, more].concat());
    }
    pieces
}

fuzz_target!(|input: &[u8]| {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    let runtime = RUNTIME.get_or_init(|| {
        let mut builder = Builder::new_current_thread();
        builder.enable_all().build().expect("a runtime")
    });
    runtime.block_on(async {
        let (mut far, near) = tokio::io::duplex(1 << 20);
        let env = Env::system();
        let speak = async {
            for piece in said(input) {
                // A server that has had enough has gone.
                if far.write_all(&piece).await.is_err() {
                    break;
                }
                // It reads some pieces alone and others together, and what it began goes on meanwhile.
                if piece.len().is_multiple_of(2) {
                    yield_now().await;
                }
            }
            // Who answers has its turn before the client ends.
            for _ in 0..8 {
                yield_now().await;
            }
            let _ = far.shutdown().await;
            let _ = far.read_to_end(&mut Vec::new()).await;
        };
        let _ = tokio::join!(speak, http2::serve(near, Vec::new(), Echo, &env));
    });
});
