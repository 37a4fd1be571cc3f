//! Stories of the aggregation layer, with another API server that is real: TLS on loopback.

mod other;
mod own;

use super::{
    Settings,
    service::{API_SERVICES, conditions},
};
use crate::{
    Config, Server,
    backends::ENDPOINTS,
    fixture,
    http::stories::Http,
    security::{RequestHeader, Trust},
};
use api::{Gvr, Key};
use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use client::{Client, DeleteOptions, Dial, Duplex, Patch, Peer, Target, Write};
use component::{
    Env,
    pki::{Authority, Purpose, Rotating, server_config},
};
use futures::{FutureExt, StreamExt, future::BoxFuture};
use http_body_util::BodyExt;
use hyper_util::rt::TokioIo;
use other::{Other, listen};
use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::{mpsc, watch},
};

const SERVICES: Gvr = Gvr::new("", "v1", "services");
const OWN: &str = "/apis/wardle.example.com/v1alpha1";
const NAME: &str = "v1alpha1.wardle.example.com";
const PATIENCE: Duration = Duration::from_secs(30);
const AGGREGATED: (&str, &str) = (
    "accept",
    "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList",
);

/// Leads to the other server, whatever its Service.
struct Way(Mutex<Option<SocketAddr>>);

impl Dial for Way {
    fn dial(&self, peer: &Peer) -> BoxFuture<'_, std::io::Result<Box<dyn Duplex>>> {
        assert_eq!(*peer, Peer::Service("wardle".to_owned(), "api".to_owned(), 7443));
        let address = *self.0.lock().unwrap();
        async move {
            let address = address.ok_or(std::io::ErrorKind::ConnectionRefused)?;
            Ok(Box::new(TcpStream::connect(address).await?) as Box<dyn Duplex>)
        }
        .boxed()
    }

    fn trusted(&self, _: &Peer) -> bool {
        false
    }
}

struct Story {
    server: Arc<Server>,
    client: Client,
    http: Http,
    other: Arc<Other>,
    lines: mpsc::Sender<Bytes>,
    way: Arc<Way>,
    /// Who vouches for the other server, base64.
    bundle: String,
    env: Env,
    _folder: tempfile::TempDir,
}

impl Story {
    async fn new() -> Self {
        let env = Env::system();
        let folder = tempfile::tempdir().unwrap();
        let now = env.clock.wall();
        let authority = Authority::open(folder.path(), now).unwrap();
        let proxies = Authority::named(folder.path(), "front-proxy-ca", "front-proxy-ca", now).unwrap();
        let purpose = Purpose::client("front-proxy-client", &[]);
        let certificate = Rotating::open(&proxies, "front-proxy-client", purpose, now).unwrap();
        let trust = Trust {
            client_ca: authority.certificate().to_owned(),
            request_header: Some(RequestHeader::usual(proxies.certificate(), "front-proxy-client")),
        };
        let (lines, received) = mpsc::channel(8);
        let other = Arc::new(Other {
            modern: Mutex::new("v2"),
            unchanged: watch::Sender::default(),
            known: watch::Sender::default(),
            lines: Mutex::new(Some(received)),
            object: Mutex::new((Some("a".to_owned()), Vec::new())),
        });
        let purpose = Purpose::server("api", vec!["api.wardle.svc".to_owned()]);
        let serving = Rotating::open(&authority, "api", purpose, now).unwrap();
        let tls = server_config(serving, proxies.certificate()).unwrap();
        let address = listen(&env, other.clone(), tls).await;
        let way = Arc::new(Way(Mutex::new(Some(address))));
        let config = Config {
            aggregate: Settings {
                certificate: Some(certificate),
                trust,
            },
            ..fixture::config(
                etcd::Engine::in_memory(env.clone()).unwrap(),
                resources::table().to_vec(),
                way.clone(),
            )
        };
        let server = Server::start(config, env.clone()).await.unwrap();
        server.bootstrap().await.unwrap();
        Self {
            client: fixture::client(&server),
            http: Http::new(&server).await,
            bundle: STANDARD.encode(authority.certificate()),
            server,
            other,
            lines,
            way,
            env,
            _folder: folder,
        }
    }

    async fn create(&self, gvr: &Gvr, namespace: &str, text: &str) {
        let write = Write::Create(text.to_owned().into());
        self.client
            .write(Target::collection(gvr, namespace), write)
            .await
            .unwrap();
    }

    async fn register(&self) {
        let text = format!(
            r#"{{"apiVersion":"apiregistration.k8s.io/v1","kind":"APIService","metadata":{{"name":"{NAME}"}},"spec":{{"group":"wardle.example.com","version":"v1alpha1","groupPriorityMinimum":2000,"versionPriority":200,"caBundle":"{}","service":{{"namespace":"wardle","name":"api","port":7443}}}}}}"#,
            self.bundle
        );
        self.create(&API_SERVICES, "", &text).await;
    }

    async fn serve(&self) {
        let namespaces = Gvr::new("", "v1", "namespaces");
        self.create(
            &namespaces,
            "",
            r#"{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"wardle"}}"#,
        )
        .await;
        self.create(
            &SERVICES,
            "wardle",
            r#"{"apiVersion":"v1","kind":"Service","metadata":{"name":"api"},"spec":{"ports":[{"name":"https","port":7443}]}}"#,
        )
        .await;
    }

    async fn endpoints(&self) {
        self.create(
            &ENDPOINTS,
            "wardle",
            r#"{"apiVersion":"v1","kind":"Endpoints","metadata":{"name":"api"},"subsets":[{"addresses":[{"ip":"192.0.2.1"}],"ports":[{"name":"https","port":443}]}]}"#,
        )
        .await;
    }

    /// Waits until the condition has this reason.
    async fn reason(&self, reason: &str) -> String {
        let mut changes = self.server.aggregator.known.subscribe();
        let cache = self
            .server
            .handler
            .cache("apiregistration.k8s.io", "apiservices")
            .unwrap();
        let mut watcher = cache.watch(crate::cache::Selection::default(), 0, None).unwrap();
        let reached = async {
            loop {
                let object = self.server.reader().get(&API_SERVICES, "", NAME);
                let all = object.map(|object| conditions(&object)).unwrap_or_default();
                if let Some(found) = all.into_iter().find(|condition| condition.reason == reason) {
                    return found.message;
                }
                tokio::select! {
                    _ = watcher.next() => {}
                    _ = changes.changed() => {}
                }
            }
        };
        let reached = tokio::time::timeout(PATIENCE, reached).await;
        reached.unwrap_or_else(|_| panic!("waited for the reason {reason}"))
    }

    /// Waits until it is known what the other server has.
    async fn found(&self) {
        let mut changes = self.server.aggregator.known.subscribe();
        let found = changes.wait_for(|known| known.elsewhere().any(|there| there.found.is_some()));
        let found = tokio::time::timeout(PATIENCE, found).await;
        drop(found.expect("waited for discovery"));
    }

    /// Has it look again, without a reason.
    async fn nudge(&self) {
        let higher = Bytes::from(r#"[{"op":"replace","path":"/spec/versionPriority","value":300}]"#);
        let target = Target::object(&API_SERVICES, &Key::cluster(NAME));
        let write = Write::Patch(Patch::Json, higher);
        self.client.write(target, write).await.unwrap();
    }

    async fn available(&self) {
        self.serve().await;
        self.endpoints().await;
        self.register().await;
        assert_eq!(self.reason("Passed").await, "all checks passed");
        self.found().await;
    }
}

#[tokio::test]
async fn requests_go_to_the_other_server_as_who_asks() {
    let mut story = Story::new().await;
    story.available().await;
    let url = format!("{OWN}/namespaces/default/flunders?fieldManager=me");
    let headers = [
        ("x-remote-user", "root"),
        ("x-remote-group", "system:masters"),
        ("x-remote-extra-a", "b"),
        ("authorization", "Bearer ann"),
        ("content-type", "application/json"),
    ];
    let told = story.http.ask("POST", &url, &headers, r#"{"a":1}"#).await;
    assert_eq!(told.code, 418);
    for line in [
        "POST /apis/wardle.example.com/v1alpha1/namespaces/default/flunders?fieldManager=me\n",
        "certificate: CN=front-proxy-client\n",
        "x-remote-user: ann\n",
        "x-remote-group: system:authenticated\n",
        "host: api.wardle.svc:7443\n",
        "{\"a\":1}",
    ] {
        assert!(told.text.contains(line), "no {line:?} in {}", told.text);
    }
    for line in ["root", "system:masters", "authorization", "x-remote-extra-a"] {
        assert!(!told.text.contains(line), "{line:?} in {}", told.text);
    }
    for method in ["GET", "PUT", "PATCH", "DELETE"] {
        let told = story
            .http
            .ask(method, &format!("{OWN}/flunders/a"), &[], "")
            .await;
        assert!(
            told.text.starts_with(&format!("{method} {OWN}/flunders/a\n")),
            "{}",
            told.text
        );
    }
    let nobody = [("authorization", "Bearer nobody")];
    let refused = story
        .http
        .ask("GET", &format!("{OWN}/flunders"), &nobody, "")
        .await;
    assert_eq!(refused.code, 403, "{}", refused.text);
    story.env.tasks.stop();
}

#[tokio::test]
async fn watches_and_upgrades_go_through_to_the_other_server() {
    let mut story = Story::new().await;
    story.available().await;
    let watch = story
        .http
        .send("GET", &format!("{OWN}/flunders?watch=1"), &[], "")
        .await;
    let mut frames = watch.into_body().into_data_stream();
    for line in ["{\"type\":\"ADDED\"}\n", "{\"type\":\"DELETED\"}\n"] {
        story
            .lines
            .send(Bytes::from_static(line.as_bytes()))
            .await
            .unwrap();
        let told = tokio::time::timeout(PATIENCE, frames.next()).await;
        assert_eq!(told.expect("a line of the watch").unwrap().unwrap(), line);
    }
    let mut http = Http::new(&story.server).await;
    let upgrade = [("connection", "Upgrade"), ("upgrade", "echo")];
    let response = http
        .send("GET", &format!("{OWN}/flunders/a/exec"), &upgrade, "")
        .await;
    assert_eq!(response.status(), 101);
    let mut stream = TokioIo::new(hyper::upgrade::on(response).await.unwrap());
    stream.write_all(b"hello").await.unwrap();
    let mut said = [0; 5];
    stream.read_exact(&mut said).await.unwrap();
    assert_eq!(&said, b"hello");
    story.env.tasks.stop();
}

#[tokio::test]
async fn clients_of_this_process_reach_the_other_server() {
    let story = Story::new().await;
    let flunders = Gvr::new("wardle.example.com", "v1alpha1", "flunders");
    let key = Key::new("shop", "a");
    story.serve().await;
    story.register().await;
    story.reason("EndpointsNotFound").await;
    let refused = story.client.get(&flunders, &key).await.unwrap_err();
    assert_eq!(
        (refused.code, refused.message.as_str()),
        (503, "service unavailable")
    );
    story.endpoints().await;
    story.reason("Passed").await;
    story.found().await;
    let asked = ("wardle.example.com".to_owned(), "v1alpha1".to_owned());
    let found = story.client.transport().discover(asked.0, asked.1).await.unwrap();
    let found = found.first().expect("a resource");
    assert_eq!(
        (
            found.name.as_str(),
            found.kind.as_str(),
            found.namespaced,
            found.verbs.join(",")
        ),
        ("flunders", "Flunder", true, "list,new".to_owned())
    );
    let own = story
        .client
        .transport()
        .discover("apps".to_owned(), "v1".to_owned());
    assert!(
        own.await
            .unwrap()
            .iter()
            .any(|one| one.name == "deployments" && one.verbs.len() == 8)
    );
    let none = story
        .client
        .transport()
        .discover("apps".to_owned(), "v7".to_owned());
    assert!(none.await.unwrap_err().is_not_found());

    assert_eq!(
        story
            .client
            .get(&flunders, &key)
            .await
            .unwrap()
            .resource_version(),
        7
    );
    let list = story
        .client
        .list(&flunders, "shop", client::ListParams::default())
        .await
        .unwrap();
    assert_eq!((list.items.len(), list.resource_version), (1, 9));
    let all = Target::collection(&flunders, "shop");
    story
        .client
        .write(all, Write::Delete(DeleteOptions::default()))
        .await
        .unwrap();
    assert!(story.client.find(&flunders, &key).await.unwrap().is_none());
    let told = story.other.object.lock().unwrap().1.clone();
    assert_eq!(
        told,
        ["admin: GET /a", "admin: GET ", "admin: DELETE ", "admin: GET /a"]
    );

    let ann = story.server.local(crate::security::User::new("nobody", &[]));
    let refused = ann.get(Target::object(&flunders, &key)).await.unwrap_err();
    assert_eq!(refused.code, 403, "{refused:?}");
    story.env.tasks.stop();
}

#[tokio::test]
async fn the_condition_says_whether_the_other_server_answers() {
    let mut story = Story::new().await;
    story.register().await;
    assert_eq!(
        story.reason("ServiceNotFound").await,
        r#"service/api in "wardle" is not present"#
    );
    let told = story.http.get(&format!("{OWN}/flunders")).await;
    assert_eq!((told.code, told.text.as_str()), (503, "service unavailable\n"));
    story.serve().await;
    story.reason("EndpointsNotFound").await;
    let address = story.way.0.lock().unwrap().take();
    story.endpoints().await;
    let why = story.reason("FailedDiscoveryCheck").await;
    assert!(why.ends_with("connect: connection refused"), "{why}");
    *story.way.0.lock().unwrap() = address;
    story.reason("Passed").await;
    story.found().await;
    let table = ("accept", "application/json;as=Table;v=v1;g=meta.k8s.io");
    let url = format!("/apis/apiregistration.k8s.io/v1/apiservices/{NAME}");
    let told = story.http.ask("GET", &url, &[table], "").await.text;
    assert!(
        told.contains(&format!(r#""cells":["{NAME}","wardle/api","True","#)),
        "{told}"
    );

    // Down, and nobody has seen it yet.
    story.way.0.lock().unwrap().take();
    let told = story.http.get(&format!("{OWN}/flunders")).await;
    assert_eq!(told.code, 503);
    assert!(
        told.text.ends_with("connect: connection refused\n"),
        "{}",
        told.text
    );

    let key = Key::new("wardle", "api");
    story
        .client
        .delete(&ENDPOINTS, &key, DeleteOptions::default())
        .await
        .unwrap();
    story.reason("EndpointsNotFound").await;
    let told = story.http.get(&format!("{OWN}/flunders")).await;
    assert_eq!((told.code, told.text.as_str()), (503, "service unavailable\n"));
    let counted = story.http.get("/metrics").await.text;
    for line in [
        format!(r#"aggregator_unavailable_apiservice{{name="{NAME}"}} 1"#),
        format!(r#"aggregator_unavailable_apiservice_total{{name="{NAME}",reason="EndpointsNotFound"}} 1"#),
        r#"aggregator_unavailable_apiservice{name="v1."} 0"#.to_owned(),
    ] {
        assert!(counted.lines().any(|told| told == line), "no {line} in {counted}");
    }
    let stale = story.http.ask("GET", "/apis", &[AGGREGATED], "").await.text;
    assert!(
        stale.contains(r#""verbs":["list","new"]}],"freshness":"Stale"}"#),
        "{stale}"
    );

    // This server answers itself: it has nothing there.
    let local = Bytes::from_static(br#"{"spec":{"service":null,"caBundle":null}}"#);
    let target = Target::object(&API_SERVICES, &Key::cluster(NAME));
    story
        .client
        .write(target, Write::Patch(Patch::Merge, local))
        .await
        .unwrap();
    story.reason("Local").await;
    assert_eq!(story.http.get(&format!("{OWN}/flunders")).await.code, 404);
    story.env.tasks.stop();
}

#[tokio::test]
async fn the_certificate_of_the_other_server_is_verified() {
    let mut story = Story::new().await;
    story.available().await;
    let spec = |more: &str| Bytes::from(format!(r#"{{"spec":{{{more}}}}}"#));
    let target = || Target::object(&API_SERVICES, &Key::cluster(NAME));
    let other = tempfile::tempdir().unwrap();
    let stranger = Authority::open(other.path(), story.env.clock.wall()).unwrap();
    let bundle = STANDARD.encode(stranger.certificate());
    let wrong = spec(&format!(r#""caBundle":"{bundle}""#));
    story
        .client
        .write(target(), Write::Patch(Patch::Merge, wrong))
        .await
        .unwrap();
    let told = story.http.get(&format!("{OWN}/flunders")).await;
    assert_eq!(told.code, 503);
    assert!(
        told.text.contains("failed to verify certificate"),
        "{}",
        told.text
    );
    let anyone = spec(r#""caBundle":null,"insecureSkipTLSVerify":true"#);
    story
        .client
        .write(target(), Write::Patch(Patch::Merge, anyone))
        .await
        .unwrap();
    assert_eq!(story.http.get(&format!("{OWN}/flunders")).await.code, 418);
    story.env.tasks.stop();
}

#[tokio::test]
async fn discovery_shows_what_other_servers_have() {
    let mut story = Story::new().await;
    story.available().await;
    let apis = story.http.get("/apis").await.text;
    let group = r#"{"name":"wardle.example.com","versions":[{"groupVersion":"wardle.example.com/v1alpha1","version":"v1alpha1"}],"preferredVersion""#;
    assert!(apis.contains(group), "{apis}");
    let own = story.http.get("/apis/wardle.example.com").await.text;
    assert!(
        own.starts_with(r#"{"kind":"APIGroup","apiVersion":"v1","name":"wardle.example.com""#),
        "{own}"
    );
    let list = story.http.get(OWN).await.text;
    assert!(
        list.contains(r#""groupVersion":"wardle.example.com/v1alpha1""#),
        "{list}"
    );
    let apis = story.http.ask("GET", "/apis", &[AGGREGATED], "").await.text;
    assert!(
        apis.contains(r#""verbs":["list","new"]}],"freshness":"Current"}"#),
        "{apis}"
    );
    let index = story.http.get("/openapi/v3").await.text;
    assert!(
        index.contains("/openapi/v3/apis/wardle.example.com/v1alpha1?hash=ABC"),
        "{index}"
    );
    let document = story
        .http
        .get("/openapi/v3/apis/wardle.example.com/v1alpha1?hash=ABC")
        .await;
    assert_eq!(document.code, 418, "the other server was asked");
    let all = story.http.get("/openapi/v2").await.text;
    assert!(
        all.contains("listFlunder") && all.contains(r#""io.wardle.Flunder":{"description":"A flunder.""#)
    );

    let key = Key::cluster(NAME);
    story
        .client
        .delete(&API_SERVICES, &key, DeleteOptions::default())
        .await
        .unwrap();
    assert!(!story.http.get("/apis").await.text.contains("wardle"));
    assert_eq!(story.http.get(&format!("{OWN}/flunders")).await.code, 404);

    *story.other.modern.lock().unwrap() = "";
    story.register().await;
    story.found().await;
    let apis = story.http.ask("GET", "/apis", &[AGGREGATED], "").await.text;
    let old = r#""singularResource":"flunder","verbs":["list"]}],"freshness":"Current"}"#;
    assert!(apis.contains(old), "{apis}");
    // A server of that age has no OpenAPI v3 document: this one makes it of the other.
    let index = story.http.get("/openapi/v3").await.text;
    let (_, url) = index
        .split_once(r#""apis/wardle.example.com/v1alpha1":{"serverRelativeURL":""#)
        .unwrap();
    let document = story.http.get(url.split('"').next().unwrap()).await;
    assert_eq!(document.code, 200);
    let schema = r##"{"$ref":"#/components/schemas/io.wardle.Flunder"}"##;
    for part in [r#""openapi":"3.0.0""#, r#""description":"A flunder.""#, schema] {
        assert!(document.text.contains(part), "{}", document.text);
    }

    // It asks again, but not for what it knows.
    let mut known = story.other.known.subscribe();
    story.nudge().await;
    let known = tokio::time::timeout(PATIENCE, known.wait_for(|times| *times > 0)).await;
    drop(known.expect("waited for a question with the ETag"));
    story.env.tasks.stop();
}

#[tokio::test]
async fn older_servers_say_what_they_have_once() {
    let mut story = Story::new().await;
    *story.other.modern.lock().unwrap() = "v2beta1";
    story.available().await;
    let apis = story.http.ask("GET", "/apis", &[AGGREGATED], "").await;
    assert!(
        apis.text
            .contains(r#""verbs":["list","new"]}],"freshness":"Current"}"#)
    );
    let tag = apis.headers["etag"].to_str().unwrap().to_owned();
    let mut unchanged = story.other.unchanged.subscribe();
    story.nudge().await;
    let known = tokio::time::timeout(PATIENCE, unchanged.wait_for(|times| *times > 0)).await;
    drop(known.expect("waited for a question with the ETag"));
    let same = [AGGREGATED, ("if-none-match", &tag)];
    let told = story.http.ask("GET", "/apis", &same, "").await;
    assert_eq!((told.code, told.text.as_str()), (304, ""));
    // Who knows one group's list only is told of the other server's in it, as upstream's clients before 1.26 ask.
    let old = story.http.get("/apis").await.text;
    assert!(
        old.contains(r#"{"groupVersion":"wardle.example.com/v1alpha1","version":"v1alpha1"}"#),
        "{old}"
    );
    story.env.tasks.stop();
}
