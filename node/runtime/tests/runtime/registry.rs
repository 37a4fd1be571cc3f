//! A registry on loopback and images for it, made from a static busybox.

use bytes::Bytes;
use http_body_util::{BodyExt, Full, StreamBody, combinators::BoxBody};
use hyper::{
    Request, Response,
    body::{Frame, Incoming},
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use sha2::{Digest, Sha256};
use std::{
    collections::BTreeMap,
    io::Write,
    path::Path,
    sync::{Arc, Mutex},
};

/// What an entry of a layer is.
pub enum Entry<'a> {
    File(&'a str, u32, &'a [u8]),
    Dir(&'a str),
    Symlink(&'a str, &'a str),
    Hard(&'a str, &'a str),
}

/// Media type and bytes by path.
type Content = BTreeMap<String, (String, Vec<u8>)>;

#[derive(Clone, Default)]
pub struct Registry {
    content: Arc<Mutex<Content>>,
    /// Blob answers are cut after so many bytes, once each.
    pub cut: Arc<Mutex<Option<usize>>>,
    pub port: u16,
}

impl Registry {
    pub async fn serve(tasks: &component::Tasks) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let registry = Self {
            port: listener.local_addr().unwrap().port(),
            ..Self::default()
        };
        let (served, inner) = (registry.clone(), tasks.clone());
        tasks.spawn("registry", async move {
            while let Ok((stream, _)) = listener.accept().await {
                let registry = served.clone();
                let service = service_fn(move |request| {
                    let registry = registry.clone();
                    async move { Ok::<_, std::convert::Infallible>(registry.answer(&request)) }
                });
                inner.spawn("registry connection", async move {
                    let io = TokioIo::new(stream);
                    let _ = hyper::server::conn::http1::Builder::new()
                        .serve_connection(io, service)
                        .await;
                });
            }
        });
        registry
    }

    /// Serves the same behind TLS; the port.
    pub async fn serve_tls(
        &self,
        tasks: &component::Tasks,
        made: &rcgen::CertifiedKey<rcgen::KeyPair>,
    ) -> u16 {
        let key = rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = rustls::ServerConfig::builder_with_provider(provider);
        let builder = builder
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth();
        let config = builder
            .with_single_cert(vec![made.cert.der().clone()], key)
            .unwrap();
        let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (port, plain) = (listener.local_addr().unwrap().port(), self.port);
        let inner = tasks.clone();
        tasks.spawn("tls registry", async move {
            while let Ok((stream, _)) = listener.accept().await {
                let acceptor = acceptor.clone();
                inner.spawn("tls connection", async move {
                    if let Ok(mut secure) = acceptor.accept(stream).await
                        && let Ok(mut plain) = tokio::net::TcpStream::connect(("127.0.0.1", plain)).await
                    {
                        let _ = tokio::io::copy_bidirectional(&mut secure, &mut plain).await;
                    }
                });
            }
        });
        port
    }

    fn answer(&self, request: &Request<Incoming>) -> Response<Body> {
        let path = request.uri().path();
        let authorization = request
            .headers()
            .get("authorization")
            .and_then(|value| value.to_str().ok());
        if path == "/token" {
            let query = request.uri().query().unwrap_or_default();
            let known =
                authorization == Some("Basic dXNlcjpzZWNyZXQ=") && query.contains("service=test%20registry");
            let (status, body) = if known {
                (200, r#"{"token":"t0"}"#)
            } else {
                (401, "{}")
            };
            return Response::builder()
                .status(status)
                .body(full(body.into()))
                .unwrap();
        }
        if path.starts_with("/v2/guarded/") && authorization != Some("Bearer t0") {
            let challenge = format!(
                r#"Bearer realm="http://127.0.0.1:{}/token",service="test registry""#,
                self.port
            );
            let response = Response::builder()
                .status(401)
                .header("www-authenticate", challenge);
            return response.body(full(Vec::new())).unwrap();
        }
        let Some((kind, body)) = self.content.lock().unwrap().get(path).cloned() else {
            return Response::builder().status(404).body(full(Vec::new())).unwrap();
        };
        let from = request.headers().get("range").and_then(|range| {
            range
                .to_str()
                .ok()?
                .strip_prefix("bytes=")?
                .strip_suffix('-')?
                .parse::<usize>()
                .ok()
        });
        let response = Response::builder().header("content-type", kind);
        if let Some(from) = from {
            return response.status(206).body(full(body[from..].to_vec())).unwrap();
        }
        if path.contains("/blobs/")
            && let Some(cut) = self.cut.lock().unwrap().take_if(|cut| *cut < body.len())
        {
            let part = Frame::data(Bytes::from(body[..cut].to_vec()));
            let frames = [Ok(part), Err(std::io::Error::other("cut, as the test wants"))];
            return response
                .body(BodyExt::boxed(StreamBody::new(futures::stream::iter(frames))))
                .unwrap();
        }
        response.body(full(body)).unwrap()
    }

    pub fn put(&self, path: &str, kind: &str, body: &[u8]) -> String {
        self.content
            .lock()
            .unwrap()
            .insert(format!("/v2/{path}"), (kind.to_owned(), body.to_vec()));
        digest(body)
    }

    /// Serves the blobs of `from` under the digests of `to`'s.
    pub fn forge(&self, to: &str, from: &str) {
        let mut content = self.content.lock().unwrap();
        let blobs = |of: &str| format!("/v2/{of}/blobs/");
        let forged = content
            .iter()
            .find(|(path, _)| path.starts_with(&blobs(from)))
            .unwrap()
            .1
            .clone();
        content
            .iter_mut()
            .filter(|(path, _)| path.starts_with(&blobs(to)))
            .for_each(|(_, value)| *value = forged.clone());
    }

    /// Puts an image with `layers` (tar archives, plain) under `repository:tag`, behind a list for two platforms.
    pub fn image(&self, repository: &str, tag: &str, config: &str, layers: &[Vec<u8>]) {
        let diff_ids: Vec<String> = layers
            .iter()
            .map(|layer| format!("{:?}", digest(layer)))
            .collect();
        let blobs: Vec<String> = layers.iter().enumerate().map(|(at, layer)| {
            let packed = match at % 3 {
                0 => gzip(layer),
                1 => zstd::encode_all(&layer[..], 3).unwrap(),
                _ => layer.clone(),
            };
            let digest = digest(&packed);
            self.put(&format!("{repository}/blobs/{digest}"), "application/octet-stream", &packed);
            format!(r#"{{"mediaType":"application/vnd.oci.image.layer.v1.tar+gzip","digest":"{digest}","size":{}}}"#, packed.len())
        }).collect();
        let arch = if std::env::consts::ARCH == "x86_64" {
            "amd64"
        } else {
            "arm64"
        };
        let config = format!(
            r#"{{"architecture":"{arch}","os":"linux","config":{config},"rootfs":{{"type":"layers","diff_ids":[{}]}}}}"#,
            diff_ids.join(",")
        );
        let config_digest = digest(config.as_bytes());
        self.put(
            &format!("{repository}/blobs/{config_digest}"),
            "application/json",
            config.as_bytes(),
        );
        let kind = "application/vnd.oci.image.manifest.v1+json";
        let manifest = format!(
            r#"{{"schemaVersion":2,"mediaType":"{kind}","config":{{"digest":"{config_digest}","size":{}}},"layers":[{}]}}"#,
            config.len(),
            blobs.join(",")
        );
        let digest = digest(manifest.as_bytes());
        self.put(
            &format!("{repository}/manifests/{digest}"),
            kind,
            manifest.as_bytes(),
        );
        let index_kind = "application/vnd.oci.image.index.v1+json";
        let other = format!("sha256:{}", "0".repeat(64));
        let index = format!(
            r#"{{"schemaVersion":2,"mediaType":"{index_kind}","manifests":[
            {{"digest":"{other}","platform":{{"architecture":"s390x","os":"linux"}}}},
            {{"digest":"{digest}","platform":{{"architecture":"{arch}","os":"linux"}}}}]}}"#
        );
        let index_digest = self.put(
            &format!("{repository}/manifests/{tag}"),
            index_kind,
            index.as_bytes(),
        );
        self.put(
            &format!("{repository}/manifests/{index_digest}"),
            index_kind,
            index.as_bytes(),
        );
    }
}

type Body = BoxBody<Bytes, std::io::Error>;

fn full(bytes: Vec<u8>) -> Body {
    Full::from(bytes).map_err(|never| match never {}).boxed()
}

pub fn digest(bytes: &[u8]) -> String {
    let hex: String = Sha256::digest(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    format!("sha256:{hex}")
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// A layer of these entries; names are taken as they are, also bad ones.
pub fn layer(entries: &[Entry<'_>]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for entry in entries {
        let mut header = tar::Header::new_gnu();
        let (name, mode, kind, body, link): (&str, u32, _, &[u8], &str) = match entry {
            Entry::File(name, mode, body) => (name, *mode, tar::EntryType::Regular, body, ""),
            Entry::Dir(name) => (name, 0o755, tar::EntryType::Directory, b"", ""),
            Entry::Symlink(name, to) => (name, 0o777, tar::EntryType::Symlink, b"", to),
            Entry::Hard(name, to) => (name, 0o644, tar::EntryType::Link, b"", to),
        };
        header.as_gnu_mut().unwrap().name[..name.len()].copy_from_slice(name.as_bytes());
        header.as_gnu_mut().unwrap().linkname[..link.len()].copy_from_slice(link.as_bytes());
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(1_000_000_000);
        header.set_size(body.len() as u64);
        header.set_cksum();
        builder.append(&header, body).unwrap();
    }
    builder.into_inner().unwrap()
}

/// The layer every test image has at its bottom.
pub fn busybox() -> Vec<u8> {
    let program = std::fs::read(busybox_path()).unwrap();
    let mut entries = vec![
        Entry::Dir("bin"),
        Entry::Dir("etc"),
        Entry::Dir("tmp"),
        Entry::File("bin/busybox", 0o755, &program),
        Entry::File(
            "etc/passwd",
            0o644,
            b"root:x:0:0:root:/root:/bin/sh\nweb:x:101:102:w:/home/web:/bin/sh\n",
        ),
        Entry::File("etc/group", 0o644, b"root:x:0:\nweb:x:102:\nextra:x:7:web\n"),
        Entry::File("etc/notrunnable", 0o644, b"x"),
        // A link that leads out of the image, where a mount goes.
        Entry::Symlink("etc/resolv.conf", "../run/nothing/here.conf"),
    ];
    let links = [
        "sh", "cat", "echo", "sleep", "id", "ls", "head", "tail", "nc", "hostname", "mount", "mknod", "ps",
        "env",
    ];
    let names: Vec<String> = links.iter().map(|name| format!("bin/{name}")).collect();
    entries.extend(names.iter().map(|name| Entry::Symlink(name, "busybox")));
    layer(&entries)
}

fn busybox_path() -> &'static Path {
    let path = Path::new("/bin/busybox");
    assert!(
        path.exists(),
        "no {}: `cargo xtask test` installs it, or apt-get install busybox-static",
        path.display()
    );
    path
}
