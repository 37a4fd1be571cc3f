//! Clusters of three and five members under virtual time, with a disk that forgets what was not synced and a network that
//! delays, loses, repeats and reorders. After every step what Raft promises is checked. `RAFT_SEEDS=N` runs N seeds instead of
//! the usual few hundred, `RAFT_SEED=S` just one; a seed gives the same run every time.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "the functions that tests share fail as tests do"
)]

mod client;
mod disk;
mod member;
mod network;
mod profile;
mod random;
mod truth;
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};

use world::{Tally, World};

fn number_in(variable: &str) -> Option<u64> {
    let text = std::env::var_os(variable)?;
    text.to_str()?.parse().ok()
}

fn run(seed: u64) -> Tally {
    let mut world = World::new(seed);
    match catch_unwind(AssertUnwindSafe(|| world.run())) {
        Ok(()) => world.tally(),
        Err(cause) => {
            let text = cause
                .downcast_ref::<String>()
                .map(String::as_str)
                .or_else(|| cause.downcast_ref::<&str>().copied());
            panic!(
                "seed {seed} at {}: {} (again with RAFT_SEED={seed})",
                world.now(),
                text.unwrap_or("?")
            );
        }
    }
}

#[test]
fn clusters_keep_what_raft_promises() {
    if let Some(seed) = number_in("RAFT_SEED") {
        println!("{:?}", run(seed));
        return;
    }
    let mut sum = Tally::default();
    for seed in 0..number_in("RAFT_SEEDS").unwrap_or(300) {
        sum.add(run(seed));
    }
    println!("{sum:?}");
    assert!(sum.leaders > 0 && sum.writes > 0 && sum.reads > 0 && sum.crashes > 0);
    assert!(sum.snapshots > 0 && sum.changes > 0 && sum.cuts > 0);
}

#[test]
fn a_seed_gives_the_same_run_again() {
    for seed in [3, 4, 5] {
        assert_eq!(run(seed), run(seed));
    }
}
