//! HTTP to registries: one connection a request, TLS by the machine's authorities or the host's own.

use super::{
    registries::{Registries, Tls},
    resolve,
};
use component::{Env, pki};
use http_body_util::Empty;
use hyper::{
    Request, Response, StatusCode, Uri,
    body::{Bytes, Incoming},
    header::{AUTHORIZATION, HOST, LOCATION, USER_AGENT},
};
use hyper_util::rt::TokioIo;
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};
use std::{io, path::Path, sync::Arc, time::Duration};
use tokio::net::TcpStream;

const AUTHORITIES: &str = "/etc/ssl/certs/ca-certificates.crt";
const CONNECT_LIMIT: Duration = Duration::from_secs(10);
const ANSWER_LIMIT: Duration = Duration::from_secs(60);
const REDIRECT_LIMIT: usize = 5;

/// Gets `url` with `headers`, following redirects; credentials stay with the first host.
pub(super) async fn get(
    env: &Env,
    registries: &Registries,
    url: &str,
    headers: &[(&str, String)],
) -> io::Result<Response<Incoming>> {
    let mut url = url.to_owned();
    let first = authority(&url)?;
    for _ in 0..REDIRECT_LIMIT {
        let same = authority(&url)? == first;
        let kept = headers
            .iter()
            .filter(|(name, _)| same || *name != AUTHORIZATION.as_str());
        let response = get_once(env, registries, &url, kept.cloned().collect()).await?;
        let moved = matches!(
            response.status(),
            StatusCode::MOVED_PERMANENTLY
                | StatusCode::FOUND
                | StatusCode::SEE_OTHER
                | StatusCode::TEMPORARY_REDIRECT
                | StatusCode::PERMANENT_REDIRECT
        );
        let Some(to) = response.headers().get(LOCATION).filter(|_| moved) else {
            return Ok(response);
        };
        let to = to.to_str().map_err(io::Error::other)?;
        url = if to.starts_with('/') {
            let (scheme, _) = url.split_once("://").unwrap_or(("https", ""));
            format!("{scheme}://{}{to}", authority(&url)?)
        } else {
            to.to_owned()
        };
    }
    Err(io::Error::other(format!(
        "Get {url:?}: stopped after {REDIRECT_LIMIT} redirects"
    )))
}

fn authority(url: &str) -> io::Result<String> {
    let uri: Uri = url
        .parse()
        .map_err(|error| io::Error::other(format!("{url:?}: {error}")))?;
    Ok(uri.authority().map(ToString::to_string).unwrap_or_default())
}

async fn get_once(
    env: &Env,
    registries: &Registries,
    url: &str,
    headers: Vec<(&str, String)>,
) -> io::Result<Response<Incoming>> {
    let uri: Uri = url.parse().map_err(io::Error::other)?;
    let said = |error: io::Error| {
        io::Error::new(
            error.kind(),
            format!("failed to do request: Get {url:?}: {error}"),
        )
    };
    let host = uri.host().unwrap_or_default().to_owned();
    let secure = uri.scheme_str() == Some("https");
    let port = uri.port_u16().unwrap_or(if secure { 443 } else { 80 });
    let authority = uri.authority().map(ToString::to_string).unwrap_or_default();
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let mut request = Request::get(path)
        .header(HOST, &authority)
        .header(USER_AGENT, concat!("ferrokube/", env!("CARGO_PKG_VERSION")));
    for (name, value) in headers {
        request = request.header(name, value);
    }
    let request = request.body(Empty::<Bytes>::new()).map_err(io::Error::other)?;
    let stream = connect(env, &host, port).await.map_err(said)?;
    let answer = async {
        if !secure {
            return exchange(env, stream, request).await;
        }
        let name = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let name = ServerName::try_from(name).map_err(io::Error::other)?;
        let config = tls(&registries.config(&authority).tls)?;
        let stream = tokio_rustls::TlsConnector::from(config)
            .connect(name, stream)
            .await?;
        exchange(env, stream, request).await
    };
    let late = || io::Error::new(io::ErrorKind::TimedOut, "timeout awaiting response headers");
    env.clock
        .timeout(ANSWER_LIMIT, answer)
        .await
        .unwrap_or_else(|| Err(late()))
        .map_err(said)
}

async fn connect(env: &Env, host: &str, port: u16) -> io::Result<TcpStream> {
    let mut last = io::Error::from(io::ErrorKind::NotFound);
    for ip in resolve::addresses(env, host).await? {
        let failed = match env
            .clock
            .timeout(CONNECT_LIMIT, TcpStream::connect((ip, port)))
            .await
        {
            Some(Ok(stream)) => return Ok(stream),
            Some(Err(error)) => error,
            None => io::Error::new(io::ErrorKind::TimedOut, "i/o timeout"),
        };
        last = io::Error::new(failed.kind(), format!("dial tcp {ip}:{port}: {failed}"));
    }
    Err(last)
}

async fn exchange<S>(env: &Env, stream: S, request: Request<Empty<Bytes>>) -> io::Result<Response<Incoming>>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(io::Error::other)?;
    env.tasks.spawn("registry connection", async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "registry connection");
        }
    });
    sender.send_request(request).await.map_err(io::Error::other)
}

fn tls(tls: &Tls) -> io::Result<Arc<ClientConfig>> {
    if tls.insecure_skip_verify {
        let config = pki::unverified_client_config().map_err(io::Error::other)?;
        return Ok(Arc::new(config));
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?;
    let file = tls.ca_file.as_deref().unwrap_or(Path::new(AUTHORITIES));
    let mut roots = RootCertStore::empty();
    let certificates = CertificateDer::pem_file_iter(file).map_err(|error| {
        io::Error::other(format!("certificate authorities in {}: {error}", file.display()))
    })?;
    roots.add_parsable_certificates(certificates.filter_map(Result::ok));
    Ok(Arc::new(
        builder.with_root_certificates(roots).with_no_client_auth(),
    ))
}
