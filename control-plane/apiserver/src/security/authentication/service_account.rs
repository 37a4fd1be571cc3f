//! Service account tokens: bound, with an audience, short-lived (upstream `pkg/serviceaccount`, KEP-1205), and the older
//! ones that live in Secrets.

use super::{
    Tokens,
    cache::{Cache, Digested, digest},
    legacy_token::{self, LegacyTokens},
};
use crate::{
    security::{Answer, Known, Refusal, Token, TokenAsk, TokenIssuer, User},
    server::{Reader, Server},
};
use api::{Gvr, Status};
use component::{
    Env,
    jwt::{self, Key, PublicKey},
    metrics::{Counter, Description, Family},
};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, sync::Arc, time::Duration};

const SERVICE_ACCOUNTS: Gvr = Gvr::new("", "v1", "serviceaccounts");
const PODS: Gvr = Gvr::new("", "v1", "pods");
pub(super) const SECRETS: Gvr = Gvr::new("", "v1", "secrets");
const NODES: Gvr = Gvr::new("", "v1", "nodes");

/// A token of an object that is being deleted still works for so long, and clocks may differ by so much.
const LEEWAY: SignedDuration = SignedDuration::from_secs(60);
/// The life of the tokens that admission puts into pods, by which they are known, in seconds.
const OF_PODS: i64 = 3607;
/// How long those really live, in seconds.
const EXTENDED: i64 = 365 * 24 * 3600;
/// A signature that was good is not looked at again for so long.
const SIGNED: Duration = Duration::from_secs(600);

const STALE: Description = Description::new(
    "serviceaccount_stale_tokens_total",
    "[ALPHA] Cumulative stale projected service account tokens used",
    &[],
);
const VALID: Description = Description::new(
    "serviceaccount_valid_tokens_total",
    "[ALPHA] Cumulative valid projected service account tokens used",
    &[],
);

/// How tokens of service accounts are made and known.
pub struct Rules {
    /// Issuers; the first one signs.
    pub issuers: Vec<String>,
    /// The API server's own audiences.
    pub audiences: Vec<String>,
    /// The longest life of a token.
    pub longest: Option<Duration>,
    /// Whether the tokens that admission puts into pods live for a year.
    pub extend: bool,
}

/// Signs and verifies service account tokens.
pub struct ServiceAccounts {
    key: Key,
    keys: Vec<PublicKey>,
    rules: Rules,
    reader: Reader,
    env: Env,
    /// Claims whose signature was good.
    signed: Cache<Digested, Arc<Claims>>,
    legacy: Arc<LegacyTokens>,
    stale: Arc<Family<Counter>>,
    valid: Arc<Family<Counter>>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct Claims {
    #[serde(deserialize_with = "jwt::audiences")]
    aud: Vec<String>,
    #[serde(deserialize_with = "jwt::numeric_date")]
    exp: i64,
    #[serde(deserialize_with = "jwt::numeric_date")]
    iat: i64,
    iss: String,
    jti: String,
    #[serde(rename = "kubernetes.io")]
    kubernetes: Private,
    #[serde(deserialize_with = "jwt::numeric_date")]
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
    #[serde(skip_serializing_if = "is_zero", deserialize_with = "jwt::numeric_date")]
    warnafter: i64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn is_zero(number: &i64) -> bool {
    *number == 0
}

/// An object that a token names.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Named {
    pub name: String,
    pub uid: String,
}

impl ServiceAccounts {
    /// With the PEM of the signing key, and more keys that verify.
    ///
    /// # Errors
    /// The signing key is none.
    pub fn new(
        key: &str,
        more: &[PublicKey],
        rules: Rules,
        reader: Reader,
        env: Env,
    ) -> Result<Arc<Self>, String> {
        let key = Key::from_pem(key)?;
        let mut keys = vec![key.public().clone()];
        for other in more {
            if !keys.contains(other) {
                keys.push(other.clone());
            }
        }
        Ok(Arc::new(Self {
            key,
            keys,
            rules,
            signed: Cache::new(env.clock.clone()),
            legacy: LegacyTokens::new(&env),
            stale: env.metrics.family(STALE),
            valid: env.metrics.family(VALID),
            reader,
            env,
        }))
    }

    /// The keys that verify the tokens, the one that signs first.
    pub fn keys(&self) -> &[PublicKey] {
        &self.keys
    }

    /// The token taken apart, if one of the keys signed it.
    fn signed<'a>(&self, token: &'a str) -> Result<jwt::Token<'a>, String> {
        let parsed = jwt::Token::parse(token)?;
        let id = parsed.key_id();
        let mut keys = self
            .keys
            .iter()
            .filter(|key| id.is_empty() || key.id() == id)
            .peekable();
        if keys.peek().is_none() {
            return Err("invalid signature, no keys found".to_owned());
        }
        if keys.any(|key| parsed.is_signed_by(key)) {
            return Ok(parsed);
        }
        Err("error in cryptographic primitive".to_owned())
    }

    fn claims(&self, token: &str) -> Result<Arc<Claims>, String> {
        let key = digest(token, &[]);
        if let Some(claims) = self.signed.get(&key) {
            return Ok(claims);
        }
        let claims: Arc<Claims> = Arc::new(self.signed(token)?.claims()?);
        self.signed.put(key, claims.clone(), SIGNED);
        Ok(claims)
    }

    /// The user of `token` and the audiences it is good for. `Ok(None)`: no token of these issuers.
    fn authenticate(&self, token: &str, audiences: &[String]) -> Known {
        match jwt::unverified_issuer(token) {
            Some(issuer) if issuer == jwt::LEGACY_ISSUER => return self.legacy(token, audiences).map(Some),
            Some(issuer) if self.rules.issuers.contains(&issuer) => {}
            _ => return Ok(None),
        }
        let claims = self.claims(token)?;
        let now = self.env.clock.wall();
        if !self.rules.issuers.contains(&claims.iss) {
            return Err(format!("token issuer {:?} is invalid", claims.iss).into());
        }
        let good = self.meant_for(&claims.aud, audiences)?;
        if claims.exp <= now.as_second() {
            return Err("service account token has expired".into());
        }
        if claims.nbf > now.as_second() + LEEWAY.as_secs() {
            return Err("service account token is not valid yet".into());
        }
        self.check_bound(&claims.kubernetes, now)?;
        let mut user = user(&claims);
        let after = claims.kubernetes.warnafter;
        match after {
            0 => {}
            after if now.as_second() > after => {
                let seconds = now.as_second() - after;
                tracing::info!(
                    subject = claims.sub,
                    seconds,
                    "a service account token is used after it should be"
                );
                self.stale.of(&[]).add(1);
                let told = format!(
                    "subject: {}, seconds after warning threshold: {seconds}",
                    claims.sub
                );
                user.remarks.push(("authentication.k8s.io/stale-token", told));
            }
            _ => self.valid.of(&[]).add(1),
        }
        Ok(Some((user, good)))
    }

    /// Which of the audiences that are asked about the token is for.
    fn meant_for(&self, of: &[String], asked: &[String]) -> Result<Vec<String>, String> {
        let own = &self.rules.audiences;
        let of = if of.is_empty() { own } else { of };
        let asked = if asked.is_empty() { own } else { asked };
        let good: Vec<String> = of
            .iter()
            .filter(|audience| asked.contains(audience))
            .cloned()
            .collect();
        if good.is_empty() {
            return Err(format!(
                "token audiences {} is invalid for the target audiences {}",
                quoted(of),
                quoted(asked)
            ));
        }
        Ok(good)
    }

    /// A token that lives in a Secret: without an end, and good only while the Secret holds it.
    fn legacy(&self, token: &str, audiences: &[String]) -> Result<(User, Vec<String>), Refusal> {
        let claims: jwt::LegacyClaims = self.signed(token)?.claims()?;
        let good = self.meant_for(&[], audiences)?;
        let account = legacy_token::account(&claims)?;
        let namespace = &claims.namespace;
        let secret = self.reader.get(&SECRETS, namespace, &claims.secret);
        let secret = secret.ok_or("service account token has been invalidated")?;
        legacy_token::check(&secret, token)?;
        let found = self.reader.get(&SERVICE_ACCOUNTS, namespace, &account.name);
        let found = found.ok_or_else(|| format!("serviceaccounts {:?} not found", account.name))?;
        if found.deletion_timestamp().is_some() {
            return Err(format!("ServiceAccount {namespace}/{} has been deleted", account.name).into());
        }
        if found.uid() != account.uid {
            return Err(format!(
                "ServiceAccount UID ({}) does not match claim ({})",
                found.uid(),
                account.uid
            )
            .into());
        }
        let (remark, warning) = self.legacy.used(&secret, &account.name, &found)?;
        let remarks = vec![("authentication.k8s.io/legacy-token", claims.sub.clone()), remark];
        let claims = Claims {
            sub: claims.sub,
            kubernetes: Private {
                namespace: claims.namespace,
                serviceaccount: account,
                ..Private::default()
            },
            ..Claims::default()
        };
        let user = User {
            remarks,
            warnings: warning.map(str::to_owned).into_iter().collect(),
            ..user(&claims)
        };
        Ok((user, good))
    }

    /// The objects that the token is bound to must still be there, with the same UID.
    fn check_bound(&self, bound: &Private, now: Timestamp) -> Result<(), String> {
        let (namespace, account) = (&bound.namespace, &bound.serviceaccount);
        let found = self.reader.get(&SERVICE_ACCOUNTS, namespace, &account.name);
        let found = found.ok_or_else(|| format!("serviceaccounts {:?} not found", account.name))?;
        if dead(found.deletion_timestamp(), now) {
            return Err(format!(
                "service account {namespace}/{} has been deleted",
                account.name
            ));
        }
        if found.uid() != account.uid {
            return Err(format!(
                "service account UID ({}) does not match claim ({})",
                found.uid(),
                account.uid
            ));
        }
        for (gvr, namespace, what, named) in [
            (&SECRETS, namespace.as_str(), "secret", &bound.secret),
            (&PODS, namespace, "pod", &bound.pod),
            (&NODES, "", "node", &bound.node),
        ] {
            // The node of a pod-bound token is told, not checked, as upstream.
            let Some(named) = named.as_ref().filter(|_| *gvr != NODES || bound.pod.is_none()) else {
                continue;
            };
            let found = self.reader.get(gvr, namespace, &named.name);
            let found = found.filter(|found| !dead(found.deletion_timestamp(), now));
            let found = found.ok_or("service account token has been invalidated")?;
            if found.uid() != named.uid {
                return Err(format!(
                    "{what} UID ({}) does not match service account {what} ref claim ({})",
                    found.uid(),
                    named.uid
                ));
            }
        }
        Ok(())
    }
}

impl Tokens for ServiceAccounts {
    fn token(&self, token: &str, audiences: &[String]) -> Answer<Known> {
        self.authenticate(token, audiences).into()
    }

    fn knows_audiences(&self) -> bool {
        true
    }
}

fn dead(deleted: Option<Timestamp>, now: Timestamp) -> bool {
    deleted.is_some_and(|at| now.duration_since(at) > LEEWAY)
}

/// A list of texts as Go's `%q` writes it.
pub(super) fn quoted(texts: &[String]) -> String {
    let texts: Vec<String> = texts.iter().map(|text| format!("{text:?}")).collect();
    format!("[{}]", texts.join(" "))
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
    ];
    User {
        // As upstream, by what the claims say of the account.
        name: format!(
            "system:serviceaccount:{}:{}",
            bound.namespace, bound.serviceaccount.name
        ),
        uid: bound.serviceaccount.uid.clone(),
        groups: groups.into(),
        extra,
        ..User::default()
    }
}

impl TokenIssuer for ServiceAccounts {
    fn issue(&self, ask: &TokenAsk) -> Result<Token, Status> {
        let now = self.env.clock.wall().as_second();
        let time =
            |seconds: i64| Timestamp::from_second(now.saturating_add(seconds)).map_err(Status::internal);
        let own = &self.rules.audiences;
        let audiences = if ask.audiences.is_empty() {
            own
        } else {
            &ask.audiences
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
        let pod = bound("Pod");
        let ours = audiences.iter().all(|audience| own.contains(audience));
        let extended = self.rules.extend && pod.is_some() && ask.seconds == OF_PODS && ours;
        let claims = Claims {
            aud: audiences.clone(),
            exp: time(if extended { EXTENDED } else { ask.seconds })?.as_second(),
            iat: now,
            iss: self.rules.issuers.first().cloned().unwrap_or_default(),
            jti: self.env.random.uuid(),
            kubernetes: Private {
                namespace: ask.namespace.clone(),
                node: bound("Node").or(node),
                pod,
                secret: bound("Secret"),
                serviceaccount: Named {
                    name: ask.service_account.clone(),
                    uid: ask.uid.clone(),
                },
                warnafter: if extended { now + ask.seconds } else { 0 },
            },
            nbf: now,
            sub: format!("system:serviceaccount:{}:{}", ask.namespace, ask.service_account),
        };
        let token = self.key.sign(&claims).map_err(Status::internal)?;
        Ok(Token {
            token,
            expires: time(ask.seconds)?,
            audiences: audiences.clone(),
            id: claims.jti,
        })
    }

    fn longest(&self) -> Option<i64> {
        let longest = self.rules.longest?;
        Some(i64::try_from(longest.as_secs()).unwrap_or(i64::MAX))
    }

    fn follow(&self, server: &Arc<Server>) {
        self.legacy.follow(server);
    }
}
