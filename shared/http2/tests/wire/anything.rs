//! Clients that say anything.

use crate::lab::*;
use component::{Env, Random};
use std::time::Duration;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    task::yield_now,
};

/// Frames that could be, of streams that there are; now and then one that cannot.
fn said(random: &Random) -> Vec<Vec<u8>> {
    let one_of = |many: usize| random.below(many as u64) as usize;
    let paths = [
        "/small",
        "/late",
        "/echo",
        "/bytes/70000",
        "/never",
        "/endless",
        "/other",
    ];
    let kinds = [
        DATA,
        DATA,
        DATA,
        HEADERS,
        HEADERS,
        RST_STREAM,
        SETTINGS,
        PING,
        WINDOW_UPDATE,
    ];
    let (mut begun, mut unended) = (0, false);
    let frames = (0..random.below(60)).map(|_| {
        let kind = match (begun, unended, random.below(30)) {
            (_, _, 0) => random.below(12) as u8,
            (_, true, _) => CONTINUATION,
            (0, ..) => HEADERS,
            _ => kinds[one_of(kinds.len())],
        };
        let mut stream = one_of(begun) as u32 * 2 + 1;
        let mut flags = 0;
        let mut content = vec![0; 4];
        match kind {
            DATA => {
                content = message(&vec![7; one_of(300)]);
                flags = one_of(2) as u8 * END_STREAM;
            }
            HEADERS => {
                content = path(paths[one_of(paths.len())]);
                flags = END_HEADERS + one_of(2) as u8 * END_STREAM;
                unended = random.below(8) == 0;
                flags -= u8::from(unended) * END_HEADERS;
                // The next one, or an end of one that there is.
                if random.below(8) > 0 {
                    stream = begun as u32 * 2 + 1;
                    begun += 1;
                }
            }
            CONTINUATION => {
                stream = (begun.max(1) as u32 - 1) * 2 + 1;
                (content, flags, unended) = (Vec::new(), END_HEADERS, false);
            }
            SETTINGS => {
                let window = random.below(9) as u32 * 9000;
                (stream, content) = (0, [&[0, 4][..], &window.to_be_bytes()].concat());
            }
            PING => (stream, content) = (0, vec![7; 8]),
            WINDOW_UPDATE => {
                stream *= random.below(2) as u32;
                content = (random.below(1 << 17) as u32 + 1).to_be_bytes().to_vec();
            }
            _ => {}
        }
        let mut bytes = Frame::new(kind, flags, stream, &content).bytes();
        if random.below(60) == 0 {
            let at = one_of(bytes.len());
            bytes[at] = random.below(256) as u8;
        }
        bytes
    });
    frames.collect()
}

#[tokio::test]
async fn whatever_a_client_says_its_connection_ends_when_it_goes() {
    for seed in 0..2000 {
        let random = Random::seeded(seed);
        let (mut far, near) = tokio::io::duplex(1 << 20);
        let (env, echo) = (Env::system(), Echo::default());
        let late = echo.late.clone();
        let speak = async {
            let _ = far.write_all(PREFACE).await;
            let _ = far.write_all(&Frame::new(SETTINGS, 0, 0, &[]).bytes()).await;
            for bytes in said(&random) {
                if far.write_all(&bytes).await.is_err() {
                    break;
                }
                if random.below(2) == 0 {
                    yield_now().await;
                }
                for (text, answering) in late.lock().unwrap().drain(..) {
                    answering.message(|out| out.extend(text));
                }
            }
            for _ in 0..8 {
                yield_now().await;
            }
            let _ = far.shutdown().await;
            let _ = far.read_to_end(&mut Vec::new()).await;
        };
        // The server is polled here, so that what panics in it is seen.
        let both = async { tokio::join!(speak, http2::serve(near, Vec::new(), echo, &env)) };
        let ended = tokio::time::timeout(Duration::from_secs(60), both).await;
        assert!(ended.is_ok(), "seed {seed}: it goes on");
    }
}
