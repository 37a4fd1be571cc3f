//! What is counted of each request, with the labels that upstream gives it.

use super::{answer::Body, query::Query, route::Route};
use crate::{Server, fairness::clients::Clients, metrics::Metrics, security::User};
use bytes::Bytes;
use component::Clock;
use http::{Method, Request, Response, header};
use http_body_util::BodyExt;
use hyper::body::{Body as _, Frame, Incoming};
use std::sync::Arc;
use tokio::time::Instant;

/// What is asked, in the words of the labels.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Asked {
    component: &'static str,
    dry_run: &'static str,
    group: String,
    resource: String,
    scope: &'static str,
    subresource: String,
    verb: &'static str,
    version: String,
}

impl Asked {
    /// None for what is not served: labels must not be what a client makes up.
    fn of(server: &Server, route: &Route, query: &Query, request: &Request<Incoming>) -> Option<Self> {
        let scope = scope(route);
        let verb = verb(request, route, scope);
        if !route.is_resource() {
            let health = ["/healthz", "/livez", "/readyz", "/metrics"];
            let path = health.into_iter().find(|path| *path == route.path)?;
            return Some(Self {
                subresource: path.to_owned(),
                verb,
                ..Self::default()
            });
        }
        let places = &server.handler.places;
        let place = places.find(&route.gvr, "", "", &route.subresource).ok();
        let known = match place {
            Some(place) => route.subresource.is_empty() || place.has(&route.subresource),
            None => route.subresource.is_empty() && places.virtual_resource(&route.gvr).is_some(),
        };
        known.then(|| Self {
            component: "apiserver",
            dry_run: match query.get("dryRun") {
                "" => "",
                "All" => "All",
                _ => "invalid",
            },
            group: route.gvr.group.to_string(),
            resource: route.gvr.resource.to_string(),
            scope,
            subresource: route.subresource.clone(),
            verb,
            version: route.gvr.version.to_string(),
        })
    }

    fn labels(&self) -> [&str; 7] {
        [
            self.component,
            &self.group,
            &self.resource,
            self.scope,
            &self.subresource,
            self.verb,
            &self.version,
        ]
    }
}

fn scope(route: &Route) -> &'static str {
    match route {
        _ if !route.is_resource() => "",
        _ if !route.name.is_empty() || route.verb == "create" => "resource",
        _ if !route.namespace.is_empty() => "namespace",
        _ => "cluster",
    }
}

fn verb(request: &Request<Incoming>, route: &Route, scope: &str) -> &'static str {
    let applies = || {
        let kind = request.headers().get(header::CONTENT_TYPE);
        kind.is_some_and(|kind| kind.as_bytes().starts_with(b"application/apply-patch+"))
    };
    match *request.method() {
        _ if matches!(
            route.subresource.as_str(),
            "exec" | "attach" | "portforward" | "proxy"
        ) =>
        {
            "CONNECT"
        }
        _ if route.verb == "watch" => "WATCH",
        Method::GET | Method::HEAD if matches!(scope, "resource" | "") => "GET",
        Method::GET | Method::HEAD => "LIST",
        Method::PATCH if applies() => "APPLY",
        Method::PATCH => "PATCH",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::DELETE => "DELETE",
        _ => "other",
    }
}

/// A request from its start until it is answered, or, if it goes on, until it ends.
pub struct Measured {
    metrics: Arc<Metrics>,
    clock: Clock,
    started: Instant,
    asked: Option<Asked>,
    long: bool,
    /// The code of the answer; 0 while there is none.
    code: u16,
    size: Option<u64>,
    clients: Arc<Clients>,
    /// Who asks, if that is known and goes on.
    user: Option<Arc<User>>,
}

impl Measured {
    /// Starts.
    pub fn start(server: &Server, route: &Route, query: &Query, request: &Request<Incoming>) -> Self {
        let (metrics, clock) = (server.handler.metrics.clone(), server.handler.env.clock.clone());
        let asked = Asked::of(server, route, query, request);
        let long = route.is_long();
        if let (Some(asked), true) = (&asked, long) {
            metrics.long.of(&asked.labels()).add(1);
        }
        Self {
            metrics,
            started: clock.now(),
            clock,
            asked,
            long,
            code: 0,
            size: None,
            clients: server.clients.clone(),
            user: None,
        }
    }

    /// Ends, with the body if that goes on or comes in pieces. `user` is who asked.
    pub fn answered(mut self, response: Response<Body>, user: Option<&Arc<User>>) -> Response<Body> {
        self.code = response.status().as_u16();
        // What goes on is counted as it passes.
        let size = response.body().size_hint().exact().filter(|_| !self.long);
        self.size = size.or(Some(0));
        if let Some(user) = user {
            self.clients.answered(&user.name, self.code == 429);
            self.clients.sent(&user.name, size.unwrap_or_default());
        }
        if size.is_some() {
            return response;
        }
        self.user = user.cloned();
        self.watches(1);
        response.map(|body| {
            let keep = move |frame: Frame<Bytes>| {
                self.passes(frame.data_ref().map_or(0, Bytes::len));
                frame
            };
            body.map_frame(keep).boxed_unsync()
        })
    }

    /// A part of the body is sent.
    fn passes(&mut self, size: usize) {
        let more = u64::try_from(size).unwrap_or(u64::MAX);
        self.size = self.size.map(|size| size + more);
        if let Some(user) = &self.user {
            self.clients.sent(&user.name, more);
        }
    }

    /// What goes on begins, or ends.
    fn watches(&self, more: i64) {
        if let Some(user) = self.user.as_ref().filter(|_| self.long) {
            self.clients.watches(&user.name, more);
        }
    }
}

impl Drop for Measured {
    fn drop(&mut self) {
        self.watches(-1);
        let Some(asked) = &self.asked else { return };
        let labels = asked.labels();
        if self.long {
            self.metrics.long.of(&labels).add(-1);
        }
        let [component, group, resource, scope, subresource, verb, version] = labels;
        if self.code == 0 {
            let labels = [group, resource, scope, subresource, verb, version];
            self.metrics.aborts.of(&labels).add(1);
            return;
        }
        let dry_run = asked.dry_run;
        let seconds = (self.clock.now() - self.started).as_secs_f64();
        let code = self.code.to_string();
        if matches!(self.code, 429 | 504) {
            let labels = [
                &code,
                component,
                group,
                resource,
                scope,
                subresource,
                verb,
                version,
            ];
            self.metrics.terminations.of(&labels).add(1);
        }
        self.metrics
            .requests
            .of(&[
                &code,
                component,
                dry_run,
                group,
                resource,
                scope,
                subresource,
                verb,
                version,
            ])
            .add(1);
        self.metrics
            .durations
            .of(&[
                component,
                dry_run,
                group,
                resource,
                scope,
                subresource,
                verb,
                version,
            ])
            .observe(seconds);
        self.metrics.sli.of(&labels).observe(seconds);
        if let (Some(size), "GET" | "LIST") = (self.size, verb) {
            // Answers of more than 2^32 bytes are not made whole.
            let size = u32::try_from(size).unwrap_or(u32::MAX);
            self.metrics.sizes.of(&labels).observe(f64::from(size));
        }
    }
}
