//! Users, their roles and what those may do. `users-3.4.db` is what etcdctl saved of an etcd 3.4.23 that asks who comes: `ann`
//! has the role `app`, which may read and write what begins with `app/` and read `other/c`; `bob` has one that may nothing.

use crate::{
    lab::{data, parse, taken},
    restore::{Running, listener},
};
use backup::{Bump, Content, restore};
use component::Env;
use etcd::replica;
use std::{path::Path, process::Command};

/// Commands of etcdctl and what it says, of which the last line counts.
const SAID: &[(&str, &str)] = &[
    ("--user ann:pass get other/c --print-value-only", "3"),
    ("--user ann:pass put app/a 2", "OK"),
    (
        "--user ann:pass put other/c 4",
        "Error: etcdserver: permission denied",
    ),
    (
        "--user bob:word get app/a",
        "Error: etcdserver: permission denied",
    ),
    (
        "--user ann:word get app/a",
        "Error: etcdserver: authentication failed, invalid user ID or password",
    ),
    ("get app/a", "Error: etcdserver: user name is empty"),
    ("--user root:secret get app/a --print-value-only", "2"),
    ("--user root:secret put app/a 1", "OK"),
    ("--user root:secret user get ann", "Roles: app"),
    ("--user root:secret role get app", "\t[app/, app0) (prefix app/)"),
    (
        "--user ann:pass role list",
        "Error: etcdserver: permission denied",
    ),
];

fn etcdctl(url: &str, words: &str) -> String {
    let mut command = Command::new("etcdctl");
    command.env("ETCDCTL_API", "3").arg("--endpoints").arg(url);
    let done = command.args(words.split(' ')).output();
    // It is of Debian's etcd-client.
    let done = done.unwrap();
    let told = [done.stdout, done.stderr].concat();
    let told = String::from_utf8(told).unwrap();
    let mut lines = told.lines().filter(|line| !line.starts_with('{'));
    lines.next_back().unwrap_or_default().to_owned()
}

/// Starts a server of this, hears what etcdctl says of it, and takes a snapshot.
async fn served(content: Content, dir: &Path) -> Content {
    let env = Env::system();
    let restored = restore(content, dir, None, Bump::default(), false, &env).await;
    assert_eq!(restored.unwrap().keys, 3);
    let ((peers, peer_url), (clients, url)) = (listener().await, listener().await);
    let settings = replica::Settings {
        client_urls: vec![url.clone()],
        initial_cluster: vec![("default".to_owned(), peer_url.clone())],
        peer_urls: vec![peer_url],
        ..replica::Settings::new(dir)
    };
    let running = Running::start(settings, (peers, clients)).await;
    for (words, said) in SAID {
        assert_eq!(etcdctl(&url, words), *said, "{words}");
    }
    let file = taken(&running.replica.engine()).await;
    running.stop().await;
    parse(&file, false).unwrap().content().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn users_and_roles_come_back_with_what_they_may_do() {
    let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let upstream = parse(&data("users-3.4.db.zst"), false).unwrap();
    let ours = served(upstream.content().unwrap(), first.path()).await;
    served(ours, second.path()).await;
}
