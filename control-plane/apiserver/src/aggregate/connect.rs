//! The way to other servers: TLS over what `Dial` or the network opens.

use super::{available, service::Remote};
use crate::{
    Server,
    backends::SERVICES,
    http::way::{self, Sender},
};
use client::{Duplex, Peer};
use component::pki;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, pki_types::ServerName};
use std::{io, sync::Arc, time::Duration};

/// How long a server may take to be reached.
const DIAL: Duration = Duration::from_secs(30);
/// The authorities of the host, for servers without a bundle of their own.
const AUTHORITIES: &str = "/etc/ssl/certs/ca-certificates.crt";

impl Server {
    /// Opens a connection to `remote`, as the front proxy. Whether it is the right server is not looked at unless
    /// `verified`.
    pub(super) async fn connect(&self, remote: &Remote, verified: bool) -> Result<Sender, String> {
        let config = self
            .front_proxy_tls(remote, verified)
            .map_err(|error| error.to_string())?;
        let open = async {
            let stream = self.reach(remote).await?;
            let name = ServerName::try_from(remote.server_name()).map_err(io::Error::other)?;
            let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
            connector.connect(name, stream).await
        };
        let stream = self.handler.env.clock.timeout(DIAL, open).await;
        let stream = stream.unwrap_or_else(|| Err(io::ErrorKind::TimedOut.into()));
        let stream = stream.map_err(|error| self.failure(remote, &error))?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|error| way::said(&error))?;
        let tasks = self.handler.env.tasks.child();
        tasks.spawn("aggregated-connection", async move {
            let _ = connection.with_upgrades().await;
        });
        Ok(sender)
    }

    async fn reach(&self, remote: &Remote) -> io::Result<Box<dyn Duplex>> {
        let (namespace, name, port) = (&remote.namespace, &remote.name, remote.port);
        let service = self.reader().get(&SERVICES, namespace, name);
        let outside = service.and_then(|service| available::external_name(&service));
        match outside {
            Some(host) => Ok(Box::new(tokio::net::TcpStream::connect((host, port)).await?)),
            None => {
                let peer = Peer::Service(namespace.clone(), name.clone(), port);
                self.dial.dial(&peer).await
            }
        }
    }

    fn front_proxy_tls(&self, remote: &Remote, verified: bool) -> io::Result<ClientConfig> {
        let config = match remote.ca.as_str() {
            _ if !verified || remote.insecure => pki::unverified_client_config(),
            "" => pki::client_config(&std::fs::read_to_string(AUTHORITIES)?, None),
            bundle => pki::client_config(bundle, None),
        };
        let mut config = config.map_err(io::Error::other)?;
        if let Some(certificate) = &self.aggregator.settings.certificate {
            config.client_auth_cert_resolver = certificate.clone();
        }
        Ok(config)
    }

    /// Why a server is not reached, in Go's words.
    fn failure(&self, remote: &Remote, error: &io::Error) -> String {
        let inner = error
            .get_ref()
            .and_then(|inner| inner.downcast_ref::<rustls::Error>());
        match inner {
            Some(rustls::Error::InvalidCertificate(rustls::CertificateError::UnknownIssuer)) => {
                "tls: failed to verify certificate: x509: certificate signed by unknown authority".to_owned()
            }
            Some(rustls::Error::InvalidCertificate(why)) => {
                format!("tls: failed to verify certificate: x509: {why}")
            }
            Some(other) => format!("tls: {other}"),
            None => format!("dial tcp {}: {}", self.address(remote), way::told(error)),
        }
    }

    /// Address and port of its Service.
    pub(super) fn address(&self, remote: &Remote) -> String {
        let service = self.reader().get(&SERVICES, &remote.namespace, &remote.name);
        let ip = service.and_then(|service| available::cluster_ip(&service));
        ip.map_or_else(|| remote.authority(), |ip| format!("{ip}:{}", remote.port))
    }
}
