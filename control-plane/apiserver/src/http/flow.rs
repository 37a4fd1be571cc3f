//! The way of a request: who asks, may they, and to whom it goes.

use super::{
    answer::{self, Body},
    decisions, discovery, health, impersonate,
    measure::Measured,
    negotiate::{self, Form, Kind, Offer},
    objects, openapi, patience,
    query::Query,
    room,
    route::Route,
    version,
};
use crate::{
    Server, aggregate,
    audit::{AUDIT_ID, Layer, Outside, Record},
    cache::Shape,
    security::{Attributes, Refusal, Selectors, User},
};
use api::Status;
use futures::FutureExt;
use http::{HeaderValue, Method, Request, Response, header, request::Parts};
use hyper::body::Incoming;
use rustls::pki_types::CertificateDer;
use std::{
    panic::AssertUnwindSafe,
    sync::{Arc, OnceLock},
    time::Duration,
};

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
    /// What is told of it, if anything is.
    pub record: Option<Arc<Record>>,
}

impl Allowed {
    /// Whether CBOR is read and written.
    pub fn speaks_cbor(&self) -> bool {
        negotiate::speaks_cbor(&self.server.gates)
    }

    /// Makes an answer, of which the record is told how long that took.
    pub fn shaped<T>(&self, work: impl FnOnce() -> T) -> T {
        let layer = match self.form.shape {
            Shape::Object => Layer::Serialize,
            _ => Layer::Transform,
        };
        match &self.record {
            Some(record) => record.doing(layer, work),
            None => work(),
        }
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
    let patience = patience::of(&route, &query, server.limits.request_timeout);
    let _under_way = (!long).then(|| server.life.begin());
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
    let patience = match patience {
        Ok(patience) => patience,
        Err(status) => return measured.answered(answer::status(&status, form), None),
    };
    let asker = Asker::default();
    let audit_id = audit_id(&server, &request);
    let work = handle(
        &asker,
        (server, patience),
        peer,
        route,
        query,
        wished,
        (request, audit_id.clone()),
    );
    let work = AssertUnwindSafe(work).catch_unwind();
    let done = if long {
        Some(work.await)
    } else {
        clock.timeout(patience, work).await
    };
    let panicked = matches!(done, Some(Err(_)));
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
    if let Some(record) = asker.record.get().cloned() {
        if panicked {
            record.panicked(&Status::internal("APIServer panic'd")).await;
        } else {
            response = record.answered(response).await;
        }
    }
    if head {
        *response.body_mut() = answer::full("");
    }
    response.headers_mut().entry(AUDIT_ID).or_insert(audit_id);
    measured.answered(response, asker.user.get())
}

/// What is found out of a request on its way.
#[derive(Default)]
struct Asker {
    user: OnceLock<Arc<User>>,
    record: OnceLock<Arc<Record>>,
}

/// The number of a request: its own, or a new one.
fn audit_id<B>(server: &Server, request: &Request<B>) -> HeaderValue {
    let own = request.headers().get(AUDIT_ID).filter(|id| !id.is_empty());
    own.cloned().unwrap_or_else(|| {
        let made = HeaderValue::from_str(&server.handler.env.random.uuid());
        made.unwrap_or_else(|_| HeaderValue::from_static(""))
    })
}

/// The record of a request by `asked`, who was found out in `taken`, if it is to have one.
fn record(
    server: &Server,
    asked: &Attributes,
    parts: &mut Parts,
    (id, taken): (&HeaderValue, Duration),
    long: bool,
) -> Option<Arc<Record>> {
    let audit = server.handler.security.audit.as_ref()?;
    parts.headers.insert(AUDIT_ID, id.clone());
    let from = parts.extensions.get::<super::Caller>().map(|caller| caller.0);
    audit.record(asked, Outside::there(parts, from, taken), long)
}

/// Finds out who asks, which `asker` is told, waits for a seat, and answers.
async fn handle(
    asker: &Asker,
    (server, patience): (Arc<Server>, Duration),
    peer: Arc<[CertificateDer<'static>]>,
    route: Route,
    query: Query,
    wished: Result<Form, Status>,
    (request, audit_id): (Request<Incoming>, HeaderValue),
) -> Result<Response<Body>, Status> {
    let (mut parts, body) = request.into_parts();
    let long = route.is_long();
    let clock = &server.handler.env.clock;
    let started = clock.now();
    let known = authenticate(&server, &parts, &peer).await;
    let taken = clock.now() - started;
    let known = match known {
        Ok(user) => user,
        Err(refusal) => {
            // Nobody, with what audit is told.
            let nobody = Arc::new(User {
                remarks: refusal.remarks,
                ..User::default()
            });
            let nobody = attributes(&nobody, &route, &query);
            if let Some(record) = record(&server, &nobody, &mut parts, (&audit_id, taken), long) {
                record.unauthenticated(&parts.headers).await;
            }
            return Err(Status::unauthorized());
        }
    };
    if server.handler.security.audit.is_some() {
        let asked = attributes(&known, &route, &query);
        if let Some(record) = record(&server, &asked, &mut parts, (&audit_id, taken), long) {
            // It is found once.
            let _ = asker.record.set(record.clone());
            record.begin().await?;
        }
    }
    let record = asker.record.get();
    let warnings = known.warnings.clone();
    server.handler.security.authn.forget(&mut parts.headers);
    let user = if impersonate::is_asked(&parts.headers) {
        let meant = attributes(&known, &route, &query);
        let user = impersonate::user(&server, &meant, &mut parts.headers, record);
        during(record, Layer::Impersonation, user).await?
    } else {
        known
    };
    let _ = asker.user.set(user.clone());
    let asked = Arc::new(attributes(&user, &route, &query));
    let admitted = room::admit(&server, &asked, &route, &query, patience);
    let admitted = match during(record, Layer::Queue, admitted).await {
        Ok(admitted) => admitted,
        Err(refused) => return Ok(refused),
    };
    let form = wished.clone().unwrap_or_default();
    let answered = allowed(
        server,
        asked,
        route,
        query,
        wished,
        (Request::from_parts(parts, body), record.cloned()),
    )
    .await;
    let mut response = answered.unwrap_or_else(|status| answer::status(&status, form));
    answer::warn(response.headers_mut(), &warnings);
    Ok(admitted.answered(response))
}

/// Does a part of the way of a request, for its record.
async fn during<T>(record: Option<&Arc<Record>>, layer: Layer, work: impl Future<Output = T>) -> T {
    match record {
        Some(record) => record.during(layer, work).await,
        None => work.await,
    }
}

/// Answers what has its seat, if it is allowed.
async fn allowed(
    server: Arc<Server>,
    asked: Arc<Attributes>,
    route: Route,
    query: Query,
    wished: Result<Form, Status>,
    (request, record): (Request<Incoming>, Option<Arc<Record>>),
) -> Result<Response<Body>, Status> {
    server.permit(&asked, record.as_deref()).await?;
    let (parts, body) = request.into_parts();
    let user = asked.user.clone();
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
        record,
    };
    if allowed.route.is_resource() {
        return objects::answer(allowed, Request::from_parts(parts, body)).await;
    }
    path(&allowed, &parts).await
}

async fn authenticate(
    server: &Server,
    parts: &Parts,
    peer: &[CertificateDer<'static>],
) -> Result<Arc<User>, Refusal> {
    let known = server
        .handler
        .security
        .authn
        .authenticate(parts, peer)
        .get()
        .await;
    let result = if known.is_ok() { "success" } else { "failure" };
    server.handler.metrics.authentication.of(&[result]).add(1);
    known.map(|user| Arc::new(user.unwrap_or_else(User::anonymous)))
}

fn attributes(user: &Arc<User>, route: &Route, query: &Query) -> Attributes {
    let collection = matches!(route.verb, "list" | "watch" | "deletecollection");
    let selectors =
        collection.then(|| Selectors::parse(query.get("fieldSelector"), query.get("labelSelector")));
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
        selectors: selectors.flatten(),
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
        ["debug", "clients"] => Ok(answer::plain(200, server.clients.top())),
        ["debug", "api_priority_and_fairness", dump] if server.limits.fairness => {
            let details = !allowed.query.get("includeRequestDetails").is_empty();
            let dump = crate::fairness::dump(&server.fairness, dump, details);
            Ok(dump.map_or_else(answer::no_such_path, |dump| answer::plain(200, dump)))
        }
        ["api"] if form.aggregated => Ok(openapi::tagged(documents.aggregated(true), parts, form, true)),
        ["apis"] if form.aggregated => Ok(openapi::tagged(documents.aggregated(false), parts, form, true)),
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
            let document = server.oidc.as_ref().map(|oidc| oidc.configuration.clone());
            Ok(published(document, "application/json"))
        }
        ["openid", "v1", "jwks"] => {
            let document = server.oidc.as_ref().map(|oidc| oidc.keys.clone());
            Ok(published(document, "application/jwk-set+json"))
        }
        ["openapi", "v2"] => Ok(openapi::v2(documents, parts, form)),
        ["openapi", "v3"] => Ok(openapi::tagged(documents.openapi_index(), parts, form, false)),
        ["openapi", "v3", rest @ ..] => match documents.openapi_v3(&rest.join("/")) {
            Some(document) => Ok(openapi::v3(allowed, document, parts, &rest.join("/"))),
            None => Ok(answer::no_such_path()),
        },
        _ => Ok(answer::no_such_path()),
    }
}

/// A document by which others verify tokens, and which they may keep for an hour.
fn published(document: Option<Vec<u8>>, kind: &'static str) -> Response<Body> {
    let Some(document) = document else {
        return answer::no_such_path();
    };
    let mut response = Response::new(answer::full(document));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    let hour = HeaderValue::from_static("public, max-age=3600");
    headers.insert(header::CACHE_CONTROL, hour);
    response
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

/// The records, which are no stored resource.
pub async fn decisions(allowed: &Allowed) -> Result<Response<Body>, Status> {
    let text = decisions::list(&allowed.server, &allowed.user, &allowed.route, &allowed.query).await?;
    Ok(answer::json(200, text, allowed.form))
}
