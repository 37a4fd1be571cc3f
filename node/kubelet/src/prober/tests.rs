//! Probes and hooks against real servers on loopback, and commands in a simulated container.

use super::*;
use crate::{
    machine::Linux,
    simulated::Simulated,
    view::{Handler, Pod},
};
use component::Env;
use hyper::{Response, body::Incoming, server::conn::http1, service::service_fn};
use std::convert::Infallible;
use tokio::net::TcpListener;

struct Site {
    env: Env,
    prober: Prober,
    runtime: Arc<Simulated>,
    subject: Subject,
    port: u16,
}

impl Drop for Site {
    fn drop(&mut self) {
        self.env.tasks.stop();
    }
}

type Body = http_body_util::Full<Bytes>;

/// What the server says: paths are what they answer.
fn answer(request: &hyper::Request<Incoming>) -> Response<Body> {
    let path = request.uri().path();
    let header = |name: &str| request.headers().get(name).map_or("", |v| v.to_str().unwrap());
    let told = format!("{} {} {}", header("host"), header("user-agent"), header("x-mine"));
    let to = |status: u16, place: &str| {
        let answer = Response::builder().status(status).header("location", place);
        answer.body(Body::from("elsewhere")).unwrap()
    };
    match path {
        "/local" => to(302, "/200"),
        "/relative" => to(307, "200"),
        "/away" => to(302, "http://192.0.2.1:1/"),
        "/round" => to(301, "/round"),
        "/to-500" => to(302, "/500"),
        "/headers" if told == "example.org kube-probe/1.37 yes" => Response::new(Body::default()),
        "/headers" => to(500, &told),
        path => {
            let status: u16 = path.trim_start_matches('/').parse().unwrap_or(404);
            Response::builder().status(status).body(Body::default()).unwrap()
        }
    }
}

async fn serve<S>(stream: S)
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(|request| async move { Ok::<_, Infallible>(answer(&request)) });
    let _ = http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

async fn site(tls: Option<tokio_rustls::TlsAcceptor>) -> Site {
    let env = Env::system();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let runtime = Arc::new(Simulated::new(env.clock.clone(), env.random.clone(), "10.244.0."));
    let prober = Prober {
        runtime: runtime.clone(),
        machine: Arc::new(Linux::new("/", "/etc/resolv.conf")),
        clock: env.clock.clone(),
        tasks: env.tasks.clone(),
    };
    let tasks = env.tasks.clone();
    env.tasks.spawn("listener", async move {
        while let Ok((stream, _)) = listener.accept().await {
            let tls = tls.clone();
            tasks.spawn("connection", async move {
                match tls {
                    Some(tls) => serve(tls.accept(stream).await.unwrap()).await,
                    None => serve(stream).await,
                }
            });
        }
    });
    let pod =
        format!("{{spec: {{containers: [{{name: web, ports: [{{name: http, containerPort: {port}}}]}}]}}}}");
    let pod: Pod = serde_saphyr::from_str(&pod).unwrap();
    let subject = Subject {
        pod: Arc::new(pod),
        container: "web".to_owned(),
        ip: "127.0.0.1".to_owned(),
        ..Subject::default()
    };
    Site {
        env,
        prober,
        runtime,
        subject,
        port,
    }
}

impl Site {
    async fn probe(&self, handler: &str) -> Outcome {
        self.within(handler, 5).await
    }

    async fn within(&self, handler: &str, seconds: u64) -> Outcome {
        let handler: Handler = serde_saphyr::from_str(handler).unwrap();
        self.prober
            .probe(&self.subject, &handler, Duration::from_secs(seconds))
            .await
    }

    async fn hook(&self, handler: &str) -> Result<(), String> {
        let handler: Handler = serde_saphyr::from_str(handler).unwrap();
        self.prober.hook(&self.subject, &handler).await
    }
}

fn failure(why: impl Into<String>) -> Outcome {
    Outcome::Failure(why.into())
}

#[tokio::test]
async fn http_answers_count_by_their_status() {
    let site = site(None).await;
    for (path, outcome) in [
        ("/200", Outcome::Success),
        ("/204", Outcome::Success),
        ("404", failure("HTTP probe failed with statuscode: 404")),
        ("/500", failure("HTTP probe failed with statuscode: 500")),
        ("/local", Outcome::Success),
        ("/relative", Outcome::Success),
        ("/to-500", failure("HTTP probe failed with statuscode: 500")),
        (
            "/away",
            Outcome::Warning("Probe terminated redirects, Response body: elsewhere".to_owned()),
        ),
    ] {
        let handler = format!("{{httpGet: {{path: '{path}', port: http}}}}");
        assert_eq!(site.probe(&handler).await, outcome, "{path}");
    }
    let url = format!("http://127.0.0.1:{}/round", site.port);
    assert_eq!(
        site.probe("{httpGet: {path: /round, port: http}}").await,
        failure(format!("Get {url:?}: stopped after 10 redirects"))
    );
}

#[tokio::test]
async fn http_takes_host_and_headers() {
    let site = site(None).await;
    let port = site.port;
    let headers = "[{name: Host, value: example.org}, {name: X-Mine, value: 'yes'}]";
    let handler =
        format!("{{httpGet: {{path: /headers, host: 127.0.0.1, port: {port}, httpHeaders: {headers}}}}}");
    assert_eq!(site.probe(&handler).await, Outcome::Success);
    let named = format!("{{httpGet: {{path: /200, host: localhost, port: {port}}}}}");
    assert_eq!(site.probe(&named).await, Outcome::Success);
    assert_eq!(
        site.probe("{httpGet: {port: nosuch}}").await,
        Outcome::Errored("invalid port number: nosuch".to_owned())
    );
}

#[tokio::test]
async fn https_takes_any_certificate() {
    let made = rcgen::generate_simple_self_signed(["somewhere.else".to_owned()]).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::Pkcs8(made.signing_key.serialize_der().into());
    let config =
        rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key)
            .unwrap();
    let site = site(Some(Arc::new(config).into())).await;
    let good = "{httpGet: {scheme: HTTPS, path: /200, port: http}}";
    assert_eq!(site.probe(good).await, Outcome::Success);
    let bad = "{httpGet: {scheme: HTTPS, path: /503, port: http}}";
    assert_eq!(
        site.probe(bad).await,
        failure("HTTP probe failed with statuscode: 503")
    );
}

#[tokio::test]
async fn a_port_is_open_or_not() {
    let site = site(None).await;
    assert_eq!(site.probe("{tcpSocket: {port: http}}").await, Outcome::Success);
    // A port that was ours and is no longer.
    let free = TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let refused = format!("dial tcp 127.0.0.1:{free}: connect: connection refused");
    assert_eq!(
        site.probe(&format!("{{tcpSocket: {{port: {free}}}}}")).await,
        failure(&refused)
    );
    assert_eq!(
        site.probe(&format!("{{httpGet: {{path: /x, port: {free}}}}}"))
            .await,
        failure(format!("Get \"http://127.0.0.1:{free}/x\": {refused}"))
    );
    assert_eq!(
        site.within(&format!("{{grpc: {{port: {free}}}}}"), 1).await,
        failure(format!(
            "timeout: failed to connect service \"127.0.0.1:{free}\" within 1s: context deadline exceeded"
        ))
    );
}

#[tokio::test]
async fn a_server_that_says_nothing() {
    let site = site(None).await;
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = silent.local_addr().unwrap().port();
    assert_eq!(
        site.within(&format!("{{httpGet: {{path: /, port: {port}}}}}"), 1)
            .await,
        failure(format!(
            "Get \"http://127.0.0.1:{port}/\": context deadline exceeded (Client.Timeout exceeded while awaiting headers)"
        ))
    );
}

#[tokio::test]
async fn commands_count_by_their_exit_code() {
    let site = site(None).await;
    assert_eq!(
        site.probe("{exec: {command: [cat, /ready]}}").await,
        Outcome::Success
    );
    site.runtime
        .set_exec("cat /ready", Some((1, "cat: /ready: No such file")));
    assert_eq!(
        site.probe("{exec: {command: [cat, /ready]}}").await,
        failure("cat: /ready: No such file")
    );
    assert_eq!(
        site.hook("{exec: {command: [cat, /ready]}}").await.unwrap_err(),
        "cat: /ready: No such file"
    );
    site.runtime.hang_exec("sleep 10");
    assert_eq!(
        site.within("{exec: {command: [sleep, '10']}}", 1).await,
        failure("command timed out: \"sleep 10\" timed out after 1s")
    );
}

#[tokio::test]
async fn hooks_ask_wait_and_look_at_no_status() {
    let site = site(None).await;
    site.hook("{httpGet: {path: /500, port: http}}").await.unwrap();
    site.hook("{sleep: {seconds: 0}}").await.unwrap();
    let gone = site.hook("{httpGet: {path: /, port: nosuch}}").await;
    assert_eq!(gone.unwrap_err(), "invalid port number: nosuch");
    assert_eq!(site.hook("{}").await.unwrap_err(), "invalid handler");
}
