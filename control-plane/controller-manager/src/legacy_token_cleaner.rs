//! Tokens in Secrets that were made by themselves and that nobody uses: marked as invalid, and deleted when nobody missed
//! them (upstream `pkg/controller/serviceaccount/legacy_serviceaccount_token_cleaner.go`).

mod mounted;

use crate::views::{CONFIG_MAPS, PODS, SECRETS, SERVICE_ACCOUNTS, Seen, see};
use api::{Gvr, Key};
use client::{Caches, Change, DeleteOptions, Patch, Selector, Target, Write};
use jiff::{SignedDuration, Timestamp, civil::Date, tz::TimeZone};
use mounted::Mounts;
use reconcile::{Controller, LastOutcome, Plan, PlannedWrite, Watch, own_key};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, time::Duration};

const TYPE: &str = "kubernetes.io/service-account-token";
const ACCOUNT_NAME: &str = "kubernetes.io/service-account.name";
const ACCOUNT_UID: &str = "kubernetes.io/service-account.uid";
/// The API server writes the one; the other makes it refuse the token.
const LAST_USED: &str = "kubernetes.io/legacy-token-last-used";
const INVALID_SINCE: &str = "kubernetes.io/legacy-token-invalid-since";
/// The ConfigMap that says since when the API server notes the use of tokens.
const TRACKING: &str = "kube-apiserver-legacy-service-account-token-tracking";
const NAMESPACE: &str = "kube-system";

/// So often each token is looked at.
const LOOK: Duration = Duration::from_secs(24 * 3600);

/// The controller.
#[derive(Debug)]
pub struct LegacyTokenCleaner {
    /// How long nobody must have used a token.
    pub period: Duration,
}

/// A token in a Secret.
#[derive(Debug)]
pub struct Token {
    secret: Seen<Secret>,
    /// The account that it is of refers to it: it was made by itself.
    made_by_itself: bool,
    mounted: bool,
    tracked_since: Option<Date>,
}

#[derive(Debug, Deserialize, Default)]
#[serde(default)]
struct Secret {
    r#type: String,
}

#[derive(Debug, Deserialize, Default)]
#[serde(default)]
struct Account {
    secrets: Vec<Named>,
}

#[derive(Debug, Deserialize, Default)]
#[serde(default)]
struct Named {
    name: String,
}

#[derive(Debug, Deserialize, Default)]
#[serde(default)]
struct Tracking {
    data: BTreeMap<String, String>,
}

#[derive(Serialize)]
struct Marked<'a> {
    metadata: Meta<'a>,
}

#[derive(Serialize)]
struct Meta<'a> {
    uid: &'a str,
    labels: BTreeMap<&'a str, String>,
}

fn tracking() -> Selector {
    Selector {
        namespace: NAMESPACE.to_owned(),
        ..Selector::fields(format!("metadata.name={TRACKING}"))
    }
}

fn nothing(_: &Change, _: &Caches) -> Vec<Key> {
    Vec::new()
}

impl Controller for LegacyTokenCleaner {
    type Observed = Token;

    fn name(&self) -> &'static str {
        "legacy-service-account-token-cleaner"
    }

    fn primary(&self) -> Gvr {
        SECRETS
    }

    fn watches(&self) -> Vec<Watch> {
        let config_map = Watch {
            gvr: CONFIG_MAPS,
            selector: tracking(),
            keys: nothing,
        };
        vec![
            Watch::all(SECRETS, own_key),
            Watch::all(SERVICE_ACCOUNTS, nothing),
            Watch::all(PODS, nothing),
            config_map,
        ]
    }

    fn observe(&self, caches: &Caches, key: &Key) -> Option<Token> {
        let secret: Seen<Secret> = see(caches.all(&SECRETS).get(key)?)?;
        let going = secret.object.deletion_timestamp().is_some();
        if secret.view.r#type != TYPE || going {
            return None;
        }
        let account = secret.object.annotation(ACCOUNT_NAME)?.to_string();
        let uid = secret.object.annotation(ACCOUNT_UID).unwrap_or_default();
        let account = caches
            .all(&SERVICE_ACCOUNTS)
            .get(&Key::new(&key.namespace, &account));
        let account = account.filter(|account| uid.is_empty() || account.uid() == uid);
        let refers = |account: Account| account.secrets.iter().any(|secret| secret.name == key.name);
        let made_by_itself = account
            .and_then(|account| account.view().ok())
            .is_some_and(refers);
        let pods = caches.all(&PODS).in_namespace(&key.namespace);
        let mounts = |pod: &std::sync::Arc<api::Object>| {
            pod.view::<Mounts>()
                .is_ok_and(|mounts| mounts.refer_to(&key.name))
        };
        let since = caches
            .select(&CONFIG_MAPS, tracking())
            .get(&Key::new(NAMESPACE, TRACKING));
        let since = since.and_then(|map| map.view::<Tracking>().ok());
        Some(Token {
            made_by_itself,
            mounted: made_by_itself && pods.iter().any(mounts),
            tracked_since: since.and_then(|map| date(map.data.get("since")?)),
            secret,
        })
    }

    fn reconcile(&self, token: &Token, _: &LastOutcome, now: Timestamp) -> Plan {
        let mut plan = Plan::nothing();
        plan.again_after(LOOK);
        let period = SignedDuration::try_from(self.period).unwrap_or(SignedDuration::MAX);
        let Ok(before) = now.checked_sub(period) else {
            return plan;
        };
        // A token that was used on the day when noting began may not say so.
        let next_day = token.tracked_since.and_then(|since| since.tomorrow().ok());
        let tracked = next_day.is_some_and(|day| day <= day_of(before));
        if !tracked || !token.made_by_itself || token.mounted || !token.is_unused(before) {
            return plan;
        }
        let object = &token.secret.object;
        match object.label(INVALID_SINCE).and_then(date) {
            None => {
                let today = day_of(now).to_string();
                tracing::info!(secret = %object.key(), "a token that nobody uses is marked as invalid");
                let patch = Marked {
                    metadata: Meta {
                        uid: object.uid(),
                        labels: [(INVALID_SINCE, today)].into(),
                    },
                };
                plan.patch("mark", &SECRETS, &object.key(), "", Patch::Merge, &patch);
            }
            Some(since) if since >= day_of(before) => {}
            Some(_) => {
                tracing::info!(secret = %object.key(), "a token that nobody missed is deleted");
                // One that is used, or marked otherwise, in the meantime stays.
                let options = DeleteOptions {
                    resource_version: Some(object.resource_version()),
                    ..DeleteOptions::default()
                };
                plan.writes.push(PlannedWrite {
                    target: Target::object(&SECRETS, &object.key()),
                    write: Write::Delete(options),
                    label: "delete",
                    done: None,
                    refused: None,
                });
            }
        }
        plan
    }
}

impl Token {
    /// Whether it is older than `before` and was not used since then. What cannot be read is no proof.
    fn is_unused(&self, before: Timestamp) -> bool {
        let object = &self.secret.object;
        if object.creation_timestamp().is_none_or(|made| made >= before) {
            return false;
        }
        match object.label(LAST_USED) {
            None => true,
            Some(day) => date(day).is_some_and(|day| day < day_of(before)),
        }
    }
}

/// A day as the labels have it.
fn date(text: impl AsRef<str>) -> Option<Date> {
    Date::strptime("%Y-%m-%d", text.as_ref()).ok()
}

fn day_of(time: Timestamp) -> Date {
    time.to_zoned(TimeZone::UTC).date()
}
