//! The pages of a part over TLS: health, open to everybody, and metrics, to whom the API server lets read them.

use super::webhook;
use anyhow::{Context, Result};
use api::Status;
use bytes::Bytes;
use client::Client;
use component::{Env, State, metrics};
use http::{HeaderMap, Method, Request, Response, StatusCode, header, request::Parts};
use http_body_util::Full;
use hyper::{body::Incoming, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::ServerConfig;
use std::{convert::Infallible, net::SocketAddr, sync::Arc, time::Duration};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
};
use tokio_rustls::TlsAcceptor;

/// How long a client may take for the handshake.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// Paths that everybody may read.
pub const OPEN: [&str; 3] = ["/healthz", "/readyz", "/livez"];

/// What the pages of a part are made of.
pub struct Pages {
    /// The part, by its name on the readiness board.
    pub name: &'static str,
    /// Where they are.
    pub address: SocketAddr,
    /// The certificate to show and those to take; connections of later on take the newest.
    pub tls: watch::Receiver<Arc<ServerConfig>>,
    /// Asks the API server whose tokens are.
    pub tokens: Client,
    /// Asks the API server who may read.
    pub access: Client,
    /// Paths that everybody may read; those that end with `*` are beginnings.
    pub open: Vec<String>,
}

impl Pages {
    /// Serves `/healthz`, `/livez`, `/readyz` and the `/metrics` of `env`.
    pub async fn serve(self, env: &Env) -> Result<()> {
        let (name, address) = (self.name, self.address);
        let listener = TcpListener::bind(address)
            .await
            .with_context(|| format!("{name} cannot listen at {address}"))?;
        let (pages, inner) = (Arc::new(self), env.clone());
        env.tasks.spawn("pages", async move {
            loop {
                match listener.accept().await {
                    Ok((stream, _)) => {
                        let connection = pages.clone().connection(stream, inner.clone());
                        inner.tasks.spawn("pages-connection", connection);
                    }
                    Err(error) => {
                        tracing::warn!(%error, name, "a connection to the pages cannot be taken");
                        inner.clock.sleep(Duration::from_millis(100)).await;
                    }
                }
            }
        });
        Ok(())
    }

    async fn connection(self: Arc<Self>, stream: TcpStream, env: Env) {
        let acceptor = TlsAcceptor::from(self.tls.borrow().clone());
        let handshake = env.clock.timeout(HANDSHAKE, acceptor.accept(stream)).await;
        let Some(Ok(stream)) = handshake else {
            return;
        };
        let shown = stream.get_ref().1.peer_certificates();
        let certificate = shown.and_then(<[_]>::first).map(|shown| shown.to_vec());
        let certificate: Option<Arc<[u8]>> = certificate.map(Into::into);
        let service = service_fn(move |request: Request<Incoming>| {
            let (pages, env, certificate) = (self.clone(), env.clone(), certificate.clone());
            async move {
                let (head, _) = request.into_parts();
                let answer = pages.answer(&head, certificate.as_deref(), &env).await;
                Ok::<_, Infallible>(answer.unwrap_or_else(|status| refusal(&status)))
            }
        });
        let builder = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
        // A client that breaks off is its own affair.
        let _ = builder.serve_connection(TokioIo::new(stream), service).await;
    }

    async fn answer(
        &self,
        head: &Parts,
        certificate: Option<&[u8]>,
        env: &Env,
    ) -> Result<Response<Full<Bytes>>, Status> {
        let path = head.uri.path();
        if !self.is_open(path) {
            let bearer = bearer(&head.headers);
            let user = webhook::who(&self.tokens, bearer, certificate).await?;
            webhook::may_read(&self.access, user, verb(&head.method), path).await?;
        }
        let read = matches!(head.method, Method::GET | Method::HEAD);
        Ok(match path {
            "/healthz" | "/livez" | "/readyz" | "/metrics" if !read => {
                text(StatusCode::METHOD_NOT_ALLOWED, "", String::new())
            }
            "/livez" => text(StatusCode::OK, "", "ok".to_owned()),
            "/healthz" | "/readyz" => match self.failed(env) {
                Some(why) => text(StatusCode::INTERNAL_SERVER_ERROR, "", why),
                None => text(StatusCode::OK, "", "ok".to_owned()),
            },
            "/metrics" => {
                let mut told = String::new();
                env.metrics.write(&mut told);
                metrics::process(&mut told);
                text(StatusCode::OK, "version=0.0.4; ", told)
            }
            _ => text(StatusCode::NOT_FOUND, "", "404 page not found\n".to_owned()),
        })
    }

    fn is_open(&self, path: &str) -> bool {
        self.open.iter().any(|open| match open.strip_suffix('*') {
            Some(start) => path.starts_with(start),
            None => path == open,
        })
    }

    /// What is wrong with the part, or with its leading.
    fn failed(&self, env: &Env) -> Option<String> {
        let board = env.ready.watch();
        let board = board.borrow();
        [self.name, "leader"]
            .iter()
            .find_map(|name| match board.get(*name) {
                Some(State::Failed(why)) => Some(format!("[-]{name} failed: {why}\n")),
                _ => None,
            })
    }
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.trim().split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
}

/// The verb of a request that is about no resource.
fn verb(method: &Method) -> &'static str {
    match *method {
        Method::GET => "get",
        Method::HEAD => "head",
        Method::POST => "post",
        Method::PUT => "put",
        Method::PATCH => "patch",
        Method::DELETE => "delete",
        _ => "options",
    }
}

fn text(status: StatusCode, version: &str, text: String) -> Response<Full<Bytes>> {
    response(
        status,
        &format!("text/plain; {version}charset=utf-8"),
        text.into(),
    )
}

fn refusal(status: &Status) -> Response<Full<Bytes>> {
    let code = StatusCode::from_u16(status.code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let body = serde_json::to_vec(status).unwrap_or_default();
    response(code, "application/json", body.into())
}

fn response(status: StatusCode, kind: &str, body: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    if let Ok(kind) = kind.parse() {
        response.headers_mut().insert(header::CONTENT_TYPE, kind);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::Object;
    use client::{List, ListParams, Target, Transport, WatchParams, WatchStream, Write, WriteOptions};
    use futures::{FutureExt, future::BoxFuture};
    use http_body_util::BodyExt;

    /// An API server that knows the token `good` and lets its user read metrics.
    struct Reviewer;

    impl Transport for Reviewer {
        fn get(&self, _: Target) -> BoxFuture<'_, Result<Arc<Object>, Status>> {
            std::future::pending().boxed()
        }

        fn list(&self, _: Target, _: ListParams) -> BoxFuture<'_, Result<List, Status>> {
            std::future::pending().boxed()
        }

        fn watch(&self, _: Target, _: WatchParams) -> BoxFuture<'_, Result<WatchStream, Status>> {
            std::future::pending().boxed()
        }

        fn write(
            &self,
            target: Target,
            write: Write,
            _: WriteOptions,
        ) -> BoxFuture<'_, Result<Arc<Object>, Status>> {
            let Write::Create(body) = write else {
                panic!("{write:?}")
            };
            let body = String::from_utf8(body.to_vec()).unwrap();
            let status = match &*target.gvr.resource {
                "tokenreviews" if body.contains(r#""token":"good""#) => {
                    r#"{"authenticated":true,"user":{"username":"anna"}}"#
                }
                "tokenreviews" => r#"{"authenticated":false}"#,
                _ => {
                    assert!(body.contains(r#""nonResourceAttributes":{"path":"/"#), "{body}");
                    let allowed = body.contains(r#""user":"anna""#);
                    if allowed {
                        r#"{"allowed":true}"#
                    } else {
                        r#"{"allowed":false}"#
                    }
                }
            };
            let text = format!(r#"{{"kind":"Review","apiVersion":"v1","metadata":{{}},"status":{status}}}"#);
            let object = Object::parse_any(text.into_bytes().into(), &[]).unwrap();
            async move { Ok(Arc::new(object)) }.boxed()
        }
    }

    struct Reader(Pages, Env);

    impl Reader {
        async fn ask(&self, method: &str, path: &str, token: &str) -> (u16, String) {
            let mut request = Request::builder().method(method).uri(path);
            if !token.is_empty() {
                request = request.header("authorization", format!("Bearer {token}"));
            }
            let (head, ()) = request.body(()).unwrap().into_parts();
            let answer = self.0.answer(&head, None, &self.1).await;
            let answer = answer.unwrap_or_else(|status| refusal(&status));
            let code = answer.status().as_u16();
            let body = answer.into_body().collect().await.unwrap().to_bytes();
            (code, String::from_utf8(body.to_vec()).unwrap())
        }
    }

    fn reader() -> Reader {
        let certificate: Arc<dyn rustls::server::ResolvesServerCert> =
            Arc::new(rustls::server::ResolvesServerCertUsingSni::new());
        let dir = tempfile::tempdir().unwrap();
        let ca = component::pki::Authority::open(dir.path(), jiff::Timestamp::UNIX_EPOCH).unwrap();
        let tls = component::pki::server_config(certificate, ca.certificate()).unwrap();
        let client = Client::new(Arc::new(Reviewer), "kube-scheduler");
        let pages = Pages {
            name: "kube-scheduler",
            address: ([127, 0, 0, 1], 0).into(),
            tls: watch::channel(Arc::new(tls)).1,
            tokens: client.clone(),
            access: client,
            open: OPEN.map(str::to_owned).into(),
        };
        Reader(pages, Env::system())
    }

    #[tokio::test]
    async fn health_is_told_to_everybody() {
        let reader = reader();
        for path in OPEN {
            assert_eq!(reader.ask("GET", path, "").await, (200, "ok".to_owned()));
            assert_eq!(reader.ask("POST", path, "").await.0, 405);
        }
        let ready = &reader.1.ready;
        ready.set("something else", State::Failed("broken".to_owned()));
        assert_eq!(reader.ask("GET", "/healthz", "").await.0, 200);
        ready.set("kube-scheduler", State::Failed("broken".to_owned()));
        let (code, why) = reader.ask("GET", "/healthz", "").await;
        assert_eq!((code, why.as_str()), (500, "[-]kube-scheduler failed: broken\n"));
        assert_eq!(reader.ask("GET", "/livez", "").await.0, 200);
    }

    #[tokio::test]
    async fn metrics_are_told_to_whom_the_api_server_lets() {
        let reader = reader();
        let counted = metrics::Description::new("things_total", "Things.", &[]);
        let counted = reader.1.metrics.family::<metrics::Counter>(counted);
        counted.of(&[]).add(3);
        let (code, told) = reader.ask("GET", "/metrics", "good").await;
        assert_eq!(code, 200);
        assert!(
            told.contains("things_total 3\n") && told.contains("\nprocess_cpu_seconds_total "),
            "{told}"
        );
        assert!(!told.contains("\ngo_"), "{told}");
        let (code, why) = reader.ask("GET", "/metrics", "").await;
        assert_eq!(code, 403);
        let message = r#""message":"forbidden: User \"system:anonymous\" cannot get path \"/metrics\"""#;
        assert!(why.contains(message), "{why}");
        assert_eq!(reader.ask("GET", "/metrics", "bad").await.0, 401);
        assert_eq!(reader.ask("GET", "/elsewhere", "").await.0, 403);
        assert_eq!(reader.ask("GET", "/elsewhere", "good").await.0, 404);
    }
}
