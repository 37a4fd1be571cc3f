//! Custom resources: what their definitions make of the server while it runs.

mod convert;
mod definitions;
mod end;
#[cfg(test)]
mod http_stories;
#[cfg(test)]
mod stories;
mod webhook;
#[cfg(test)]
mod webhook_stories;

pub use definitions::Definitions;
pub use end::Ending;
#[cfg(test)]
pub use stories::{Story, crontabs};
pub use webhook::Webhooks;
