//! S3-compatible storage: a small server of it, which lets in who signs as AWS publishes it.

use crate::lab::{chunks, filled, parse, taken};
use backup::{
    Error, Place,
    s3::{Bucket, Credentials, Settings, Signed, authorization, encode, sha256},
};
use bytes::Bytes;
use component::{
    Env,
    pki::{Authority, Purpose, client_config},
};
use http_body_util::{BodyExt, Full};
use hyper::{Request, Response, StatusCode, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use jiff::civil::DateTime;
use rustls::ServerConfig;
use std::{
    collections::BTreeMap,
    convert::Infallible,
    os::unix::fs::FileExt,
    sync::{Arc, Mutex},
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpListener,
};

const KEY: &str = "AKIDEXAMPLE";
const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";

/// What the server has.
#[derive(Default)]
struct Kept {
    objects: BTreeMap<String, Bytes>,
    uploads: BTreeMap<String, BTreeMap<u32, Bytes>>,
    /// So many requests are answered with 503.
    trouble: u32,
    asked: Vec<String>,
}

type Server = Arc<Mutex<Kept>>;

struct Asked {
    method: String,
    path: String,
    query: Vec<(String, String)>,
    range: Option<(usize, usize)>,
    body: Bytes,
}

impl Asked {
    fn get(&self, name: &str) -> Option<&str> {
        let found = self.query.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }
}

fn decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let (mut out, mut at) = (Vec::new(), 0);
    while at < bytes.len() {
        if bytes[at] == b'%' {
            out.push(u8::from_str_radix(&text[at + 1..at + 3], 16).unwrap());
            at += 3;
        } else {
            out.push(bytes[at]);
            at += 1;
        }
    }
    String::from_utf8(out).unwrap()
}

fn refuse(status: u16, code: &str) -> Response<Full<Bytes>> {
    let text = format!(
        "<?xml version=\"1.0\"?>\n<Error><Code>{code}</Code><Message>because &amp; so</Message></Error>"
    );
    answer(status, text)
}

fn answer(status: u16, text: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(text.into()));
    *response.status_mut() = StatusCode::from_u16(status).unwrap();
    response
}

/// Checks the signature over what came, and answers.
async fn serve(server: Server, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let header = |name: &str| head.headers.get(name).map_or("", |value| value.to_str().unwrap());
    let raw = head.uri.query().unwrap_or_default();
    let pairs = raw.split('&').filter(|pair| !pair.is_empty());
    let query: Vec<(String, String)> = pairs
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(name, value)| (decode(name), decode(value)))
        .collect();
    let told = header("authorization").to_owned();
    let names = told.split_once("SignedHeaders=").map_or("", |(_, rest)| rest);
    let names = names.split_once(',').map_or("", |(names, _)| names);
    let signed: Vec<(&str, &str)> = names.split(';').map(|name| (name, header(name))).collect();
    let of: Vec<(&str, &str)> = query
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    let hash = sha256(&body);
    let expected = Signed {
        method: head.method.as_str(),
        path: head.uri.path(),
        query: &of,
        headers: &signed,
        body_hash: &hash,
    };
    let who = Credentials {
        access_key: KEY.to_owned(),
        secret_key: SECRET.to_owned(),
        session_token: None,
    };
    let at = DateTime::strptime("%Y%m%dT%H%M%SZ", header("x-amz-date")).unwrap();
    let at = at.to_zoned(jiff::tz::TimeZone::UTC).unwrap().timestamp();
    let needed = ["host", "x-amz-content-sha256", "x-amz-date"];
    let all = needed
        .iter()
        .all(|name| signed.iter().any(|(signed, _)| signed == name));
    if !all || told != authorization(&expected, &who, "eu-test-1", "s3", at) {
        return Ok(refuse(403, "SignatureDoesNotMatch"));
    }
    if header("x-amz-content-sha256") != hash {
        return Ok(refuse(400, "XAmzContentSHA256Mismatch"));
    }
    let range = header("range").strip_prefix("bytes=").map(|range| {
        let (first, last) = range.split_once('-').unwrap();
        (first.parse().unwrap(), last.parse().unwrap())
    });
    let asked = Asked {
        method: head.method.to_string(),
        path: decode(head.uri.path()),
        query,
        range,
        body,
    };
    Ok(act(&mut server.lock().unwrap(), &asked))
}

fn act(kept: &mut Kept, asked: &Asked) -> Response<Full<Bytes>> {
    kept.asked.push(format!("{} {}", asked.method, asked.path));
    if kept.trouble > 0 {
        kept.trouble -= 1;
        return refuse(503, "SlowDown");
    }
    let Some(key) = asked.path.strip_prefix("/backups") else {
        return refuse(404, "NoSuchBucket");
    };
    let key = key.strip_prefix('/').unwrap_or(key);
    let upload = asked.get("uploadId");
    match (asked.method.as_str(), upload) {
        ("GET", _) if key.is_empty() => list(kept, asked),
        ("GET", _) => match kept.objects.get(key) {
            Some(found) => part(found, asked.range),
            None => refuse(404, "NoSuchKey"),
        },
        ("PUT", None) => {
            kept.objects.insert(key.to_owned(), asked.body.clone());
            answer(200, "")
        }
        ("PUT", Some(upload)) => {
            let number: u32 = asked.get("partNumber").unwrap().parse().unwrap();
            let parts = kept.uploads.get_mut(upload).unwrap();
            parts.insert(number, asked.body.clone());
            let mut done = answer(200, "");
            let tag = format!("\"part-{number}\"").parse().unwrap();
            done.headers_mut().insert("etag", tag);
            done
        }
        ("POST", None) => {
            assert_eq!(asked.get("uploads"), Some(""));
            let number = format!("upload-{}", kept.asked.len());
            kept.uploads.insert(number.clone(), BTreeMap::new());
            answer(200, format!("<R><UploadId>{number}</UploadId></R>"))
        }
        ("POST", Some(upload)) => {
            let parts = kept.uploads.remove(upload).unwrap();
            let listed = std::str::from_utf8(&asked.body).unwrap();
            for number in parts.keys() {
                let part = format!("<PartNumber>{number}</PartNumber><ETag>\"part-{number}\"</ETag>");
                assert!(listed.contains(&part), "{listed}");
            }
            let whole: Vec<u8> = parts.into_values().flatten().collect();
            if key.ends_with("unlucky.db") {
                return answer(200, "<Error><Code>InternalError</Code></Error>");
            }
            kept.objects.insert(key.to_owned(), whole.into());
            answer(200, "<CompleteMultipartUploadResult/>")
        }
        ("DELETE", Some(upload)) => {
            kept.uploads.remove(upload);
            answer(204, "")
        }
        ("DELETE", None) => {
            kept.objects.remove(key);
            answer(204, "")
        }
        _ => refuse(405, "MethodNotAllowed"),
    }
}

/// An object, or a range of it.
fn part(object: &Bytes, range: Option<(usize, usize)>) -> Response<Full<Bytes>> {
    let Some((first, last)) = range else {
        return answer(200, object.clone());
    };
    let end = object.len().min(last + 1);
    let mut part = answer(206, object.slice(first..end));
    let said = format!("bytes {first}-{}/{}", end - 1, object.len());
    part.headers_mut().insert("content-range", said.parse().unwrap());
    part
}

/// Two at a time.
fn list(kept: &Kept, asked: &Asked) -> Response<Full<Bytes>> {
    assert_eq!(asked.get("list-type"), Some("2"));
    let (prefix, after) = (
        asked.get("prefix").unwrap(),
        asked.get("continuation-token").unwrap_or(""),
    );
    let mut found = kept.objects.iter();
    let found: Vec<_> = found
        .by_ref()
        .filter(|(key, _)| key.starts_with(prefix) && key.as_str() > after)
        .collect();
    let mut text = "<ListBucketResult>".to_owned();
    for (key, object) in found.iter().take(2) {
        text += &format!(
            "<Contents><Key>{}</Key><LastModified>2030-05-15T10:20:30.000Z</LastModified><Size>{}</Size></Contents>",
            key.replace('&', "&amp;"),
            object.len()
        );
    }
    if found.len() > 2 {
        text += &format!(
            "<IsTruncated>true</IsTruncated><NextContinuationToken>{}</NextContinuationToken>",
            found[1].0
        );
    }
    answer(200, text + "</ListBucketResult>")
}

/// Starts it; where it is.
async fn start(env: &Env, tls: Option<Arc<ServerConfig>>) -> (Server, String) {
    let (server, listener) = (Server::default(), TcpListener::bind("127.0.0.1:0").await.unwrap());
    let address = listener.local_addr().unwrap();
    let (kept, tasks) = (server.clone(), env.tasks.clone());
    env.tasks.spawn("s3-server", async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (kept, tls) = (kept.clone(), tls.clone());
            tasks.spawn("s3-connection", async move {
                match tls {
                    None => connection(kept, stream).await,
                    Some(tls) => {
                        if let Ok(stream) = tokio_rustls::TlsAcceptor::from(tls).accept(stream).await {
                            connection(kept, stream).await;
                        }
                    }
                }
            });
        }
    });
    (server, address.to_string())
}

async fn connection(kept: Server, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) {
    let service = service_fn(move |request| serve(kept.clone(), request));
    // A client that goes is no error of the server.
    let _ = http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

fn settings(endpoint: String, secret: &str) -> Settings {
    Settings {
        endpoint: Some(endpoint),
        region: "eu-test-1".to_owned(),
        bucket: "backups".to_owned(),
        path_style: true,
        credentials: Credentials {
            access_key: KEY.to_owned(),
            secret_key: secret.to_owned(),
            session_token: None,
        },
        tls: None,
        part_bytes: 50_000,
        scratch: std::env::temp_dir(),
    }
}

async fn put(bucket: &Bucket, key: &str, body: &[u8]) -> Result<(), Error> {
    let file = tempfile::tempfile().unwrap();
    file.write_all_at(body, 0).unwrap();
    bucket.put(key, &Arc::new(file), body.len() as u64).await
}

async fn get(bucket: &Bucket, key: &str) -> Result<Vec<u8>, Error> {
    let file = Arc::new(tempfile::tempfile().unwrap());
    let mut body = vec![0; bucket.get(key, &file).await? as usize];
    file.read_exact_at(&mut body, 0).unwrap();
    Ok(body)
}

#[tokio::test]
async fn snapshots_are_kept_in_a_bucket() {
    let env = Env::system();
    let (server, address) = start(&env, None).await;
    let bucket = Bucket::new(settings(format!("http://{address}"), SECRET), env.clone()).unwrap();
    let place = Place::Bucket(Arc::new(bucket), "a & b/cluster-1".to_owned());
    assert_eq!(place.to_string(), "s3://backups/a & b/cluster-1");
    // Larger than a part.
    let file = taken(&filled().await).await;
    assert!(file.len() > 500_000);
    for day in 1..=5 {
        let name = format!("snapshot-2030010{day}T000000Z-{day}.db");
        let (_, kept) = place.put(Some(&name), chunks(&file), &env).await.unwrap();
        assert_eq!(kept.bytes(), file.len() as u64);
    }
    // What is not in the folder is not ours.
    let others = [
        "other/snapshot-20300101T000000Z-1.db",
        "a & b/cluster-1/deeper/x.db",
    ];
    for key in others {
        server
            .lock()
            .unwrap()
            .objects
            .insert(key.to_owned(), Bytes::new());
    }
    let listed = place.list(&env).await.unwrap();
    let revisions: Vec<_> = listed.iter().map(|stored| stored.revision.unwrap()).collect();
    assert_eq!(revisions, [1, 2, 3, 4, 5]);
    assert_eq!(listed[0].size, file.len() as u64);
    let removed = place.prune(2, &env).await.unwrap();
    assert_eq!(removed.len(), 3);
    let read = place.get("snapshot-20300105T000000Z-5.db", false, &env).await;
    assert!(read.unwrap().is_as(&parse(&file, false).unwrap()));
    let gone = place
        .get("snapshot-20300101T000000Z-1.db", false, &env)
        .await
        .unwrap_err();
    let path = "s3://backups/a & b/cluster-1/snapshot-20300101T000000Z-1.db";
    assert_eq!(gone.to_string(), format!("{path}: NoSuchKey: because & so"));
    let kept = server.lock().unwrap();
    assert_eq!(kept.objects.len(), 4);
    assert!(kept.uploads.is_empty());
}

#[tokio::test]
async fn an_upload_that_fails_leaves_no_parts() {
    let env = Env::system();
    let (server, address) = start(&env, None).await;
    let bucket = Bucket::new(settings(format!("http://{address}"), SECRET), env.clone()).unwrap();
    let error = put(&bucket, "unlucky.db", &[1; 120_000]).await.unwrap_err();
    assert_eq!(error.to_string(), "s3://backups/unlucky.db: InternalError");
    let kept = server.lock().unwrap();
    assert!(kept.objects.is_empty() && kept.uploads.is_empty());
    assert_eq!(kept.asked.last().unwrap(), "DELETE /backups/unlucky.db");
}

#[tokio::test]
async fn who_does_not_sign_right_is_refused_and_trouble_is_waited_for() {
    let env = Env::system();
    let (server, address) = start(&env, None).await;
    let url = format!("http://{address}");
    let wrong = Bucket::new(settings(url.clone(), "another"), env.clone()).unwrap();
    let error = wrong.list("").await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "s3://backups/: SignatureDoesNotMatch: because & so"
    );
    let right = Bucket::new(settings(url, SECRET), env.clone()).unwrap();
    server.lock().unwrap().trouble = 2;
    assert_eq!(right.list("").await.unwrap(), []);
    assert_eq!(server.lock().unwrap().asked.len(), 3);
    // A key of any letters is signed as it is sent.
    put(&right, "ü/a b+c=d?e#f%20.db", b"x").await.unwrap();
    let listed = right.list("ü/").await.unwrap();
    assert_eq!(listed[0].key, "ü/a b+c=d?e#f%20.db");
    assert_eq!(encode("ü/a", false), "%C3%BC/a");
}

#[tokio::test]
async fn a_bucket_is_reached_by_tls_that_is_verified() {
    let (dir, other, env) = (
        tempfile::tempdir().unwrap(),
        tempfile::tempdir().unwrap(),
        Env::system(),
    );
    let now = env.clock.wall();
    let authority = Authority::open(dir.path(), now).unwrap();
    let stranger = Authority::open(other.path(), now).unwrap();
    let purpose = Purpose::server("s3", vec!["127.0.0.1".to_owned()]);
    let leaf = authority.leaf("s3", &purpose, now).unwrap();
    let (chain, key) = leaf.der().unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    let (_, address) = start(&env, Some(Arc::new(tls))).await;
    let of = |ca: Option<&str>| {
        let mut settings = settings(format!("https://{address}"), SECRET);
        settings.tls = ca.map(|ca| Arc::new(client_config(ca, None).unwrap()));
        Bucket::new(settings, env.clone())
    };
    let bucket = of(Some(authority.trusted())).unwrap();
    put(&bucket, "x.db", b"x").await.unwrap();
    assert_eq!(get(&bucket, "x.db").await.unwrap(), b"x");
    let other = of(Some(stranger.trusted())).unwrap();
    let error = get(&other, "x.db").await.unwrap_err();
    assert!(error.to_string().contains("certificate"), "{error}");
    assert!(of(None).is_err());
    // What is no snapshot is not kept.
    let place = Place::Bucket(Arc::new(bucket), String::new());
    let refused = place.put(Some("y.db"), chunks(&"nonsense".into()), &env).await;
    assert!(refused.is_err() && parse(b"nonsense", false).is_err());
}

fn variable(name: &str) -> Option<String> {
    std::env::var_os(name)?.into_string().ok()
}

/// At the bucket `backups` of another server, which the environment names; nothing unless it does.
#[tokio::test]
async fn snapshots_are_kept_by_another_server_of_s3() {
    let Some(endpoint) = variable("S3_ENDPOINT") else {
        return;
    };
    let env = Env::system();
    let by = |secret: &str| {
        let mut settings = settings(endpoint.clone(), secret);
        settings.credentials.access_key = variable("AWS_ACCESS_KEY_ID").unwrap();
        settings.region = "us-east-1".to_owned();
        // Less is refused.
        settings.part_bytes = 5 << 20;
        Arc::new(Bucket::new(settings, env.clone()).unwrap())
    };
    let bucket = by(&variable("AWS_SECRET_ACCESS_KEY").unwrap());
    let place = Place::Bucket(bucket.clone(), variable("S3_FOLDER").unwrap_or_default());
    let store = filled().await;
    for n in 0..12 {
        let noise = |_| char::from(b'a' + u8::try_from(env.random.below(26)).unwrap());
        let value: String = (0..1 << 20).map(noise).collect();
        crate::lab::put(store.as_ref(), &format!("/large/{n}"), &value, 0).await;
    }
    // In parts and whole.
    let (large, small) = (taken(&store).await, taken(&filled().await).await);
    let begun = env.clock.now();
    for (day, file) in [(1, &large), (2, &small), (3, &large)] {
        let name = format!("snapshot-2030010{day}T000000Z-{day}.db");
        let (_, kept) = place.put(Some(&name), chunks(file), &env).await.unwrap();
        assert_eq!(kept.bytes(), file.len() as u64);
    }
    eprintln!(
        "{} bytes in {:?}",
        large.len() * 2 + small.len(),
        env.clock.now() - begun
    );
    let listed = place.list(&env).await.unwrap();
    let sizes: Vec<u64> = listed.iter().map(|stored| stored.size).collect();
    assert_eq!(sizes, [&large, &small, &large].map(|file| file.len() as u64));
    let read = place.get(&listed[2].name, false, &env).await.unwrap();
    assert!(read.is_as(&parse(&large, false).unwrap()));
    assert_eq!(place.prune(1, &env).await.unwrap().len(), 2);
    let gone = place.get(&listed[0].name, false, &env).await.unwrap_err();
    assert!(gone.to_string().contains("NoSuchKey"), "{gone}");
    let refused = by("another").list("").await.unwrap_err();
    assert!(refused.to_string().contains("SignatureDoesNotMatch"), "{refused}");
    place.prune(0, &env).await.unwrap();
    assert_eq!(bucket.list("").await.unwrap(), []);
}
