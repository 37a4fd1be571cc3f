//! `serviceaccounts/token`: a bound token, signed by the issuer.

use crate::{
    Server,
    admission::Operation,
    handler::{Body, Call, Did, Outcome, Place},
    security::{Bound, TokenAsk},
};
use api::{Gvk, Gvr, Object, Status, field, scan};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

const HOUR: i64 = 3600;
const SHORTEST: i64 = 600;
const LONGEST: i64 = 1 << 32;

/// The annotation of audit events that says which token was made.
const ISSUED: &str = "authentication.kubernetes.io/issued-credential-id";
/// The one that says that it is of another account.
const MISMATCH: &str = "authentication.k8s.io/token-request-uid-mismatch";
const UID_GATE: &str = "TokenRequestServiceAccountUIDValidation";
/// Group and kind of what is sent.
const REQUEST: (&str, &str) = ("authentication.k8s.io", "TokenRequest");

#[derive(Serialize, Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct TokenRequest {
    kind: String,
    api_version: String,
    metadata: Meta,
    spec: Spec,
    status: TokenStatus,
}

#[derive(Serialize, Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Meta {
    name: String,
    namespace: String,
    uid: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    creation_timestamp: Option<String>,
}

#[derive(Serialize, Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Spec {
    audiences: Vec<String>,
    expiration_seconds: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bound_object_ref: Option<BoundRef>,
}

#[derive(Serialize, Deserialize, Default, Clone)]
#[serde(rename_all = "camelCase", default)]
struct BoundRef {
    kind: String,
    api_version: String,
    name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    uid: String,
}

#[derive(Serialize, Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct TokenStatus {
    token: String,
    expiration_timestamp: Option<String>,
}

/// POST of an `authentication.k8s.io/v1 TokenRequest`.
pub async fn create(server: &Server, place: &Place, call: &Call, body: &[u8]) -> Result<Outcome, Status> {
    let unusable = |error| {
        Status::bad_request(format!(
            "TokenRequest in version \"v1\" cannot be handled as a TokenRequest: {error}"
        ))
    };
    let what = Body {
        operation: Operation::Create,
        place: Some(place),
        kind: Gvk::new("authentication.k8s.io", "v1", "TokenRequest"),
        name: &place.name,
        json: Bytes::copy_from_slice(body),
        old: None,
    };
    let body = server.handler.admit_body(call, what).await?;
    let mut request: TokenRequest = serde_json::from_slice(&body).map_err(unusable)?;
    check_names(place, &request.metadata)?;
    let account = server
        .handler
        .get(&Place {
            subresource: String::new(),
            ..place.clone()
        })
        .await?;
    check_uid(server, place, call, &request.metadata, account.uid())?;
    let (seconds, warnings) = shortened(server, seconds(&request)?);
    let mut ask = TokenAsk {
        namespace: place.namespace.clone(),
        service_account: place.name.clone(),
        uid: account.uid().to_owned(),
        audiences: request.spec.audiences.clone(),
        seconds,
        ..TokenAsk::default()
    };
    if let Some(bound) = &request.spec.bound_object_ref {
        bind(server, place, &mut ask, bound)?;
    }
    let issuer = server
        .handler
        .security
        .issuer
        .as_ref()
        .ok_or_else(Status::no_such_path)?;
    let token = if call.dry_run {
        None
    } else {
        Some(issuer.issue(&ask)?)
    };
    request.kind = "TokenRequest".to_owned();
    request.api_version = "authentication.k8s.io/v1".to_owned();
    request.metadata = Meta {
        name: place.name.clone(),
        namespace: place.namespace.clone(),
        uid: account.uid().to_owned(),
        creation_timestamp: Some(
            server
                .handler
                .env
                .clock
                .wall()
                .strftime("%Y-%m-%dT%H:%M:%SZ")
                .to_string(),
        ),
    };
    request.spec.expiration_seconds = Some(seconds);
    if let Some(token) = token {
        call.notes.annotate(ISSUED, format!("JTI={}", token.id));
        request.spec.audiences = token.audiences;
        let expires = token.expires.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        request.status = TokenStatus {
            token: token.token,
            expiration_timestamp: Some(expires),
        };
    }
    let text = serde_json::to_vec(&request).map_err(Status::internal)?;
    let object = Object::parse(text.into(), 0, &[])
        .map(Arc::new)
        .map_err(Status::internal)?;
    Ok(Outcome {
        object,
        did: Did::Created,
        warnings,
    })
}

/// Refuses a request that is about another account than its path.
fn check_names(place: &Place, said: &Meta) -> Result<(), Status> {
    if !said.namespace.is_empty() && said.namespace != place.namespace {
        let why = "the namespace of the provided object does not match the namespace sent on the request";
        return Err(Status::bad_request(why));
    }
    if said.name.is_empty() || said.name == place.name {
        return Ok(());
    }
    let why = "must match the service account name if specified";
    let errors = vec![field::Error::invalid("metadata.name", &said.name, why)];
    Err(Status::invalid(REQUEST.0, REQUEST.1, &place.name, errors))
}

/// Refuses a request that is about an account which was here before, by that name.
fn check_uid(server: &Server, place: &Place, call: &Call, said: &Meta, uid: &str) -> Result<(), Status> {
    if said.uid.is_empty() || said.uid == uid {
        return Ok(());
    }
    let why = format!(
        "the UID in the token request ({}) does not match the UID of the service account ({uid})",
        said.uid
    );
    if server.gates.enabled(UID_GATE) {
        return Err(Status::conflict(
            &Gvr::new(REQUEST.0, "v1", REQUEST.1),
            &place.name,
            &why,
        ));
    }
    call.notes.warn(format!(
        "{why} but {UID_GATE} is not enabled. In the future, this will return a conflict error"
    ));
    call.notes.annotate(MISMATCH, why);
    Ok(())
}

/// At most as long as tokens live, with a warning if that is shorter than what is asked for.
fn shortened(server: &Server, seconds: i64) -> (i64, Vec<String>) {
    let issuer = server.handler.security.issuer.as_ref();
    match issuer.and_then(|issuer| issuer.longest()) {
        Some(longest) if seconds > longest => {
            let told = format!("requested expiration of {seconds} seconds shortened to {longest} seconds");
            (longest, vec![told])
        }
        _ => (seconds, Vec::new()),
    }
}

fn seconds(request: &TokenRequest) -> Result<i64, Status> {
    let seconds = request.spec.expiration_seconds.unwrap_or(HOUR);
    let detail = match seconds {
        ..SHORTEST => "may not specify a duration less than 10 minutes",
        SHORTEST..=LONGEST => return Ok(seconds),
        _ => "may not specify a duration larger than 2^32 seconds",
    };
    let error = field::Error::invalid("spec.expirationSeconds", seconds, detail);
    Err(Status::invalid(REQUEST.0, REQUEST.1, "", vec![error]))
}

/// Finds the object that the token is bound to, which must be the one that is meant.
fn bind(server: &Server, place: &Place, ask: &mut TokenAsk, bound: &BoundRef) -> Result<(), Status> {
    let reader = server.reader();
    let (gvr, namespace) = match (bound.api_version.as_str(), bound.kind.as_str()) {
        ("v1", "Pod") => (Gvr::new("", "v1", "pods"), place.namespace.as_str()),
        ("v1", "Secret") => (Gvr::new("", "v1", "secrets"), place.namespace.as_str()),
        ("v1", "Node") => (Gvr::new("", "v1", "nodes"), ""),
        (version, kind) => {
            let message = format!("cannot bind token to object of type {version}, Kind={kind}");
            return Err(Status::bad_request(message));
        }
    };
    let object = reader
        .get(&gvr, namespace, &bound.name)
        .ok_or_else(|| Status::not_found(&gvr, &bound.name))?;
    if !bound.uid.is_empty() && bound.uid != object.uid() {
        let why = format!(
            "the UID in the bound object reference ({}) does not match the UID in record. The object might have been \
             deleted and then recreated",
            bound.uid
        );
        return Err(Status::conflict(&gvr, &bound.name, &why));
    }
    if bound.kind == "Pod" {
        let text = |path| scan::scalar(object.body(), path).unwrap_or_default();
        if text("spec.serviceAccountName") != place.name {
            return Err(Status::bad_request(format!(
                "cannot bind token for serviceaccount {:?} to pod running with different serviceaccount name.",
                place.name
            )));
        }
        let node = text("spec.nodeName");
        let uid = reader
            .get(&Gvr::new("", "v1", "nodes"), "", &node)
            .map(|n| n.uid().to_owned());
        ask.node = (!node.is_empty()).then(|| (node.into_owned(), uid.unwrap_or_default()));
    }
    ask.bound = Some(Bound {
        kind: bound.kind.clone(),
        name: bound.name.clone(),
        uid: object.uid().to_owned(),
    });
    Ok(())
}
