//! A server over the store in memory with rows of no special kind, for tests.

use crate::{
    Config, Server,
    security::{
        Answer, Attributes, Authenticator, Authorizer, Decision, Known, Refusal, Security, Token, TokenAsk,
        TokenIssuer, User,
    },
    splice,
};
use api::{
    Gvr, Key, Object, Status,
    decision::{Reason, Record, Verdict},
};
use client::{Client, Dial, Duplex, Peer};
use component::Env;
use etcd::Store;
use futures::{FutureExt, future::BoxFuture};
use http::request::Parts;
use resources::{Cell, Keeping, Op, Row, ScalePaths, Subresource, Version, WriteRequest, Written};
use rustls::pki_types::CertificateDer;
use std::sync::Arc;

/// The write of a kind without rules: names, UID and times are the server's.
fn write(request: &WriteRequest<'_>) -> Result<Written, Status> {
    let set = |body: Vec<u8>, path: &str, value: &str| {
        splice::set(&body, path, Some(&splice::quoted(value))).map_err(Status::internal)
    };
    let mut body = request.body.to_vec();
    match request.old {
        None => {
            if request.name.is_empty() {
                return Err(Status::invalid(
                    "",
                    "Widget",
                    "",
                    vec![api::field::Error::required("metadata.name", "")],
                ));
            }
            body = set(body, "metadata.name", request.name)?;
            body = set(body, "metadata.uid", request.uid)?;
            body = set(
                body,
                "metadata.creationTimestamp",
                &request.now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
            )?;
            if !request.namespace.is_empty() {
                body = set(body, "metadata.namespace", request.namespace)?;
            }
        }
        Some(old) => {
            body = set(body, "metadata.uid", old.uid())?;
            let part = |name| {
                let range = api::scan::find(old.body(), name).ok().flatten();
                range.map(|range| old.body()[range].to_vec())
            };
            let kept = match request.op {
                Op::Status => Some("spec"),
                Op::Update => Some("status"),
                _ => None,
            };
            if let Some(name) = kept {
                body = splice::set(&body, name, part(name).as_deref()).map_err(Status::internal)?;
            }
        }
    }
    Ok(Written {
        meant: None,
        body: body.into(),
        warnings: Vec::new(),
    })
}

const SAME: Version = Version {
    group: None,
    name: "v1",
    to_hub: None,
    from_hub: None,
};

pub static WIDGETS: Row = Row {
    on_demand: &[],
    create_on_update: false,
    unconditional: true,
    group: "test.io",
    kind: "Widget",
    plural: "widgets",
    singular: "widget",
    short_names: &["wd"],
    categories: &["all"],
    namespaced: true,
    versions: &[SAME, Version { name: "v2", ..SAME }],
    hub: "v1",
    prefix: "/registry/test.io/widgets",
    verbs: &[],
    subresources: &[
        Subresource {
            name: "status",
            kind: ("", "", ""),
            verbs: &["get", "patch", "update"],
        },
        Subresource {
            name: "scale",
            kind: ("autoscaling", "v1", "Scale"),
            verbs: &["get", "patch", "update"],
        },
        Subresource {
            name: "log",
            kind: ("", "", ""),
            verbs: &["get"],
        },
        Subresource {
            name: "exec",
            kind: ("", "v1", "PodExecOptions"),
            verbs: &["create", "get"],
        },
    ],
    fields: &["spec.nodeName"],
    trigger: Some(0),
    columns: &[],
    cells: |object, _| vec![Cell::Text(object.name().to_owned())],
    write,
    grace: |object, wished| {
        let own = api::scan::scalar(object.body(), "spec.grace")
            .ok()?
            .parse()
            .ok()?;
        Some(wished.unwrap_or(own)).filter(|seconds| *seconds > 0)
    },
    lingers: |_| false,
    keeping: Keeping::Durable,
    scale: Some(ScalePaths {
        spec_replicas: "spec.replicas",
        status_replicas: "status.replicas",
        selector: "spec.selector",
    }),
    propagation: "Background",
};

static NAMESPACES: Row = Row {
    on_demand: &[],
    create_on_update: false,
    unconditional: true,
    group: "",
    kind: "Namespace",
    plural: "namespaces",
    singular: "namespace",
    short_names: &["ns"],
    categories: &[],
    namespaced: false,
    versions: &[SAME],
    hub: "v1",
    prefix: "/registry/namespaces",
    verbs: &[],
    subresources: &[],
    fields: &[],
    trigger: None,
    columns: &[],
    cells: |object, _| vec![Cell::Text(object.name().to_owned())],
    write,
    grace: |_, _| None,
    lingers: |object: &Object| object.label("lingers").is_some(),
    keeping: Keeping::Durable,
    scale: None,
    propagation: "Background",
};

/// Users by bearer token: the token is the name. `nobody` may do nothing.
struct Guards;

impl Authenticator for Guards {
    fn authenticate(
        &self,
        parts: &Parts,
        _: &[CertificateDer<'static>],
    ) -> Answer<Result<Option<User>, Refusal>> {
        let header = parts
            .headers
            .get("authorization")
            .and_then(|value| value.to_str().ok());
        let known = match header.and_then(|value| value.strip_prefix("Bearer ")) {
            Some("bad") => Err("the token is bad".into()),
            Some(name) => Ok(Some(User::new(name, &["system:authenticated"]))),
            None => Ok(None),
        };
        known.into()
    }

    fn token(&self, token: &str, audiences: &[String]) -> Answer<Known> {
        let known = match token {
            "bad" => Err("token is bad".into()),
            name => Ok(Some((User::new(name, &[]), audiences.to_vec()))),
        };
        known.into()
    }
}

impl Authorizer for Guards {
    fn authorize(&self, attributes: &Attributes) -> Answer<Decision> {
        let decision = match attributes.user.name.as_str() {
            "nobody" | "system:anonymous" => Decision::no_opinion(""),
            "half" if attributes.name == "b" => Decision::no_opinion(""),
            _ => Decision::allow("test"),
        };
        decision.into()
    }
}

impl TokenIssuer for Guards {
    fn issue(&self, ask: &TokenAsk) -> Result<Token, Status> {
        let token = format!(
            "{}/{} bound={:?}",
            ask.namespace,
            ask.service_account,
            ask.bound.as_ref().map(|b| &b.name)
        );
        let expires = jiff::Timestamp::UNIX_EPOCH + jiff::SignedDuration::from_secs(ask.seconds);
        Ok(Token {
            token,
            expires,
            audiences: vec!["api".to_owned()],
            id: "fixture".to_owned(),
        })
    }
}

/// Two decisions, of which `half` may see one.
fn records() -> Vec<Record> {
    let of = |name| {
        let (gvr, key) = (Gvr::new("test.io", "v1", "widgets"), Key::new("default", name));
        let mut record = Record::new(
            jiff::Timestamp::UNIX_EPOCH,
            "scheduler",
            &gvr,
            &key,
            Verdict::Blocked,
        );
        record
            .reasons
            .push(Reason::new("InsufficientResource").with("resource", "cpu"));
        record
    };
    vec![of("a"), of("b")]
}

/// There are no nodes.
struct NoNodes;

impl Dial for NoNodes {
    fn dial(&self, _: &Peer) -> BoxFuture<'_, std::io::Result<Box<dyn Duplex>>> {
        async { Err(std::io::ErrorKind::HostUnreachable.into()) }.boxed()
    }

    fn trusted(&self, _: &Peer) -> bool {
        true
    }
}

/// A server with the namespaces `default` and `other`, and what it runs in.
pub async fn server() -> (Arc<Server>, Env) {
    server_with(Arc::new(NoNodes)).await
}

/// The same with a way to nodes.
pub async fn server_with(dial: Arc<dyn Dial>) -> (Arc<Server>, Env) {
    let env = Env::simulated(7);
    let store = etcd::Engine::in_memory(env.clone()).unwrap();
    (start(store, vec![&WIDGETS, &NAMESPACES], dial, &env).await, env)
}

/// A server of the whole table.
pub async fn whole() -> (Arc<Server>, Env) {
    let env = Env::simulated(7);
    let store = etcd::Engine::in_memory(env.clone()).unwrap();
    (
        start(store, resources::table().to_vec(), Arc::new(NoNodes), &env).await,
        env,
    )
}

/// A server of `rows` over `store`.
pub async fn start(
    store: Arc<dyn Store>,
    rows: Vec<&'static Row>,
    dial: Arc<dyn Dial>,
    env: &Env,
) -> Arc<Server> {
    let server = Server::start(config(store, rows, dial), env.clone())
        .await
        .unwrap();
    server.bootstrap().await.unwrap();
    server
}

/// What such a server is made of.
pub fn config(store: Arc<dyn Store>, rows: Vec<&'static Row>, dial: Arc<dyn Dial>) -> Config {
    Config {
        rows,
        store,
        security: Box::new(|_| {
            let guards = Arc::new(Guards);
            Ok(Security {
                authn: guards.clone(),
                authz: guards,
                issuer: Some(Arc::new(Guards)),
                admission: Vec::new(),
                audit: None,
            })
        }),
        dial,
        kubelet_tls: None,
        service_cidr: "10.96.0.0/12".to_owned(),
        advertise: ([192, 0, 2, 1].into(), 6443),
        records: Some(Arc::new(records)),
        oidc: None,
        aggregate: crate::aggregate::Settings::default(),
        admission: crate::admission::Settings::default(),
        build: crate::BuildInfo::default(),
        limits: crate::Limits::default(),
        gates: component::gates::Gates::default(),
        surface: crate::Surface::default(),
    }
}

/// A client of `server` that may do all.
pub fn client(server: &Arc<Server>) -> Client {
    Client::new(server.local(User::new("admin", &[])), "test")
}

/// The small table.
pub fn small_table() -> Vec<&'static Row> {
    vec![&WIDGETS, &NAMESPACES]
}

/// There are no nodes.
pub fn no_nodes() -> Arc<dyn Dial> {
    Arc::new(NoNodes)
}

/// A server of the small table over `store`.
pub async fn small(store: Arc<dyn Store>, env: &Env) -> Arc<Server> {
    start(store, vec![&WIDGETS, &NAMESPACES], no_nodes(), env).await
}
