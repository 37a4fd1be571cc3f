//! What a reader that takes long needs is kept.

use super::{Core, hold};
use crate::Revision;
use std::sync::Arc;

/// Keeps a revision from being forgotten, until it is dropped.
pub(crate) struct Pin {
    core: Arc<Core>,
    revision: Revision,
}

impl Pin {
    /// Keeps everything.
    pub fn new(core: &Arc<Core>) -> Self {
        hold(&core.pins).push(0);
        Self {
            core: core.clone(),
            revision: 0,
        }
    }

    /// Keeps a revision and what is newer.
    pub fn at(&mut self, revision: Revision) {
        let mut pins = hold(&self.core.pins);
        if let Some(pin) = pins.iter_mut().find(|pin| **pin == self.revision) {
            *pin = revision;
        }
        self.revision = revision;
    }
}

impl Drop for Pin {
    fn drop(&mut self) {
        let mut pins = hold(&self.core.pins);
        if let Some(at) = pins.iter().position(|pin| *pin == self.revision) {
            pins.swap_remove(at);
        }
        drop(pins);
        self.core.upkeep.notify_one();
    }
}
