//! What is known of a request that is told.

use super::{
    Audit, Event, Level, Stage, body,
    event::{AuthenticationMetadata, ObjectRef},
    latency::{Latencies, Layer},
    pieces::Pieces,
    policy::Wanted,
};
use crate::{
    http::answer::{Body, PassedOn, full},
    security::{Attributes, User},
};
use api::{Object, Status, scan};
use bytes::Bytes;
use http::{HeaderMap, Response, request::Parts};
use http_body_util::BodyExt;
use hyper::body::{Body as _, Frame};
use std::{
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::time::Instant;

/// A user agent is told no longer than this.
const LONGEST_AGENT: usize = 1024;

/// Where a request comes from.
#[derive(Clone, Debug, Default)]
pub struct Outside {
    /// The request's own number; empty: it is given one.
    pub audit_id: String,
    /// Path and query.
    pub uri: String,
    /// The client's word of itself.
    pub user_agent: String,
    /// Addresses, the client's first.
    pub source_ips: Vec<String>,
    /// How long it took to find out who asks.
    pub authentication: Duration,
}

impl Outside {
    /// Of a request that a part of this process makes.
    pub fn here(asked: &Attributes) -> Self {
        let mut uri = match asked.group.as_str() {
            _ if !asked.is_resource => asked.path.clone(),
            "" => format!("/api/{}", asked.version),
            group => format!("/apis/{group}/{}", asked.version),
        };
        let inside = (asked.resource != "namespaces").then_some(&asked.namespace);
        if let Some(namespace) = inside.filter(|namespace| !namespace.is_empty()) {
            uri = format!("{uri}/namespaces/{namespace}");
        }
        for part in [&asked.resource, &asked.name, &asked.subresource] {
            if !part.is_empty() {
                uri = format!("{uri}/{part}");
            }
        }
        Self {
            audit_id: String::new(),
            uri,
            user_agent: "ferrokube".to_owned(),
            source_ips: vec!["127.0.0.1".to_owned()],
            authentication: Duration::ZERO,
        }
    }

    /// Of a request that comes over a connection from `from`, if that is known, of a user who was found out in
    /// `authentication`.
    pub fn there(parts: &Parts, from: Option<IpAddr>, authentication: Duration) -> Self {
        let text = |name: &str| {
            let value = parts.headers.get(name).and_then(|value| value.to_str().ok());
            value.unwrap_or_default().trim().to_owned()
        };
        let mut source_ips: Vec<String> = Vec::new();
        let forwarded = text("x-forwarded-for");
        let named = forwarded
            .split(',')
            .map(str::trim)
            .filter_map(|ip| ip.parse::<IpAddr>().ok());
        source_ips.extend(named.map(|ip| ip.to_string()));
        if let Ok(real) = text("x-real-ip").parse::<IpAddr>()
            && !source_ips.contains(&real.to_string())
        {
            source_ips.push(real.to_string());
        }
        let from = from.map(|ip| ip.to_string());
        if let Some(from) = from.filter(|from| source_ips.last() != Some(from)) {
            source_ips.push(from);
        }
        Self {
            audit_id: text(AUDIT_ID),
            uri: parts
                .uri
                .path_and_query()
                .map_or("/", |uri| uri.as_str())
                .to_owned(),
            user_agent: text("user-agent"),
            source_ips,
            authentication,
        }
    }
}

/// The header with the number of a request.
pub const AUDIT_ID: &str = "audit-id";

/// The record of a request. What is dropped before its end was left by its client.
pub struct Record {
    audit: Arc<Audit>,
    wanted: Wanted,
    /// Whether its answer goes on.
    long: bool,
    /// When it came.
    started: Instant,
    state: Mutex<State>,
}

struct State {
    event: Event,
    latencies: Latencies,
    ended: bool,
}

impl std::fmt::Debug for Record {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Record")
    }
}

impl Record {
    pub(super) fn new(
        audit: Arc<Audit>,
        wanted: Wanted,
        asked: &Attributes,
        outside: Outside,
        long: bool,
    ) -> Self {
        let taken = outside.authentication;
        let now = audit.env.clock.wall();
        let now = now.saturating_sub(taken).unwrap_or(now);
        let mut agent = outside.user_agent;
        if agent.len() > LONGEST_AGENT {
            agent.truncate(agent.floor_char_boundary(LONGEST_AGENT));
            agent.push_str("...TRUNCATED");
        }
        let id = match outside.audit_id {
            id if id.is_empty() => audit.env.random.uuid(),
            id => id,
        };
        let mut event = Event::new(wanted.level, id, asked.user.clone(), now);
        event.request_uri = outside.uri;
        event.verb.clone_from(&asked.verb);
        event.user_agent = agent;
        event.source_ips = outside.source_ips;
        event.object_ref = asked.is_resource.then(|| ObjectRef {
            resource: asked.resource.clone(),
            namespace: asked.namespace.clone(),
            name: asked.name.clone(),
            api_group: asked.group.clone(),
            api_version: asked.version.clone(),
            subresource: asked.subresource.clone(),
            ..ObjectRef::default()
        });
        let remarks = asked.user.remarks.iter();
        event.annotations = remarks
            .map(|(key, told)| ((*key).to_owned(), told.clone()))
            .collect();
        let mut latencies = Latencies::default();
        latencies.took(Layer::Authentication, taken);
        let started = audit.env.clock.now();
        let state = Mutex::new(State {
            event,
            latencies,
            ended: false,
        });
        Self {
            audit,
            wanted,
            long,
            started: started.checked_sub(taken).unwrap_or(started),
            state,
        }
    }

    fn with<T>(&self, f: impl FnOnce(&mut State) -> T) -> T {
        f(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn event<T>(&self, f: impl FnOnce(&mut Event) -> T) -> T {
        self.with(|state| f(&mut state.event))
    }

    /// Notes something; the first of a key stays.
    pub fn annotate(&self, key: impl Into<String>, value: impl Into<String>) {
        let (key, value) = (key.into(), value.into());
        self.event(|event| {
            event.annotations.entry(key).or_insert(value);
        });
    }

    /// A part of its way took so long.
    pub fn took(&self, layer: Layer, time: Duration) {
        self.with(|state| state.latencies.took(layer, time));
    }

    /// Does `work`, which is a part of its way.
    pub async fn during<T>(&self, layer: Layer, work: impl Future<Output = T>) -> T {
        let started = self.now();
        let done = work.await;
        self.took(layer, self.now() - started);
        done
    }

    /// Does `work`, which waits for nothing.
    pub fn doing<T>(&self, layer: Layer, work: impl FnOnce() -> T) -> T {
        let started = self.now();
        let done = work();
        self.took(layer, self.now() - started);
        done
    }

    /// What time it is for the request.
    pub(super) fn now(&self) -> Instant {
        self.audit.env.clock.now()
    }

    /// Whether the content of the request is told.
    pub fn has_content(&self) -> bool {
        self.wanted.level >= Level::Request
    }

    /// The request is made in the name of another, by the verb `constraint` if that is not `impersonate`.
    pub fn impersonates(&self, user: &Arc<User>, constraint: String) {
        self.event(|event| {
            event.impersonated_user = Some(user.clone());
            event.authentication_metadata = (!constraint.is_empty()).then_some(AuthenticationMetadata {
                impersonation_constraint: constraint,
            });
        });
    }

    /// What is sent. `object`: it names what the request is about; a patch does not.
    pub fn sent(&self, json: &[u8], object: bool) {
        let level = self.wanted.level;
        let text = |path: &str| scan::scalar(json, path).unwrap_or_default().into_owned();
        let body = (level >= Level::Request && !json.is_empty()).then(|| self.body(json));
        self.event(|event| {
            if let (Some(of), true) = (&mut event.object_ref, object) {
                let parts = [
                    (&mut of.namespace, "metadata.namespace"),
                    (&mut of.name, "metadata.name"),
                    (&mut of.uid, "metadata.uid"),
                    (&mut of.resource_version, "metadata.resourceVersion"),
                ];
                for (part, path) in parts {
                    if part.is_empty() {
                        *part = text(path);
                    }
                }
            }
            event.request_object = body;
        });
    }

    fn body(&self, json: &[u8]) -> Bytes {
        let compact = body::compact(json);
        let trimmed = self.wanted.omit_managed_fields.then(|| body::unmanaged(&compact));
        trimmed.unwrap_or(compact).into()
    }

    /// Tells how far the request has come. False: it may not go on.
    pub async fn stage(&self, stage: Stage) -> bool {
        match self.reached(stage) {
            Some(event) => self.audit.tell(&event).await,
            None => true,
        }
    }

    /// The event of a stage, if it is wanted.
    fn reached(&self, stage: Stage) -> Option<Arc<Event>> {
        let ends = matches!(stage, Stage::ResponseComplete | Stage::Panic);
        let now = self.audit.env.clock.wall();
        self.with(|state| {
            if state.ended {
                return None;
            }
            state.ended = ends;
            if self.wanted.omit_stages.contains(&stage) {
                return None;
            }
            if stage == Stage::ResponseComplete {
                for (key, told) in state.latencies.told(self.now() - self.started) {
                    state.event.annotations.entry(key.to_owned()).or_insert(told);
                }
            }
            state.event.stage = stage;
            state.event.stage_timestamp = match stage {
                Stage::RequestReceived => state.event.request_received_timestamp,
                _ => now,
            };
            Some(Arc::new(state.event.clone()))
        })
    }

    /// The request begins. An error if nothing is done that cannot be told.
    pub async fn begin(&self) -> Result<(), Status> {
        if self.stage(Stage::RequestReceived).await {
            return Ok(());
        }
        self.audit.metrics.rejected.add(1);
        Err(Status::internal("failed to store audit event"))
    }

    /// Its user could not be found out.
    pub async fn unauthenticated(&self, headers: &HeaderMap) {
        let kind = headers
            .get(http::header::AUTHORIZATION)
            .and_then(|value| value.to_str().ok());
        let tried = match kind.and_then(|value| value.split_once(' ')) {
            Some((kind, _)) if kind.eq_ignore_ascii_case("bearer") => ", attempted: bearer",
            Some((kind, _)) if kind.eq_ignore_ascii_case("basic") => ", attempted: basic",
            _ => "",
        };
        let how = format!("Authentication failed{tried}");
        self.event(|event| {
            let mut status = Status::unauthorized();
            status.reason = String::new();
            status.message = how;
            event.response_status = Some(status);
        });
        self.stage(Stage::ResponseStarted).await;
        self.with(|state| state.ended = true);
    }

    /// It made the server panic.
    pub async fn panicked(&self, status: &Status) {
        self.event(|event| event.response_status = Some(status.clone()));
        self.stage(Stage::Panic).await;
    }

    fn ends_with(&self, code: u16, status: Option<Status>) {
        let plain = || Status {
            code,
            ..Status::default()
        };
        self.event(|event| event.response_status = Some(status.unwrap_or_else(plain)));
    }

    /// A request of this process is answered.
    pub async fn returned(&self, code: u16, answer: Result<Option<&Object>, &Status>) {
        match answer {
            Ok(object) => {
                self.ends_with(code, None);
                let object = object.filter(|_| self.wanted.level == Level::RequestResponse);
                if let Some(object) = object {
                    let body = self.body(&object.to_json());
                    self.event(|event| event.response_object = Some(body));
                }
            }
            Err(status) => self.ends_with(status.code, Some(status.clone())),
        }
        if self.long {
            self.stage(Stage::ResponseStarted).await;
        } else {
            self.stage(Stage::ResponseComplete).await;
        }
    }

    /// It is answered, or, if it goes on, its answer begins.
    pub async fn answered(self: Arc<Self>, response: Response<Body>) -> Response<Body> {
        let code = response.status().as_u16();
        let level = self.wanted.level;
        let resource = self.event(|event| event.object_ref.is_some() && event.verb != "proxy");
        let told = code >= 400 || self.event(|event| event.verb == "delete");
        // As upstream, what another server answers is not told.
        let own = response.extensions().get::<PassedOn>().is_none();
        let whole = own && resource && !self.long && (told || level == Level::RequestResponse);
        if !whole {
            self.ends_with(code, None);
            return self.goes_on(response).await;
        }
        let (head, body) = response.into_parts();
        let body = match self.during(Layer::Serialize, body.collect()).await {
            Ok(body) => body.to_bytes(),
            Err(error) => {
                tracing::debug!(%error, "an answer broke");
                Bytes::new()
            }
        };
        self.learn(code, &head.headers, &body);
        self.stage(Stage::ResponseComplete).await;
        Response::from_parts(head, full(body))
    }

    /// What an answer says that is there whole.
    fn learn(&self, code: u16, headers: &HeaderMap, body: &Bytes) {
        let json = body::readable(headers, body);
        let kind = |json: &[u8]| scan::scalar(json, "kind").is_ok_and(|kind| kind == "Status");
        let status = json.as_deref().filter(|json| kind(json));
        let status: Option<Status> = status.and_then(|json| serde_json::from_slice(json).ok());
        self.ends_with(code, status);
        if let (Some(json), Level::RequestResponse) = (json, self.wanted.level) {
            let body = self.body(&json);
            self.event(|event| event.response_object = Some(body));
        }
    }

    async fn goes_on(self: Arc<Self>, response: Response<Body>) -> Response<Body> {
        if self.long {
            self.stage(Stage::ResponseStarted).await;
        }
        let whole = !self.long && response.body().size_hint().exact().is_some();
        if whole || response.body().is_end_stream() {
            self.stage(Stage::ResponseComplete).await;
            return response;
        }
        // It is complete when nobody has its body any more.
        if !self.long {
            return response.map(|body| Pieces::new(body, self).boxed_unsync());
        }
        response.map(|body| {
            let keep = move |frame: Frame<Bytes>| {
                let _record = &self;
                frame
            };
            body.map_frame(keep).boxed_unsync()
        })
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        let answered = self.event(|event| event.response_status.is_some());
        if !answered {
            let status = Status {
                code: 200,
                message: "Connection closed early".to_owned(),
                ..Status::default()
            };
            self.event(|event| event.response_status = Some(status));
        }
        if let Some(event) = self.reached(Stage::ResponseComplete) {
            let audit = self.audit.clone();
            let tasks = audit.env.tasks.clone();
            tasks.spawn_draining("audit", async move {
                audit.tell(&event).await;
            });
        }
    }
}
