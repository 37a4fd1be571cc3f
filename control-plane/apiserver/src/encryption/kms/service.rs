//! The service, over gRPC at its socket.

use super::{Settings, metrics::Meter};
use bytes::Bytes;
use component::{Clock, Env, Random};
use futures::future::BoxFuture;
use hyper_util::rt::TokioIo;
use kms_proto::{
    stored::EncryptedObject,
    v2::{
        DecryptRequest, EncryptRequest, EncryptResponse, StatusRequest, StatusResponse,
        key_management_service_client::KeyManagementServiceClient as Client,
    },
};
use std::{
    io,
    os::{linux::net::SocketAddrExt as _, unix::net::SocketAddr},
    sync::OnceLock,
    task::{Context, Poll},
    time::Duration,
};
use tokio::net::UnixStream;
use tonic::{
    Code, Response, Status,
    transport::{Channel, Endpoint, Uri},
};

/// The longest answer that is taken.
const ANSWER: usize = 256 * 1024;

/// Connects when it is first asked, and again when the connection is lost.
pub(super) struct Service {
    socket: String,
    timeout: Duration,
    client: OnceLock<Client<Channel>>,
    meter: OnceLock<Meter>,
}

/// Why the service gave no answer.
pub(super) struct Failed {
    pub why: String,
    pub code: Code,
    /// It will say the same again.
    pub lasting: bool,
}

impl std::fmt::Display for Failed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.why)
    }
}

/// The path of the socket that an endpoint names: `unix:///PATH` or `unix:///@NAME`.
pub(super) fn socket(endpoint: &str) -> Option<&str> {
    let path = endpoint.strip_prefix("unix://")?;
    match path.strip_prefix("/@") {
        Some(_) => path.get(1..),
        None => path.starts_with('/').then_some(path),
    }
}

/// Connects to the socket, whatever it is asked for.
struct Connector(String);

impl tower_service::Service<Uri> for Connector {
    type Response = TokioIo<UnixStream>;
    type Error = io::Error;
    type Future = BoxFuture<'static, io::Result<TokioIo<UnixStream>>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        Box::pin(connect(self.0.clone()))
    }
}

async fn connect(socket: String) -> io::Result<TokioIo<UnixStream>> {
    let stream = match socket.strip_prefix('@') {
        Some(name) => {
            let address = SocketAddr::from_abstract_name(name)?;
            let stream = std::os::unix::net::UnixStream::connect_addr(&address)?;
            stream.set_nonblocking(true)?;
            UnixStream::from_std(stream)?
        }
        None => UnixStream::connect(socket).await?,
    };
    Ok(TokioIo::new(stream))
}

fn uid(random: &Random) -> String {
    let mut bytes = [0; 16];
    random.fill(&mut bytes);
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Service {
    pub fn new(settings: &Settings) -> Self {
        Self {
            socket: settings.socket.clone(),
            timeout: settings.timeout,
            client: OnceLock::new(),
            meter: OnceLock::new(),
        }
    }

    /// Counts what is done with it from now on, under that name.
    pub fn measure(&self, name: &str, env: &Env) {
        self.meter.get_or_init(|| Meter::new(name, env));
    }

    /// What counts.
    pub fn meter(&self) -> Option<&Meter> {
        self.meter.get()
    }

    fn client(&self) -> Client<Channel> {
        let make = || {
            let endpoint = Endpoint::from_static("http://localhost");
            let channel = endpoint.connect_with_connector_lazy(Connector(self.socket.clone()));
            Client::new(channel).max_decoding_message_size(ANSWER)
        };
        self.client.get_or_init(make).clone()
    }

    async fn within<T>(
        &self,
        clock: &Clock,
        method: &str,
        asked: impl Future<Output = Result<Response<T>, Status>>,
    ) -> Result<T, Failed> {
        let start = clock.now();
        let answer = clock.timeout(self.timeout, asked).await;
        if let Some(meter) = self.meter.get() {
            let code = match &answer {
                Some(Ok(_)) => Code::Ok,
                Some(Err(status)) => status.code(),
                None => Code::DeadlineExceeded,
            };
            meter.answered(method, code, clock.now().duration_since(start));
        }
        match answer {
            Some(Ok(answer)) => Ok(answer.into_inner()),
            Some(Err(status)) => Err(Failed {
                why: format!(
                    "rpc error: code = {:?} desc = {}",
                    status.code(),
                    status.message()
                ),
                code: status.code(),
                lasting: !matches!(
                    status.code(),
                    Code::Unavailable | Code::DeadlineExceeded | Code::Cancelled | Code::ResourceExhausted
                ),
            }),
            None => Err(Failed {
                why: format!("no answer within {:?}", self.timeout),
                code: Code::DeadlineExceeded,
                lasting: false,
            }),
        }
    }

    pub async fn status(&self, clock: &Clock) -> Result<StatusResponse, Failed> {
        let mut client = self.client();
        self.within(clock, "Status", client.status(StatusRequest {}))
            .await
    }

    pub async fn encrypt(
        &self,
        plaintext: Bytes,
        random: &Random,
        clock: &Clock,
    ) -> Result<EncryptResponse, Failed> {
        let mut client = self.client();
        let uid = uid(random);
        self.within(
            clock,
            "Encrypt",
            client.encrypt(EncryptRequest { plaintext, uid }),
        )
        .await
    }

    pub async fn decrypt(
        &self,
        object: EncryptedObject,
        random: &Random,
        clock: &Clock,
    ) -> Result<Bytes, Failed> {
        let mut client = self.client();
        let request = DecryptRequest {
            ciphertext: object.encrypted_dek_source,
            uid: uid(random),
            key_id: object.key_id,
            annotations: object.annotations,
        };
        let answer = self.within(clock, "Decrypt", client.decrypt(request)).await?;
        Ok(answer.plaintext)
    }
}
