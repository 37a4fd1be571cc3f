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
        answering.respond(Response::new(request.into_body()))
    }
}

/// What the client says: each piece is a kind, flags, a stream, and as much more as its length says. Headers begin with those
/// that a request needs.
fn said(mut input: &[u8]) -> Vec<u8> {
    let mut out = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0".to_vec();
    while let [kind, flags, stream, length, rest @ ..] = input {
        let (more, after) = rest.split_at(rest.len().min(usize::from(*length)));
        input = after;
        let request: &[u8] = match kind % 12 {
            1 => &[0x83, 0x86, 0x84],
            11 => {
                out.extend_from_slice(more);
                continue;
            }
            _ => &[],
        };
        out.extend_from_slice(&((request.len() + more.len()) as u32).to_be_bytes()[1..]);
        out.extend_from_slice(&[kind % 12, *flags, 0, 0, 0, *stream]);
        out.extend_from_slice(request);
        out.extend_from_slice(more);
    }
    out
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
            far.write_all(&said(input)).await.expect("room");
            far.shutdown().await.expect("open");
            let _ = far.read_to_end(&mut Vec::new()).await;
        };
        let _ = tokio::join!(speak, http2::serve(near, Vec::new(), Echo, &env));
    });
});
