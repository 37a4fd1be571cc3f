//! TLS, on both sides.

use crate::lab::*;
use component::{
    Env,
    pki::{Authority, Leaf, Purpose, client_config},
};
use etcd::{Endpoints, Remote, Store};
use std::sync::Arc;

pub fn server(leaf: &Leaf, ca: &str) -> Arc<rustls::ServerConfig> {
    use rustls::pki_types::{CertificateDer, pem::PemObject};
    let mut roots = rustls::RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_slice(ca.as_bytes()).unwrap())
        .unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier =
        rustls::server::WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone());
    let (chain, key) = leaf.der().unwrap();
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(verifier.build().unwrap())
        .with_single_cert(chain, key)
        .unwrap();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Arc::new(config)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_who_shows_the_right_certificate_is_served() {
    let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let now = Env::system().clock.wall();
    let authority = Authority::open(dir.path(), now).unwrap();
    let stranger = Authority::open(other.path(), now).unwrap();
    let purpose = Purpose::server("etcd", vec!["127.0.0.1".to_owned()]);
    let leaf = authority.leaf("server", &purpose, now).unwrap();
    let client = authority
        .leaf("client", &Purpose::client("apiserver", &[]), now)
        .unwrap();
    let etcd = Ours::start_with(|_| {}, Some(server(&leaf, authority.certificate()))).await;
    let store = |ca: &Authority, leaf: Option<&Leaf>| {
        let endpoints = Endpoints {
            servers: vec![etcd.url.clone()],
            tls: Some(client_config(ca.certificate(), leaf).unwrap()),
            ..Endpoints::default()
        };
        Remote::new(&endpoints, Env::system()).unwrap()
    };
    let good = store(&authority, Some(&client));
    assert_eq!(put(&*good, "/registry/a", "1").await, 2);
    for bad in [store(&authority, None), store(&stranger, Some(&client))] {
        assert!(bad.revision().await.is_err());
    }
    let file = |name: &str| dir.path().join(name).display().to_string();
    let (ca, cert, key) = (file("ca.crt"), file("client.crt"), file("client.key"));
    let said = ctl(
        &etcd.url,
        &[
            "--cacert",
            &ca,
            "--cert",
            &cert,
            "--key",
            &key,
            "get",
            "/registry/a",
        ],
    )
    .await;
    assert_eq!(said.out, "/registry/a\n1\n", "{said:?}");
    let said = ctl(
        &etcd.url,
        &[
            "--cacert",
            &ca,
            "--dial-timeout=1s",
            "--command-timeout=2s",
            "get",
            "a",
        ],
    )
    .await;
    assert_ne!(said.code, Some(0), "{said:?}");
}
