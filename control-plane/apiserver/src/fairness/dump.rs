//! `/debug/api_priority_and_fairness`: levels, queues and requests as upstream writes them.

use super::{
    Fairness,
    queues::{Queue, Queues, Request, Response},
    state::{Asked, State},
};
use crate::security::Attributes;
use std::time::Duration;

const LEVELS: &[&str] = &[
    "PriorityLevelName",
    "ActiveQueues",
    "IsIdle",
    "IsQuiescing",
    "WaitingRequests",
    "ExecutingRequests",
    "DispatchedRequests",
    "RejectedRequests",
    "TimedoutRequests",
    "CancelledRequests",
];
const QUEUES: &[&str] = &[
    "PriorityLevelName",
    "Index",
    "PendingRequests",
    "ExecutingRequests",
    "SeatsInUse",
    "NextDispatchR",
    "InitialSeatsSum",
    "MaxSeatsSum",
    "TotalWorkSum",
];
const REQUESTS: &[&str] = &[
    "PriorityLevelName",
    "FlowSchemaName",
    "QueueIndex",
    "RequestIndexInQueue",
    "FlowDistingsher",
    "ArriveTime",
    "InitialSeats",
    "FinalSeats",
    "AdditionalLatency",
    "StartTime",
];
const DETAILS: &[&str] = &[
    "UserName",
    "Verb",
    "APIPath",
    "Namespace",
    "Name",
    "APIVersion",
    "Resource",
    "SubResource",
];

/// The lines of a level.
type Rows = fn(&Fairness, &str, &State, bool) -> Vec<Vec<String>>;

/// The dump of this name; none if there is none. Of requests with who asks what, if `details`.
pub fn dump(fairness: &Fairness, name: &str, details: bool) -> Option<String> {
    let (head, row): (Vec<&str>, Rows) = match name {
        "dump_priority_levels" => (LEVELS.to_vec(), level),
        "dump_queues" => (QUEUES.to_vec(), queues),
        "dump_requests" if details => ([REQUESTS, DETAILS].concat(), requests),
        "dump_requests" => (REQUESTS.to_vec(), requests),
        _ => return None,
    };
    let mut rows = vec![head.into_iter().map(ToOwned::to_owned).collect()];
    for (name, level) in &fairness.config().levels {
        rows.extend(row(fairness, name, &level.lock(), details));
    }
    Some(table(&rows))
}

/// Lines with a comma after each cell but the last, and cells as wide as the widest of their column, but for the last.
pub fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.first().map_or(0, Vec::len);
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count() + 1).max();
    let widths: Vec<usize> = (0..columns)
        .map(|column| width(column).unwrap_or_default().max(7))
        .collect();
    let mut out = String::new();
    for row in rows {
        for (at, cell) in row.iter().enumerate() {
            if at + 1 == columns {
                out.push_str(cell);
            } else {
                let cell = format!("{cell},");
                out.push_str(&format!("{cell:<width$} ", width = widths[at]));
            }
        }
        out.push('\n');
    }
    out
}

fn level(_: &Fairness, name: &str, state: &State, _: bool) -> Vec<Vec<String>> {
    let (waiting, executing) = state.queues.counts();
    let active = state
        .queues
        .queues()
        .values()
        .filter(|queue| !queue.waiting.is_empty());
    let totals = state.queues.totals;
    vec![vec![
        name.to_owned(),
        active.count().to_string(),
        state.queues.is_idle().to_string(),
        state.quiescing.to_string(),
        waiting.to_string(),
        executing.to_string(),
        totals.dispatched.to_string(),
        totals.rejected.to_string(),
        "0".to_owned(),
        totals.cancelled.to_string(),
    ]]
}

fn queues(_: &Fairness, name: &str, state: &State, _: bool) -> Vec<Vec<String>> {
    let queues = &state.queues;
    let count = match queues.response() {
        Response::Queue(dealer, _) => dealer.deck(),
        _ => 0,
    };
    let last = queues.queues().keys().next_back().map_or(0, |last| last + 1);
    let empty = Queue::default();
    (0..count.max(last))
        .map(|index| queue(name, index, queues.queues().get(&index).unwrap_or(&empty), queues))
        .collect()
}

fn queue(name: &str, index: usize, queue: &Queue, queues: &Queues<Asked>) -> Vec<String> {
    let sum = |seats: fn(&Request<Asked>) -> u64| -> u64 {
        let waiting = queue.waiting.iter().filter_map(|id| queues.request(*id));
        waiting.map(seats).sum()
    };
    vec![
        name.to_owned(),
        index.to_string(),
        queue.waiting.len().to_string(),
        queue.executing.to_string(),
        queue.in_use.to_string(),
        seat_seconds(queue.next_r),
        sum(|request| request.work.seats).to_string(),
        sum(|request| request.work.most_seats()).to_string(),
        seat_seconds(queue.work),
    ]
}

fn seat_seconds(value: f64) -> String {
    format!("{value:.8}ss")
}

fn requests(fairness: &Fairness, name: &str, state: &State, details: bool) -> Vec<Vec<String>> {
    let mut all: Vec<&Request<Asked>> = state.queues.requests().collect();
    all.sort_by_key(|request| (request.queue, request.started.is_some(), request.arrived));
    let (mut rows, mut place) = (Vec::new(), (None, 0));
    for request in all {
        place = if place.0 == request.queue {
            (place.0, place.1 + 1)
        } else {
            (request.queue, 0)
        };
        let at = if request.started.is_none() { place.1 } else { -1 };
        rows.push(self::request(fairness, name, request, at, details));
    }
    rows
}

fn request(
    fairness: &Fairness,
    level: &str,
    request: &Request<Asked>,
    place: i64,
    details: bool,
) -> Vec<String> {
    let (asked, schema) = (&request.about.asked, &request.about.placed.schema);
    let since_start = |at: Duration| {
        let ago = fairness.now().saturating_sub(at);
        let ago = jiff::SignedDuration::try_from(ago).unwrap_or_default();
        (fairness.env.clock.wall() - ago).to_string()
    };
    let mut row = vec![
        level.to_owned(),
        schema.name.clone(),
        request
            .queue
            .map_or_else(|| "-1".to_owned(), |queue| queue.to_string()),
        place.to_string(),
        schema.distinguisher(asked).to_owned(),
        since_start(request.arrived),
        request.work.seats.to_string(),
        request.work.final_seats.to_string(),
        api_duration(request.work.extra),
        request
            .started
            .map_or_else(|| "0001-01-01T00:00:00Z".to_owned(), since_start),
    ];
    if details {
        let version = match asked.group.as_str() {
            "" => asked.version.clone(),
            group => format!("{group}/{}", asked.version),
        };
        row.extend([
            asked.user.name.clone(),
            asked.verb.clone(),
            path(asked),
            asked.namespace.clone(),
            asked.name.clone(),
            version,
            asked.resource.clone(),
            asked.subresource.clone(),
        ]);
    }
    row
}

/// The path that was asked for.
fn path(asked: &Attributes) -> String {
    if !asked.is_resource {
        return asked.path.clone();
    }
    let root = match asked.group.as_str() {
        "" => format!("/api/{}", asked.version),
        group => format!("/apis/{group}/{}", asked.version),
    };
    let namespace = match asked.namespace.as_str() {
        "" => String::new(),
        // The namespace itself.
        _ if asked.group.is_empty() && asked.resource == "namespaces" => String::new(),
        namespace => format!("/namespaces/{namespace}"),
    };
    let rest = [&asked.resource, &asked.name, &asked.subresource]
        .into_iter()
        .filter(|part| !part.is_empty());
    rest.fold(root + &namespace, |path, part| format!("{path}/{part}"))
}

/// As Go writes it: never more than a few hundred milliseconds.
fn api_duration(duration: Duration) -> String {
    if duration.is_zero() {
        "0s".to_owned()
    } else {
        format!("{}ms", duration.as_millis())
    }
}
