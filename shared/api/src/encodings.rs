//! Encodings of an object that were made for a reader and are kept for the next ones.

use bytes::Bytes;
use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicUsize, Ordering::Relaxed},
};

/// How many bytes may be kept.
#[derive(Debug)]
pub struct Budget {
    limit: usize,
    used: AtomicUsize,
}

impl Budget {
    /// So many bytes.
    pub fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self {
            limit,
            used: AtomicUsize::new(0),
        })
    }

    /// Bytes that are kept now.
    pub fn used(&self) -> usize {
        self.used.load(Relaxed)
    }

    fn take(&self, size: usize) -> bool {
        let more = |used: usize| used.checked_add(size).filter(|used| *used <= self.limit);
        self.used.fetch_update(Relaxed, Relaxed, more).is_ok()
    }
}

/// A form other than JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// A message of upstream's protobuf, without what stands around it.
    Protobuf,
    /// An item of CBOR.
    Cbor,
}

#[derive(Debug)]
struct Kept {
    bytes: Bytes,
    budget: Arc<Budget>,
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.budget.used.fetch_sub(self.bytes.len(), Relaxed);
    }
}

/// The encodings of one object that are kept. A clone starts without any: it may be changed.
#[derive(Debug, Default)]
pub(crate) struct Encodings(OnceLock<Box<[OnceLock<Kept>; 2]>>);

impl Clone for Encodings {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl Encodings {
    /// The bytes in one form, made by `make` unless they are kept, and kept if `budget` has room.
    pub(crate) fn get<E>(
        &self,
        encoding: Encoding,
        budget: &Arc<Budget>,
        make: impl FnOnce() -> Result<Vec<u8>, E>,
    ) -> Result<Bytes, E> {
        let at = |[protobuf, cbor]: &[OnceLock<Kept>; 2]| {
            let of = match encoding {
                Encoding::Protobuf => protobuf,
                Encoding::Cbor => cbor,
            };
            of.get().map(|kept| kept.bytes.clone())
        };
        if let Some(bytes) = self.0.get().and_then(|kept| at(kept)) {
            return Ok(bytes);
        }
        let bytes = Bytes::from(make()?.into_boxed_slice());
        if budget.take(bytes.len()) {
            let kept = Kept {
                bytes: bytes.clone(),
                budget: budget.clone(),
            };
            let [protobuf, cbor] = self.0.get_or_init(Box::default).as_ref();
            // Another reader may have been faster; then this gives back what it took.
            let _ = match encoding {
                Encoding::Protobuf => protobuf.set(kept),
                Encoding::Cbor => cbor.set(kept),
            };
        }
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(text: &str) -> Result<Vec<u8>, ()> {
        Ok(text.as_bytes().to_vec())
    }

    #[test]
    fn an_encoding_is_made_once_and_goes_with_its_object() {
        let (budget, encodings) = (Budget::new(10), Encodings::default());
        assert_eq!(
            encodings.get(Encoding::Protobuf, &budget, || Err("wrong")),
            Err("wrong")
        );
        assert_eq!(
            encodings
                .get(Encoding::Protobuf, &budget, || made("first"))
                .unwrap(),
            "first"
        );
        assert_eq!(
            encodings
                .get(Encoding::Protobuf, &budget, || made("again"))
                .unwrap(),
            "first"
        );
        assert_eq!(
            encodings.get(Encoding::Cbor, &budget, || made("other")).unwrap(),
            "other"
        );
        assert_eq!(budget.used(), 10);
        let clone = encodings.clone();
        let fresh = clone.get(Encoding::Cbor, &budget, || made("more")).unwrap();
        assert_eq!(fresh, "more");
        let fresh = clone.get(Encoding::Cbor, &budget, || made("new")).unwrap();
        assert_eq!(fresh, "new", "there was no room to keep it");
        drop(encodings);
        assert_eq!(budget.used(), 0);
    }
}
