//! Quotas are counted again: what admission added is taken off when objects go, and put right where it was wrong
//! (upstream `pkg/controller/resourcequota`).
//!
//! Admission adds before the object is written, so that a quota may say more than there is. It must never be written
//! down to what is there while objects are on their way; what is known to have gone is taken off at once, the rest when
//! nobody has written the quota for a while.

mod engine;
mod executor;
#[cfg(test)]
mod tests;

pub(crate) use executor::{Feeder, start};
