//! Another API server, on loopback.

use super::OWN;
use bytes::Bytes;
use component::Env;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, StreamBody, combinators::BoxBody};
use hyper::{
    body::{Frame, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{Arc, Mutex},
};
use tokio::{
    net::TcpListener,
    sync::{mpsc, watch},
};

/// A namespace in which it has objects.
pub const SHOP: &str = "/apis/wardle.example.com/v1alpha1/namespaces/shop/flunders";

/// Another API server: answers with what it was asked.
#[derive(Default)]
pub struct Other {
    /// The version of aggregated discovery that it knows; empty: none.
    pub modern: Mutex<&'static str>,
    /// How often what it has was known already.
    pub unchanged: watch::Sender<usize>,
    /// How often its OpenAPI v2 document was known already.
    pub known: watch::Sender<usize>,
    /// Lines of its watch.
    pub lines: Mutex<Option<mpsc::Receiver<Bytes>>>,
    /// The name of the one object it has, and who wants what of it.
    pub object: Mutex<(Option<String>, Vec<String>)>,
}

type Body = BoxBody<Bytes, Infallible>;

fn body(text: impl Into<Bytes>) -> Body {
    Full::new(text.into()).boxed()
}

impl Other {
    async fn answer(&self, shown: String, request: Request<Incoming>) -> Response<Body> {
        let path = request.uri().path().to_owned();
        let resource = r#"{"resource":"flunders","responseKind":{"group":"wardle.example.com","version":"v1alpha1","kind":"Flunder"},"scope":"Namespaced","singularResource":"flunder","verbs":["list","new"]}"#;
        let modern = *self.modern.lock().unwrap();
        if path == "/apis" && !modern.is_empty() {
            let kind = format!("application/json;g=apidiscovery.k8s.io;v={modern};as=APIGroupDiscoveryList");
            let accepted = request.headers()["accept"].to_str().unwrap();
            assert!(accepted.contains(&kind), "{accepted}");
            let tag = format!("\"{modern}\"");
            if is_known(&request, &tag) {
                self.unchanged.send_modify(|times| *times += 1);
                return status(304);
            }
            let text = format!(
                r#"{{"kind":"APIGroupDiscoveryList","apiVersion":"apidiscovery.k8s.io/{modern}","items":[{{"metadata":{{"name":"wardle.example.com"}},"versions":[{{"version":"v1alpha1","resources":[{resource}],"freshness":"Current"}}]}}]}}"#
            );
            let mut response = Response::new(body(text));
            for (name, value) in [("content-type", &kind), ("etag", &tag)] {
                response.headers_mut().insert(name, value.parse().unwrap());
            }
            return response;
        }
        match path.as_str() {
            OWN => Response::new(body(
                r#"{"kind":"APIResourceList","apiVersion":"v1","groupVersion":"wardle.example.com/v1alpha1","resources":[{"name":"flunders","singularName":"flunder","namespaced":true,"kind":"Flunder","verbs":["list"]}]}"#,
            )),
            "/openapi/v3" if self.modern.lock().unwrap().is_empty() => status(404),
            "/openapi/v3" => Response::new(body(
                r#"{"paths":{"apis/wardle.example.com/v1alpha1":{"serverRelativeURL":"/openapi/v3/apis/wardle.example.com/v1alpha1?hash=ABC"}}}"#,
            )),
            "/openapi/v2" => self.openapi_v2(&request),
            "/apis" => status(406),
            _ if path.starts_with(SHOP) => self.flunders(&path, &request),
            _ if path.ends_with("/exec") => upgraded(request),
            _ if request.uri().query() == Some("watch=1") => {
                let lines = self.lines.lock().unwrap().take().unwrap();
                let lines = futures::stream::unfold(lines, |mut lines| async move {
                    let line = lines.recv().await?;
                    Some((Ok::<_, Infallible>(Frame::data(line)), lines))
                });
                Response::new(BodyExt::boxed(StreamBody::new(lines)))
            }
            _ => echo(shown, request).await,
        }
    }
}

impl Other {
    /// The objects that it has in the namespace `shop`.
    fn flunders(&self, path: &str, request: &Request<Incoming>) -> Response<Body> {
        let mut object = self.object.lock().unwrap();
        let user = request.headers()["x-remote-user"].to_str().unwrap();
        object
            .1
            .push(format!("{user}: {} {}", request.method(), &path[SHOP.len()..]));
        let text = |name: &String| {
            format!(
                r#"{{"apiVersion":"wardle.example.com/v1alpha1","kind":"Flunder","metadata":{{"name":"{name}","namespace":"shop","resourceVersion":"7"}}}}"#
            )
        };
        if request.method() == "DELETE" {
            object.0 = None;
            return Response::new(body(r#"{"kind":"Status","apiVersion":"v1","status":"Success"}"#));
        }
        let there: Vec<String> = object.0.iter().map(text).collect();
        match (path == SHOP, there.first()) {
            (true, _) => Response::new(body(format!(
                r#"{{"kind":"FlunderList","apiVersion":"wardle.example.com/v1alpha1","metadata":{{"resourceVersion":"9"}},"items":[{}]}}"#,
                there.join(",")
            ))),
            (false, Some(one)) => Response::new(body(one.clone())),
            (false, None) => status(404),
        }
    }

    /// Its document, told once.
    fn openapi_v2(&self, request: &Request<Incoming>) -> Response<Body> {
        let tag = "\"2\"";
        if is_known(request, tag) {
            self.known.send_modify(|times| *times += 1);
            return status(304);
        }
        let mut response = Response::new(body(
            r##"{"swagger":"2.0","paths":{"/apis/wardle.example.com/v1alpha1/flunders":{"get":{"operationId":"listFlunder",
            "responses":{"200":{"description":"OK","schema":{"$ref":"#/definitions/io.wardle.Flunder"}}}}}},
            "definitions":{"io.wardle.Flunder":{"type":"object","description":"A flunder."}}}"##,
        ));
        response.headers_mut().insert("etag", tag.parse().unwrap());
        response
    }
}

fn is_known(request: &Request<Incoming>, tag: &str) -> bool {
    let known = request.headers().get("if-none-match");
    known.is_some_and(|known| known == tag)
}

fn status(code: u16) -> Response<Body> {
    let mut response = Response::new(body(""));
    *response.status_mut() = StatusCode::from_u16(code).unwrap();
    response
}

/// Gives back what comes.
fn upgraded(mut request: Request<Incoming>) -> Response<Body> {
    let upgrade = hyper::upgrade::on(&mut request);
    component::Tasks::new().spawn("echo", async move {
        let stream = TokioIo::new(upgrade.await.unwrap());
        let (mut reading, mut writing) = tokio::io::split(stream);
        let _ = tokio::io::copy(&mut reading, &mut writing).await;
    });
    let mut response = status(101);
    for (name, value) in [("connection", "Upgrade"), ("upgrade", "echo")] {
        response.headers_mut().insert(name, value.parse().unwrap());
    }
    response
}

/// What was asked, a line each.
async fn echo(shown: String, request: Request<Incoming>) -> Response<Body> {
    let (parts, incoming) = request.into_parts();
    let mut text = format!("{} {}\ncertificate: {shown}\n", parts.method, parts.uri);
    for (name, value) in &parts.headers {
        text.push_str(&format!("{name}: {}\n", value.to_str().unwrap()));
    }
    let sent = incoming.collect().await.unwrap().to_bytes();
    text.push_str(&String::from_utf8_lossy(&sent));
    let mut response = Response::new(body(text));
    *response.status_mut() = StatusCode::IM_A_TEAPOT;
    response
}

/// Serves it on loopback; where.
pub async fn listen(env: &Env, other: Arc<Other>, tls: rustls::ServerConfig) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(tls));
    let tasks = env.tasks.clone();
    env.tasks.spawn("other-server", async move {
        loop {
            let (stream, _) = tokio::select! {
                () = tasks.stopping() => return,
                accepted = listener.accept() => accepted.unwrap(),
            };
            let (other, acceptor) = (other.clone(), acceptor.clone());
            tasks.child().spawn("other-connection", async move {
                let Ok(stream) = acceptor.accept(stream).await else {
                    return;
                };
                let chain = stream.get_ref().1.peer_certificates().unwrap_or_default();
                let shown = chain.first().map_or(String::new(), |leaf| {
                    let (_, leaf) = x509_parser::parse_x509_certificate(leaf).unwrap();
                    leaf.subject().to_string()
                });
                let service = service_fn(move |request| {
                    let (other, shown) = (other.clone(), shown.clone());
                    async move { Ok::<_, Infallible>(other.answer(shown, request).await) }
                });
                let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
                let _ = connection.with_upgrades().await;
            });
        }
    });
    address
}
