//! Stories of the guards, over a server with every resource and the standard guards.

pub mod bad_input;
mod certificates;
mod claims;
mod delegated;
mod escalation;
mod front_proxy;
mod impersonation;
pub mod log;
mod node;
mod node_restriction;
mod proxied;
mod published;
mod rbac;
mod reviews;
mod tokens;
mod wire;

use super::{Attributes, Decision, Security, Settings, Trust, User, standard};
use crate::{Config, Reader, Server};
use api::{Gvr, Key, Object, Status};
use base64::{Engine, engine::general_purpose::STANDARD};
use client::{Client, Dial, Duplex, Patch, Peer, Target, Write};
use component::Env;
use futures::{FutureExt, future::BoxFuture};
use ring::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair},
};
use std::sync::{Arc, Mutex};

pub const ISSUER: &str = "https://kubernetes.default.svc.cluster.local";

struct NoNodes;

impl Dial for NoNodes {
    fn dial(&self, _: &Peer) -> BoxFuture<'_, std::io::Result<Box<dyn Duplex>>> {
        async { Err(std::io::ErrorKind::HostUnreachable.into()) }.boxed()
    }

    fn trusted(&self, _: &Peer) -> bool {
        true
    }
}

/// A new signing key, PEM.
pub fn key() -> String {
    let der = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new()).unwrap();
    format!(
        "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n",
        STANDARD.encode(der.as_ref())
    )
}

/// A server with its guards.
pub struct Guarded {
    pub server: Arc<Server>,
    pub security: Security,
    pub env: Env,
    pub key: String,
}

pub async fn guarded() -> Guarded {
    let env = Env::simulated(11);
    let settings = settings(&env, &key());
    guarded_by(settings).await
}

/// A server whose guards are made of `settings`.
pub async fn guarded_by(settings: Settings) -> Guarded {
    guarded_with(settings, |_| {}).await
}

/// The same, with its configuration changed by `change`.
pub async fn guarded_with(settings: Settings, change: impl FnOnce(&mut Config)) -> Guarded {
    let (env, key) = (settings.env.clone(), settings.signing_key.clone());
    let made: Arc<Mutex<Option<Security>>> = Arc::default();
    let keep = made.clone();
    let mut config = Config {
        rows: resources::table().to_vec(),
        store: etcd::Engine::in_memory(env.clone()).unwrap(),
        security: Box::new(move |reader: Reader| {
            let security = standard(&reader, settings).unwrap();
            *keep.lock().unwrap() = Some(security.clone());
            Ok(security)
        }),
        dial: Arc::new(NoNodes),
        kubelet_tls: None,
        service_cidr: "10.96.0.0/12".to_owned(),
        advertise: ([192, 0, 2, 1].into(), 6443),
        records: None,
        oidc: None,
        aggregate: crate::aggregate::Settings::default(),
        build: crate::BuildInfo::default(),
        limits: crate::Limits::default(),
        gates: component::gates::Gates::default(),
        surface: crate::Surface::default(),
        admission: crate::admission::Settings::default(),
    };
    change(&mut config);
    let server = Server::start(config, env.clone()).await.unwrap();
    server.bootstrap().await.unwrap();
    let security = made.lock().unwrap().take().unwrap();
    Guarded {
        server,
        security,
        env,
        key,
    }
}

pub fn settings(env: &Env, key: &str) -> Settings {
    Settings {
        signing_key: key.to_owned(),
        issuers: vec![ISSUER.to_owned()],
        audiences: Vec::new(),
        trust: Trust::default(),
        authentication: crate::security::authentication::Settings::default(),
        env: env.clone(),
    }
}

impl Guarded {
    pub fn client(&self, name: &str, groups: &[&str]) -> Client {
        Client::new(self.server.local(User::new(name, groups)), "test")
    }

    pub fn admin(&self) -> Client {
        self.client("admin", &["system:masters"])
    }

    pub async fn create(&self, gvr: &Gvr, namespace: &str, body: &str) -> Arc<Object> {
        create(&self.admin(), gvr, namespace, body).await.unwrap()
    }

    pub fn decision(&self, user: &User, what: &str) -> Decision {
        let answer = self.security.authz.authorize(&attributes(user, what));
        answer.now().expect("nobody else is asked")
    }

    pub fn asks(&self, user: &User, what: &str) -> bool {
        self.decision(user, what).allowed()
    }
}

pub async fn create(client: &Client, gvr: &Gvr, namespace: &str, body: &str) -> Result<Arc<Object>, Status> {
    client
        .write(
            Target::collection(gvr, namespace),
            Write::Create(body.to_owned().into()),
        )
        .await
}

pub async fn merge(
    client: &Client,
    gvr: &Gvr,
    key: &Key,
    sub: &'static str,
    patch: &str,
) -> Result<Arc<Object>, Status> {
    let write = Write::Patch(Patch::Merge, patch.to_owned().into());
    client.write(Target::object(gvr, key).sub(sub), write).await
}

/// `verb /path`, or `verb group/resource[:subresource] [namespace[/name]]` (`core` is the nameless group; a name
/// without a namespace is written `/name`).
pub fn attributes(user: &User, what: &str) -> Attributes {
    let mut words = what.split_whitespace();
    let (verb, on) = (words.next().unwrap().to_owned(), words.next().unwrap());
    let user = Arc::new(user.clone());
    if on.starts_with('/') {
        return Attributes {
            user,
            verb,
            path: on.to_owned(),
            ..Attributes::default()
        };
    }
    let (group, resource) = on.split_once('/').unwrap();
    let (resource, subresource) = resource.split_once(':').unwrap_or((resource, ""));
    let place = words.next().unwrap_or_default();
    let (namespace, name) = place.split_once('/').unwrap_or((place, ""));
    Attributes {
        user,
        verb,
        group: if group == "core" {
            String::new()
        } else {
            group.to_owned()
        },
        version: "v1".to_owned(),
        resource: resource.to_owned(),
        subresource: subresource.to_owned(),
        namespace: namespace.to_owned(),
        name: name.to_owned(),
        path: String::new(),
        is_resource: true,
        selectors: None,
    }
}

pub const RBAC: &str = "rbac.authorization.k8s.io/v1";
pub const CLUSTER_ROLES: Gvr = Gvr::new("rbac.authorization.k8s.io", "v1", "clusterroles");
pub const CLUSTER_ROLE_BINDINGS: Gvr = Gvr::new("rbac.authorization.k8s.io", "v1", "clusterrolebindings");
pub const ROLES: Gvr = Gvr::new("rbac.authorization.k8s.io", "v1", "roles");
pub const ROLE_BINDINGS: Gvr = Gvr::new("rbac.authorization.k8s.io", "v1", "rolebindings");

/// A role as JSON; `rules` is the text of its list.
pub fn role(kind: &str, name: &str, rules: &str) -> String {
    format!(r#"{{"apiVersion":"{RBAC}","kind":"{kind}","metadata":{{"name":"{name}"}},"rules":{rules}}}"#)
}

/// A binding as JSON; `to` is `Kind/name`, the subject `Kind:name` (service accounts `namespace/name`).
pub fn binding(kind: &str, name: &str, to: &str, subject: &str) -> String {
    let (role_kind, role) = to.split_once('/').unwrap();
    let (subject_kind, subject) = subject.split_once(':').unwrap();
    let subject = match subject.split_once('/') {
        Some((namespace, name)) => {
            format!(r#"{{"kind":"{subject_kind}","name":"{name}","namespace":"{namespace}"}}"#)
        }
        None => format!(
            r#"{{"apiGroup":"rbac.authorization.k8s.io","kind":"{subject_kind}","name":"{subject}"}}"#
        ),
    };
    format!(
        r#"{{"apiVersion":"{RBAC}","kind":"{kind}","metadata":{{"name":"{name}"}},
            "roleRef":{{"apiGroup":"rbac.authorization.k8s.io","kind":"{role_kind}","name":"{role}"}},
            "subjects":[{subject}]}}"#
    )
}
