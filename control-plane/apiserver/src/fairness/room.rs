//! Memory for lists in the making: bytes that are encoded and not yet sent.

use api::Status;
use bytes::Bytes;
use component::Clock;
use std::{sync::Arc, time::Duration};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Room is given in pieces of this size.
const PIECE: usize = 1 << 10;
/// Lists smaller than this do not count: they are many, and small.
const SMALL: usize = 64 << 10;

/// The room for lists.
pub struct Room {
    clock: Clock,
    pieces: u32,
    free: Arc<Semaphore>,
}

/// The room that a list has; free again when its last byte is sent.
pub struct Taken {
    _permit: OwnedSemaphorePermit,
}

impl Room {
    /// For so many bytes; 0: for any number.
    pub fn new(bytes: usize, clock: Clock) -> Self {
        let pieces = u32::try_from(bytes.div_ceil(PIECE)).unwrap_or(u32::MAX);
        Self {
            clock,
            pieces,
            // A u32 fits.
            free: Arc::new(Semaphore::new(
                usize::try_from(pieces).unwrap_or(Semaphore::MAX_PERMITS),
            )),
        }
    }

    /// Waits for room for a list of about so many bytes, for at most a quarter of `patience`; else 429. A list that is
    /// larger than all there is gets all.
    pub async fn take(&self, bytes: usize, patience: Duration) -> Result<Option<Taken>, Status> {
        if self.pieces == 0 || bytes < SMALL {
            return Ok(None);
        }
        let pieces = u32::try_from(bytes.div_ceil(PIECE))
            .unwrap_or(u32::MAX)
            .min(self.pieces);
        let free = self.free.clone().acquire_many_owned(pieces);
        match self.clock.timeout(patience / 4, free).await {
            Some(Ok(permit)) => Ok(Some(Taken { _permit: permit })),
            _ => {
                let message = "Too many requests, please try again later.";
                Err(Status::too_many_requests(message, 1))
            }
        }
    }

    /// Bytes that are taken.
    pub fn taken(&self) -> u64 {
        let free = u64::try_from(self.free.available_permits()).unwrap_or_default();
        u64::from(self.pieces).saturating_sub(free) << PIECE.trailing_zeros()
    }
}

impl Taken {
    /// The same bytes, which hold the room until the last of them is dropped.
    pub fn hold(self, bytes: Bytes) -> Bytes {
        struct Held(Bytes, #[expect(dead_code, reason = "it is held")] Taken);
        impl AsRef<[u8]> for Held {
            fn as_ref(&self) -> &[u8] {
                &self.0
            }
        }
        Bytes::from_owner(Held(bytes, self))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use component::Env;

    #[tokio::test(start_paused = true)]
    async fn lists_wait_for_room_and_are_refused_in_the_end() {
        let clock = Env::simulated(1).clock;
        let (room, minute) = (Room::new(1 << 20, clock.clone()), Duration::from_secs(60));
        let large = room.take(900 << 10, minute).await.unwrap().unwrap();
        assert!(
            room.take(1 << 10, minute).await.unwrap().is_none(),
            "small ones do not wait"
        );
        let start = clock.now();
        let refused = room.take(200 << 10, minute).await.map(drop).unwrap_err();
        assert_eq!((refused.code, (clock.now() - start).as_secs()), (429, 15));
        let body = large.hold(Bytes::from_static(b"a list"));
        let sent = body.slice(2..);
        drop(body);
        assert_eq!(room.taken(), 900 << 10, "held until all is sent");
        let (next, ()) = tokio::join!(room.take(usize::MAX >> 1, minute), async {
            clock.sleep(Duration::from_secs(1)).await;
            drop(sent);
        });
        assert!(
            next.unwrap().is_some() && room.taken() == 0,
            "one larger than all gets all, then"
        );
    }
}
