//! One request to the server and its answer, on a connection of its own.

use super::{Answer, Ask, Bucket, Signed, authorization, encode, query, sha256, sign};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{
    HeaderMap, Request,
    client::conn::http1,
    header::{CONTENT_RANGE, ETAG, HeaderName, IF_MATCH, RANGE},
};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use std::{io, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};

const CONNECT: Duration = Duration::from_secs(10);
/// For a whole request with its answer.
const PATIENCE: Duration = Duration::from_secs(300);

impl Bucket {
    pub(super) async fn exchange(&self, ask: &Ask<'_>) -> io::Result<Answer> {
        let answer = async {
            let request = self.request(ask)?;
            let (host, port) = self.address();
            let connecting = TcpStream::connect((host.as_str(), port));
            let connected = self.env.clock.timeout(CONNECT, connecting).await;
            let late = || io::Error::new(io::ErrorKind::TimedOut, "the server cannot be reached in time");
            let stream = connected.unwrap_or_else(|| Err(late()))?;
            stream.set_nodelay(true)?;
            let Some(tls) = &self.tls else {
                return self.send(stream, request).await;
            };
            let name = ServerName::try_from(host).map_err(io::Error::other)?;
            let tls = tokio_rustls::TlsConnector::from(tls.clone());
            self.send(tls.connect(name, stream).await?, request).await
        };
        let late = || io::Error::new(io::ErrorKind::TimedOut, "the server does not answer in time");
        let answered = self.env.clock.timeout(PATIENCE, answer).await;
        answered
            .unwrap_or_else(|| Err(late()))
            .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", self.host)))
    }

    fn address(&self) -> (String, u16) {
        let usual = if self.tls.is_some() { 443 } else { 80 };
        let (host, port) = match self.host.rsplit_once(':') {
            Some((host, port)) if !port.contains(']') => (host, port.parse().unwrap_or(usual)),
            _ => (self.host.as_str(), usual),
        };
        (host.trim_matches(['[', ']']).to_owned(), port)
    }

    fn request(&self, ask: &Ask<'_>) -> io::Result<Request<Full<Bytes>>> {
        let settings = &self.settings;
        let mut path = format!("/{}", encode(ask.key, false));
        if settings.path_style {
            path = format!("/{}{path}", encode(&settings.bucket, true));
            if ask.key.is_empty() {
                // As AWS' own clients ask; some servers verify nothing else.
                path.pop();
            }
        }
        let now = self.env.clock.wall();
        let (hash, time) = (sha256(&ask.body), sign::time(now));
        let mut headers = vec![
            ("host", self.host.as_str()),
            ("x-amz-content-sha256", &hash),
            ("x-amz-date", &time),
        ];
        if let Some(token) = &settings.credentials.session_token {
            headers.push(("x-amz-security-token", token));
        }
        let signed = Signed {
            method: ask.method,
            path: &path,
            query: ask.query,
            headers: &headers,
            body_hash: &hash,
        };
        let authorization = authorization(&signed, &settings.credentials, &settings.region, "s3", now);
        let target = match ask.query {
            [] => path.clone(),
            pairs => format!("{path}?{}", query(pairs)),
        };
        let mut request = Request::builder().method(ask.method).uri(target);
        for (name, value) in &headers {
            request = request.header(*name, *value);
        }
        if let Some((first, last, tag)) = ask.range {
            request = request.header(RANGE, format!("bytes={first}-{last}"));
            request = tag
                .into_iter()
                .fold(request, |request, tag| request.header(IF_MATCH, tag));
        }
        request
            .header("authorization", authorization)
            .body(Full::new(ask.body.clone()))
            .map_err(io::Error::other)
    }

    async fn send(
        &self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        request: Request<Full<Bytes>>,
    ) -> io::Result<Answer> {
        let handshake = http1::handshake(TokioIo::new(stream)).await;
        let (mut sender, connection) = handshake.map_err(io::Error::other)?;
        let tasks = self.env.tasks.child();
        tasks.spawn("s3", async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection to S3 storage broke");
            }
        });
        let answer = async {
            let answer = sender.send_request(request).await.map_err(io::Error::other)?;
            let (head, body) = answer.into_parts();
            // `bytes 0-99/1234`
            let range = text(&head.headers, CONTENT_RANGE);
            let total = range.and_then(|range| range.rsplit_once('/')?.1.parse().ok());
            Ok(Answer {
                status: head.status,
                tag: text(&head.headers, ETAG).map(str::to_owned),
                total,
                body: body.collect().await.map_err(io::Error::other)?.to_bytes(),
            })
        };
        let answer = answer.await;
        tasks.stop();
        answer
    }
}

fn text(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok()
}
