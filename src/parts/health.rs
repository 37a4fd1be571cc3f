//! Health of a part over TLS, open to everybody.

use super::tls;
use anyhow::{Context, Result};
use bytes::Bytes;
use component::{Env, Readiness, State, flags::Settings};
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::{body::Incoming, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::{convert::Infallible, net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

/// How long a client may take for the handshake.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// Serves `/healthz`, `/livez` and `/readyz` at `--bind-address` and `--secure-port`; port 0: nowhere.
pub async fn serve(name: &'static str, settings: &Settings, env: &Env) -> Result<()> {
    let port = u16::try_from(settings.int("secure-port")).context("--secure-port")?;
    if port == 0 {
        return Ok(());
    }
    let address = SocketAddr::new(
        settings.text("bind-address").parse().context("--bind-address")?,
        port,
    );
    let dir = match settings.text("cert-dir") {
        "" => PathBuf::from("/run/ferrokube/certificates").join(name),
        dir => dir.into(),
    };
    let names = vec![
        crate::address::node_name()?,
        "localhost".to_owned(),
        "127.0.0.1".to_owned(),
    ];
    let leaf = tls::serving(settings, &dir, names, env)?;
    let acceptor = TlsAcceptor::from(tls::server(&leaf, None)?);
    let listener = TcpListener::bind(address)
        .await
        .with_context(|| format!("{name} cannot listen at {address}"))?;
    let (tasks, ready) = (env.tasks.clone(), env.ready.clone());
    env.tasks.spawn("health", async move {
        loop {
            match listener.accept().await {
                Ok((stream, _)) => {
                    tasks.spawn(
                        "health-connection",
                        connection(stream, acceptor.clone(), ready.clone()),
                    );
                }
                Err(error) => {
                    tracing::warn!(%error, "a connection to the health port cannot be taken");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
    });
    Ok(())
}

async fn connection(stream: TcpStream, acceptor: TlsAcceptor, ready: Readiness) {
    let Ok(Ok(stream)) = tokio::time::timeout(HANDSHAKE, acceptor.accept(stream)).await else {
        return;
    };
    let ready = Arc::new(ready);
    let service = service_fn(move |request: Request<Incoming>| {
        let answer = answer(request.method(), request.uri().path(), &ready);
        async move { Ok::<_, Infallible>(answer) }
    });
    let builder = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
    // A client that breaks off is its own affair.
    let _ = builder.serve_connection(TokioIo::new(stream), service).await;
}

fn answer(method: &Method, path: &str, ready: &Readiness) -> Response<Full<Bytes>> {
    let failed = || {
        let board = ready.watch();
        let board = board.borrow();
        board.iter().find_map(|(name, state)| match state {
            State::Failed(why) => Some(format!("[-]{name} failed: {why}\n")),
            _ => None,
        })
    };
    let (status, text) = match (method, path) {
        (&Method::GET | &Method::HEAD, "/livez") => (StatusCode::OK, "ok".to_owned()),
        (&Method::GET | &Method::HEAD, "/healthz" | "/readyz") => match failed() {
            Some(why) => (StatusCode::INTERNAL_SERVER_ERROR, why),
            None => (StatusCode::OK, "ok".to_owned()),
        },
        (_, "/healthz" | "/livez" | "/readyz") => (StatusCode::METHOD_NOT_ALLOWED, String::new()),
        _ => (StatusCode::NOT_FOUND, "404 page not found\n".to_owned()),
    };
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    let plain = header::HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, plain);
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn health_is_told_and_nothing_else() {
        let ready = Readiness::new();
        let code = |path: &str| answer(&Method::GET, path, &ready).status().as_u16();
        assert_eq!(
            [
                code("/healthz"),
                code("/livez"),
                code("/readyz"),
                code("/metrics")
            ],
            [200, 200, 200, 404]
        );
        ready.set("part", State::Failed("broken".to_owned()));
        assert_eq!(
            [code("/healthz"), code("/livez"), code("/readyz")],
            [500, 200, 500]
        );
        assert_eq!(answer(&Method::POST, "/healthz", &ready).status().as_u16(), 405);
    }
}
