//! Golden frames, round trips, garbage, and two ends that talk.

use super::*;
use bytes::{Bytes, BytesMut};
use proptest::prelude::*;

fn encoded(frame: &Frame) -> Vec<u8> {
    let mut out = BytesMut::new();
    Encoder::default().encode(frame, &mut out).unwrap();
    out.to_vec()
}

#[test]
fn frames_are_those_of_the_draft() {
    let golden: &[(Frame, &[u8])] = &[
        (
            Frame::Data {
                id: 5,
                data: "hi".into(),
                fin: true,
            },
            b"\x00\x00\x00\x05\x01\x00\x00\x02hi",
        ),
        (
            Frame::Rst { id: 1, status: 5 },
            b"\x80\x03\x00\x03\x00\x00\x00\x08\x00\x00\x00\x01\x00\x00\x00\x05",
        ),
        (
            Frame::Settings(vec![(7, 65536)]),
            b"\x80\x03\x00\x04\x00\x00\x00\x0c\x00\x00\x00\x01\x00\x00\x00\x07\x00\x01\x00\x00",
        ),
        (
            Frame::Ping(3),
            b"\x80\x03\x00\x06\x00\x00\x00\x04\x00\x00\x00\x03",
        ),
        (
            Frame::GoAway { last: 9, status: 0 },
            b"\x80\x03\x00\x07\x00\x00\x00\x08\x00\x00\x00\x09\x00\x00\x00\x00",
        ),
        (
            Frame::WindowUpdate { id: 1, delta: 256 },
            b"\x80\x03\x00\x09\x00\x00\x00\x08\x00\x00\x00\x01\x00\x00\x01\x00",
        ),
    ];
    for (frame, bytes) in golden {
        assert_eq!(encoded(frame), *bytes, "{frame:?}");
        let decoded = Decoder::default().decode(&mut BytesMut::from(*bytes));
        assert_eq!(decoded.unwrap().as_ref(), Some(frame));
    }
    let syn = encoded(&Frame::SynStream {
        id: 1,
        headers: vec![("streamtype".to_owned(), "error".to_owned())],
        fin: false,
    });
    // Version 3, type 1, the length; stream 1, none associated, priority 0; zlib's header with the dictionary's checksum.
    assert_eq!(&syn[..7], b"\x80\x03\x00\x01\x00\x00\x00");
    assert_eq!(&syn[8..18], b"\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00");
    assert_eq!(&syn[18..24], b"\x78\xbb\xe3\xc6\xa7\xc2");
}

/// A SYN_STREAM of stream 1 as zlib itself compresses it.
const GOLDEN: &[u8] = b"\x80\x03\x00\x01\x00\x00\x00\x28\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x78\xf9\xe3\xc6\xa7\xc2\x02\xa6\x23\x46\x70\x3a\x2b\x29\x4a\x4d\xcc\x85\x16\x25\xac\xa9\xa0\x80\x06\x00\x00\x00\xff\xff";

#[test]
fn what_another_implementation_sends_is_read() {
    let mut bytes = BytesMut::from(GOLDEN);
    let frame = Decoder::default().decode(&mut bytes).unwrap().unwrap();
    let headers = vec![("streamtype".to_owned(), "error".to_owned())];
    assert_eq!(
        frame,
        Frame::SynStream {
            id: 1,
            headers,
            fin: false
        }
    );
}

#[test]
fn frames_that_break_the_draft_are_refused() {
    for bytes in [
        &b"\x00\x00\x00\x00\x00\x00\x00\x01x"[..],
        b"\x80\x02\x00\x06\x00\x00\x00\x04\x00\x00\x00\x03",
        b"\x80\x03\x00\x01\x00\xff\xff\xff",
        b"\x80\x03\x00\x06\x00\x00\x00\x02\x00\x00",
        b"\x80\x03\x00\x06\x00\x00\x00\x05\x00\x00\x00\x03\x00",
        b"\x80\x03\x00\x03\x00\x00\x00\x08\x00\x00\x00\x00\x00\x00\x00\x05",
        b"\x80\x03\x00\x04\x00\x00\x00\x04\xff\xff\xff\xff",
        b"\x80\x03\x00\x01\x00\x00\x00\x0c\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00xx",
    ] {
        let decoded = Decoder::default().decode(&mut BytesMut::from(bytes));
        assert!(decoded.is_err(), "{bytes:?}: {decoded:?}");
    }
    let unknown = b"\x80\x03\x00\x63\x00\x00\x00\x01x";
    let decoded = Decoder::default().decode(&mut BytesMut::from(&unknown[..]));
    assert_eq!(decoded.unwrap(), Some(Frame::Unknown(0x63)));
}

fn frames() -> impl Strategy<Value = Vec<Frame>> {
    let id = 1u32..0x7fff_ffff;
    let headers = proptest::collection::btree_map("[a-z-]{1,12}", ".{0,40}", 0..8)
        .prop_map(|map| map.into_iter().collect::<Headers>());
    let frame = prop_oneof![
        (id.clone(), headers.clone(), any::<bool>()).prop_map(|(id, headers, fin)| Frame::SynStream {
            id,
            headers,
            fin
        }),
        (id.clone(), headers.clone(), any::<bool>()).prop_map(|(id, headers, fin)| Frame::SynReply {
            id,
            headers,
            fin
        }),
        (id.clone(), headers, any::<bool>()).prop_map(|(id, headers, fin)| Frame::Headers {
            id,
            headers,
            fin
        }),
        (id.clone(), any::<u32>()).prop_map(|(id, status)| Frame::Rst { id, status }),
        any::<u32>().prop_map(Frame::Ping),
        (0u32..0x7fff_ffff, any::<u32>()).prop_map(|(last, status)| Frame::GoAway { last, status }),
        (0u32..0x7fff_ffff, 0u32..0x7fff_ffff).prop_map(|(id, delta)| Frame::WindowUpdate { id, delta }),
        proptest::collection::vec((0u32..0x00ff_ffff, any::<u32>()), 0..5).prop_map(Frame::Settings),
        (id, proptest::collection::vec(any::<u8>(), 0..200), any::<bool>()).prop_map(|(id, data, fin)| {
            Frame::Data {
                id,
                data: data.into(),
                fin,
            }
        }),
    ];
    proptest::collection::vec(frame, 0..20)
}

proptest! {
    #[test]
    fn frames_come_back_as_they_were_sent(frames in frames()) {
        let (mut encoder, mut bytes) = (Encoder::default(), BytesMut::new());
        for frame in &frames {
            encoder.encode(frame, &mut bytes).unwrap();
        }
        let (mut decoder, mut seen) = (Decoder::default(), Vec::new());
        while let Some(frame) = decoder.decode(&mut bytes).unwrap() {
            seen.push(frame);
        }
        prop_assert_eq!(seen, frames);
    }

    #[test]
    fn garbage_is_refused_or_waited_for(mut bytes in proptest::collection::vec(any::<u8>(), 0..400), control in any::<bool>()) {
        if control && bytes.len() > 8 {
            bytes[..2].copy_from_slice(b"\x80\x03");
            let kind = bytes[2] % 10;
            bytes[2..6].copy_from_slice(&[0, kind, 0, 0]);
        }
        let (mut decoder, mut bytes) = (Decoder::default(), BytesMut::from(&bytes[..]));
        while let Ok(Some(_)) = decoder.decode(&mut bytes) {}
    }
}

#[tokio::test]
async fn streams_share_a_connection() {
    let (near, far) = tokio::io::duplex(4096);
    let (client, _none, driven) = Session::new(near, Role::Client);
    let (server, mut accepted, served) = Session::new(far, Role::Server);
    let serving = async {
        let mut first = accepted.recv().await.unwrap();
        let second = accepted.recv().await.unwrap();
        assert_eq!((first.id(), first.header("streamtype")), (1, "data"));
        assert_eq!((second.id(), second.header("streamtype")), (3, "error"));
        let mut length = 0;
        while let Some(bytes) = first.reader.next().await {
            length += bytes.len();
        }
        second.writer.send(length.to_string().into()).await.unwrap();
        second.writer.finish().await.unwrap();
        first.writer.reset().await.unwrap();
        server.close().await;
    };
    let asking = async {
        let named = |kind: &str| vec![("streamtype".to_owned(), kind.to_owned())];
        let data = client.open(named("data")).await.unwrap();
        let mut error = client.open(named("error")).await.unwrap();
        data.writer.send(Bytes::from(vec![7; 1_000_000])).await.unwrap();
        data.writer.finish().await.unwrap();
        assert_eq!(error.reader.next().await.unwrap(), "1000000");
        assert_eq!(error.reader.next().await, None);
        let mut data = data;
        assert_eq!(data.reader.next().await, None);
        assert!(data.writer.is_gone());
        assert!(data.writer.send("x".into()).await.is_err());
        client.close().await;
    };
    let ((), (), served, driven) = tokio::join!(serving, asking, served, driven);
    served.unwrap();
    driven.unwrap();
}

#[tokio::test]
async fn pings_come_back_and_wrong_streams_end_the_connection() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let (mut near, far) = tokio::io::duplex(4096);
    let (_session, _streams, served) = Session::new(far, Role::Server);
    let talk = async {
        near.write_all(&encoded(&Frame::Ping(1))).await.unwrap();
        let mut answer = [0; 12];
        near.read_exact(&mut answer).await.unwrap();
        assert_eq!(answer.to_vec(), encoded(&Frame::Ping(1)));
        let even = Frame::SynStream {
            id: 2,
            headers: Headers::new(),
            fin: false,
        };
        near.write_all(&encoded(&even)).await.unwrap();
    };
    let (served, ()) = tokio::join!(served, talk);
    assert!(served.is_err());
}
