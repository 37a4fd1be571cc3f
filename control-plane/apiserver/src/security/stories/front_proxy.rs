//! Front proxies: whose word about users is taken, and whose is not.

use super::{key, settings};
use crate::{
    fixture,
    security::{RequestHeader, Trust, User, standard},
};
use component::{
    Clock, Env,
    pki::{Authority, Purpose},
};
use http::Request;
use rustls::pki_types::CertificateDer;
use std::path::Path;

fn chain(authority: &Authority, name: &str, groups: &[&str]) -> Vec<CertificateDer<'static>> {
    let now = Clock::system().wall();
    authority
        .leaf(name, &Purpose::client(name, groups), now)
        .unwrap()
        .der()
        .unwrap()
        .0
}

fn authority(folder: &Path, name: &str, common_name: &str) -> Authority {
    Authority::named(folder, name, common_name, Clock::system().wall()).unwrap()
}

async fn asks(trust: Trust, headers: &[(&str, &str)], chain: &[CertificateDer<'static>]) -> Option<User> {
    let (server, env) = fixture::whole().await;
    let mut settings = settings(&env, &key());
    settings.trust = trust;
    // Certificates are of the clock of the machine.
    settings.env.clock = Env::system().clock;
    let security = standard(&server.reader(), settings).unwrap();
    let mut request = Request::get("/");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let (parts, ()) = request.body(()).unwrap().into_parts();
    security
        .authn
        .authenticate(&parts, chain)
        .now()
        .unwrap()
        .unwrap_or_default()
}

#[tokio::test(start_paused = true)]
async fn front_proxies_name_users() {
    let folder = tempfile::tempdir().unwrap();
    let clients = authority(folder.path(), "ca", "kubernetes");
    let proxies = authority(folder.path(), "front-proxy-ca", "front-proxy-ca");
    // One who calls itself the same, and is not.
    let elsewhere = tempfile::tempdir().unwrap();
    let stranger = authority(elsewhere.path(), "ca", "front-proxy-ca");
    let trust = Trust {
        client_ca: [clients.certificate(), stranger.certificate()].concat(),
        request_header: Some(RequestHeader::usual(proxies.certificate(), "proxy")),
    };
    let headers = [
        ("x-remote-user", "ann"),
        ("x-remote-uid", "7"),
        ("x-remote-group", "dev"),
        ("x-remote-group", "ops"),
        ("x-remote-extra-example.com%2fid", "1"),
    ];
    let user = asks(trust.clone(), &headers, &chain(&proxies, "proxy", &[]))
        .await
        .unwrap();
    assert_eq!((user.name.as_str(), user.uid.as_str()), ("ann", "7"));
    assert_eq!(user.groups, ["dev", "ops", "system:authenticated"]);
    assert_eq!(user.extra["example.com/id"], ["1"]);

    // A client is who its certificate says, whatever it says of others; so is one whose CA only has the same name.
    let bob = asks(trust.clone(), &headers, &chain(&clients, "bob", &["dev"])).await;
    assert_eq!(bob.unwrap().name, "bob");
    let eve = asks(trust.clone(), &headers, &chain(&stranger, "proxy", &[])).await;
    assert_eq!(eve.unwrap().name, "proxy");

    // A proxy is nobody by itself, and neither is one whose name is not in the list.
    assert_eq!(
        asks(trust.clone(), &[], &chain(&proxies, "proxy", &["system:masters"])).await,
        None
    );
    assert_eq!(
        asks(
            trust.clone(),
            &headers,
            &chain(&proxies, "other", &["system:masters"])
        )
        .await,
        None
    );
    assert_eq!(asks(trust, &headers, &[]).await, None);
}
