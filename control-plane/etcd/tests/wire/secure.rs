//! TLS, on both sides.

use crate::lab::*;
use component::{
    Env,
    pki::{Authority, Leaf, Purpose, client_config},
};
use etcd::{Endpoints, Remote, Store};
use std::{path::Path, sync::Arc};

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

/// Somebody who comes to a server that serves by TLS those of its CA: what is wrong, the CA that they trust, what they show.
fn visitors(good: &Path, other: &Path) -> Vec<(&'static str, bool, Vec<String>)> {
    let show = |ca: &Path, own: Option<(&Path, &'static str)>| {
        let mut args = vec![format!("--cacert={}", ca.join("ca.crt").display())];
        if let Some((dir, name)) = own {
            let dir = dir.to_owned();
            let [_, cert, key] = Tls { dir, name }.files();
            args.extend([format!("--cert={cert}"), format!("--key={key}")]);
        }
        args
    };
    vec![
        ("nothing", true, show(good, Some((good, "client")))),
        ("no certificate", false, show(good, None)),
        ("one of another CA", false, show(good, Some((other, "client")))),
        ("one that is over", false, show(good, Some((good, "over")))),
        (
            "one that is for servers",
            false,
            show(good, Some((good, "server-only"))),
        ),
        (
            "the server is of no CA that is trusted",
            false,
            show(other, Some((good, "client"))),
        ),
    ]
}

/// What a server says to who speaks no TLS to it.
async fn plainly(url: &str) -> String {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let address = url.strip_prefix("https://").unwrap();
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let request = b"GET /version HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    stream.write_all(request).await.unwrap();
    let mut answer = Vec::new();
    let ended = tokio::time::timeout(LIMIT, stream.read_to_end(&mut answer)).await;
    // It may as well be reset.
    drop(ended.expect("waited for a connection without TLS to be ended"));
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_tls_is_refused_by_ours_and_by_debians_server() {
    let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let now = Env::system().clock.wall();
    let long_ago = now - jiff::SignedDuration::from_hours(24 * 500);
    let authority = Authority::open(dir.path(), long_ago).unwrap();
    let client = Purpose::client("apiserver", &[]);
    let names = || vec!["127.0.0.1".to_owned()];
    let both = Purpose {
        client: true,
        ..Purpose::server("etcd", names())
    };
    let leaf = authority.leaf("server", &both, now).unwrap();
    authority.leaf("client", &client, now).unwrap();
    authority.leaf("over", &client, long_ago).unwrap();
    authority
        .leaf("server-only", &Purpose::server("etcd", names()), now)
        .unwrap();
    let stranger = Authority::open(other.path(), now).unwrap();
    stranger.leaf("client", &client, now).unwrap();
    let ours = Ours::start_with(|_| {}, Some(server(&leaf, authority.certificate()))).await;
    let theirs = Theirs::start_secure(&Tls {
        dir: dir.path().to_owned(),
        name: "server",
    })
    .await;
    for (who, url) in [("ours", &ours.url), ("theirs", &theirs.url)] {
        for (wrong, served, args) in visitors(dir.path(), other.path()) {
            let asked = ["get", "a", "--dial-timeout=10s", "--command-timeout=10s"];
            // Who is refused would try again until then.
            let refused = ["get", "a", "--dial-timeout=1s", "--command-timeout=2s"];
            let rest = if served { asked } else { refused };
            let args: Vec<&str> = args.iter().map(String::as_str).chain(rest).collect();
            let said = ctl(url, &args).await;
            assert_eq!(said.code == Some(0), served, "{who}, {wrong}: {said:?}");
        }
        let plain = plainly(url).await;
        assert!(!plain.contains("HTTP/1.1 200"), "{who}: {plain}");
        let to_plain = url.replace("https", "http");
        let said = ctl(
            &to_plain,
            &["get", "a", "--dial-timeout=1s", "--command-timeout=2s"],
        )
        .await;
        assert_ne!(said.code, Some(0), "{who}, by plain text: {said:?}");
    }
    // And the other way around: TLS to who speaks none.
    let ours = Ours::start(|_| {}).await;
    let [ca, cert, key] = Tls {
        dir: dir.path().to_owned(),
        name: "client",
    }
    .files();
    let flags = [
        "--cacert",
        &ca,
        "--cert",
        &cert,
        "--key",
        &key,
        "--command-timeout=2s",
        "get",
        "a",
    ];
    let said = ctl(&ours.url.replace("http", "https"), &flags).await;
    assert_ne!(said.code, Some(0), "{said:?}");
}
