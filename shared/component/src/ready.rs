//! Readiness: what each box says of itself, and who waits for it.

use std::{collections::BTreeMap, sync::Arc};
use tokio::sync::watch;

/// Where a box stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// Not there yet; the text says what it waits for.
    Starting(String),
    /// Does its work.
    Ready,
    /// Cannot work; the text says why.
    Failed(String),
}

/// A board on which each box writes its [`State`] under its name. Clones are the same board.
#[derive(Clone, Debug)]
pub struct Readiness(Arc<watch::Sender<BTreeMap<&'static str, State>>>);

impl Default for Readiness {
    fn default() -> Self {
        Self::new()
    }
}

impl Readiness {
    /// An empty board.
    pub fn new() -> Self {
        Self(Arc::new(watch::Sender::new(BTreeMap::new())))
    }

    /// Writes the state of `name`.
    pub fn set(&self, name: &'static str, state: State) {
        self.0
            .send_if_modified(|board| board.insert(name, state.clone()) != Some(state));
    }

    /// A view that wakes on each change.
    pub fn watch(&self) -> watch::Receiver<BTreeMap<&'static str, State>> {
        self.0.subscribe()
    }

    /// Resolves when `name` is ready, or with the reason when it failed.
    pub async fn wait(&self, name: &'static str) -> Result<(), String> {
        let mut board = self.watch();
        let seen = board
            .wait_for(|b| matches!(b.get(name), Some(State::Ready | State::Failed(_))))
            .await;
        match seen.map(|b| b.get(name).cloned()) {
            Ok(Some(State::Failed(why))) => Err(why),
            Ok(_) => Ok(()),
            Err(_) => Err("the board is gone".to_owned()),
        }
    }
}
