//! Stories of fairness.

mod cost;
mod queues;
