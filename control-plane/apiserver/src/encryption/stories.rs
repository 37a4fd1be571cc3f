use super::{Keyring, Sealed, cipher::cipher};
use crate::fixture;
use api::{Gvr, Key, Status};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use bytes::Bytes;
use client::{Client, ListParams, Target, WatchParams, Write};
use component::{Env, Random};
use etcd::{Engine, RangeRequest, Store};
use futures::StreamExt as _;
use std::sync::Arc;

const CBC: &str = "cbc-key-of-thirty-two-bytes-long";
const GCM: &str = "gcm-key-16-bytes";
const BOX: &str = "box-key-of-thirty-two-bytes-long";

/// An entry of a configuration: resources, then providers with the names and secrets of their keys.
fn entry(resources: &str, providers: &[(&str, &str, &str)]) -> String {
    let provider = |(provider, name, secret): &(&str, &str, &str)| match *provider {
        "identity" => "  - identity: {}\n".to_owned(),
        _ => format!(
            "  - {provider}: {{keys: [{{name: {name}, secret: {}}}]}}\n",
            BASE64_STANDARD.encode(secret)
        ),
    };
    let providers: String = providers.iter().map(provider).collect();
    format!("- resources: {resources}\n  providers:\n{providers}")
}

fn file(entries: &[String]) -> String {
    let kind = "apiVersion: apiserver.config.k8s.io/v1\nkind: EncryptionConfiguration\n";
    format!("{kind}resources:\n{}", entries.concat())
}

fn keyring(entries: &[String]) -> Keyring {
    Keyring::parse(file(entries).as_bytes()).unwrap()
}

#[test]
fn what_upstreams_server_sealed_is_opened() {
    // Stored by kube-apiserver 1.20 with these keys.
    const STORED: [(&str, &str, &str, &str); 3] = [
        (
            "secrets",
            "/registry/secrets/default/golden",
            "hush",
            "azhzOmVuYzphZXNjYmM6djE6b25lOo+6NNTy3bUqiQdq+UXJdDZANVdOqEN4Bh/psK7L43GXdWWH1qagPA9MJVjUnyX4cxYQEr4g5hD421JGez5d+YEPtH1tPeB2CIo3L2x6zB0W1qZzPGOOEVE9i3sLKe1SlO62SVOigW3R38ZDNlQwaDJ6X9bAqtfkJYlrZs0wOrtyuYisy22qb2/FXHl6CK3EL2x8ay5fN3ozeNtqLLHEdWsl7eBStqDgjlX0IyN7W73iwa+b58QxQJycgQ4mfRDE25FQGbkZIz9KcmrXboB3aMIwHMZR0PAz1rs4mT7yu6ErgwqwhEAh/oN2M7trRzewVg==",
        ),
        (
            "configmaps",
            "/registry/configmaps/default/golden",
            "loud",
            "azhzOmVuYzphZXNnY206djE6dHdvOlVIl7zmkm3juZcIhQEnYTqAMvRBFy2zIZcmemPYMctPkrQoG/7BZqH17GuTkIiSC0cKxv8ElKp0ipoe6nA0Pj1duOY+7dIi/ULbwdqpjrHBh4D4kr+VMFgbVdHPe9prSE/PoU1iksLItOUiwokRJZ1078+wHLQhkcJXUQrPs/QmeHjvqXv4aP00SDP3IGaPvV1Ie5ZT2W3oW+WwUTL4WzmklJel+CFizkxxjzGlQnbDPRIys7tvd5nVJb0SoDz4lGvQRcKuSGXqi3vj81NuybheJgQNWfovgDnSllBCSCl6iZR5L+m/fo2JuQ==",
        ),
        (
            "endpoints",
            "/registry/services/endpoints/default/golden",
            "golden",
            "azhzOmVuYzpzZWNyZXRib3g6djE6dGhyZWU6lzv35W8vn2rUapedIGpfplgrr7aeHFgeqHPdBVZrHqd23ZhiED1zWIgZOF5gUCPq/6cyHE4E2cOrWRJKkutFrO2lFi8ffPtRXFyToFSXMBFRymYQd2LPXsCDy9VCoIAQqV8AIm//v4MM0ERAwoy8aEdTzX1WxKBNI+zpek8eXzj6YGOkQUQvi8LoplZFlbJeKdJzpI5+fE6lSypTBDdJ26kY+HpTcjvJ3TrK5mBWD1PxdFB3CnDdYrwPDigry402UEfy7VXh2/uVX4QZtwzqG8gw42uki9r5PQboAjRx5gBhMN+jo4gYK1Rca53KyOYDGxSpkaF0fz/gug6bhLiy/Fl21sFtpMymsaYQnIeU3zOsSxNP/+T8UF9ffm302IA1yRpJTg/BNuo+wWTam9tDkm57KQ4VY+0iHZ8tB9UG7VieZQU0rh3r95Y0/IfvLRO+3Ovgze/ArUyquoRdVI1S0oAtk+xZL4CCc/VG8FkKevZseyxm61N2zITV/grRAbeDrlngVJC5Poev/VJl+RCz0ANV7fqZ/TYvpftvAXIULf+AkMNl2QxYov6iFt9oiLe7YjiUa84fCe69CYTE2KFzzJl3lqpplvYk6EcWe7R8RSDkXAP5fL4Swg==",
        ),
    ];
    let ring = keyring(&[
        entry("[secrets]", &[("aescbc", "one", CBC)]),
        entry("[configmaps]", &[("aesgcm", "two", GCM)]),
        entry("[endpoints]", &[("secretbox", "three", BOX)]),
    ]);
    for (plural, key, word, stored) in STORED {
        let stored = Bytes::from(BASE64_STANDARD.decode(stored).unwrap());
        let opened = ring.open(("", plural), key.as_bytes(), stored.clone()).unwrap();
        assert!(!opened.stale && opened.value.starts_with(b"k8s\0"), "{plural}");
        assert!(
            opened
                .value
                .windows(word.len())
                .any(|part| part == word.as_bytes())
        );
        let mut changed = stored.to_vec();
        let last = changed.len() - 1;
        changed[last - 20] ^= 1;
        let refused = ring.open(("", plural), key.as_bytes(), changed.into());
        // Without a tag, a change of AES-CBC shows only in the padding.
        assert!(refused.is_err() || plural == "secrets");
    }
}

#[test]
fn every_cipher_opens_what_it_sealed() {
    let random = Random::seeded(1);
    for (provider, lengths) in [
        ("aesgcm", &[16, 24, 32][..]),
        ("aescbc", &[16, 24, 32]),
        ("secretbox", &[32]),
    ] {
        for length in lengths {
            let [one, other] = [1, 2].map(|byte| cipher(provider, &vec![byte; *length]).unwrap());
            for value in [&b""[..], b"a", &[7; 16], &[9; 4097]] {
                let sealed = one.seal(value, b"here", &random).unwrap();
                assert_ne!(
                    sealed,
                    one.seal(value, b"here", &random).unwrap(),
                    "a nonce comes once"
                );
                assert_eq!(one.open(&sealed, b"here").unwrap(), value);
                if value.len() > 16 {
                    assert_ne!(other.open(&sealed, b"here").ok().as_deref(), Some(value));
                }
                for cut in [0, 5, sealed.len() - 1] {
                    assert_ne!(one.open(&sealed[..cut], b"here").ok().as_deref(), Some(value));
                }
                assert_eq!(one.open(&sealed, b"there").is_err(), provider == "aesgcm");
            }
        }
        assert!(cipher(provider, &[1; 20]).is_none());
    }
}

#[test]
fn configurations_that_cannot_work_are_refused() {
    let key =
        |name: &str, secret: &str| format!("{{aescbc: {{keys: [{{name: '{name}', secret: '{secret}'}}]}}}}");
    let of = |resources: &str, providers: &str| {
        file(&[format!("- {{resources: {resources}, providers: {providers}}}\n")])
    };
    let good = key("a", &BASE64_STANDARD.encode(CBC));
    let cases = [
        (
            "kind: Pod\napiVersion: v1\n".to_owned(),
            r#"no kind "Pod" is registered for version "v1""#,
        ),
        (
            file(&[]).replace("resources:\n", "resources: []\n"),
            "resources: Required value: at least one resources is required",
        ),
        (
            of("[]", &format!("[{good}]")),
            "resources[0].resources: Required value: at least one resources[0].resources is required",
        ),
        (
            of("[secrets]", "[]"),
            "resources[0].providers: Required value: at least one resources[0].providers is required",
        ),
        (
            of("[secrets]", "[{}]"),
            "provider does not contain any of the expected providers",
        ),
        (
            of(
                "[secrets]",
                &format!("[{}]", good.replacen('{', "{identity: {}, ", 1)),
            ),
            "more than one provider specified in a single element",
        ),
        (
            of("[secrets]", "[{aesgcm: {keys: []}}]"),
            "providers[0].aesgcm.keys: Required value: at least one keys is required",
        ),
        (
            of("[secrets]", &format!("[{}]", key("", "AAAA"))),
            "keys[0].name: Required value: name is a mandatory field for a key",
        ),
        (
            of("[secrets]", &format!("[{}]", key("a", ""))),
            "keys[0].secret: Required value: secret is a mandatory field for a key",
        ),
        (
            of("[secrets]", &format!("[{}]", key("a", "no base!"))),
            r#"Invalid value: "REDACTED": secrets must be base64 encoded"#,
        ),
        (
            of("[secrets]", &format!("[{}]", key("a", "AAAA"))),
            "secret is not of the expected length, got 3, expected one of [16 24 32]",
        ),
        (of("[secrets]", "[{kms: {name: a}}]"), "KMSv1 is deprecated"),
        (
            of("[secrets]", "[{kms: {apiVersion: v2}}]"),
            "providers[0].kms.name: Required value: name is a mandatory field for a provider",
        ),
        (
            of(
                "[secrets]",
                "[{kms: {apiVersion: v2, name: 'a:b', endpoint: 'unix:///k'}}]",
            ),
            "invalid KMS provider name a:b, must not contain ':'",
        ),
        (
            of(
                "[secrets]",
                "[{kms: {apiVersion: v2, name: a, endpoint: 'unix:///k'}}, {kms: {apiVersion: v2, name: a, endpoint: 'unix:///l'}}]",
            ),
            "duplicate KMS provider name a, names must be unique",
        ),
        (
            of("[secrets]", "[{kms: {apiVersion: v2, name: a}}]"),
            "endpoint is a mandatory field for a kms",
        ),
        (
            of(
                "[secrets]",
                "[{kms: {apiVersion: v2, name: a, endpoint: 'https://kms.example'}}]",
            ),
            r#"unsupported scheme "https" for KMS provider, only unix is supported"#,
        ),
        (
            of(
                "[secrets]",
                "[{kms: {apiVersion: v3, name: a, endpoint: 'unix:///k'}}]",
            ),
            "only v1 and v2 are supported",
        ),
        (
            of(
                "[secrets]",
                "[{kms: {apiVersion: v2, name: a, endpoint: 'unix:///k', timeout: 0s}}]",
            ),
            "timeout should be a positive value",
        ),
        (
            of(
                "[secrets]",
                "[{kms: {apiVersion: v2, name: a, endpoint: 'unix:///k', cachesize: 9}}]",
            ),
            "cachesize is not supported in v2",
        ),
        (
            of("[secrets, '*.']", &format!("[{good}]")),
            "using overlapping resources",
        ),
        (
            of("[secrets, secrets]", &format!("[{good}]")),
            "the same resource cannot be specified multiple times",
        ),
        (
            of("['*']", &format!("[{good}]")),
            "use '*.' to encrypt all the resources from core API group",
        ),
        (
            of("[Secrets]", &format!("[{good}]")),
            "resource name should not contain capital letters",
        ),
        (
            of("[events.events.k8s.io]", &format!("[{good}]")),
            "Use 'events' instead in the config file",
        ),
        (
            of("['pods.*']", &format!("[{good}]")),
            "encrypting the same resource across groups is not supported",
        ),
        (
            of("[secrets]", &format!("[{good}], more: 1")),
            "unknown field `more`",
        ),
    ];
    for (text, why) in cases {
        let error = Keyring::parse(text.as_bytes())
            .err()
            .map(|error| error.to_string());
        let error = error.unwrap_or_default();
        assert!(error.contains(why), "{text}\n{error}");
    }
}

const SECRETS: Gvr = Gvr::new("", "v1", "secrets");
const MAPS: Gvr = Gvr::new("", "v1", "configmaps");

/// The bytes in the store.
async fn raw(store: &dyn Store, key: &str) -> Bytes {
    let request = RangeRequest {
        start: Bytes::from(key.to_owned()),
        ..RangeRequest::default()
    };
    store.range(request).await.unwrap().kvs.remove(0).value
}

async fn create(client: &Client, gvr: &Gvr, name: &str) {
    let body = format!(r#"{{"metadata":{{"name":"{name}"}},"data":{{"word":"aHVzaA=="}}}}"#);
    let target = Target::collection(gvr, "default");
    client.write(target, Write::Create(body.into())).await.unwrap();
}

async fn word(client: &Client, name: &str) -> Result<bool, Status> {
    let secret = client.get(&SECRETS, &Key::new("default", name)).await?;
    Ok(secret.body().windows(8).any(|part| part == b"aHVzaA=="))
}

/// A server over what is stored in `engine`, with this configuration.
async fn over(engine: &Arc<Engine>, keyring: Keyring, env: &Env) -> (Arc<Sealed>, Client) {
    let rows = resources::table().to_vec();
    let sealed = Sealed::new(engine.clone(), keyring, &rows, env);
    let server = fixture::start(sealed.clone(), rows, fixture::no_nodes(), env).await;
    (sealed, fixture::client(&server))
}

#[tokio::test(start_paused = true)]
async fn secrets_are_sealed_in_the_store_and_nowhere_else() {
    let env = Env::simulated(1);
    let engine = Engine::in_memory(env.clone()).unwrap();
    let ring = keyring(&[entry(
        "[secrets]",
        &[("secretbox", "one", BOX), ("identity", "", "")],
    )]);
    let (_, client) = over(&engine, ring, &env).await;
    let mut watch = client
        .watch(&SECRETS, "default", WatchParams::default())
        .await
        .unwrap();
    create(&client, &SECRETS, "quiet").await;
    create(&client, &MAPS, "open").await;
    let stored = raw(&*engine, "/registry/secrets/default/quiet").await;
    assert!(stored.starts_with(b"k8s:enc:secretbox:v1:one:"));
    assert!(
        raw(&*engine, "/registry/configmaps/default/open")
            .await
            .starts_with(b"{")
    );
    assert!(word(&client, "quiet").await.unwrap());
    let event = watch.next().await.unwrap().unwrap();
    assert!(format!("{event:?}").contains("quiet"));
    let listed = client.list(&SECRETS, "", ListParams::default()).await.unwrap();
    assert_eq!(listed.items.len(), 1);
}

#[test]
fn what_is_sealed_and_opened_is_counted_as_upstream_counts_it() {
    let (env, random) = (Env::simulated(1), Random::seeded(1));
    let of = |providers: &[(&str, &str, &str)]| {
        let mut ring = keyring(&[entry("[secrets, deployments.apps]", providers)]);
        ring.measure(&env);
        ring
    };
    let (secrets, deployments) = (("", "secrets"), ("apps", "deployments"));
    let (old, new) = (("aescbc", "old", CBC), ("secretbox", "new", BOX));
    let ring = of(&[old]);
    let seal = |ring: &Keyring, resource| ring.seal(resource, b"/k", "v".into(), &random).unwrap();
    let sealed = seal(&ring, secrets);
    seal(&ring, deployments);
    let ring = of(&[new, old, ("identity", "", "")]);
    assert!(ring.open(secrets, b"/k", sealed.clone()).is_ok());
    assert!(ring.open(secrets, b"/k", "{}".into()).is_ok());
    assert!(
        ring.open(secrets, b"/k", "k8s:enc:aesgcm:v1:gone:x".into())
            .is_err()
    );
    assert!(
        ring.open(secrets, b"/k", sealed.slice(..sealed.len() - 1))
            .is_err()
    );
    seal(&of(&[("identity", "", "")]), secrets);
    // What no provider is named for is not counted.
    assert!(ring.open(("", "configmaps"), b"/k", "{}".into()).is_ok());
    let mut text = String::new();
    env.metrics.write(&mut text);
    let name = "apiserver_storage_transformation_operations_total";
    let mut lines: Vec<&str> = text
        .lines()
        .filter_map(|line| line.strip_prefix(name)?.strip_prefix('{'))
        .collect();
    lines.sort_unstable();
    let line = |resource: &str, way: &str, prefix: &str, status: &str, count: u32| {
        format!(
            r#"resource="{resource}",transformation_type="{way}",transformer_prefix="{prefix}",status="{status}"}} {count}"#
        )
    };
    let failed = "unknown-non-grpc";
    let mut wanted = vec![
        line("deployments.apps", "to_storage", "k8s:enc:aescbc:v1:", "OK", 1),
        line("deployments.apps", "to_storage", "old:", "OK", 1),
        line("secrets", "from_storage", "identity", "OK", 1),
        line("secrets", "from_storage", "k8s:enc:aescbc:v1:", "OK", 1),
        line("secrets", "from_storage", "k8s:enc:aescbc:v1:", failed, 1),
        line("secrets", "from_storage", "old:", "OK", 1),
        line("secrets", "from_storage", "old:", failed, 1),
        line("secrets", "from_storage", "unknown", failed, 1),
        line("secrets", "to_storage", "", "OK", 1),
        line("secrets", "to_storage", "k8s:enc:aescbc:v1:", "OK", 1),
        line("secrets", "to_storage", "old:", "OK", 1),
    ];
    wanted.sort_unstable();
    assert_eq!(lines, wanted);
    let took = r#"apiserver_storage_transformation_duration_seconds_count{transformation_type="to_storage",transformer_prefix="old:"} 2"#;
    assert!(text.contains(took), "{text}");
}

#[tokio::test(start_paused = true)]
async fn keys_are_rotated_and_the_old_one_is_needed_no_more() {
    let env = Env::simulated(1);
    let engine = Engine::in_memory(env.clone()).unwrap();
    let (old, new) = (("aescbc", "old", CBC), ("aesgcm", "new", GCM));
    let of = |providers: &[(&str, &str, &str)]| keyring(&[entry("[secrets, '*.apps']", providers)]);
    let (_, client) = over(&engine, of(&[("identity", "", "")]), &env).await;
    create(&client, &SECRETS, "one").await;
    let begins = async |with: &str| {
        let stored = raw(&*engine, "/registry/secrets/default/one").await;
        assert!(stored.starts_with(with.as_bytes()), "{stored:?}");
    };
    begins("{").await;
    let (sealed, client) = over(&engine, of(&[old, ("identity", "", "")]), &env).await;
    assert_eq!(sealed.renew().await.unwrap(), 1);
    assert_eq!(sealed.renew().await.unwrap(), 0);
    begins("k8s:enc:aescbc:v1:old:").await;
    sealed.exchange(of(&[new, old])).await;
    assert!(word(&client, "one").await.unwrap());
    assert_eq!(sealed.renew().await.unwrap(), 1);
    begins("k8s:enc:aesgcm:v1:new:").await;
    sealed.exchange(of(&[new])).await;
    create(&client, &SECRETS, "two").await;
    let (_, client) = over(&engine, of(&[new]), &env).await;
    assert!(word(&client, "one").await.unwrap() && word(&client, "two").await.unwrap());
}

#[tokio::test(start_paused = true)]
async fn a_changed_file_is_taken_and_a_broken_one_is_not() {
    let env = Env::simulated(1);
    let engine = Engine::in_memory(env.clone()).unwrap();
    let text = |name: &str| {
        file(&[entry(
            "[secrets]",
            &[("secretbox", name, BOX), ("identity", "", "")],
        )])
    };
    let shared = Arc::new(std::sync::Mutex::new(text("one")));
    let (sealed, client) = over(&engine, Keyring::parse(text("one").as_bytes()).unwrap(), &env).await;
    create(&client, &SECRETS, "quiet").await;
    let look = shared.clone();
    let read = move || Ok(look.lock().unwrap().clone().into_bytes());
    sealed.keep(Some(Box::new(read)), &env);
    let minutes = |count: u64| env.clock.sleep(std::time::Duration::from_secs(60 * count));
    for (given, name) in [("no configuration", "one"), (text("two").as_str(), "two")] {
        *shared.lock().unwrap() = given.replace("name: one", "name: two");
        minutes(3).await;
        create(&client, &SECRETS, name).await;
        let stored = raw(&*engine, &format!("/registry/secrets/default/{name}")).await;
        assert!(stored.starts_with(format!("k8s:enc:secretbox:v1:{name}:").as_bytes()));
    }
}

#[tokio::test(start_paused = true)]
async fn what_no_key_opens_is_there_and_cannot_be_read() {
    let env = Env::simulated(1);
    let engine = Engine::in_memory(env.clone()).unwrap();
    let ring = |key| keyring(&[entry("[secrets]", &[("secretbox", key, BOX)])]);
    let (_, client) = over(&engine, ring("lost"), &env).await;
    create(&client, &SECRETS, "quiet").await;
    create(&client, &MAPS, "open").await;
    let (_, client) = over(&engine, ring("found"), &env).await;
    let why = r#"unable to transform key "/registry/secrets/default/quiet": no matching prefix found"#;
    let got = word(&client, "quiet").await.unwrap_err();
    let listed = client
        .list(&SECRETS, "", ListParams::default())
        .await
        .unwrap_err();
    for status in [got, listed] {
        assert_eq!(
            (status.code, status.message.contains(why)),
            (500, true),
            "{status:?}"
        );
    }
    assert_eq!(word(&client, "nobody").await.unwrap_err().code, 404);
    assert_eq!(
        client
            .list(&MAPS, "default", ListParams::default())
            .await
            .unwrap()
            .items
            .len(),
        1
    );
    // Without any configuration it is the same.
    let server = fixture::start(
        engine.clone(),
        resources::table().to_vec(),
        fixture::no_nodes(),
        &env,
    )
    .await;
    assert_eq!(
        word(&fixture::client(&server), "quiet").await.unwrap_err().code,
        500
    );
}
