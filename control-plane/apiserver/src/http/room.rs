//! Room for requests: by priority and fairness, or so many at a time.

use super::{answer, answer::Body, flow::Allowed, query::Query, route::Route};
use crate::{
    Server,
    fairness::{Listing, Seat, Watching, room::Taken},
    handler::Page,
    metrics::Metrics,
    security::{Attributes, User},
};
use api::Status;
use http::{HeaderValue, Response, header};
use http_body_util::BodyExt;
use hyper::body::Body as _;
use std::{sync::Arc, time::Duration};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The group that always gets an answer.
const MASTERS: &str = "system:masters";

/// What a server takes upon itself.
#[derive(Clone, Debug, PartialEq)]
pub struct Limits {
    /// How long an answer may take, unless it is one that goes on.
    pub request_timeout: Duration,
    /// How many reads are answered at a time; 0: any number.
    pub reads: usize,
    /// How many writes are answered at a time; 0: any number.
    pub writes: usize,
    /// Whether requests are served by priority and fairness, and not as they come.
    pub fairness: bool,
    /// Bytes of lists that are in the making at a time; 0: any number.
    pub list_bytes: usize,
    /// How long the store may take to answer `/healthz` and `/livez`.
    pub health_timeout: Duration,
    /// How long it may take to answer `/readyz`.
    pub ready_timeout: Duration,
    /// How long a watch lasts at least that names no time; at most it is twice that.
    pub min_request_timeout: Duration,
    /// Requests at a time on one HTTP/2 connection.
    pub streams: u32,
    /// The chance that a request over HTTP/2 ends its connection, so that clients spread over servers.
    pub goaway_chance: f64,
    /// How long the server goes on after it was asked to stop and said that it is not ready.
    pub shutdown_delay: Duration,
    /// Whether those who come after that are told to try again, until all others are answered.
    pub shutdown_retry_after: bool,
}

impl Default for Limits {
    /// Upstream's.
    fn default() -> Self {
        Self {
            request_timeout: Duration::from_secs(60),
            reads: 400,
            writes: 200,
            fairness: true,
            list_bytes: 512 << 20,
            health_timeout: Duration::from_secs(2),
            ready_timeout: Duration::from_secs(2),
            min_request_timeout: Duration::from_secs(1800),
            streams: 250,
            goaway_chance: 0.0,
            shutdown_delay: Duration::ZERO,
            shutdown_retry_after: false,
        }
    }
}

/// The room for requests that do not go on.
pub struct Rooms {
    reads: Arc<Semaphore>,
    writes: Arc<Semaphore>,
    metrics: Arc<Metrics>,
}

/// A request that found room, until it is answered.
pub struct Room {
    permit: Option<OwnedSemaphorePermit>,
    kind: &'static str,
    metrics: Arc<Metrics>,
}

impl Drop for Room {
    fn drop(&mut self) {
        drop(self.permit.take());
        self.metrics.in_flight.of(&[self.kind]).add(-1);
    }
}

impl Rooms {
    /// As large as `limits`.
    pub fn new(limits: &Limits, metrics: Arc<Metrics>) -> Self {
        let semaphore = |limit: usize| {
            let limit = if limit == 0 { Semaphore::MAX_PERMITS } else { limit };
            Arc::new(Semaphore::new(limit.min(Semaphore::MAX_PERMITS)))
        };
        Self {
            reads: semaphore(limits.reads),
            writes: semaphore(limits.writes),
            metrics,
        }
    }

    /// Room for a request of `user`; none when there is none.
    pub fn enter(&self, route: &Route, user: &User) -> Option<Room> {
        let kind = kind(route);
        let room = if kind == "readOnly" {
            &self.reads
        } else {
            &self.writes
        };
        let permit = room.clone().try_acquire_owned().ok();
        if permit.is_none() && !user.groups.iter().any(|group| group == MASTERS) {
            self.metrics.dropped.of(&[kind]).add(1);
            return None;
        }
        let mut room = self.count(route);
        room.permit = permit;
        Some(room)
    }

    /// A request that has its room elsewhere is counted.
    fn count(&self, route: &Route) -> Room {
        let kind = kind(route);
        self.metrics.in_flight.of(&[kind]).add(1);
        Room {
            permit: None,
            kind,
            metrics: self.metrics.clone(),
        }
    }
}

/// What a request is counted as.
fn kind(route: &Route) -> &'static str {
    match route.verb {
        "get" | "list" | "watch" | "head" => "readOnly",
        _ => "mutating",
    }
}

/// What a request has while it is answered.
pub struct Admitted {
    seat: Option<Seat>,
    _room: Option<Room>,
    watching: Option<Watching>,
}

/// Waits for room for a request that has so much time, be it by priority and fairness. What goes on takes none, but
/// for the beginning of watches. The error is the answer.
pub async fn admit(
    server: &Server,
    asked: &Arc<Attributes>,
    route: &Route,
    query: &Query,
    patience: Duration,
) -> Result<Admitted, Response<Body>> {
    let watch = route.verb == "watch";
    let mut admitted = Admitted {
        seat: None,
        _room: None,
        watching: None,
    };
    if route.is_long() && !watch {
        return Ok(admitted);
    }
    let rooms = &server.rooms;
    if server.limits.fairness {
        match server.seat(asked, listing(route, query), patience).await {
            Ok(seat) => admitted.seat = seat,
            Err(refused) => {
                rooms.metrics.dropped.of(&[kind(route)]).add(1);
                let mut response = full(refused.retry_after);
                refused.flow.tell(response.headers_mut());
                return Err(response);
            }
        }
        admitted._room = Some(rooms.count(route));
        if watch {
            let fields = query.get("fieldSelector");
            admitted.watching = server.fairness.watches.begin(asked, fields);
        }
    } else if !watch {
        admitted._room = Some(rooms.enter(route, &asked.user).ok_or_else(|| full(1))?);
    }
    Ok(admitted)
}

/// What matters of a list, or of a watch that begins with one, for its work.
fn listing(route: &Route, query: &Query) -> Option<Listing> {
    let version = query.get("resourceVersion");
    match route.verb {
        "list" => {}
        "watch" if query.flag("sendInitialEvents") || matches!(version, "" | "0") => {}
        _ => return None,
    }
    let selects = !query.get("labelSelector").is_empty() || !query.get("fieldSelector").is_empty();
    Some(Listing {
        limit: query.get("limit").parse().unwrap_or(0),
        single: !route.name.is_empty(),
        selects,
    })
}

impl Admitted {
    /// The answer is there: it tells its flow, and room is free again. A watch is counted until it ends.
    pub fn answered(self, mut response: Response<Body>) -> Response<Body> {
        if let Some(seat) = &self.seat {
            seat.flow().tell(response.headers_mut());
        }
        let Some(watching) = self.watching.filter(|_| response.status().is_success()) else {
            return response;
        };
        response.map(|body| {
            let keep = move |frame| {
                let _keep = &watching;
                frame
            };
            body.map_frame(keep).boxed_unsync()
        })
    }
}

/// Waits for memory for a list that is made whole.
pub async fn of_list(allowed: &Allowed, page: &Page, version: usize) -> Result<Option<Taken>, Status> {
    let server = &allowed.server;
    let sizes = page.items.iter().map(|held| held.version(version).body().len());
    server
        .lists
        .take(sizes.sum(), server.limits.request_timeout)
        .await
}

/// The same answer, which holds its memory until it is sent.
pub fn hold(taken: Option<Taken>, response: Response<Body>) -> Response<Body> {
    let Some(taken) = taken else { return response };
    if response.body().size_hint().exact().is_none() {
        // It goes out in small pieces, and takes no more than that.
        return response;
    }
    response.map(|body| {
        let mut taken = Some(taken);
        let mut held = move |bytes| match taken.take() {
            Some(taken) => taken.hold(bytes),
            None => bytes,
        };
        body.map_frame(move |frame| frame.map_data(&mut held))
            .boxed_unsync()
    })
}

/// What upstream says when there is no room.
pub fn full(retry_after: u64) -> Response<Body> {
    let mut response = answer::plain(429, "Too many requests, please try again later.\n");
    response
        .headers_mut()
        .insert(header::RETRY_AFTER, HeaderValue::from(retry_after));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_writes_have_rooms_of_their_own() {
        let limits = Limits {
            reads: 1,
            writes: 1,
            ..Limits::default()
        };
        let rooms = Rooms::new(&limits, Arc::default());
        let of = |verb| Route {
            verb,
            ..Route::default()
        };
        let (ann, root) = (User::new("ann", &[]), User::new("root", &[MASTERS]));
        let reading = rooms.enter(&of("list"), &ann);
        assert!(reading.is_some() && rooms.enter(&of("get"), &ann).is_none());
        assert!(rooms.enter(&of("create"), &ann).is_some());
        assert!(
            rooms.enter(&of("get"), &root).is_some(),
            "masters always get an answer"
        );
        drop(reading);
        assert!(rooms.enter(&of("get"), &ann).is_some());
        let full = full(1);
        assert_eq!(
            (full.status().as_u16(), &full.headers()["retry-after"]),
            (429, &HeaderValue::from_static("1"))
        );
    }
}
