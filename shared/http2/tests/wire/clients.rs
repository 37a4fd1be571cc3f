//! A library as the client.

use crate::lab::{Echo, message};
use bytes::Bytes;
use component::Env;
use futures::{StreamExt, future::join_all, stream};
use http::Request;
use http_body::Frame;
use http_body_util::{BodyExt, Full, StreamBody, combinators::BoxBody};
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::convert::Infallible;

type Body = BoxBody<Bytes, Infallible>;

async fn connect() -> (SendRequest<Body>, Echo, Env) {
    let (ours, mut theirs) = tokio::io::duplex(1 << 16);
    let (env, echo) = (Env::system(), Echo::default());
    let (its, service) = (env.clone(), echo.clone());
    env.tasks.spawn_draining("server", async move {
        let (is_http2, first) = ::http2::sniff(&mut theirs).await.unwrap();
        assert!(is_http2);
        ::http2::serve(theirs, first, service, &its).await;
    });
    let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(ours))
        .await
        .unwrap();
    env.tasks.spawn("client", async move {
        let _ = connection.await;
    });
    (sender, echo, env)
}

fn post(to: &str, body: Body) -> Request<Body> {
    Request::post(format!("http://localhost{to}")).body(body).unwrap()
}

fn whole(bytes: Vec<u8>) -> Body {
    Full::new(Bytes::from(bytes)).boxed()
}

#[tokio::test(flavor = "multi_thread")]
async fn thousands_of_calls_are_answered_each_with_its_own() {
    let (sender, echo, _env) = connect().await;
    let calls = (0..2000_usize).map(|number| {
        let mut sender = sender.clone();
        async move {
            let text = vec![number as u8; number % 300 * 100];
            let to = if number % 3 == 0 { "/late" } else { "/small" };
            let answer = sender
                .send_request(post(to, whole(message(&text))))
                .await
                .unwrap();
            let collected = answer.into_body().collect().await.unwrap();
            let trailers = collected.trailers().cloned().unwrap();
            assert_eq!(trailers["grpc-status"], "0");
            assert!(collected.to_bytes() == message(&text), "call {number}");
        }
    });
    let answering = async {
        let mut left = 2000_usize.div_ceil(3);
        while left > 0 {
            let some: Vec<_> = echo.late.lock().unwrap().drain(..).collect();
            left -= some.len();
            for (text, answering) in some.into_iter().rev() {
                answering.message(|out| out.extend(&text));
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::join!(join_all(calls), answering);
}

#[tokio::test]
async fn bodies_stream_both_ways() {
    let (mut sender, _, _env) = connect().await;
    let parts = stream::iter(0..1000_usize).map(|number| {
        let part = Bytes::from(vec![number as u8; number]);
        Ok::<_, Infallible>(Frame::data(part))
    });
    let body = BodyExt::boxed(StreamBody::new(parts));
    let answer = sender.send_request(post("/echo", body)).await.unwrap();
    let bytes = answer.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(bytes.len(), 999 * 1000 / 2);
    let answer = sender
        .send_request(post("/bytes/10000000", whole(vec![])))
        .await
        .unwrap();
    let bytes = answer.into_body().collect().await.unwrap().to_bytes();
    assert!(bytes == vec![7; 10_000_000]);
}

#[tokio::test]
async fn calls_that_are_not_as_usual_are_requests_like_others() {
    let (mut sender, _, _env) = connect().await;
    let odd = [
        vec![],
        vec![0, 0, 0],
        vec![1, 0, 0, 0, 1, 7],
        [message(b"one"), message(b"two")].concat(),
        vec![0, 1, 0, 0, 0, 9, 9],
    ];
    for body in odd {
        let length = body.len().to_string();
        let answer = sender.send_request(post("/small", whole(body))).await.unwrap();
        let collected = answer.into_body().collect().await.unwrap();
        assert_eq!(collected.trailers().unwrap()["length"], length);
    }
}

#[tokio::test]
async fn a_call_that_is_dropped_tells_its_client_that_the_server_failed() {
    let (mut sender, echo, _env) = connect().await;
    let calling = sender.send_request(post("/late", whole(message(b"x"))));
    let dropping = async {
        while echo.late.lock().unwrap().pop().is_none() {
            tokio::task::yield_now().await;
        }
    };
    let (answer, ()) = tokio::join!(calling, dropping);
    assert!(format!("{:?}", answer.unwrap_err()).contains("INTERNAL_ERROR"));
}
