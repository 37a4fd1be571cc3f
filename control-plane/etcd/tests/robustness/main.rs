//! Three members as processes of their own, killed, paused and cut off from one another while clients write, read and watch.
//! What the clients saw has to be linearizable, and the watch has to tell every write once and in order.
//!
//! A run follows from its seed, but for what the kernel does with the time. `ROBUSTNESS_RUNS=N` makes N runs instead of one,
//! `ROBUSTNESS_SEED=S` begins with another seed.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "the functions that tests share fail as tests do"
)]

mod lab;
mod linear;
mod member;
mod traffic;

use std::process::Command;

/// Set in the namespaces that the runs are made in.
const INSIDE: &str = "ROBUSTNESS_INSIDE";

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

#[test]
fn clients_of_three_members_see_one_register_whatever_happens_to_them() {
    if std::env::var_os(INSIDE).is_none() {
        return inside_namespaces("clients_of_three_members_see_one_register_whatever_happens_to_them");
    }
    let first = number_in("ROBUSTNESS_SEED").unwrap_or(1);
    for seed in first..first + number_in("ROBUSTNESS_RUNS").unwrap_or(1) {
        lab::run(seed);
    }
}

/// Runs a test again with a network of its own, in which all processes end with it.
fn inside_namespaces(test: &str) {
    let said = Command::new("unshare")
        .args(["--net", "--pid", "--fork", "--kill-child", "--"])
        .args(["sh", "-c", "ip link set lo up && exec \"$0\" \"$@\""])
        .arg(std::env::current_exe().unwrap())
        .args([test, "--exact", "--nocapture"])
        .env(INSIDE, "1")
        .output()
        .expect("unshare of Debian's package util-linux");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (out, err) = (text(&said.stdout), text(&said.stderr));
    println!("{out}");
    assert!(said.status.success(), "{out}\n{err}");
}
