//! Three members as processes of their own, killed, paused, cut off from one another, with disks that are full, slow or stuck,
//! while clients write, read, watch and keep leases. What they saw has to be linearizable, the watch has to tell every write
//! once and in order, and no lease may end before its time.
//!
//! A run follows from its seed, but for what the kernel does with the time. `ROBUSTNESS_RUNS=N` makes N runs instead of one,
//! `ROBUSTNESS_AT_ONCE=N` of them at once; none begins after `ROBUSTNESS_SECONDS=N`. `ROBUSTNESS_SEED=S` begins with another
//! seed, and in each run `ROBUSTNESS_MISHAPS=N` things happen. With `-- --nocapture` it tells how it goes.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "the functions that tests share fail as tests do"
)]

mod disk;
#[path = "../hooked/disk.rs"]
mod hooked;
mod lab;
mod leases;
mod linear;
mod member;
mod runs;
mod traffic;

fn number_in(variable: &str) -> Option<u64> {
    std::env::var_os(variable)?.to_str()?.parse().ok()
}

/// One of the processes; nothing unless the lab starts it.
#[test]
fn a_member() {
    if let Some(place) = number_in(member::PLACE) {
        member::run(place);
    }
}

/// A run in namespaces of its own; nothing unless it is started there.
#[test]
fn a_run() {
    if let Some(seed) = number_in(runs::INSIDE) {
        lab::run(seed, number_in("ROBUSTNESS_MISHAPS").unwrap_or(4));
    }
}

#[test]
fn clients_of_three_members_see_one_register_whatever_happens_to_them() {
    runs::Runs {
        first: number_in("ROBUSTNESS_SEED").unwrap_or(1),
        count: number_in("ROBUSTNESS_RUNS").unwrap_or(1),
        at_once: number_in("ROBUSTNESS_AT_ONCE").unwrap_or(1),
        seconds: number_in("ROBUSTNESS_SECONDS").unwrap_or(3600),
    }
    .all();
}
