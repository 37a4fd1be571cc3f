//! Values sealed by keys of a KMS plugin that is real but for its key.

use super::{Envelope, Kms, Settings};
use crate::{
    encryption::{
        Keyring, Sealed,
        cipher::{Cipher as _, Refused, cipher},
    },
    fixture,
};
use api::{Gvr, Key};
use bytes::Bytes;
use client::{Client, Target, Write};
use component::{Env, Random};
use etcd::{Engine, RangeRequest, Store as _};
use hyper::server::conn::http2;
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    service::TowerToHyperService,
};
use kms_proto::{
    stored::EncryptedObject,
    v2::{
        DecryptRequest, DecryptResponse, EncryptRequest, EncryptResponse, StatusRequest, StatusResponse,
        key_management_service_server::{KeyManagementService, KeyManagementServiceServer},
    },
};
use prost::Message as _;
use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::Duration,
};
use tonic::{Request, Response, Status};

const SECRETS: Gvr = Gvr::new("", "v1", "secrets");

/// What the plugin does.
#[derive(Clone, Debug)]
struct Manner {
    /// The key that encrypts now, and the one that the status tells.
    key: String,
    told: String,
    healthz: &'static str,
    version: &'static str,
    hangs: bool,
    /// What it says when it decrypts; none: what is right.
    garbage: Option<&'static [u8]>,
    /// It does not decrypt.
    declines: bool,
    decrypts: usize,
}

#[derive(Clone)]
struct Plugin(Arc<Mutex<Manner>>);

fn turned(text: &[u8], key: &str) -> Bytes {
    let key = key.bytes().fold(1_u8, u8::wrapping_add);
    text.iter().map(|byte| byte ^ key).collect()
}

impl Plugin {
    async fn manner(&self) -> Manner {
        let manner = self.0.lock().unwrap().clone();
        if manner.hangs {
            std::future::pending::<()>().await;
        }
        manner
    }

    fn set(&self, change: impl FnOnce(&mut Manner)) {
        change(&mut self.0.lock().unwrap());
    }

    fn rotate(&self, key: &str) {
        self.set(|manner| (manner.key, manner.told) = (key.to_owned(), key.to_owned()));
    }
}

#[tonic::async_trait]
impl KeyManagementService for Plugin {
    async fn status(&self, _: Request<StatusRequest>) -> Result<Response<StatusResponse>, Status> {
        let manner = self.manner().await;
        Ok(Response::new(StatusResponse {
            version: manner.version.to_owned(),
            healthz: manner.healthz.to_owned(),
            key_id: manner.told,
        }))
    }

    async fn encrypt(&self, asked: Request<EncryptRequest>) -> Result<Response<EncryptResponse>, Status> {
        let manner = self.manner().await;
        Ok(Response::new(EncryptResponse {
            ciphertext: turned(&asked.into_inner().plaintext, &manner.key),
            annotations: [("kms.example.com".to_owned(), Bytes::from_static(b"note"))].into(),
            key_id: manner.key,
        }))
    }

    async fn decrypt(&self, asked: Request<DecryptRequest>) -> Result<Response<DecryptResponse>, Status> {
        let manner = self.manner().await;
        self.set(|manner| manner.decrypts += 1);
        let asked = asked.into_inner();
        if asked.annotations["kms.example.com"] != "note" || asked.key_id == "destroyed" || manner.declines {
            return Err(Status::invalid_argument("no such key"));
        }
        let plaintext = match manner.garbage {
            Some(garbage) => Bytes::from_static(garbage),
            None => turned(&asked.ciphertext, &asked.key_id),
        };
        Ok(Response::new(DecryptResponse { plaintext }))
    }
}

/// A plugin at a socket in `dir`; it ends with the test's task tree.
fn plugin(dir: &Path, env: &Env) -> (Plugin, PathBuf) {
    let socket = dir.join("kms.sock");
    let listener = tokio::net::UnixListener::bind(&socket).unwrap();
    let manner = Manner {
        key: "one".to_owned(),
        told: "one".to_owned(),
        healthz: "ok",
        version: "v2",
        hangs: false,
        garbage: None,
        declines: false,
        decrypts: 0,
    };
    let plugin = Plugin(Arc::new(Mutex::new(manner)));
    let service = KeyManagementServiceServer::new(plugin.clone());
    let tasks = env.tasks.clone();
    env.tasks.spawn("kms-plugin", async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let service = TowerToHyperService::new(service.clone());
            let serving =
                http2::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service);
            // It ends with an error when the other side goes.
            tasks.spawn("kms-connection", async move { drop(serving.await) });
        }
    });
    (plugin, socket)
}

fn keyring(socket: &Path) -> Keyring {
    let text = format!(
        "apiVersion: apiserver.config.k8s.io/v1\nkind: EncryptionConfiguration\nresources:\n\
         - resources: [secrets]\n  providers:\n  - kms: {{apiVersion: v2, name: vault, timeout: 1s, endpoint: 'unix://{}'}}\n  - identity: {{}}\n",
        socket.display()
    );
    Keyring::parse(text.as_bytes()).unwrap()
}

async fn over(engine: &Arc<Engine>, keyring: Keyring, env: &Env) -> (Arc<Sealed>, Client) {
    let rows = resources::table().to_vec();
    let sealed = Sealed::new(engine.clone(), keyring, &rows, env);
    sealed.prepare().await;
    let server = fixture::start(sealed.clone(), rows, fixture::no_nodes(), env).await;
    (sealed, fixture::client(&server))
}

async fn create(client: &Client, name: &str) -> Result<(), api::Status> {
    let body = format!(r#"{{"metadata":{{"name":"{name}"}},"data":{{"word":"aHVzaA=="}}}}"#);
    let target = Target::collection(&SECRETS, "default");
    client.write(target, Write::Create(body.into())).await.map(drop)
}

async fn reads(client: &Client, name: &str) -> Result<bool, api::Status> {
    let secret = client.get(&SECRETS, &Key::new("default", name)).await?;
    Ok(secret.body().windows(8).any(|part| part == b"aHVzaA=="))
}

/// What is stored of a secret: by which key, and the whole.
async fn stored(engine: &Engine, name: &str) -> (String, Bytes) {
    let request = RangeRequest {
        start: Bytes::from(format!("/registry/secrets/default/{name}")),
        ..RangeRequest::default()
    };
    let value = engine.range(request).await.unwrap().kvs.remove(0).value;
    let sealed = value.strip_prefix(&b"k8s:enc:kms:v2:vault:"[..]).unwrap();
    let object = EncryptedObject::decode(sealed).unwrap();
    assert_eq!(object.encrypted_dek_source_type, 1);
    assert_eq!(object.annotations["kms.example.com"], "note");
    (object.key_id, value)
}

#[tokio::test]
async fn values_are_sealed_by_keys_that_a_kms_keeps() {
    let (dir, env) = (tempfile::tempdir().unwrap(), Env::system());
    let (plugin, socket) = plugin(dir.path(), &env);
    let engine = Engine::in_memory(env.clone()).unwrap();
    let (sealed, client) = over(&engine, keyring(&socket), &env).await;
    assert_eq!(sealed.health(), Ok(()));
    for name in ["first", "second"] {
        create(&client, name).await.unwrap();
    }
    assert_eq!(stored(&engine, "first").await.0, "one");
    // After a restart the seed is decrypted once, for all values.
    let (sealed, client) = over(&engine, keyring(&socket), &env).await;
    assert!(reads(&client, "first").await.unwrap() && reads(&client, "second").await.unwrap());
    assert_eq!(plugin.manner().await.decrypts, 1);
    // The service takes another key: what is written then is sealed by it, and so is all else when it is renewed.
    plugin.rotate("two");
    assert!(sealed.probe().await && !sealed.probe().await);
    create(&client, "third").await.unwrap();
    assert_eq!(stored(&engine, "third").await.0, "two");
    assert_eq!(stored(&engine, "first").await.0, "one");
    assert_eq!(sealed.renew().await.unwrap(), 2);
    assert_eq!(stored(&engine, "first").await.0, "two");
    assert_eq!(sealed.renew().await.unwrap(), 0);
    let mut text = String::new();
    env.metrics.write(&mut text);
    let hash = |id: &str| {
        use sha2::Digest;
        let digest = sha2::Sha256::digest(id);
        digest
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect::<String>()
    };
    for line in [
        "apiserver_storage_envelope_transformation_cache_misses_total 1",
        "apiserver_storage_data_key_generation_duration_seconds_count 3",
    ] {
        assert!(text.contains(line), "{line}: {text}");
    }
    let (one, two) = (hash("one"), hash("two"));
    let labels =
        |key: &str| format!("provider_name=\"vault\",key_id_hash=\"sha256:{key}\",apiserver_id_hash=\"\"");
    for (name, labels) in [
        (
            "key_id_hash_total",
            format!("transformation_type=\"to_storage\",{}", labels(&one)),
        ),
        (
            "key_id_hash_total",
            format!("transformation_type=\"from_storage\",{}", labels(&two)),
        ),
        (
            "key_id_hash_last_timestamp_seconds",
            format!("transformation_type=\"to_storage\",{}", labels(&two)),
        ),
        ("key_id_hash_status_last_timestamp_seconds", labels(&two)),
        ("dek_source_cache_size", "provider_name=\"vault\"".to_owned()),
    ] {
        let line = format!("apiserver_envelope_encryption_{name}{{{labels}}} ");
        assert!(text.contains(&line), "{line}\n{text}");
    }
    let decrypts = "apiserver_envelope_encryption_kms_operations_latency_seconds_count{provider_name=\"vault\",\
                    method_name=\"/v2.KeyManagementService/Decrypt\",grpc_status_code=\"OK\"} 1\n";
    assert!(text.contains(decrypts), "{text}");
    // Another configuration with the same service goes on with what is known.
    let before = plugin.manner().await.decrypts;
    sealed.exchange(keyring(&socket)).await;
    create(&client, "fourth").await.unwrap();
    assert!(reads(&client, "fourth").await.unwrap());
    assert_eq!(plugin.manner().await.decrypts, before);
    env.tasks.stop();
}

#[tokio::test]
async fn a_kms_that_fails_lets_nothing_be_written_in_the_clear() {
    let (dir, env) = (tempfile::tempdir().unwrap(), Env::system());
    let (plugin, socket) = plugin(dir.path(), &env);
    let engine = Engine::in_memory(env.clone()).unwrap();
    type Change = fn(&mut Manner);
    let cases: [(&str, Change, &str); 6] = [
        ("hangs", |m| m.hangs = true, "no answer within 1s"),
        (
            "is-ill",
            |m| m.healthz = "broken disk",
            "got unexpected healthz status: broken disk",
        ),
        (
            "speaks-another-version",
            |m| m.version = "v1",
            "expected KMSv2 API version v2, got v1",
        ),
        ("has-no-key", |m| m.told = String::new(), "keyID is empty"),
        (
            "has-a-long-key",
            |m| m.told = "k".repeat(1025),
            "exceeds the max size of 1024",
        ),
        (
            "tells-another-key",
            |m| m.told = "other".to_owned(),
            "another key than it encrypts with",
        ),
    ];
    let usual = plugin.0.lock().unwrap().clone();
    for (name, change, why) in cases {
        plugin.set(change);
        let (sealed, client) = over(&engine, keyring(&socket), &env).await;
        let health = sealed.health().unwrap_err();
        assert!(health.contains(why), "{name}: {health}");
        let refused = create(&client, name).await.unwrap_err();
        assert!(
            refused.code >= 500 && refused.message.contains(why),
            "{name}: {refused:?}"
        );
        plugin.set(|manner| *manner = usual.clone());
        if name == "has-no-key" {
            let mut text = String::new();
            env.metrics.write(&mut text);
            let line = "apiserver_envelope_encryption_invalid_key_id_from_status_total{provider_name=\"vault\",error=\"empty\"} 1\n";
            assert!(text.contains(line), "{text}");
        }
        // It is well again: so are writes.
        sealed.probe().await;
        create(&client, name).await.unwrap();
    }
    env.tasks.stop();
}

#[tokio::test]
async fn what_a_kms_does_not_decrypt_cannot_be_read() {
    let (dir, env) = (tempfile::tempdir().unwrap(), Env::system());
    let (plugin, socket) = plugin(dir.path(), &env);
    let engine = Engine::in_memory(env.clone()).unwrap();
    let (_, client) = over(&engine, keyring(&socket), &env).await;
    create(&client, "first").await.unwrap();
    for garbage in [&b""[..], b"short", &[7; 40]] {
        plugin.set(|manner| manner.garbage = Some(garbage));
        let (_, client) = over(&engine, keyring(&socket), &env).await;
        let refused = reads(&client, "first").await.unwrap_err();
        assert_eq!(refused.code, 500, "{refused:?}");
    }
    plugin.set(|manner| (manner.garbage, manner.declines) = (None, true));
    let (_, client) = over(&engine, keyring(&socket), &env).await;
    assert_eq!(reads(&client, "first").await.unwrap_err().code, 500);
    let mut text = String::new();
    env.metrics.write(&mut text);
    let declined = r#"transformer_prefix="k8s:enc:kms:v2:vault:",status="InvalidArgument"}"#;
    assert!(text.contains(declined), "{text}");
    plugin.set(|manner| manner.declines = false);
    // One that cannot be reached keeps the server from starting, for it would have nothing to serve.
    plugin.set(|manner| manner.hangs = true);
    let sealed = Sealed::new(engine.clone(), keyring(&socket), resources::table(), &env);
    let request = RangeRequest {
        start: Bytes::from_static(b"/registry/secrets/default/first"),
        ..RangeRequest::default()
    };
    let refused = sealed.range(request).await.unwrap_err().to_string();
    assert!(refused.contains("failed to decrypt DEK"), "{refused}");
    let mut text = String::new();
    env.metrics.write(&mut text);
    let lost = r#"apiserver_storage_transformation_operations_total{resource="secrets",transformation_type="from_storage",transformer_prefix="k8s:enc:kms:v2:vault:",status="DeadlineExceeded"} 1"#;
    assert!(text.contains(lost), "{text}");
    env.tasks.stop();
}

#[tokio::test]
async fn broken_values_of_a_kms_are_refused() {
    let (dir, env) = (tempfile::tempdir().unwrap(), Env::system());
    let (_plugin, socket) = plugin(dir.path(), &env);
    let kms = Kms::new(Settings {
        name: "vault".to_owned(),
        socket: socket.display().to_string(),
        timeout: Duration::from_secs(1),
    });
    kms.probe(&env.clock, &env.random).await.unwrap();
    let envelope = Envelope(kms);
    let good = envelope.seal(b"hush", b"here", &env.random).unwrap();
    assert_eq!(envelope.open(&good, b"here").unwrap(), b"hush");
    assert!(
        envelope.open(&good, b"there").is_err(),
        "it is bound to its place"
    );
    let object = EncryptedObject::decode(&good[..]).unwrap();
    let with = |change: &dyn Fn(&mut EncryptedObject)| {
        let mut object = object.clone();
        change(&mut object);
        object.encode_to_vec()
    };
    let cases: [(Vec<u8>, &str); 10] = [
        (b"\xff\xff\xff".to_vec(), "failed to decode"),
        (Vec::new(), "encrypted data is empty"),
        (
            with(&|o| o.encrypted_data = Bytes::new()),
            "encrypted data is empty",
        ),
        (
            with(&|o| o.encrypted_dek_source_type = 7),
            "unknown encryptedDEKSourceType: 7",
        ),
        (
            with(&|o| o.encrypted_dek_source = Bytes::new()),
            "encrypted DEK source is empty",
        ),
        (
            with(&|o| o.encrypted_dek_source = vec![1; 1025].into()),
            "exceeds the max size of 1024",
        ),
        (
            with(&|o| o.key_id = String::new()),
            "failed to validate key id: keyID is empty",
        ),
        (
            with(&|o| drop(o.annotations.insert("nodots".to_owned(), Bytes::new()))),
            "should be a domain with at least two segments separated by dots",
        ),
        (
            with(&|o| {
                drop(
                    o.annotations
                        .insert("big.example".to_owned(), vec![0; 40000].into()),
                )
            }),
            "exceeds the max size of 32768",
        ),
        (
            with(&|o| o.key_id = "unknown".to_owned()),
            "failed to decrypt DEK",
        ),
    ];
    for (sealed, why) in cases {
        match envelope.open(&sealed, b"here") {
            Err(Refused::Kms(said)) => assert!(said.contains(why), "{said}"),
            other => panic!("{why}: {other:?}"),
        }
    }
    for cut in 1..good.len() {
        assert!(envelope.open(&good[..cut], b"here").is_err());
    }
    let short = with(&|o| o.encrypted_data = o.encrypted_data.slice(..20));
    assert_eq!(envelope.open(&short, b"here"), Err(Refused::Short));
    env.tasks.stop();
}

/// What the server answers at a path of its health.
async fn health(server: &Arc<crate::Server>, path: &str) -> (u16, String) {
    use crate::http::query::Query;
    use http_body_util::BodyExt;
    let answer = crate::http::health::health(server, path, &Query::parse("")).await;
    let code = answer.status().as_u16();
    let body = answer.into_body().collect().await;
    let text = body.map(|body| body.to_bytes()).unwrap_or_default();
    (code, String::from_utf8_lossy(&text).into_owned())
}

#[tokio::test]
async fn the_health_of_a_kms_is_that_of_the_server() {
    for (reloads, check) in [(false, "kms-provider-0"), (true, "kms-providers")] {
        let (dir, env) = (tempfile::tempdir().unwrap(), Env::system());
        let (plugin, socket) = plugin(dir.path(), &env);
        let engine = Engine::in_memory(env.clone()).unwrap();
        let rows = resources::table().to_vec();
        let sealed = Sealed::new(engine.clone(), keyring(&socket), &rows, &env);
        sealed.prepare().await;
        let server = fixture::start(sealed.clone(), rows, fixture::no_nodes(), &env).await;
        server.tell_health_of(sealed.clone(), reloads);
        for kind in ["healthz", "livez", "readyz"] {
            assert_eq!(
                health(&server, &format!("/{kind}/{check}")).await,
                (200, "ok".to_owned())
            );
            assert_eq!(health(&server, &format!("/{kind}/kms-other")).await.0, 404);
        }
        plugin.set(|manner| manner.told = String::new());
        // What it gave is good for three minutes; a configuration that is new has nothing yet.
        sealed.probe().await;
        assert_eq!(health(&server, "/readyz").await.0, 200);
        let rows = resources::table().to_vec();
        let fresh = Sealed::new(engine, keyring(&socket), &rows, &env);
        fresh.prepare().await;
        assert!(fresh.checks()[0].as_ref().unwrap_err().contains("keyID is empty"));
        let other = fixture::start(fresh.clone(), rows, fixture::no_nodes(), &env).await;
        other.tell_health_of(fresh, reloads);
        let (code, said) = health(&other, "/readyz").await;
        assert_eq!(code, 500);
        assert!(said.contains(&format!("[-]{check} failed")), "{said}");
        env.tasks.stop();
    }
}

/// The key of a value comes of seed and salt as HKDF's published expansion has it, and a key without a seed is a plain key
/// of AES-GCM, as upstream writes both.
#[test]
fn keys_are_derived_as_upstream_derives_them() {
    use super::{Source, dek::Dek};
    let (random, info) = (Random::seeded(1), [5_u8; 32]);
    let seed = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, &[9; 32]);
    let key = ring::hmac::sign(&seed, &[&info[..], &[1]].concat());
    let sealed = cipher("aesgcm", key.as_ref())
        .unwrap()
        .seal(b"hush", b"here", &random)
        .unwrap();
    let dek = Dek::new(Source::HkdfSha256XnonceAesGcmSeed, vec![9; 32]).unwrap();
    assert_eq!(
        dek.open(&[&info[..], &sealed].concat(), b"here").unwrap(),
        b"hush"
    );
    let plain = cipher("aesgcm", &[9; 32])
        .unwrap()
        .seal(b"hush", b"here", &random)
        .unwrap();
    let dek = Dek::new(Source::AesGcmKey, vec![9; 32]).unwrap();
    assert_eq!(dek.open(&plain, b"here").unwrap(), b"hush");
    assert!(Dek::new(Source::AesGcmKey, vec![9; 31]).is_err());
}
