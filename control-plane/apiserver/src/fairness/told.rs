//! What is told of levels at `/metrics`, under upstream's names.

use super::{Fairness, numbers, queues::seat_count, state::State, timed::Timed};
use component::metrics::Description;
use std::{fmt::Write, sync::PoisonError, time::Duration};

const OF_LEVEL: &[&str] = &["priority_level"];

/// Seats in use.
pub const UTILIZATION: Description = Description::new(
    "apiserver_flowcontrol_priority_level_seat_utilization",
    "[ALPHA] Observations, at the end of every nanosecond, of utilization of seats for any stage of execution (but only initial stage for WATCHes)",
    OF_LEVEL,
)
.with(&[0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 1.0]);
/// Requests that wait or are served.
pub const REQUESTS: Description = Description::new(
    "apiserver_flowcontrol_priority_level_request_utilization",
    "[ALPHA] Observations, at the end of every nanosecond, of number of requests (as a fraction of the relevant limit) waiting or in any stage of execution (but only initial stage for WATCHes)",
    OF_LEVEL,
)
.with(&[0.0, 0.001, 0.003, 0.01, 0.03, 0.1, 0.25, 0.5, 0.75, 1.0]);
/// Seats that could be used.
pub const DEMAND: Description = Description::new(
    "apiserver_flowcontrol_demand_seats",
    "[ALPHA] Observations, at the end of every nanosecond, of (the number of seats each priority level could use) / (nominal number of seats for that level)",
    OF_LEVEL,
)
.with(&[0.2, 0.4, 0.6, 0.8, 1.0, 1.2, 1.4, 1.7, 2.0, 2.8, 4.0, 6.0]);
const READS_AND_WRITES: Description = Description::new(
    "apiserver_flowcontrol_read_vs_write_current_requests",
    "[ALPHA] Observations, at the end of every nanosecond, of the number of requests (as a fraction of the relevant limit) waiting or in regular stage of execution",
    &["phase", "request_kind"],
)
.with(&[
    0.0, 0.001, 0.01, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 1.0,
]);

/// Requests that wait and that are served, reads and writes.
pub struct Flight {
    counts: [[i64; 2]; 2],
    ratios: [[Timed; 2]; 2],
}

const KINDS: [&str; 2] = ["readOnly", "mutating"];
const PHASES: [&str; 2] = ["waiting", "executing"];

impl Flight {
    /// None.
    pub fn new() -> Self {
        let ratio = || Timed::new(&READS_AND_WRITES, Duration::ZERO);
        let kinds = || [ratio(), ratio()];
        Self {
            counts: [[0; 2]; 2],
            ratios: [kinds(), kinds()],
        }
    }

    /// So many more.
    pub fn change(&mut self, now: Duration, write: bool, waiting: i64, executing: i64) {
        let kind = usize::from(write);
        for (phase, more) in [waiting, executing].into_iter().enumerate() {
            if more != 0 {
                self.counts[phase][kind] += more;
                let count = u64::try_from(self.counts[phase][kind]).unwrap_or_default();
                self.ratios[phase][kind].set(now, seat_count(count));
            }
        }
    }

    /// How many can wait, and be served.
    pub fn set_limits(&mut self, now: Duration, limits: [u64; 2]) {
        for (kinds, limit) in self.ratios.iter_mut().zip(limits) {
            for ratio in kinds {
                ratio.set_denominator(now, seat_count(limit));
            }
        }
    }

    fn write(&mut self, now: Duration, out: &mut String) {
        let name = "apiserver_current_inqueue_requests";
        let help =
            "[ALPHA] Maximal number of queued requests in this apiserver per request kind in last second.";
        // Writing to a string does not fail.
        let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} gauge");
        for (kind, waiting) in KINDS.iter().zip(self.counts[0]) {
            let _ = writeln!(out, "{name}{{request_kind=\"{kind}\"}} {waiting}");
        }
        histogram(&READS_AND_WRITES, out);
        for (kinds, phase) in self.ratios.iter_mut().zip(PHASES) {
            for (ratio, kind) in kinds.iter_mut().zip(KINDS) {
                let labels = format!("phase=\"{phase}\",request_kind=\"{kind}\"");
                ratio.write(now, &READS_AND_WRITES, &labels, out);
            }
        }
    }
}

fn histogram(of: &Description, out: &mut String) {
    // Writing to a string does not fail.
    let _ = writeln!(
        out,
        "# HELP {} {}\n# TYPE {} histogram",
        of.name, of.help, of.name
    );
}

/// A number of a level: its name, what it is, and where it is.
type Row = (&'static str, &'static str, fn(&State) -> f64);

#[rustfmt::skip]
const ROWS: &[Row] = &[
    ("nominal_limit_seats", "[BETA] Nominal number of execution seats configured for each priority level",
        |s| seat_count(s.seats.nominal)),
    ("lower_limit_seats", "[ALPHA] Configured lower bound on number of execution seats available to each priority level",
        |s| seat_count(s.seats.least)),
    ("upper_limit_seats", "[ALPHA] Configured upper bound on number of execution seats available to each priority level",
        |s| seat_count(s.seats.most)),
    ("current_limit_seats", "[ALPHA] current derived number of execution seats available to each priority level",
        |s| seat_count(s.current)),
    ("demand_seats_high_watermark", "[ALPHA] High watermark, over last adjustment period, of demand_seats",
        |s| s.demand.last.highest),
    ("demand_seats_average", "[ALPHA] Time-weighted average, over last adjustment period, of demand_seats",
        |s| s.demand.last.average),
    ("demand_seats_stdev", "[ALPHA] Time-weighted standard deviation, over last adjustment period, of demand_seats",
        |s| s.demand.last.deviation),
    ("demand_seats_smoothed", "[ALPHA] Smoothed seat demands", |s| s.demand.smoothed),
    ("target_seats", "[ALPHA] Seat allocation targets", |s| s.target),
    ("current_r", "[ALPHA] R(time of last change)", |s| s.queues.r()),
    ("dispatch_r", "[ALPHA] R(time of last dispatch)", |s| s.queues.last_dispatch().0),
    ("latest_s", "[ALPHA] S(most recently dispatched request)", |s| s.queues.last_dispatch().1),
];

/// What requests of a flow in a level are: waiting, their seats, served, their seats.
type Load = [u64; 4];

#[rustfmt::skip]
const OF_FLOWS: [(&str, &str); 4] = [
    ("current_inqueue_requests", "[BETA] Number of requests currently pending in queues of the API Priority and Fairness subsystem"),
    ("current_inqueue_seats", "[ALPHA] Number of seats currently pending in queues of the API Priority and Fairness subsystem"),
    ("current_executing_requests", "[BETA] Number of requests in initial (for a WATCH) or any (for a non-WATCH) execution stage in the API Priority and Fairness subsystem"),
    ("current_executing_seats", "[BETA] Concurrency (number of seats) occupied by the currently executing (initial stage for a WATCH, any stage otherwise) requests in the API Priority and Fairness subsystem"),
];

/// All that is told.
pub fn told(fairness: &Fairness, out: &mut String) {
    numbers::write(fairness, out);
    let (now, config) = (fairness.now(), fairness.config());
    of_flows(fairness, out);
    let mut of_levels = |name: &str, help: &str, kind: &str, of: &dyn Fn(&State) -> Vec<(String, f64)>| {
        let name = format!("apiserver_flowcontrol_{name}");
        // Writing to a string does not fail.
        let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}");
        for (level, state) in &config.levels {
            for (labels, value) in of(&state.lock()) {
                let _ = writeln!(out, "{name}{{priority_level=\"{level}\"{labels}}} {value}");
            }
        }
    };
    for (name, help, of) in ROWS {
        of_levels(name, help, "gauge", &|state| vec![(String::new(), of(state))]);
    }
    for (name, help, discounted) in [
        (
            "next_s_bounds",
            "[ALPHA] min and max, over queues, of S(oldest waiting request in queue)",
            false,
        ),
        (
            "next_discounted_s_bounds",
            "[ALPHA] min and max, over queues, of S(oldest waiting request in queue) - estimated work in progress",
            true,
        ),
    ] {
        of_levels(name, help, "gauge", &|state| {
            let bounds = state.queues.next_starts(discounted);
            let label = |bound| format!(",bound=\"{bound}\"");
            bounds.map_or_else(Vec::new, |(min, max)| {
                vec![(label("min"), min), (label("max"), max)]
            })
        });
    }
    let help = "[ALPHA] Number of times the queueset's progress meter jumped backward";
    of_levels("epoch_advance_total", help, "counter", &|state| {
        let epochs = seat_count(state.queues.totals.epochs);
        vec![(",success=\"true\"".to_owned(), epochs)]
    });
    let fraction = *fairness.fraction.lock().unwrap_or_else(PoisonError::into_inner);
    let name = "apiserver_flowcontrol_seat_fair_frac";
    let help =
        "[ALPHA] Fair fraction of server's concurrency to allocate to each priority level that can use it";
    let _ = writeln!(
        out,
        "# HELP {name} {help}\n# TYPE {name} gauge\n{name} {fraction}"
    );
    ratios(fairness, now, out);
}

/// How full levels were.
fn ratios(fairness: &Fairness, now: Duration, out: &mut String) {
    type Ratio = (&'static str, fn(&mut State) -> &mut Timed);
    let of: [(&Description, &[Ratio]); 3] = [
        (&UTILIZATION, &[(",phase=\"executing\"", |s| &mut s.used)]),
        (
            &REQUESTS,
            &[
                (",phase=\"waiting\"", |s| &mut s.waiting),
                (",phase=\"executing\"", |s| &mut s.executing),
            ],
        ),
        (&DEMAND, &[("", |s| &mut s.wanted)]),
    ];
    for (description, ratios) in of {
        histogram(description, out);
        for (level, state) in &fairness.config().levels {
            for (labels, ratio) in ratios {
                let labels = format!("priority_level=\"{level}\"{labels}");
                ratio(&mut state.lock()).write(now, description, &labels, out);
            }
        }
    }
    let mut flight = fairness.flight.lock().unwrap_or_else(PoisonError::into_inner);
    flight.write(now, out);
}

fn of_flows(fairness: &Fairness, out: &mut String) {
    let config = fairness.config();
    let mut all: std::collections::BTreeMap<(String, String), Load> = fairness
        .numbers()
        .into_iter()
        .map(|(flow, _)| (flow, Load::default()))
        .collect();
    for (name, level) in &config.levels {
        for request in level.lock().queues.requests() {
            let flow = (name.clone(), request.about.placed.schema.name.clone());
            let load = all.entry(flow).or_default();
            let first = if request.started.is_none() { 0 } else { 2 };
            load[first] += 1;
            load[first + 1] += request.work.most_seats();
        }
    }
    for (at, (name, help)) in OF_FLOWS.iter().enumerate() {
        let name = format!("apiserver_flowcontrol_{name}");
        let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} gauge");
        for ((level, schema), load) in &all {
            let _ = writeln!(
                out,
                "{name}{{priority_level=\"{level}\",flow_schema=\"{schema}\"}} {}",
                load[at]
            );
        }
    }
}
