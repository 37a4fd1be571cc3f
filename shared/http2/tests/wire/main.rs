//! Connections as clients see them: frames made by hand, and a library.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "the functions that tests share fail as tests do"
)]

mod anything;
mod clients;
mod flow;
mod lab;
mod limits;
mod refusals;
