//! The one controller runtime: caches, key queue, pure function, executor.
//!
//! A controller is a row of watches and two synchronous functions, `observe` and `reconcile`. It never awaits, never
//! holds a client, never retries: what it wants done is a [`Plan`], and the runtime tells it the next time what became
//! of each write. A key is not looked at again before the caches show what was written for it.

mod executor;
mod hold;
mod metrics;
mod plan;
mod queue;
mod runtime;

pub use client::{About, Severity};
pub use plan::{LastOutcome, Note, Outcome, Plan, PlannedWrite};
pub use queue::Queue;
pub use runtime::{Controller, Runtime, Watch, own_key, owner_key};
