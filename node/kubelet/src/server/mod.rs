//! The kubelet's own API: logs, exec, attach, port-forward, pods, statistics, metrics. Over any byte stream: one in
//! memory is trusted, one over TLS is authorized request by request.

mod files;
mod logs;
mod reports;
mod sessions;
mod stats;

use crate::{Access, Kubelet};
use api::Status;
use bytes::Bytes;
use futures::Stream;
use http_body_util::{BodyExt, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::{
    Method, Request, Response,
    body::{Frame, Incoming},
    header::CONTENT_TYPE,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use std::{collections::BTreeMap, convert::Infallible, io, sync::Arc};
use tokio::io::{AsyncRead, AsyncWrite};

pub(crate) type Body = UnsyncBoxBody<Bytes, io::Error>;
pub(crate) type Answer = Result<Response<Body>, Status>;

/// Who is at the other end of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Identity {
    /// The API server, in this process.
    Trusted,
    /// Somebody over the network, with this client certificate (DER) if one came.
    Network(Option<Vec<u8>>),
}

impl Kubelet {
    /// Serves HTTP over `stream` until it ends.
    pub async fn serve_stream<S>(self: Arc<Self>, stream: S, identity: Identity)
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let service = service_fn(move |request| {
            let (kubelet, identity) = (self.clone(), identity.clone());
            async move { Ok::<_, Infallible>(kubelet.answer(request, &identity).await) }
        });
        let connection =
            hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
        if let Err(error) = connection.with_upgrades().await {
            tracing::debug!(%error, "connection ended");
        }
    }

    async fn answer(self: Arc<Self>, request: Request<Incoming>, identity: &Identity) -> Response<Body> {
        let result = match self.allowed(&request, identity).await {
            Ok(()) => self.route(request).await,
            Err(status) => Err(status),
        };
        result.unwrap_or_else(|status| error(&status))
    }

    async fn allowed(&self, request: &Request<Incoming>, identity: &Identity) -> Result<(), Status> {
        let Identity::Network(certificate) = identity else {
            return Ok(());
        };
        let header = request
            .headers()
            .get("authorization")
            .and_then(|v| v.to_str().ok());
        let access = Access {
            bearer: header.and_then(|h| h.strip_prefix("Bearer ")).map(str::to_owned),
            certificate: certificate.clone(),
            verb: if request.method() == Method::GET {
                "get"
            } else {
                "create"
            },
            subresource: subresource(request.uri().path()),
            node: self.node_name().to_owned(),
        };
        let proxy = Access {
            subresource: "proxy",
            ..access.clone()
        };
        let fine = matches!(access.subresource, "healthz" | "pods" | "configz");
        match (self.shared.config.authorize)(access).await {
            // As upstream: who may do all is not asked for a part of it.
            Err(_) if fine => (self.shared.config.authorize)(proxy).await,
            decision => decision,
        }
    }

    async fn route(self: Arc<Self>, request: Request<Incoming>) -> Answer {
        let path = request.uri().path().to_owned();
        let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
        match parts.as_slice() {
            ["healthz"] => Ok(text("ok")),
            ["pods"] => Ok(json(reports::pods(&self))),
            ["runningpods"] => reports::running(&self).await.map(json),
            ["configz"] => reports::configz(&self).map(json),
            ["stats", "summary"] => stats::summary(&self).await.map(json),
            ["metrics"] => reports::metrics(&self).await.map(text),
            ["metrics", "resource"] => stats::resource(&self).await.map(text),
            ["metrics", "cadvisor"] => stats::cadvisor(&self).await.map(text),
            ["logs", ..] => {
                files::show(&decode(
                    path.trim_start_matches("/logs/").trim_start_matches("/logs"),
                ))
                .await
            }
            ["containerLogs", namespace, pod, container] => {
                self.logs(&request, namespace, pod, container).await
            }
            ["exec", namespace, pod, container] => self.exec(request, namespace, pod, container).await,
            ["attach", namespace, pod, container] => self.attach(request, namespace, pod, container).await,
            ["portForward", namespace, pod] => self.port_forward(request, namespace, pod).await,
            _ => Err(Status::no_such_path()),
        }
    }
}

/// What of a node a path is, as upstream's authorizer has it.
fn subresource(path: &str) -> &'static str {
    match path.trim_start_matches('/').split('/').next() {
        Some("healthz") => "healthz",
        Some("stats") => "stats",
        Some("metrics") => "metrics",
        Some("pods") => "pods",
        Some("logs") => "log",
        Some("configz") => "configz",
        _ => "proxy",
    }
}

/// The query, decoded; a name may come several times.
fn query(request: &Request<Incoming>) -> BTreeMap<String, Vec<String>> {
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for pair in request
        .uri()
        .query()
        .unwrap_or_default()
        .split('&')
        .filter(|p| !p.is_empty())
    {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        found.entry(decode(name)).or_default().push(decode(value));
    }
    found
}

fn decode(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'+' => out.push(b' '),
            b'%' => {
                let hex = [bytes.next().unwrap_or(b'0'), bytes.next().unwrap_or(b'0')];
                let digits = std::str::from_utf8(&hex).ok();
                out.push(
                    digits
                        .and_then(|h| u8::from_str_radix(h, 16).ok())
                        .unwrap_or(b'?'),
                );
            }
            other => out.push(other),
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

fn flag(query: &BTreeMap<String, Vec<String>>, names: &[&str]) -> bool {
    let last = names
        .iter()
        .find_map(|name| query.get(*name))
        .and_then(|values| values.last());
    last.is_some_and(|v| matches!(v.as_str(), "1" | "true" | "True" | "TRUE" | "t" | "T"))
}

fn full(body: impl Into<Bytes>, kind: &'static str) -> Response<Body> {
    let body = Full::new(body.into())
        .map_err(|never| match never {})
        .boxed_unsync();
    let mut response = Response::new(body);
    response
        .headers_mut()
        .insert(CONTENT_TYPE, hyper::header::HeaderValue::from_static(kind));
    response
}

fn text(body: impl Into<Bytes>) -> Response<Body> {
    full(body, "text/plain; charset=utf-8")
}

fn json(body: impl Into<Bytes>) -> Response<Body> {
    full(body, "application/json")
}

fn stream(chunks: impl Stream<Item = io::Result<Bytes>> + Send + 'static) -> Response<Body> {
    use futures::TryStreamExt;
    let body = StreamBody::new(chunks.map_ok(Frame::data)).boxed_unsync();
    let mut response = Response::new(body);
    response.headers_mut().insert(
        CONTENT_TYPE,
        hyper::header::HeaderValue::from_static("text/plain"),
    );
    response
}

fn error(status: &Status) -> Response<Body> {
    let mut response = json(status.to_json());
    *response.status_mut() =
        hyper::StatusCode::from_u16(status.code).unwrap_or(hyper::StatusCode::INTERNAL_SERVER_ERROR);
    response
}

/// Listens on the network, with TLS.
pub(crate) async fn listen(kubelet: Arc<Kubelet>) {
    let Some((address, tls)) = kubelet.shared.config.listen.clone() else {
        return;
    };
    let listener = match tokio::net::TcpListener::bind(address).await {
        Ok(listener) => listener,
        Err(error) => {
            let why = format!("cannot listen on {address}: {error}");
            tracing::error!(why, "kubelet server");
            kubelet
                .shared
                .env
                .ready
                .set("kubelet", component::State::Failed(why));
            return;
        }
    };
    let acceptor = tokio_rustls::TlsAcceptor::from(tls);
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            // Out of descriptors, most likely: a moment frees some.
            kubelet
                .shared
                .env
                .clock
                .sleep(std::time::Duration::from_millis(100))
                .await;
            continue;
        };
        let (kubelet, acceptor) = (kubelet.clone(), acceptor.clone());
        let tasks = kubelet.shared.env.tasks.clone();
        tasks.spawn("kubelet-connection", async move {
            let accepted = kubelet
                .shared
                .env
                .clock
                .timeout(std::time::Duration::from_secs(10), acceptor.accept(stream))
                .await;
            let Some(Ok(stream)) = accepted else { return };
            let certificate = stream
                .get_ref()
                .1
                .peer_certificates()
                .and_then(|c| c.first())
                .map(|c| c.to_vec());
            kubelet.serve_stream(stream, Identity::Network(certificate)).await;
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_are_decoded() {
        assert_eq!(decode("sh%20-c+%22x%22"), "sh -c \"x\"");
        assert_eq!(decode("%zz"), "?");
    }
}
