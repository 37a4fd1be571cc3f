//! One stream of a connection: its two directions.

use super::{
    frame::{Frame, Id},
    headers::Headers,
    session::{Shared, WINDOW},
};
use crate::Error;
use bytes::Bytes;
use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};
use tokio::sync::{Semaphore, mpsc};

/// Most bytes in a data frame that is sent.
const CHUNK: usize = 32 << 10;
/// Why a stream is reset: nobody wants it any more.
const CANCEL: u32 = 5;

/// How much may be sent. Ends that never tell of windows, as those of Kubernetes, are sent as much as the connection takes.
#[derive(Debug)]
pub(super) struct Credit(Semaphore);

impl Credit {
    pub(super) fn new(window: usize) -> Self {
        Self(Semaphore::new(window))
    }

    /// Ends all sending.
    pub(super) fn close(&self) {
        self.0.close();
    }

    pub(super) fn add(&self, bytes: u32) {
        let room = Semaphore::MAX_PERMITS - self.0.available_permits();
        self.0
            .add_permits(usize::try_from(bytes).unwrap_or_default().min(room));
    }

    async fn take(&self, bytes: usize, limited: &AtomicBool) -> Result<(), Error> {
        let gone = || Error::Protocol("the stream was reset".to_owned());
        if limited.load(Ordering::Relaxed) {
            let wanted = u32::try_from(bytes).unwrap_or(u32::MAX);
            let permits = self.0.acquire_many(wanted).await.map_err(|_| gone())?;
            permits.forget();
        } else {
            self.0.forget_permits(bytes);
        }
        if self.0.is_closed() { Err(gone()) } else { Ok(()) }
    }
}

/// A stream.
#[derive(Debug)]
pub struct Stream {
    /// What it was opened with.
    pub headers: Headers,
    /// What the other end sends.
    pub reader: Reader,
    /// What is sent to it.
    pub writer: Writer,
}

impl Stream {
    pub(super) fn new(
        id: Id,
        headers: Headers,
        (data, room): (mpsc::UnboundedReceiver<Bytes>, Arc<Semaphore>),
        credit: Arc<Credit>,
        shared: Arc<Shared>,
    ) -> Self {
        Self {
            headers,
            reader: Reader {
                id,
                data,
                room,
                taken: 0,
                shared: shared.clone(),
            },
            writer: Writer { id, credit, shared },
        }
    }

    /// Its number.
    pub fn id(&self) -> Id {
        self.writer.id
    }

    /// The first value of a header; empty when there is none.
    pub fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(other, _)| other == name);
        found.map_or("", |(_, value)| value.split('\0').next().unwrap_or_default())
    }
}

/// What comes on a stream.
#[derive(Debug)]
pub struct Reader {
    id: Id,
    data: mpsc::UnboundedReceiver<Bytes>,
    /// Room for what waits.
    room: Arc<Semaphore>,
    /// Bytes taken that the other end was not told of.
    taken: usize,
    shared: Arc<Shared>,
}

impl Reader {
    /// The next bytes; none when the other end finished, or the connection is gone. Can be cancelled.
    pub async fn next(&mut self) -> Option<Bytes> {
        if self.taken >= WINDOW / 2
            && let Ok(room) = self.shared.replies.try_reserve()
        {
            room.send(Frame::WindowUpdate {
                id: self.id,
                delta: u32::try_from(self.taken).unwrap_or_default(),
            });
            self.taken = 0;
        }
        let bytes = self.data.recv().await?;
        self.taken += bytes.len();
        self.room.add_permits(bytes.len());
        Some(bytes)
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.room.close();
    }
}

/// Where a stream is written to.
#[derive(Debug)]
pub struct Writer {
    id: Id,
    credit: Arc<Credit>,
    shared: Arc<Shared>,
}

impl Writer {
    /// Sends bytes; an error when the stream or its connection is gone.
    pub async fn send(&self, mut bytes: Bytes) -> Result<(), Error> {
        while !bytes.is_empty() {
            let data = bytes.split_to(bytes.len().min(CHUNK));
            self.credit.take(data.len(), &self.shared.limited).await?;
            self.shared.credit.take(data.len(), &self.shared.limited).await?;
            self.put(Frame::Data {
                id: self.id,
                data,
                fin: false,
            })
            .await?;
        }
        Ok(())
    }

    /// Says that no more comes.
    pub async fn finish(&self) -> Result<(), Error> {
        if self.credit.0.is_closed() || !self.shared.finish(self.id) {
            return Ok(());
        }
        self.put(Frame::Data {
            id: self.id,
            data: Bytes::new(),
            fin: true,
        })
        .await
    }

    /// Ends both directions at once.
    pub async fn reset(&self) -> Result<(), Error> {
        if !self.shared.remove(self.id) {
            return Ok(());
        }
        let (id, status) = (self.id, CANCEL);
        self.put(Frame::Rst { id, status }).await
    }

    /// Whether the stream was reset or its connection is gone.
    pub fn is_gone(&self) -> bool {
        self.credit.0.is_closed() || self.shared.commands.is_closed()
    }

    async fn put(&self, frame: Frame) -> Result<(), Error> {
        let gone = |_| Error::Protocol("the connection is gone".to_owned());
        self.shared.commands.send(frame).await.map_err(gone)
    }
}
