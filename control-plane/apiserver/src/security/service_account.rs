//! Service account tokens: bound, with an audience, short-lived (upstream `pkg/serviceaccount`, KEP-1205).

use super::{Token, TokenAsk, TokenIssuer, User};
use crate::server::Reader;
use api::{Gvr, Object, Status};
use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use component::{
    Clock, Random,
    jwt::{self, Key},
};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, sync::Arc};

const SERVICE_ACCOUNTS: Gvr = Gvr::new("", "v1", "serviceaccounts");
const PODS: Gvr = Gvr::new("", "v1", "pods");
const SECRETS: Gvr = Gvr::new("", "v1", "secrets");
const NODES: Gvr = Gvr::new("", "v1", "nodes");

/// A token of an object that is being deleted still works for so long.
const LEEWAY: SignedDuration = SignedDuration::from_secs(60);

/// Signs and verifies service account tokens.
pub struct ServiceAccounts {
    key: Key,
    issuer: String,
    audiences: Vec<String>,
    reader: Reader,
    clock: Clock,
    random: Random,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct Claims {
    aud: Vec<String>,
    exp: i64,
    iat: i64,
    iss: String,
    jti: String,
    #[serde(rename = "kubernetes.io")]
    kubernetes: Private,
    nbf: i64,
    sub: String,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct Private {
    namespace: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    node: Option<Named>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pod: Option<Named>,
    #[serde(skip_serializing_if = "Option::is_none")]
    secret: Option<Named>,
    serviceaccount: Named,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct Named {
    name: String,
    uid: String,
}

impl ServiceAccounts {
    /// With the PEM of the signing key. The first audience is the API server's own.
    pub fn new(
        key: &str,
        issuer: &str,
        audiences: Vec<String>,
        reader: Reader,
        clock: Clock,
        random: Random,
    ) -> Result<Arc<Self>, String> {
        let key = Key::from_pem(key)?;
        Ok(Arc::new(Self {
            key,
            issuer: issuer.to_owned(),
            audiences,
            reader,
            clock,
            random,
        }))
    }

    /// The user of `token` and the audiences it is good for. `Ok(None)`: no token of this issuer.
    pub fn authenticate(
        &self,
        token: &str,
        audiences: &[String],
    ) -> Result<Option<(User, Vec<String>)>, String> {
        match jwt::unverified_issuer(token) {
            Some(issuer) if issuer == self.issuer => {}
            Some(issuer) if issuer == jwt::LEGACY_ISSUER => return self.legacy(token, audiences).map(Some),
            _ => return Ok(None),
        }
        let claims: Claims = self.key.verify(token).ok_or("invalid bearer token")?;
        let now = self.clock.wall();
        if claims.exp <= now.as_second() {
            return Err("[invalid bearer token, service account token has expired]".to_owned());
        }
        if claims.nbf > now.as_second() + 10 {
            return Err("[invalid bearer token, service account token is not valid yet]".to_owned());
        }
        let wanted = if audiences.is_empty() {
            &self.audiences
        } else {
            audiences
        };
        let good: Vec<String> = claims
            .aud
            .iter()
            .filter(|a| wanted.contains(a))
            .cloned()
            .collect();
        if good.is_empty() {
            let (have, want) = (claims.aud.join(" "), wanted.join(" "));
            return Err(format!(
                "[invalid bearer token, token audiences [\"{have}\"] is invalid for the target audiences [\"{want}\"]]"
            ));
        }
        self.check_bound(&claims.kubernetes, now)?;
        Ok(Some((user(&claims), good)))
    }

    /// A token that lives in a Secret: without an end, and good only while the Secret holds it.
    fn legacy(&self, token: &str, audiences: &[String]) -> Result<(User, Vec<String>), String> {
        let claims: jwt::LegacyClaims = self.key.verify(token).ok_or("invalid bearer token")?;
        let good: Vec<String> = match audiences {
            [] => self.audiences.clone(),
            wanted => wanted
                .iter()
                .filter(|a| self.audiences.contains(a))
                .cloned()
                .collect(),
        };
        if good.is_empty() {
            return Err(format!(
                "[invalid bearer token, token audiences {:?} is invalid for the target audiences {audiences:?}]",
                self.audiences
            ));
        }
        let account = Named {
            name: claims.account.clone(),
            uid: claims.account_uid.clone(),
        };
        self.alive(&SERVICE_ACCOUNTS, &claims.namespace, &account, self.clock.wall())?;
        let secret = self.reader.get(&SECRETS, &claims.namespace, &claims.secret);
        if !secret.is_some_and(|secret| holds(&secret, token)) {
            return Err("[invalid bearer token, service account token has been invalidated]".to_owned());
        }
        let claims = Claims {
            sub: claims.sub,
            kubernetes: Private {
                namespace: claims.namespace,
                serviceaccount: account,
                ..Private::default()
            },
            ..Claims::default()
        };
        Ok((user(&claims), good))
    }

    /// The objects that the token is bound to must still be there, with the same UID.
    fn check_bound(&self, bound: &Private, now: Timestamp) -> Result<(), String> {
        let namespace = &bound.namespace;
        self.alive(&SERVICE_ACCOUNTS, namespace, &bound.serviceaccount, now)?;
        for (gvr, namespace, named) in [
            (&PODS, namespace.as_str(), &bound.pod),
            (&SECRETS, namespace, &bound.secret),
            (&NODES, "", &bound.node),
        ] {
            // The node of a pod-bound token is told, not checked, as upstream.
            if let Some(named) = named
                && (*gvr != NODES || bound.pod.is_none())
            {
                self.alive(gvr, namespace, named, now)?;
            }
        }
        Ok(())
    }

    fn alive(&self, gvr: &Gvr, namespace: &str, named: &Named, now: Timestamp) -> Result<(), String> {
        let gone = || Err("[invalid bearer token, service account token has been invalidated]".to_owned());
        let Some(object) = self.reader.get(gvr, namespace, &named.name) else {
            return gone();
        };
        let dead = object
            .deletion_timestamp()
            .is_some_and(|at| now.duration_since(at) > LEEWAY);
        if object.uid() != named.uid || dead {
            gone()
        } else {
            Ok(())
        }
    }
}

/// Whether a Secret that is not being deleted has `token`.
fn holds(secret: &Object, token: &str) -> bool {
    #[derive(Deserialize, Default)]
    #[serde(default)]
    struct Secret {
        data: BTreeMap<String, String>,
    }
    let Secret { data } = secret.view().unwrap_or_default();
    secret.deletion_timestamp().is_none()
        && data
            .get("token")
            .is_some_and(|held| *held == BASE64.encode(token))
}

fn user(claims: &Claims) -> User {
    let bound = &claims.kubernetes;
    let mut extra = BTreeMap::new();
    let mut add = |key: &str, value: &str| {
        extra.insert(
            format!("authentication.kubernetes.io/{key}"),
            vec![value.to_owned()],
        );
    };
    if !claims.jti.is_empty() {
        add("credential-id", &format!("JTI={}", claims.jti));
    }
    if let Some(pod) = &bound.pod {
        add("pod-name", &pod.name);
        add("pod-uid", &pod.uid);
    }
    if let Some(node) = &bound.node {
        add("node-name", &node.name);
        add("node-uid", &node.uid);
    }
    let groups = [
        "system:serviceaccounts".to_owned(),
        format!("system:serviceaccounts:{}", bound.namespace),
        "system:authenticated".to_owned(),
    ];
    User {
        name: claims.sub.clone(),
        uid: bound.serviceaccount.uid.clone(),
        groups: groups.into(),
        extra,
    }
}

impl TokenIssuer for ServiceAccounts {
    fn issue(&self, ask: &TokenAsk) -> Result<Token, Status> {
        let now = self.clock.wall().as_second();
        let expires = Timestamp::from_second(now.saturating_add(ask.seconds)).map_err(Status::internal)?;
        let audiences = if ask.audiences.is_empty() {
            self.audiences.clone()
        } else {
            ask.audiences.clone()
        };
        let bound = |kind: &str| {
            let bound = ask.bound.as_ref().filter(|b| b.kind == kind)?;
            Some(Named {
                name: bound.name.clone(),
                uid: bound.uid.clone(),
            })
        };
        let node = ask.node.as_ref().map(|(name, uid)| Named {
            name: name.clone(),
            uid: uid.clone(),
        });
        let claims = Claims {
            aud: audiences.clone(),
            exp: expires.as_second(),
            iat: now,
            iss: self.issuer.clone(),
            jti: self.random.uuid(),
            kubernetes: Private {
                namespace: ask.namespace.clone(),
                node: bound("Node").or(node),
                pod: bound("Pod"),
                secret: bound("Secret"),
                serviceaccount: Named {
                    name: ask.service_account.clone(),
                    uid: ask.uid.clone(),
                },
            },
            nbf: now,
            sub: format!("system:serviceaccount:{}:{}", ask.namespace, ask.service_account),
        };
        let token = self.key.sign(&claims).map_err(Status::internal)?;
        Ok(Token {
            token,
            expires,
            audiences,
        })
    }
}
