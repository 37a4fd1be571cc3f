//! Webhooks that convert custom resources.

use api::{Object, Status};
use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use client::{Dial, Duplex, Peer};
use component::{Env, pki};
use http::{Request, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use resources::{Client, Custom};
use rustls::pki_types::ServerName;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::{io, sync::Arc, time::Duration};

/// How long one may take, as upstream.
const PATIENCE: Duration = Duration::from_secs(30);
/// The authorities of the host, for webhooks without a bundle of their own.
const AUTHORITIES: &str = "/etc/ssl/certs/ca-certificates.crt";
/// An answer is no larger than this.
const MOST: usize = 64 << 20;

/// The way to webhooks.
pub struct Webhooks {
    /// The way to services.
    pub dial: Arc<dyn Dial>,
    /// Time and randomness.
    pub env: Env,
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
        let uid = self.env.random.uuid();
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
        let asked = self.env.clock.timeout(PATIENCE, self.ask(client, question)).await;
        let text = asked
            .unwrap_or_else(|| Err("context deadline exceeded".to_owned()))
            .map_err(failed)?;
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

    async fn ask(&self, client: &Client, question: Vec<u8>) -> Result<Bytes, String> {
        let to = To::of(client).ok_or("neither url nor service is given")?;
        let post = |error: &dyn std::fmt::Display| format!("Post {:?}: {error}", to.url);
        let stream = self.connect(client, &to).await.map_err(|error| post(&error))?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|error| post(&error))?;
        let branch = self.env.tasks.child();
        branch.spawn("webhook-connection", async move {
            let _ = connection.await;
        });
        let request = Request::post(&to.path)
            .header(header::HOST, &to.authority)
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::ACCEPT, "application/json")
            .body(Full::new(Bytes::from(question)))
            .map_err(|error| post(&error))?;
        let response = sender.send_request(request).await.map_err(|error| post(&error))?;
        let code = response.status();
        let body = http_body_util::Limited::new(response.into_body(), MOST);
        let text = body.collect().await.map_err(|error| post(&error))?.to_bytes();
        if code != StatusCode::OK {
            let head = String::from_utf8_lossy(&text[..text.len().min(200)]).into_owned();
            return Err(format!(
                "the server responded with the status code {} ({head})",
                code.as_u16()
            ));
        }
        Ok(text)
    }

    async fn connect(&self, client: &Client, to: &To) -> io::Result<Box<dyn Duplex>> {
        let stream: Box<dyn Duplex> = match &to.peer {
            Some(peer) => self.dial.dial(peer).await?,
            None => Box::new(tokio::net::TcpStream::connect((to.host.as_str(), to.port)).await?),
        };
        let bundle = match client.ca_bundle.as_str() {
            "" => std::fs::read_to_string(AUTHORITIES)?,
            bundle => {
                let pem = STANDARD.decode(bundle).map_err(io::Error::other)?;
                String::from_utf8(pem).map_err(io::Error::other)?
            }
        };
        let tls = pki::client_config(&bundle, None).map_err(io::Error::other)?;
        let name = ServerName::try_from(to.host.clone()).map_err(io::Error::other)?;
        let stream = tokio_rustls::TlsConnector::from(Arc::new(tls))
            .connect(name, stream)
            .await?;
        Ok(Box::new(stream))
    }
}

/// Where a webhook is.
struct To {
    /// The service; none: the host itself.
    peer: Option<Peer>,
    host: String,
    port: u16,
    authority: String,
    path: String,
    url: String,
}

impl To {
    fn of(client: &Client) -> Option<Self> {
        if let Some(service) = &client.service {
            let port = service.port.unwrap_or(443);
            let host = format!("{}.{}.svc", service.name, service.namespace);
            let path = if service.path.is_empty() {
                "/"
            } else {
                &service.path
            };
            return Some(Self {
                peer: Some(Peer::Service(
                    service.namespace.clone(),
                    service.name.clone(),
                    port,
                )),
                authority: format!("{host}:{port}"),
                url: format!("https://{host}:{port}{path}?timeout=30s"),
                path: format!("{path}?timeout=30s"),
                host,
                port,
            });
        }
        let url = client.url.as_deref()?;
        let uri: http::Uri = url.parse().ok()?;
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        Some(Self {
            peer: None,
            host: uri.host()?.trim_matches(['[', ']']).to_owned(),
            port: uri.port_u16().unwrap_or(443),
            authority: uri.authority()?.to_string(),
            path: path.to_owned(),
            url: url.to_owned(),
        })
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
