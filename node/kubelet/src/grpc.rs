//! The gRPC health check (`grpc.health.v1.Health/Check`): one message each way, written by hand.

use bytes::{BufMut, Bytes, BytesMut};
use component::Tasks;
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::rt::TokioIo;
use std::net::SocketAddr;
use tokio::io::{AsyncRead, AsyncWrite};

/// Runs the tasks of a connection in the task tree.
#[derive(Clone)]
struct Executor(Tasks);

impl<F: Future + Send + 'static> hyper::rt::Executor<F> for Executor {
    fn execute(&self, future: F) {
        self.0.spawn("grpc", async move {
            future.await;
        });
    }
}

/// Asks `service` behind `stream` whether it serves.
pub(crate) async fn check<S>(
    stream: S,
    address: SocketAddr,
    service: &str,
    tasks: &Tasks,
) -> Result<(), String>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let said = |e: hyper::Error| e.to_string();
    let tasks = tasks.child();
    let executor = Executor(tasks.clone());
    let (mut sender, connection) = hyper::client::conn::http2::handshake(executor, TokioIo::new(stream))
        .await
        .map_err(said)?;
    let asking = async {
        let request = hyper::Request::post(format!("http://{address}/grpc.health.v1.Health/Check"))
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .body(Full::new(request(service)))
            .map_err(|e| e.to_string())?;
        let answer = sender.send_request(request).await.map_err(said)?;
        let refused = refusal(answer.headers());
        let body = Limited::new(answer.into_body(), 4096)
            .collect()
            .await
            .map_err(|e| e.to_string())?;
        if let Some(why) = refused.or_else(|| body.trailers().and_then(refusal)) {
            return Err(why);
        }
        verdict(&body.to_bytes())
    };
    let result = tokio::select! {
        biased;
        result = asking => result,
        ended = connection => Err(ended.err().map_or_else(|| "connection closed".to_owned(), said)),
    };
    tasks.stop();
    result
}

/// What a status other than OK amounts to.
fn refusal(headers: &hyper::HeaderMap) -> Option<String> {
    let text = |name: &str| headers.get(name).and_then(|v| v.to_str().ok());
    let code = text("grpc-status").filter(|code| *code != "0")?;
    let message = text("grpc-message").unwrap_or_default();
    Some(match code {
        "12" => format!(
            "error: this server does not implement the grpc health protocol (grpc.health.v1.Health): {message}"
        ),
        _ => format!("error: health rpc probe failed: {message}"),
    })
}

/// `HealthCheckRequest { service = 1 }` in a gRPC frame.
fn request(service: &str) -> Bytes {
    let mut message = BytesMut::new();
    if !service.is_empty() {
        message.put_u8(0x0a);
        let mut length = service.len();
        while length > 0x7f {
            message.put_u8((length & 0x7f) as u8 | 0x80);
            length >>= 7;
        }
        message.put_u8(length as u8);
        message.put_slice(service.as_bytes());
    }
    let mut frame = BytesMut::new();
    frame.put_u8(0);
    frame.put_u32(u32::try_from(message.len()).unwrap_or(0));
    frame.put_slice(&message);
    frame.freeze()
}

/// `HealthCheckResponse { status = 1 }` in a gRPC frame: 1 is SERVING.
fn verdict(frame: &[u8]) -> Result<(), String> {
    let status = match frame.get(5..) {
        Some([0x08, status, ..]) => *status,
        _ => 0,
    };
    let name = match status {
        1 => return Ok(()),
        2 => "NOT_SERVING",
        3 => "SERVICE_UNKNOWN",
        _ => "UNKNOWN",
    };
    Err(format!("service unhealthy (responded with {name:?})"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::StreamBody;
    use hyper::{Response, body::Frame, service::service_fn};
    use std::convert::Infallible;

    async fn ask(status: u8) -> Result<(), String> {
        let tasks = Tasks::new();
        let (near, far) = tokio::io::duplex(4096);
        let service = service_fn(move |request: hyper::Request<hyper::body::Incoming>| async move {
            assert_eq!(request.uri().path(), "/grpc.health.v1.Health/Check");
            let asked = request.into_body().collect().await.unwrap().to_bytes();
            assert_eq!(asked.as_ref(), b"\x00\x00\x00\x00\x05\x0a\x03web");
            let mut trailers = hyper::HeaderMap::new();
            trailers.insert("grpc-status", "0".parse().unwrap());
            let frames = [
                Frame::data(Bytes::from(vec![0, 0, 0, 0, 2, 8, status])),
                Frame::trailers(trailers),
            ];
            let body = StreamBody::new(futures::stream::iter(frames.map(Ok::<_, Infallible>)));
            Ok::<_, Infallible>(Response::new(body))
        });
        let server = hyper::server::conn::http2::Builder::new(Executor(tasks.clone()));
        let serving = server.serve_connection(TokioIo::new(far), service);
        tasks.spawn("server", async move {
            let _ = serving.await;
        });
        check(near, "127.0.0.1:1".parse().unwrap(), "web", &tasks).await
    }

    #[tokio::test]
    async fn serving_is_good_and_nothing_else() {
        assert_eq!(ask(1).await, Ok(()));
        assert_eq!(
            ask(2).await.unwrap_err(),
            "service unhealthy (responded with \"NOT_SERVING\")"
        );
    }
}
