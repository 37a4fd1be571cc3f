//! The way of a request: who asks, may they, and to whom it goes.

use super::{
    answer::{self, Body},
    decisions, discovery, documents, health, impersonate,
    measure::Measured,
    negotiate::{self, Form, Kind, Offer},
    objects,
    query::Query,
    room,
    route::Route,
    version,
};
use crate::{
    Server, aggregate,
    security::{Attributes, User},
};
use api::Status;
use futures::FutureExt;
use http::{HeaderValue, Method, Request, Response, header, request::Parts};
use hyper::body::Incoming;
use rustls::pki_types::CertificateDer;
use std::{panic::AssertUnwindSafe, sync::Arc};

/// A request whose user may ask what it asks.
pub struct Allowed {
    /// The server.
    pub server: Arc<Server>,
    /// Who.
    pub user: Arc<User>,
    /// What.
    pub route: Route,
    /// How.
    pub query: Query,
    /// In which form.
    pub form: Form,
}

impl Allowed {
    /// Whether CBOR is read and written.
    pub fn speaks_cbor(&self) -> bool {
        negotiate::speaks_cbor(&self.server.gates)
    }

    /// What is offered of `kind`.
    pub fn offer(&self, kind: Kind) -> Offer {
        Offer {
            of: kind,
            cbor: self.speaks_cbor(),
        }
    }
}

/// Answers a request, whatever happens.
pub async fn answer(
    server: Arc<Server>,
    peer: Arc<[CertificateDer<'static>]>,
    request: Request<Incoming>,
) -> Response<Body> {
    let query = Query::parse(request.uri().query().unwrap_or_default());
    let route = Route::parse(request.method(), request.uri().path(), &query);
    let head = request.method() == Method::HEAD;
    let clock = server.handler.env.clock.clone();
    let long = route.is_long();
    let patience = server.limits.request_timeout;
    let patience = query.timeout().map_or(patience, |wished| wished.min(patience));
    let measured = Measured::start(&server, &route, &query, &request);
    // What cannot be negotiated is only an error for answers that are.
    let offer = Offer {
        of: if route.verb == "watch" {
            Kind::Watch
        } else {
            Kind::BuiltIn
        },
        cbor: negotiate::speaks_cbor(&server.gates),
    };
    let wished = negotiate::form(request.headers(), &query, offer);
    let form = wished.clone().unwrap_or_default();
    let work = handle(server, peer, route, query, wished, request);
    let work = AssertUnwindSafe(work).catch_unwind();
    let done = if long {
        Some(work.await)
    } else {
        clock.timeout(patience, work).await
    };
    let mut response = match done {
        Some(Ok(Ok(response))) => response,
        Some(Ok(Err(status))) => answer::status(&status, form),
        Some(Err(_)) => {
            let message = "This request caused apiserver to panic. Look in the logs for details.";
            answer::status(&Status::internal(message), form)
        }
        None => {
            let message = "Timeout: request did not complete within the allotted timeout";
            answer::status(&Status::timeout(message), form)
        }
    };
    if head {
        *response.body_mut() = answer::full("");
    }
    measured.answered(response)
}

async fn handle(
    server: Arc<Server>,
    peer: Arc<[CertificateDer<'static>]>,
    route: Route,
    query: Query,
    wished: Result<Form, Status>,
    request: Request<Incoming>,
) -> Result<Response<Body>, Status> {
    let (parts, body) = request.into_parts();
    let user = authenticate(&server, &parts, &peer)?;
    let user = impersonate::user(&server, user, &parts.headers)?;
    let _room = match route.is_long() {
        true => None,
        false => match server.rooms.enter(&route, &user) {
            Some(room) => Some(room),
            None => return Ok(room::full()),
        },
    };
    server.authorize(&attributes(&user, &route))?;
    if let Some(elsewhere) = server.aggregator.behind(parts.uri.path()) {
        let request = Request::from_parts(parts, body);
        return Ok(aggregate::answer(&server, &user, &elsewhere, request).await);
    }
    let form = if route.is_resource() && route.subresource.is_empty() {
        wished?
    } else {
        wished.unwrap_or_default()
    };
    let allowed = Allowed {
        server,
        user,
        route,
        query,
        form,
    };
    if allowed.route.is_resource() {
        return objects::answer(allowed, Request::from_parts(parts, body)).await;
    }
    path(&allowed, &parts).await
}

fn authenticate(
    server: &Server,
    parts: &Parts,
    peer: &[CertificateDer<'static>],
) -> Result<Arc<User>, Status> {
    match server.handler.security.authn.authenticate(parts, peer) {
        Ok(user) => Ok(Arc::new(user.unwrap_or_else(User::anonymous))),
        Err(status) => {
            tracing::debug!(error = %status, "authentication failed");
            Err(Status::unauthorized())
        }
    }
}

fn attributes(user: &Arc<User>, route: &Route) -> Attributes {
    Attributes {
        user: user.clone(),
        verb: route.verb.to_owned(),
        group: route.gvr.group.to_string(),
        version: route.gvr.version.to_string(),
        resource: route.gvr.resource.to_string(),
        subresource: route.subresource.clone(),
        namespace: route.namespace.clone(),
        name: route.name.clone(),
        path: if route.is_resource() {
            String::new()
        } else {
            route.path.clone()
        },
        is_resource: route.is_resource(),
    }
}

/// A path that is no resource.
async fn path(allowed: &Allowed, parts: &Parts) -> Result<Response<Body>, Status> {
    let (server, form) = (&allowed.server, allowed.form);
    if !matches!(parts.method, Method::GET | Method::HEAD) {
        return Err(Status::method_not_allowed());
    }
    let json = |text| Ok(answer::json(200, text, form));
    let documents = server.documents();
    let documents = documents.as_ref();
    let path = allowed.route.path.trim_end_matches('/');
    let segments: Vec<&str> = path.split('/').skip(1).collect();
    match segments.as_slice() {
        [] | [""] => json(paths(server)),
        ["version"] => json(version::version(&server.build)),
        ["healthz" | "livez" | "readyz", ..] => Ok(health::health(server, path, &allowed.query).await),
        ["metrics"] => Ok(metrics(server)),
        ["api"] if form.aggregated => Ok(tagged(documents.aggregated(true), parts, form, true)),
        ["apis"] if form.aggregated => Ok(tagged(documents.aggregated(false), parts, form, true)),
        ["api"] => json(discovery::core_versions(&format!(
            "{}:{}",
            server.advertise.0, server.advertise.1
        ))),
        ["apis"] => json(discovery::group_list(&documents.shown)),
        ["apis", group] => {
            discovery::one_group(&documents.shown, group).map_or(Ok(answer::no_such_path()), json)
        }
        ["api", version] => resources(server, "", version).map_or(Ok(answer::no_such_path()), json),
        ["apis", group, version] => {
            resources(server, group, version).map_or(Ok(answer::no_such_path()), json)
        }
        [".well-known", "openid-configuration"] => {
            let oidc = server.oidc.as_ref().map(|oidc| oidc.configuration.clone());
            oidc.map_or(Ok(answer::no_such_path()), json)
        }
        ["openid", "v1", "jwks"] => match &server.oidc {
            Some(oidc) => {
                let mut response = answer::json(200, oidc.keys.clone(), form);
                let kind = HeaderValue::from_static("application/jwk-set+json");
                response.headers_mut().insert(header::CONTENT_TYPE, kind);
                Ok(response)
            }
            None => Ok(answer::no_such_path()),
        },
        ["openapi", "v2"] => Ok(openapi_v2(documents, parts, form)),
        ["openapi", "v3"] => Ok(tagged(documents.openapi_index(), parts, form, false)),
        ["openapi", "v3", rest @ ..] => match documents.openapi_v3(&rest.join("/")) {
            Some(document) => Ok(tagged(document, parts, form, false)),
            None => Ok(answer::no_such_path()),
        },
        _ => Ok(answer::no_such_path()),
    }
}

/// `/metrics`, in Prometheus' text form.
fn metrics(server: &Server) -> Response<Body> {
    let mut response = answer::plain(200, crate::metrics::told(server));
    let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}

fn resources(server: &Server, group: &str, version: &str) -> Option<Vec<u8>> {
    let documents = server.documents();
    let served = documents
        .served
        .iter()
        .find(|s| s.group == group && s.version == version);
    served.map(discovery::resource_list)
}

/// `/`: the paths there are.
fn paths(server: &Server) -> Vec<u8> {
    let mut paths = vec!["/api".to_owned(), "/apis".to_owned()];
    for served in &server.documents().shown {
        if served.group.is_empty() {
            paths.push(format!("/api/{}", served.version));
        } else {
            paths.push(format!("/apis/{}", served.group));
            paths.push(format!("/apis/{}/{}", served.group, served.version));
        }
    }
    paths.extend(
        [
            "/healthz",
            "/livez",
            "/metrics",
            "/openapi/v2",
            "/openapi/v3",
            "/readyz",
            "/version",
        ]
        .map(str::to_owned),
    );
    paths.sort();
    paths.dedup();
    #[derive(serde::Serialize)]
    struct Paths {
        paths: Vec<String>,
    }
    serde_json::to_vec(&Paths { paths }).unwrap_or_default()
}

/// `/openapi/v2`, as JSON or protobuf.
fn openapi_v2(documents: &documents::Documents, parts: &Parts, form: Form) -> Response<Body> {
    let mut response = if negotiate::openapi_v2_protobuf(&parts.headers) {
        let form = Form {
            gzip: negotiate::gzip(&parts.headers),
            ..form
        };
        unless_known(documents.openapi_v2_protobuf(), parts, |text| {
            answer::packed(200, text, negotiate::OPENAPI_V2_PROTOBUF, form)
        })
    } else {
        tagged(documents.openapi_v2(), parts, form, false)
    };
    let vary = HeaderValue::from_static("Accept");
    response.headers_mut().append(header::VARY, vary);
    response
}

/// A document that clients keep by its hash.
fn tagged(document: &documents::Document, parts: &Parts, form: Form, discovery: bool) -> Response<Body> {
    let mut response = unless_known(document, parts, |text| answer::json(200, text, form));
    if discovery {
        let headers = response.headers_mut();
        let kind = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
        headers.insert(header::VARY, HeaderValue::from_static("Accept"));
    }
    response
}

/// `document` as `answer` has it, or only its hash if the client names that.
fn unless_known(
    document: &documents::Document,
    parts: &Parts,
    answer: impl FnOnce(Vec<u8>) -> Response<Body>,
) -> Response<Body> {
    let tag = format!("\"{}\"", document.hash);
    let known = parts
        .headers
        .get(header::IF_NONE_MATCH)
        .and_then(|value| value.to_str().ok());
    let mut response = if known == Some(tag.as_str()) {
        let mut response = Response::new(answer::full(""));
        *response.status_mut() = http::StatusCode::NOT_MODIFIED;
        response
    } else {
        answer(document.text.clone())
    };
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        response.headers_mut().insert(header::ETAG, tag);
    }
    response
}

/// The records, which are no stored resource.
pub fn decisions(allowed: &Allowed) -> Result<Response<Body>, Status> {
    let text = decisions::list(&allowed.server, &allowed.user, &allowed.route, &allowed.query)?;
    Ok(answer::json(200, text, allowed.form))
}
