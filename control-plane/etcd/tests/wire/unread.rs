//! A client that asks for much and reads nothing.

use crate::{
    lab::{Ours, put},
    services::{metrics, value},
};
use etcd_proto::etcdserverpb::{RangeRequest, RequestOp, TxnRequest, request_op::Request};
use prost::Message;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// MiB of all answers.
const ALL: usize = 600;
const MIB: usize = 1 << 20;

fn frame(kind: u8, flags: u8, stream: u32, content: &[u8]) -> Vec<u8> {
    let length = (content.len() as u32).to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), content].concat()
}

/// A call of a path with a message, whole.
fn call(stream: u32, path: &str, message: &[u8]) -> Vec<u8> {
    let mut block = vec![0x83, 0x86, 0x04, path.len() as u8];
    block.extend(path.as_bytes());
    // The content type is a name that is known; its value follows.
    block.extend([0x0f, 0x10, 16]);
    block.extend(b"application/grpc");
    let message = [&[0][..], &(message.len() as u32).to_be_bytes(), message].concat();
    [frame(1, 4, stream, &block), frame(0, 1, stream, &message)].concat()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_reads_nothing_makes_no_answers() {
    let ours = Ours::start(|_| {}).await;
    let large = "x".repeat(MIB);
    for key in ["/unread/a", "/unread/b", "/unread/c", "/unread/d"] {
        put(&ours.replica, key, &large).await;
    }
    let one = RangeRequest {
        key: "/unread/a".into(),
        ..RangeRequest::default()
    };
    let all = RangeRequest {
        key: "/unread/".into(),
        range_end: "/unread0".into(),
        ..RangeRequest::default()
    };
    let within = TxnRequest {
        success: vec![RequestOp {
            request: Some(Request::RequestRange(all.clone())),
        }],
        ..TxnRequest::default()
    };
    let (range, txn) = ("/etcdserverpb.KV/Range", "/etcdserverpb.KV/Txn");
    // How many MiB an answer has, and how many more than 64 are on their way at most: 256 answers of one value, 4 of more.
    let cases = [
        (range, one.encode_to_vec(), 1, 256),
        (range, all.encode_to_vec(), 4, 16),
        (txn, within.encode_to_vec(), 4, 16),
    ];
    for (path, message, mib, more) in cases {
        let sent = async || {
            let told = metrics(&ours.url).await;
            value(&told, "etcd_network_client_grpc_sent_bytes_total") as usize / MIB
        };
        let before = sent().await;
        let address = ours.url.trim_start_matches("http://");
        let mut socket = TcpStream::connect(address).await.unwrap();
        let mut asked = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
        asked.extend(frame(4, 0, 0, &[0, 4, 0x7f, 0xff, 0xff, 0xff]));
        asked.extend(frame(8, 0, 0, &(1_u32 << 30).to_be_bytes()));
        for number in 0..(ALL / mib) as u32 {
            asked.extend(call(number * 2 + 1, path, &message));
        }
        socket.write_all(&asked).await.unwrap();
        let mut looks = 0;
        while looks < 20 {
            let made = sent().await - before;
            // What the sockets of both sides hold comes on top.
            assert!(made <= 64 + 16 + more, "{made} MiB of {path} were made");
            looks += usize::from(made >= 64);
        }
        let (mut read, mut buffer) = (0, vec![0; MIB]);
        while read < ALL * MIB {
            let count = socket.read(&mut buffer).await.unwrap();
            assert!(count > 0, "the connection ended after {read} bytes");
            read += count;
        }
    }
}
