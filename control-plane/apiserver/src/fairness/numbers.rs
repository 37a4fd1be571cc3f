//! What is counted of each flow schema, under upstream's names.

use super::Fairness;
use component::metrics::{Counter, Description, Histogram, Number};
use std::fmt::Write;

const OF_FLOW: &[&str] = &["priority_level", "flow_schema"];
const SECONDS: &[f64] = &[
    0.0, 0.005, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 15.0, 30.0,
];

const REJECTED: Description = Description::new(
    "apiserver_flowcontrol_rejected_requests_total",
    "[BETA] Number of requests rejected by API Priority and Fairness subsystem",
    OF_FLOW,
);
const DISPATCHED: Description = Description::new(
    "apiserver_flowcontrol_dispatched_requests_total",
    "[BETA] Number of requests executed by API Priority and Fairness subsystem",
    OF_FLOW,
);
const WAITED: Description = Description::new(
    "apiserver_flowcontrol_request_wait_duration_seconds",
    "[BETA] Length of time a request spent waiting in its queue",
    OF_FLOW,
)
.with(SECONDS);
const EXECUTED: Description = Description::new(
    "apiserver_flowcontrol_request_execution_seconds",
    "[ALPHA] Duration of initial stage (for a WATCH) or any (for a non-WATCH) stage of request execution in the API Priority and Fairness subsystem",
    OF_FLOW,
)
.with(SECONDS);
const LENGTH: Description = Description::new(
    "apiserver_flowcontrol_request_queue_length_after_enqueue",
    "[ALPHA] Length of queue in the API Priority and Fairness subsystem, as seen by each request after it is enqueued",
    OF_FLOW,
)
.with(&[0.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1000.0]);
const SEATS: Description = Description::new(
    "apiserver_flowcontrol_work_estimated_seats",
    "[ALPHA] Number of estimated seats (maximum of initial and final seats) associated with requests in API Priority and Fairness",
    OF_FLOW,
)
.with(&[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 100.0]);
const WATCHERS: Description = Description::new(
    "apiserver_flowcontrol_watch_count_samples",
    "[ALPHA] count of watchers for mutating requests in API Priority and Fairness",
    OF_FLOW,
)
.with(&[0.0, 1.0, 10.0, 100.0, 1000.0, 10_000.0]);
const NO_ACCOMMODATION: Description = Description::new(
    "apiserver_flowcontrol_request_dispatch_no_accommodation_total",
    "[ALPHA] Number of times a dispatch attempt resulted in a non accommodation due to lack of available seats",
    OF_FLOW,
);

/// Why a request is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// There are no seats, and the level has no queues.
    ConcurrencyLimit,
    /// Its queue is full.
    QueueFull,
    /// It waited too long.
    TimeOut,
}

const REASONS: [&str; 3] = ["concurrency-limit", "queue-full", "time-out"];

/// The numbers of one schema in one level.
pub struct Numbers {
    rejected: [Counter; 3],
    /// Requests that were served.
    pub dispatched: Counter,
    waited: [Histogram; 2],
    executed: [Histogram; 2],
    /// How long the queue was with each request.
    pub length: Histogram,
    /// Seats of each request.
    pub seats: Histogram,
    /// Watchers of what each write changes.
    pub watchers: Histogram,
    /// Dispatches that had to wait for more seats.
    pub no_accommodation: Counter,
}

impl Default for Numbers {
    fn default() -> Self {
        let counter = || Counter::new(&REJECTED);
        Self {
            rejected: [counter(), counter(), counter()],
            dispatched: Counter::new(&DISPATCHED),
            waited: [Histogram::new(&WAITED), Histogram::new(&WAITED)],
            executed: [Histogram::new(&EXECUTED), Histogram::new(&EXECUTED)],
            length: Histogram::new(&LENGTH),
            seats: Histogram::new(&SEATS),
            watchers: Histogram::new(&WATCHERS),
            no_accommodation: Counter::new(&NO_ACCOMMODATION),
        }
    }
}

impl Numbers {
    /// A request is refused.
    pub fn reject(&self, reason: Reason) {
        self.rejected[reason as usize].add(1);
    }

    /// A request waited so many seconds, and then was served or not.
    pub fn waited(&self, served: bool, seconds: f64) {
        self.waited[usize::from(served)].observe(seconds);
    }

    /// A request took so many seconds; of a watch only its beginning.
    pub fn executed(&self, watch: bool, seconds: f64) {
        self.executed[usize::from(watch)].observe(seconds);
    }
}

/// The first lines of a metric.
pub fn head<N: Number>(of: &Description, out: &mut String) {
    // Writing to a string does not fail.
    let _ = writeln!(
        out,
        "# HELP {} {}\n# TYPE {} {}",
        of.name,
        of.help,
        of.name,
        N::KIND
    );
}

/// All that is counted of flows.
pub fn write(fairness: &Fairness, out: &mut String) {
    let all = fairness.numbers();
    let labels =
        |(level, schema): &(String, String)| format!("priority_level=\"{level}\",flow_schema=\"{schema}\"");
    head::<Counter>(&REJECTED, out);
    for (flow, numbers) in &all {
        for (reason, count) in REASONS.iter().zip(&numbers.rejected) {
            count.write(&REJECTED, &format!("{},reason=\"{reason}\"", labels(flow)), out);
        }
    }
    head::<Counter>(&DISPATCHED, out);
    for (flow, numbers) in &all {
        numbers.dispatched.write(&DISPATCHED, &labels(flow), out);
    }
    for (of, name, values) in [
        (&WAITED, "execute", ["false", "true"]),
        (&EXECUTED, "type", ["regular", "watch"]),
    ] {
        head::<Histogram>(of, out);
        for (flow, numbers) in &all {
            let both = if name == "type" {
                &numbers.executed
            } else {
                &numbers.waited
            };
            for (value, histogram) in values.iter().zip(both) {
                histogram.write(of, &format!("{},{name}=\"{value}\"", labels(flow)), out);
            }
        }
    }
    for (of, histogram) in [
        (&LENGTH, (|n| &n.length) as fn(&Numbers) -> &Histogram),
        (&SEATS, |n| &n.seats),
        (&WATCHERS, |n| &n.watchers),
    ] {
        head::<Histogram>(of, out);
        for (flow, numbers) in &all {
            histogram(numbers).write(of, &labels(flow), out);
        }
    }
    head::<Counter>(&NO_ACCOMMODATION, out);
    for (flow, numbers) in &all {
        numbers
            .no_accommodation
            .write(&NO_ACCOMMODATION, &labels(flow), out);
    }
}
