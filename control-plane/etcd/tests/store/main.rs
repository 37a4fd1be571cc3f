//! The store as its users see it, on real and on failing file systems.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "the functions that tests share fail as tests do"
)]

mod apply;
mod crash;
mod damage;
mod dump;
mod engine;
mod every_byte;
mod full;
#[path = "../hooked/disk.rs"]
mod hooked;
mod lab;
mod members;
mod migration;
mod model;
mod nested;
mod power;
mod races;
mod volatile;
