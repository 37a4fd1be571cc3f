//! The store as its users see it, on real and on failing file systems.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "the functions that tests share fail as tests do")]

#[path = "store/apply.rs"]
mod apply;
#[path = "store/crash.rs"]
mod crash;
#[path = "store/damage.rs"]
mod damage;
#[path = "store/engine.rs"]
mod engine;
#[path = "store/lab.rs"]
mod lab;
#[path = "store/model.rs"]
mod model;
#[path = "store/power.rs"]
mod power;
#[path = "store/races.rs"]
mod races;
#[path = "store/volatile.rs"]
mod volatile;
