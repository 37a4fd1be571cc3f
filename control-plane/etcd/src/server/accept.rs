//! Taking connections: TLS, then HTTP/1.1 or HTTP/2, whichever the client speaks.

use super::who::ClientName;
use bytes::Bytes;
use component::Env;
use http::{Request, Response, StatusCode, request::Parts};
use http_body_util::Full;
use http2::{Answering, Incoming, Service};
use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use rustls::pki_types::CertificateDer;
use std::{convert::Infallible, future::Future, io::Cursor, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::Semaphore,
};
use tokio_rustls::TlsAcceptor;

/// The body of a request or an answer.
pub type Body = tonic::body::Body;

/// How long a client may take to begin.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// How long it takes until another connection is tried when none can be taken.
const AGAIN: Duration = Duration::from_millis(100);
/// Files that are kept for the store and the other members: clients may have the others.
const RESERVED: u64 = 150;

/// What answers the requests of a connection, whichever HTTP it speaks.
pub trait Answers: Service {
    /// Answers a request.
    fn answer(&self, request: Request<Body>) -> impl Future<Output = Response<Body>> + Send + 'static;
}

/// What answers each request by itself.
pub struct Each<A>(pub A);

impl<A, F> Answers for Each<A>
where
    A: Fn(Request<Body>) -> F + Send + Sync + 'static,
    F: Future<Output = Response<Body>> + Send + 'static,
{
    fn answer(&self, request: Request<Body>) -> impl Future<Output = Response<Body>> + Send + 'static {
        self.0(request)
    }
}

impl<A, F> Service for Each<A>
where
    A: Fn(Request<Body>) -> F + Send + Sync + 'static,
    F: Future<Output = Response<Body>> + Send + 'static,
{
    type Known = Infallible;

    fn known(&self, _: &Parts) -> Option<Infallible> {
        None
    }

    fn most(&self) -> usize {
        0
    }

    fn call(&self, known: &Infallible, _: &[u8], _: Answering) {
        match *known {}
    }

    fn request(
        &self,
        request: Request<Incoming>,
        answering: Answering,
    ) -> impl Future<Output = ()> + Send + 'static {
        let answer = self.answer(request.map(Body::new));
        async move { answering.respond(answer.await, None).await }
    }
}

/// Takes connections at listeners.
pub struct Acceptor {
    tls: Option<TlsAcceptor>,
    env: Env,
    name: &'static str,
    /// Connections that may be open at once.
    places: Arc<Semaphore>,
}

impl Acceptor {
    /// Without TLS if none is given; `name` is what its tasks are called.
    pub fn new(tls: Option<Arc<rustls::ServerConfig>>, env: Env, name: &'static str) -> Self {
        Self {
            tls: tls.map(TlsAcceptor::from),
            env,
            name,
            places: Arc::new(Semaphore::new(connections())),
        }
    }

    /// Takes connections, until its tasks are told to stop. `of` makes what answers a connection, whose client may have
    /// shown a name.
    pub async fn serve<S, M>(self: Arc<Self>, listener: TcpListener, of: M)
    where
        S: Answers,
        M: Fn(Option<ClientName>) -> S + Clone + Send + Sync + 'static,
    {
        loop {
            let taken = async {
                let place = self.places.clone().acquire_owned().await;
                (place, listener.accept().await)
            };
            let (place, accepted) = tokio::select! {
                biased;
                () = self.env.tasks.stopping() => return,
                taken = taken => taken,
            };
            match accepted {
                Ok((stream, _)) => {
                    let (this, of) = (self.clone(), of.clone());
                    // A branch of its own: a panic ends this connection and no other.
                    let env = self.env.child();
                    let branch = env.tasks.clone();
                    branch.spawn_draining(self.name, async move {
                        let _place = place;
                        this.connection(stream, of, env).await;
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "accept");
                    self.env.clock.sleep(AGAIN).await;
                }
            }
        }
    }

    async fn connection<S, M>(self: Arc<Self>, stream: TcpStream, of: M, env: Env)
    where
        S: Answers,
        M: Fn(Option<ClientName>) -> S,
    {
        // It works without, only slower.
        let _ = stream.set_nodelay(true);
        let Some(tls) = self.tls.clone() else {
            return speak(stream, of(None), env).await;
        };
        let accepted = tokio::select! {
            biased;
            () = env.tasks.stopping() => return,
            accepted = env.clock.timeout(HANDSHAKE, tls.accept(stream)) => accepted,
        };
        match accepted {
            Some(Ok(stream)) => {
                let shown = stream.get_ref().1.peer_certificates();
                let name = shown.and_then(|shown| common_name(shown.first()?));
                speak(stream, of(name), env).await;
            }
            Some(Err(error)) => tracing::warn!(%error, "rejected connection"),
            None => tracing::warn!("a client did not finish its TLS handshake in time"),
        }
    }
}

/// How many connections there may be, as etcd has it: those for which the process may have files, but for its own.
fn connections() -> usize {
    let files = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    let most = files.map_or(u64::MAX, |files| files.saturating_sub(RESERVED).max(1));
    usize::try_from(most)
        .unwrap_or(usize::MAX)
        .min(Semaphore::MAX_PERMITS)
}

/// Speaks HTTP/2 or HTTP/1.1, as the client does.
async fn speak<T, S>(mut stream: T, service: S, env: Env)
where
    T: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    S: Answers,
{
    let first = tokio::select! {
        biased;
        () = env.tasks.stopping() => return,
        first = env.clock.timeout(HANDSHAKE, http2::sniff(&mut stream)) => first,
    };
    match first {
        Some(Ok((true, first))) => http2::serve(stream, first, service, &env).await,
        Some(Ok((false, first))) if !first.is_empty() => {
            let (read, write) = tokio::io::split(stream);
            let stream = tokio::io::join(Cursor::new(first).chain(read), write);
            let service = Arc::new(service);
            let service = service_fn(move |request: Request<hyper::body::Incoming>| {
                let service = service.clone();
                async move { Ok::<_, Infallible>(service.answer(request.map(Body::new)).await) }
            });
            let serving = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HANDSHAKE)
                .serve_connection(TokioIo::new(stream), service);
            tokio::select! {
                biased;
                () = env.tasks.stopping() => {}
                served = serving => if let Err(error) = served {
                    tracing::debug!(%error, "connection ended");
                },
            }
        }
        Some(Ok(_)) => {}
        Some(Err(error)) => tracing::debug!(%error, "connection ended"),
        None => tracing::debug!("a client said nothing"),
    }
}

/// The common name of a certificate: the last one, as Go reads it.
fn common_name(certificate: &CertificateDer<'_>) -> Option<ClientName> {
    let (_, certificate) = x509_parser::parse_x509_certificate(certificate).ok()?;
    let name = certificate.subject().iter_common_name().last()?;
    Some(ClientName(name.as_str().ok()?.into()))
}

/// An answer of text.
pub fn reply(code: StatusCode, body: String) -> Response<Body> {
    let mut response = Response::new(Body::new(Full::new(Bytes::from(body))));
    *response.status_mut() = code;
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    use std::net::SocketAddr;
    use tokio::io::AsyncWriteExt;

    async fn serve(connections: usize) -> (SocketAddr, Env) {
        let env = Env::system();
        let mut acceptor = Acceptor::new(None, env.clone(), "connection");
        acceptor.places = Arc::new(Semaphore::new(connections));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let of = |_| Each(|_| async { reply(StatusCode::OK, "fine".to_owned()) });
        env.tasks
            .spawn_draining("acceptor", Arc::new(acceptor).serve(listener, of));
        (address, env)
    }

    async fn ask(stream: &mut TcpStream) {
        stream
            .write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            .await
            .unwrap();
    }

    async fn hear(stream: &mut TcpStream) {
        let mut said = Vec::new();
        while !said.ends_with(b"fine") {
            assert!(stream.read_buf(&mut said).await.unwrap() > 0, "it is closed");
        }
    }

    #[tokio::test]
    async fn connections_over_the_limit_wait_until_others_end() {
        let (address, env) = serve(2).await;
        let mut first = Vec::new();
        for _ in 0..2 {
            let mut stream = TcpStream::connect(address).await.unwrap();
            ask(&mut stream).await;
            hear(&mut stream).await;
            first.push(stream);
        }
        let mut third = TcpStream::connect(address).await.unwrap();
        ask(&mut third).await;
        // Those that there are go on, and it is not answered meanwhile.
        for _ in 0..100 {
            ask(&mut first[0]).await;
            hear(&mut first[0]).await;
        }
        let nothing = third.try_read(&mut [0]).unwrap_err();
        assert_eq!(nothing.kind(), std::io::ErrorKind::WouldBlock);
        first.pop();
        hear(&mut third).await;
        assert!(env.tasks.drain(Duration::from_secs(60)).await);
    }

    /// Set in the process whose files are taken away.
    const INSIDE: &str = "ACCEPT_WITH_FEW_FILES";

    async fn with_few_files() {
        let (address, env) = serve(Semaphore::MAX_PERMITS).await;
        let before = getrlimit(Resource::Nofile);
        let few = Rlimit {
            current: Some(64),
            ..before
        };
        setrlimit(Resource::Nofile, few).unwrap();
        let mut streams = Vec::new();
        while let Ok(stream) = TcpStream::connect(address).await {
            streams.push(stream);
        }
        // The last ones lie in the queue of the listener; those before them are served.
        ask(&mut streams[0]).await;
        hear(&mut streams[0]).await;
        let mut last = streams.pop().unwrap();
        ask(&mut last).await;
        streams.truncate(2);
        hear(&mut last).await;
        assert!(env.tasks.drain(Duration::from_secs(60)).await);
    }

    #[tokio::test]
    async fn a_server_without_files_goes_on_when_it_has_some() {
        if std::env::var_os(INSIDE).is_some() {
            return with_few_files().await;
        }
        let test = "server::accept::tests::a_server_without_files_goes_on_when_it_has_some";
        let ran = std::process::Command::new(std::env::current_exe().unwrap())
            .args([test, "--exact"])
            .env(INSIDE, "1")
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&ran.stdout).into_owned();
        assert!(ran.status.success() && said.contains("1 passed"), "{said}");
    }
}
