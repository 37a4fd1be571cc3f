//! Container logs: the CRI format, selection, following, rotation.

mod format;
mod read;
mod rotate;

pub use format::{Line, last_lines, parse_line};
pub use read::{LogOptions, LogReader};
pub(crate) use rotate::rotate;
