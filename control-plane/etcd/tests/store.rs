//! The store as its users see it, on real and on failing file systems.

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
#[path = "store/volatile.rs"]
mod volatile;
