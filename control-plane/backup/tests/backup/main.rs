//! Snapshots from where they come to where they go: of our store and of others', kept, restored, and served.
#![expect(
    clippy::unwrap_used,
    reason = "the functions that tests share fail as tests do"
)]

mod bucket;
mod files;
mod killed;
mod kine;
mod lab;
mod plan;
mod restore;
mod users;
