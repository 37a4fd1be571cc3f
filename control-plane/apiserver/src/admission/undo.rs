//! What admission did for a request beside looking at it, to be undone if nothing comes of the request.

use futures::future::BoxFuture;
use std::{
    fmt,
    sync::{Mutex, PoisonError},
};

/// What would undo it. One a request.
#[derive(Default)]
pub struct Undo(Mutex<Vec<BoxFuture<'static, ()>>>);

impl fmt::Debug for Undo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Undo")
    }
}

impl Undo {
    fn take(&self) -> Vec<BoxFuture<'static, ()>> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Something was done that `undo` undoes.
    pub fn push(&self, undo: BoxFuture<'static, ()>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(undo);
    }

    /// The request is done, or may be: it stays.
    pub fn keep(&self) {
        drop(self.take());
    }

    /// Nothing came of the request: undoes it.
    pub async fn run(&self) {
        for undo in self.take() {
            undo.await;
        }
    }
}
