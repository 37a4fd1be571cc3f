//! Stories of fairness.

mod queues;
