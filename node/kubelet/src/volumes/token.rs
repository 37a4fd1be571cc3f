//! Tokens of a pod's service account, asked for and renewed through TokenRequest (upstream: `pkg/kubelet/token`).

use crate::{
    resources::SERVICE_ACCOUNTS,
    view::{Pod, TokenResponse, TokenSource},
};
use api::Key;
use client::{Client, Target, Write};
use component::Env;
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use std::collections::BTreeMap;

#[derive(Clone, Debug)]
struct Token {
    text: String,
    renew: Timestamp,
    expires: Timestamp,
}

/// The tokens of one pod, by audience and life time.
#[derive(Clone, Debug, Default)]
pub struct Tokens(BTreeMap<(String, i64), Token>);

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Request<'a> {
    api_version: &'static str,
    kind: &'static str,
    spec: Spec<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Spec<'a> {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    audiences: Vec<&'a str>,
    expiration_seconds: i64,
    bound_object_ref: Bound<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Bound<'a> {
    api_version: &'static str,
    kind: &'static str,
    name: &'a str,
    uid: &'a str,
}

impl Tokens {
    /// When the first of them must be renewed.
    pub fn next_renewal(&self) -> Option<Timestamp> {
        self.0.values().map(|t| t.renew).min()
    }

    /// The token for a source: the one at hand while it is fresh. One that is stale but valid is kept when no new one
    /// can be had.
    pub(super) async fn get(
        &mut self,
        client: &Client,
        env: &Env,
        pod: &Pod,
        source: &TokenSource,
    ) -> Result<String, String> {
        let seconds = source.expiration_seconds.unwrap_or(3600);
        let key = (source.audience.clone(), seconds);
        let now = env.clock.wall();
        if let Some(token) = self.0.get(&key).filter(|t| t.renew > now) {
            return Ok(token.text.clone());
        }
        match request(client, env, pod, &source.audience, seconds).await {
            Ok(token) => {
                let text = token.text.clone();
                self.0.insert(key, token);
                Ok(text)
            }
            Err(why) => match self.0.get_mut(&key).filter(|t| t.expires > now) {
                Some(token) => {
                    token.renew = now.saturating_add(SignedDuration::from_secs(10)).unwrap_or(now);
                    Ok(token.text.clone())
                }
                None => Err(format!("failed to fetch token: {why}")),
            },
        }
    }
}

async fn request(
    client: &Client,
    env: &Env,
    pod: &Pod,
    audience: &str,
    seconds: i64,
) -> Result<Token, String> {
    let account = if pod.spec.service_account_name.is_empty() {
        "default"
    } else {
        &pod.spec.service_account_name
    };
    let request = Request {
        api_version: "authentication.k8s.io/v1",
        kind: "TokenRequest",
        spec: Spec {
            audiences: Some(audience).filter(|a| !a.is_empty()).into_iter().collect(),
            expiration_seconds: seconds,
            bound_object_ref: Bound {
                api_version: "v1",
                kind: "Pod",
                name: &pod.metadata.name,
                uid: &pod.metadata.uid,
            },
        },
    };
    let body = serde_json::to_vec(&request).map_err(|e| e.to_string())?;
    let target = Target::object(&SERVICE_ACCOUNTS, &Key::new(&pod.metadata.namespace, account)).sub("token");
    let answer = client
        .write(target, Write::Create(body.into()))
        .await
        .map_err(|s| s.to_string())?;
    let response: TokenResponse = answer.view().map_err(|e| e.to_string())?;
    let now = env.clock.wall();
    let life = SignedDuration::from_secs(seconds);
    let expires = response
        .status
        .expiration_timestamp
        .unwrap_or_else(|| now.saturating_add(life).unwrap_or(now));
    // At 80 % of its life, at the latest after a day, not all at the same moment.
    let life = std::time::Duration::try_from(expires.duration_since(now)).unwrap_or_default();
    let after = life.mul_f64(0.8).min(std::time::Duration::from_secs(24 * 3600));
    let early = std::time::Duration::from_millis(env.random.below(10_000)).min(after / 10);
    let after = SignedDuration::try_from(after - early).unwrap_or(SignedDuration::ZERO);
    Ok(Token {
        text: response.status.token,
        renew: now.saturating_add(after).unwrap_or(now),
        expires,
    })
}
