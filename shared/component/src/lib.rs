//! What every box is made of: time, randomness, the task tree, readiness, flag tables and feature gates.
//!
//! A box gets all it needs from outside in one [`Env`]. It never reads the system's clock, random source or
//! environment by itself and never spawns a task outside its tree: so a whole control plane can run under a
//! paused clock with a seed, and be drained or restarted as one.

mod clock;
mod env;
pub mod flags;
pub mod gates;
pub mod hex;
pub mod jwt;
pub mod metrics;
pub mod pki;
mod random;
mod ready;
mod tasks;

pub use clock::Clock;
pub use env::Env;
pub use random::Random;
pub use ready::{Readiness, State};
pub use tasks::Tasks;
