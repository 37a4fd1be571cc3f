//! How many requests are answered at a time.

use super::{answer, answer::Body, route::Route};
use crate::{metrics::Metrics, security::User};
use http::{HeaderValue, Response, header};
use std::{sync::Arc, time::Duration};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The group that always gets an answer.
const MASTERS: &str = "system:masters";

/// What a server takes upon itself.
#[derive(Clone, Debug, PartialEq, Eq)]
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
    _permit: Option<OwnedSemaphorePermit>,
    kind: &'static str,
    metrics: Arc<Metrics>,
}

impl Drop for Room {
    fn drop(&mut self) {
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
        let (kind, room) = match route.verb {
            "get" | "list" | "watch" | "head" => ("readOnly", &self.reads),
            _ => ("mutating", &self.writes),
        };
        let permit = room.clone().try_acquire_owned().ok();
        if permit.is_none() && !user.groups.iter().any(|group| group == MASTERS) {
            self.metrics.dropped.of(&[kind]).add(1);
            return None;
        }
        self.metrics.in_flight.of(&[kind]).add(1);
        Some(Room {
            _permit: permit,
            kind,
            metrics: self.metrics.clone(),
        })
    }
}

/// What upstream says when there is no room.
pub fn full() -> Response<Body> {
    let mut response = answer::plain(429, "Too many requests, please try again later.\n");
    response
        .headers_mut()
        .insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
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
        let full = full();
        assert_eq!(
            (full.status().as_u16(), &full.headers()["retry-after"]),
            (429, &HeaderValue::from_static("1"))
        );
    }
}
