//! Webhooks that convert custom resources.

use crate::webhook::{Caller, Endpoint};
use api::{Object, Status};
use bytes::Bytes;
use client::Dial;
use component::Env;
use resources::{Client, Custom};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

/// How long one may take, as upstream.
const PATIENCE: Duration = Duration::from_secs(30);
/// Of more webhooks than this the connections are not kept.
const MOST_KNOWN: usize = 256;

/// What converts.
pub struct Webhooks {
    caller: Caller,
    /// By what definitions say of them.
    endpoints: Mutex<HashMap<String, Arc<Endpoint>>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Review<'a> {
    kind: &'static str,
    api_version: String,
    request: Question<'a>,
}

#[derive(Serialize)]
struct Question<'a> {
    uid: &'a str,
    #[serde(rename = "desiredAPIVersion")]
    desired: &'a str,
    objects: Vec<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answered<'a> {
    #[serde(default)]
    kind: String,
    #[serde(default)]
    api_version: String,
    #[serde(borrow)]
    response: Option<Answer<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answer<'a> {
    #[serde(default)]
    uid: String,
    #[serde(default, borrow)]
    converted_objects: Vec<&'a RawValue>,
    #[serde(default)]
    result: Outcome,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Outcome {
    status: String,
    message: String,
}

impl Webhooks {
    /// Over `dial`.
    pub fn new(dial: Arc<dyn Dial>, env: Env) -> Self {
        Self {
            caller: Caller { dial, env },
            endpoints: Mutex::default(),
        }
    }

    /// The way to webhooks of any sort.
    pub fn caller(&self) -> &Caller {
        &self.caller
    }

    fn endpoint(&self, client: &Client) -> Option<Arc<Endpoint>> {
        let key = format!("{:?} {:?} {}", client.url, client.service, client.ca_bundle);
        let mut endpoints = self.endpoints.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = endpoints.get(&key) {
            return Some(known.clone());
        }
        let made = match (&client.service, &client.url) {
            (Some(to), _) => {
                let port = to.port.unwrap_or(443);
                Endpoint::service(&to.namespace, &to.name, port, &to.path, &client.ca_bundle)
            }
            (None, Some(url)) => Endpoint::url(url, &client.ca_bundle)?,
            (None, None) => return None,
        };
        // What definitions said before is forgotten now and then.
        if endpoints.len() > MOST_KNOWN {
            endpoints.clear();
        }
        let made = Arc::new(made);
        endpoints.insert(key, made.clone());
        Some(made)
    }

    /// Asks the webhook of `custom` for `bodies` in the version number `version`, in their order.
    pub async fn convert(
        &self,
        custom: &Custom,
        version: usize,
        bodies: Vec<Bytes>,
    ) -> Result<Vec<Object>, Status> {
        let Some(client) = &custom.webhook else {
            return Err(Status::internal("there is no conversion webhook"));
        };
        let desired = &custom.versions[version].api_version;
        let failed = |why: String| {
            let kind = custom.row.kind;
            Status::internal(format!(
                "conversion webhook for {desired}, Kind={kind} failed: {why}"
            ))
        };
        let uid = self.caller.env.random.uuid();
        let review = client
            .review_versions
            .iter()
            .find(|v| ["v1", "v1beta1"].contains(&v.as_str()));
        let review = format!("apiextensions.k8s.io/{}", review.map_or("v1", String::as_str));
        let objects = bodies.iter().map(|body| serde_json::from_slice(body));
        let question = Review {
            kind: "ConversionReview",
            api_version: review.clone(),
            request: Question {
                uid: &uid,
                desired,
                objects: objects.collect::<Result<_, _>>().map_err(Status::internal)?,
            },
        };
        let question = serde_json::to_vec(&question).map_err(Status::internal)?;
        let endpoint = self.endpoint(client);
        let endpoint = endpoint.ok_or_else(|| failed("neither url nor service is given".to_owned()))?;
        let asked = self.caller.post(&endpoint, question.into(), PATIENCE).await;
        let text = asked.map_err(|why| failed(why.to_string()))?;
        let converted = read(&text, &uid, &review, bodies.len()).map_err(failed)?;
        let pairs = converted.into_iter().zip(&bodies);
        pairs
            .map(|(text, before)| {
                let body = custom.shaped(version, text.get().as_bytes()).map_err(failed)?;
                let fields = custom.row.fields;
                let parse = |text: Bytes| Object::parse_any(text, fields).map_err(|e| failed(e.to_string()));
                let (object, before) = (parse(body.into())?, parse(before.clone())?);
                unchanged(&object, &before, desired).map_err(failed)?;
                Ok(object.at(before.resource_version()))
            })
            .collect()
    }
}

/// The objects of an answer, if it is one to the question `uid` about `count` objects.
fn read<'a>(text: &'a [u8], uid: &str, review: &str, count: usize) -> Result<Vec<&'a RawValue>, String> {
    let answered: Answered<'a> = serde_json::from_slice(text).map_err(|error| error.to_string())?;
    if (answered.api_version.as_str(), answered.kind.as_str()) != (review, "ConversionReview") {
        return Err(format!(
            "expected webhook response of {review}, Kind=ConversionReview, got {}, Kind={}",
            answered.api_version, answered.kind
        ));
    }
    let answer = answered.response.ok_or("no response provided")?;
    if answer.uid != uid && review.ends_with("/v1") {
        return Err(format!("expected response.uid={uid:?}, got {:?}", answer.uid));
    }
    if answer.result.status != "Success" {
        return Err(answer.result.message);
    }
    let given = answer.converted_objects.len();
    if given != count {
        return Err(format!("webhook returned {given} objects, expected {count}"));
    }
    Ok(answer.converted_objects)
}

/// What a conversion may not change.
fn unchanged(now: &Object, before: &Object, desired: &str) -> Result<(), String> {
    let invalid = |why: &str| Err(format!("invalid converted object: {why}"));
    if now.api_version() != desired {
        let given = now.api_version();
        return invalid(&format!(
            "invalid groupVersion (expected {desired}, received {given})"
        ));
    }
    if now.kind() != before.kind() {
        return invalid(&format!(
            "invalid kind (expected {}, received {})",
            before.kind(),
            now.kind()
        ));
    }
    for (field, now, before) in [
        ("name", now.name(), before.name()),
        ("namespace", now.namespace(), before.namespace()),
        ("uid", now.uid(), before.uid()),
    ] {
        if now != before {
            return invalid(&format!(
                "metadata.{field} has been changed (expected {before:?}, received {now:?})"
            ));
        }
    }
    Ok(())
}
