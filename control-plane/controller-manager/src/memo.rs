//! Views that are kept: an object that many looks need is decoded once.

use crate::views::{Seen, see};
use api::Object;
use serde::Deserialize;
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

/// Views of objects by UID, as long as somebody else holds the object too.
#[derive(Debug)]
pub(crate) struct Memo<T>(Mutex<State<T>>);

#[derive(Debug)]
struct State<T> {
    seen: BTreeMap<String, Arc<Seen<T>>>,
    /// At how many views those are dropped whose object is no longer held elsewhere.
    limit: usize,
}

const LEAST: usize = 64;

impl<T> Default for Memo<T> {
    fn default() -> Self {
        Self(Mutex::new(State {
            seen: BTreeMap::new(),
            limit: LEAST,
        }))
    }
}

impl<T: for<'a> Deserialize<'a>> Memo<T> {
    /// The view of an object; none if it does not decode.
    pub fn see(&self, object: Arc<Object>) -> Option<Arc<Seen<T>>> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = state
            .seen
            .get(object.uid())
            .filter(|seen| Arc::ptr_eq(&seen.object, &object))
        {
            return Some(known.clone());
        }
        let seen: Arc<Seen<T>> = Arc::new(see(object)?);
        if state.seen.len() >= state.limit {
            state.seen.retain(|_, seen| Arc::strong_count(&seen.object) > 1);
            state.limit = (2 * state.seen.len()).max(LEAST);
        }
        state.seen.insert(seen.object.uid().to_owned(), seen.clone());
        Some(seen)
    }
}
