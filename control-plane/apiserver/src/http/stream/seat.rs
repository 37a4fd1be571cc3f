//! The place of one watcher among those who are told the same.

use super::{
    super::door::{Sent, Way},
    chorus::Chorus,
    teller::{BATCH, Batch, joined},
};
use bytes::Bytes;
use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Poll, Waker},
};

/// Pieces that may wait for a slow watcher before it is cut.
const BACKLOG: usize = 4096;

/// Bytes that went the second way are reported when they are as many as this, and at the end.
const REPORT: u64 = 64 << 10;

/// Is told how many bytes went the second way.
pub type Report = Box<dyn Fn(u64) + Send + Sync>;

/// A watcher as its chorus knows it.
pub struct Member {
    way: Arc<dyn Way>,
    report: Report,
    /// It was told all up to this revision before it came.
    from: u64,
    waiting: Mutex<Waiting>,
}

#[derive(Default)]
struct Waiting {
    /// What could not be written at once.
    pieces: VecDeque<Bytes>,
    /// Nothing more will come.
    closed: bool,
    reader: Option<Waker>,
    /// Bytes that went the second way and were not reported yet.
    passed: u64,
}

impl Member {
    /// One that was told all up to `from`, and whose connection has `way`.
    pub fn new(way: Arc<dyn Way>, from: u64, report: Report) -> Arc<Self> {
        // What its connection has of the answer's head, or of what was told before, goes first.
        way.shut();
        Arc::new(Self {
            way,
            report,
            from,
            waiting: Mutex::default(),
        })
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells it `batch`; `whole` is all of it, and `chunk` the same as a chunk of HTTP/1.1. False when it wants no more, or
    /// does not keep up: then it gets what waits, and nothing more.
    pub fn tell(&self, batch: &Batch, whole: &Bytes, chunk: &Bytes) -> bool {
        match batch.revisions() {
            Some((first, _)) if first > self.from => self.put(whole, chunk),
            Some((_, last)) if last > self.from => {
                let later = batch.after(self.from);
                self.put(&later, &chunked(&later))
            }
            _ => true,
        }
    }

    fn put(&self, piece: &Bytes, chunk: &Bytes) -> bool {
        let mut waiting = self.waiting();
        if waiting.closed {
            return false;
        }
        let sent = if waiting.pieces.is_empty() {
            self.way.send(chunk)
        } else {
            Sent::Not
        };
        match sent {
            Sent::Not if waiting.pieces.len() < BACKLOG => waiting.pieces.push_back(piece.clone()),
            Sent::Not => waiting.closed = true,
            Sent::Whole | Sent::Taken => waiting.passed += piece.len() as u64,
        }
        if waiting.passed >= REPORT {
            (self.report)(std::mem::take(&mut waiting.passed));
        }
        let more = !waiting.closed;
        let reader = waiting.reader.take_if(|_| sent != Sent::Whole);
        drop(waiting);
        reader.into_iter().for_each(Waker::wake);
        more
    }

    /// Nothing more will come.
    pub fn close(&self) {
        let mut waiting = self.waiting();
        waiting.closed = true;
        let reader = waiting.reader.take();
        drop(waiting);
        reader.into_iter().for_each(Waker::wake);
    }

    /// What its connection's own task has to write; none at the end.
    async fn next(&self) -> Option<Bytes> {
        std::future::poll_fn(|context| {
            let mut waiting = self.waiting();
            let mut size = 0;
            let together = waiting.pieces.iter().take_while(|piece| {
                let fits = size < BATCH;
                size += piece.len();
                fits
            });
            let count = together.count();
            if count > 0 {
                // Until that is flushed, nothing may overtake it.
                self.way.shut();
                let pieces: Vec<Bytes> = waiting.pieces.drain(..count).collect();
                return Poll::Ready(Some(joined(pieces.iter())));
            }
            if waiting.closed {
                return Poll::Ready(None);
            }
            if waiting
                .reader
                .as_ref()
                .is_none_or(|reader| !reader.will_wake(context.waker()))
            {
                waiting.reader = Some(context.waker().clone());
            }
            Poll::Pending
        })
        .await
    }
}

/// The same as a chunk of HTTP/1.1.
pub fn chunked(piece: &Bytes) -> Bytes {
    let head = format!("{:x}\r\n", piece.len());
    [head.as_bytes(), piece, b"\r\n"].concat().into()
}

/// What a watcher has of its chorus; it leaves it when this goes.
pub struct Seat {
    /// Itself.
    pub member: Arc<Member>,
    /// Where it is told.
    pub chorus: Arc<Chorus>,
}

impl Seat {
    /// What its connection's own task has to write; none at the end.
    pub async fn next(&mut self) -> Option<Bytes> {
        self.member.next().await
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        (self.report)(self.waiting().passed);
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        // Before the end of the answer is written, so that nothing comes after it.
        self.member.close();
        self.chorus.leave(&self.member);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;
    use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

    /// A connection that takes what it can.
    #[derive(Default)]
    struct Taken(Mutex<(Vec<Bytes>, bool)>);

    impl Way for Taken {
        fn send(&self, bytes: &Bytes) -> Sent {
            let mut taken = self.0.lock().unwrap();
            if !taken.1 {
                return Sent::Not;
            }
            taken.0.push(bytes.clone());
            Sent::Whole
        }

        fn shut(&self) {
            self.0.lock().unwrap().1 = false;
        }
    }

    fn counted(bytes: &Arc<AtomicU64>) -> Report {
        let bytes = bytes.clone();
        Box::new(move |more| {
            bytes.fetch_add(more, Relaxed);
        })
    }

    fn batch(revisions: std::ops::Range<u64>) -> Batch {
        let frame = |revision: u64| (revision, Bytes::from(format!("<{revision}>")));
        Batch::new(revisions.map(frame).collect())
    }

    fn tell(member: &Member, batch: &Batch) -> bool {
        let whole = batch.after(0);
        member.tell(batch, &whole, &chunked(&whole))
    }

    #[test]
    fn nothing_is_told_twice_nor_out_of_order() {
        let (way, bytes) = (Arc::<Taken>::default(), Arc::<AtomicU64>::default());
        let member = Member::new(way.clone(), 3, counted(&bytes));
        assert!(tell(&member, &batch(1..3)), "it knows that");
        assert!(tell(&member, &batch(2..6)), "a part of it is new");
        way.0.lock().unwrap().1 = true;
        assert!(tell(&member, &batch(6..7)), "waits behind what waits");
        assert_eq!(member.next().now_or_never().flatten().unwrap(), "<4><5><6>");
        assert!(tell(&member, &batch(7..8)), "that is not flushed");
        assert_eq!(member.next().now_or_never().flatten().unwrap(), "<7>");
        way.0.lock().unwrap().1 = true;
        assert!(tell(&member, &batch(8..10)));
        assert_eq!(way.0.lock().unwrap().0, ["6\r\n<8><9>\r\n"]);
        member.close();
        assert!(!tell(&member, &batch(10..11)), "it is closed");
        assert_eq!(member.next().now_or_never(), Some(None));
        drop(member);
        assert_eq!(bytes.load(Relaxed), 6);
    }

    #[test]
    fn a_member_that_does_not_keep_up_gets_what_waits_then_ends() {
        let member = Member::new(Arc::<Taken>::default(), 0, Box::new(|_| {}));
        let last = (1..).find(|revision| !tell(&member, &batch(*revision..revision + 1)));
        assert_eq!(last, Some(BACKLOG as u64 + 1));
        let mut text = String::new();
        while let Some(piece) = member.next().now_or_never().expect("does not wait") {
            text.push_str(std::str::from_utf8(&piece).unwrap());
        }
        assert!(text.starts_with("<1><2>") && text.ends_with("<4096>"));
    }
}
