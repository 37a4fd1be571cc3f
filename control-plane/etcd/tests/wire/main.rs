//! The store over the wire: our server with etcd's own command, our client with etcd's own server.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "the functions that tests share fail as tests do"
)]

mod auth;
mod bad_input;
mod catching_up;
mod cluster;
mod command;
#[path = "../hooked/disk.rs"]
mod hooked;
mod json;
mod lab;
mod members;
mod refusals;
mod remote;
mod secure;
mod services;
mod stuck;
mod tools;
mod unread;
mod watches;
