//! Another server says whose tokens are (upstream `apiserver/plugin/pkg/authenticator/token/webhook`).

use super::{
    Tokens,
    cache::{Cache, Digested, digest},
};
use crate::security::{Answer, Asking, Known, User};
use bytes::Bytes;
use component::Env;
use futures::{
    FutureExt,
    future::{BoxFuture, Shared, WeakShared},
};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

/// The versions of TokenReview that are spoken.
const VERSIONS: [&str; 2] = ["v1", "v1beta1"];

/// Asks about tokens, and remembers what it was told.
pub struct TokenWebhook {
    asking: Arc<Asking>,
    version: &'static str,
    audiences: Vec<String>,
    life: Duration,
    known: Arc<Cache<Digested, Known>>,
    /// Questions that are under way: who asks the same waits for the same answer.
    open: Mutex<HashMap<Digested, WeakShared<BoxFuture<'static, Known>>>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Question<'a> {
    kind: &'static str,
    api_version: String,
    metadata: Metadata,
    spec: Spec<'a>,
    status: Empty,
}

#[derive(Serialize)]
struct Empty {
    user: BTreeMap<String, String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    creation_timestamp: Option<String>,
}

#[derive(Serialize)]
struct Spec<'a> {
    token: &'a str,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    audiences: &'a [String],
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Reply {
    kind: String,
    api_version: String,
    status: Status,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Status {
    authenticated: bool,
    user: Option<Told>,
    audiences: Option<Vec<String>>,
    error: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Told {
    username: String,
    uid: String,
    groups: Option<Vec<String>>,
    extra: Option<BTreeMap<String, Vec<String>>>,
}

impl TokenWebhook {
    /// Asks in `version`; what is told is remembered for `life`. Tokens of which it says no audience are for `audiences`.
    ///
    /// # Errors
    /// There is no such version.
    pub fn new(
        asking: Asking,
        version: &str,
        life: Duration,
        audiences: Vec<String>,
        env: &Env,
    ) -> Result<Arc<Self>, String> {
        let known = VERSIONS.into_iter().find(|known| *known == version);
        let version = known.ok_or_else(|| {
            let [one, other] = VERSIONS;
            format!(
                "unsupported authentication webhook version {version:?}, supported versions are {one:?}, {other:?}"
            )
        })?;
        Ok(Arc::new(Self {
            asking: Arc::new(asking),
            version,
            audiences,
            life,
            known: Arc::new(Cache::new(env.clock.clone())),
            open: Mutex::default(),
        }))
    }

    fn ask(&self, token: &str, audiences: &[String], key: Digested) -> Shared<BoxFuture<'static, Known>> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(shared) = open.get(&key).and_then(WeakShared::upgrade) {
            return shared;
        }
        open.retain(|_, shared| shared.upgrade().is_some());
        let question = Question {
            kind: "TokenReview",
            api_version: format!("authentication.k8s.io/{}", self.version),
            metadata: Metadata {
                creation_timestamp: None,
            },
            spec: Spec { token, audiences },
            status: Empty {
                user: BTreeMap::new(),
            },
        };
        let question = serde_json::to_vec(&question).map(Bytes::from);
        let (asking, known, own, life) = (
            self.asking.clone(),
            self.known.clone(),
            self.audiences.clone(),
            self.life,
        );
        let (version, audiences) = (self.version, audiences.to_vec());
        let asked = async move {
            let question = question.map_err(|error| error.to_string())?;
            let answer = match asking.review(question).await {
                Ok(answer) => answer,
                Err(failure) => {
                    tracing::error!(
                        failure = failure.to_string(),
                        "failed to make webhook authenticator request"
                    );
                    return Err(failure.to_string().into());
                }
            };
            let told = read(&answer, version, &audiences, &own);
            if let Err(why) = &told {
                tracing::info!(why = why.why, "the token webhook refuses a token");
            }
            // What went wrong may be right the next time.
            if told.is_ok() && !life.is_zero() {
                known.put(key, told.clone(), life);
            }
            told
        };
        let shared = asked.boxed().shared();
        if let Some(weak) = shared.downgrade() {
            open.insert(key, weak);
        }
        shared
    }
}

/// What an answer says.
fn read(answer: &[u8], version: &str, asked: &[String], own: &[String]) -> Known {
    if answer.trim_ascii_start().first() != Some(&b'{') {
        return Err("the answer of the webhook is no TokenReview: it is no object".into());
    }
    let reply: Reply = serde_json::from_slice(answer)
        .map_err(|error| format!("the answer of the webhook is no TokenReview: {error}"))?;
    let wanted = format!("authentication.k8s.io/{version}");
    if reply.kind != "TokenReview" || reply.api_version != wanted {
        return Err(format!(
            "the answer of the webhook is a {:?} of {:?}, not a TokenReview of {wanted:?}",
            reply.kind, reply.api_version
        )
        .into());
    }
    let status = reply.status;
    let got = status.audiences.filter(|audiences| !audiences.is_empty());
    let got = got.unwrap_or_else(|| own.to_vec());
    let good: Vec<String> = asked
        .iter()
        .filter(|audience| got.contains(audience))
        .cloned()
        .collect();
    if !asked.is_empty() && good.is_empty() {
        return Ok(None);
    }
    if !status.authenticated {
        return if status.error.is_empty() {
            Ok(None)
        } else {
            Err(status.error.into())
        };
    }
    let told = status.user.unwrap_or_default();
    let user = User {
        name: told.username,
        uid: told.uid,
        groups: told.groups.unwrap_or_default(),
        extra: told.extra.unwrap_or_default(),
        ..User::default()
    };
    Ok(Some((user, good)))
}

impl Tokens for TokenWebhook {
    fn token(&self, token: &str, audiences: &[String]) -> Answer<Known> {
        let key = digest(token, audiences);
        if let Some(known) = self.known.get(&key) {
            return known.into();
        }
        Answer::Later(self.ask(token, audiences, key).boxed())
    }

    fn knows_audiences(&self) -> bool {
        true
    }
}
