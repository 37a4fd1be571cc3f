//! The server over loopback: datagrams, streams, an upstream resolver of the test's own.

use crate::stories::{tell, zone};
use component::Env;
use dns::{Name, Query, Server, Upstreams};
use hickory_proto::{op::Message, serialize::binary::BinDecodable};
use std::{
    net::SocketAddr,
    sync::{Arc, RwLock},
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpStream, UdpSocket},
};

const LIMIT: Duration = Duration::from_secs(10);
const ANY_PORT: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

/// Answers each question with one address, its name compressed.
async fn upstream() -> SocketAddr {
    let socket = UdpSocket::bind(ANY_PORT).await.expect("a socket");
    let address = socket.local_addr().expect("its address");
    Env::system().tasks.spawn("upstream", async move {
        let mut buffer = [0; 512];
        while let Ok((length, client)) = socket.recv_from(&mut buffer).await {
            let mut reply = buffer[..length].to_vec();
            reply[2..8].copy_from_slice(&[0x81, 0x80, 0, 1, 0, 1]);
            reply.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, 7]);
            let _ = socket.send_to(&reply, client).await;
        }
    });
    address
}

pub(crate) fn question(name: &str) -> Vec<u8> {
    let mut query = Query::new(Name::new(name).expect("a name"), 1);
    query.id = 4711;
    query.to_message()
}

pub(crate) async fn udp(server: SocketAddr, message: &[u8]) -> Message {
    let socket = UdpSocket::bind(ANY_PORT).await.expect("a socket");
    socket.send_to(message, server).await.expect("a question");
    let mut buffer = [0; 4096];
    let received = tokio::time::timeout(LIMIT, socket.recv(&mut buffer))
        .await
        .expect("an answer in time");
    let message = Message::from_bytes(&buffer[..received.expect("an answer")]).expect("a message");
    assert_eq!(message.metadata.id, 4711);
    message
}

#[tokio::test]
async fn datagrams_and_streams_are_answered_and_the_rest_is_forwarded() {
    let env = Env::system();
    let upstreams = Upstreams::new(vec![upstream().await], &[]);
    let server = Server::new(Arc::new(RwLock::new(zone())), upstreams, env.clone());
    let address = server.listen(ANY_PORT).await.expect("a server");

    let web = "No Error\nweb.default.svc.cluster.local. 5 A 10.96.0.20";
    assert_eq!(
        tell(&udp(address, &question("web.default.svc.cluster.local")).await),
        web
    );
    assert_eq!(
        tell(&udp(address, &question("example.com")).await),
        "No Error\nexample.com. 60 A 192.0.2.7"
    );
    assert_eq!(
        tell(&udp(address, &question("outside.default.svc.cluster.local")).await),
        "No Error\nexample.com. 60 A 192.0.2.7\noutside.default.svc.cluster.local. 5 CNAME example.com."
    );

    let mut stream = TcpStream::connect(address).await.expect("a stream");
    for _ in 0..2 {
        let message = question("web.default.svc.cluster.local");
        stream
            .write_all(&[&(message.len() as u16).to_be_bytes(), message.as_slice()].concat())
            .await
            .expect("a question");
        let answer = tokio::time::timeout(LIMIT, async {
            let length = stream.read_u16().await.expect("a length");
            let mut answer = vec![0; usize::from(length)];
            stream.read_exact(&mut answer).await.expect("an answer");
            answer
        });
        let answer = answer.await.expect("an answer in time");
        assert_eq!(tell(&Message::from_bytes(&answer).expect("a message")), web);
    }
    assert!(env.tasks.drain(LIMIT).await);
}

#[tokio::test]
async fn without_a_resolver_that_answers_it_is_a_server_failure() {
    let closed = UdpSocket::bind(ANY_PORT)
        .await
        .expect("a socket")
        .local_addr()
        .expect("its address");
    let env = Env::system();
    let server = Server::new(
        Arc::new(RwLock::new(zone())),
        Upstreams::new(vec![closed], &[]),
        env.clone(),
    );
    let address = server.listen(ANY_PORT).await.expect("a server");
    assert_eq!(
        tell(&udp(address, &question("example.com")).await),
        "Server Failure"
    );
    assert_eq!(
        Upstreams::parse("# x\nnameserver 192.0.2.1\nsearch a\nnameserver fd00::1\n").len(),
        2
    );
    assert!(env.tasks.drain(LIMIT).await);
}
