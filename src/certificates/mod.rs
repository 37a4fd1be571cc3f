//! The certificates of a cluster: kept good while it runs, and what `ferrokube certificate` does with them.

mod keep;
mod list;
mod verb;

pub use keep::{Kept, keep, turn};
pub use verb::run;
