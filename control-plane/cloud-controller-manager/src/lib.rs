//! cloud-controller-manager: the controllers of nodes, routes and load balancers that speak to a cloud. Without a cloud it
//! never runs; and never does another box speak to one.
//!
//! This crate holds nothing yet: it keeps the box's place in the architecture until the controllers are completed.
