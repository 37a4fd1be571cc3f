//! A connection of many streams.

use super::{
    frame::{Decoder, Encoder, Frame, Id},
    headers::Headers,
    stream::{Credit, Stream},
};
use crate::Error;
use bytes::{Bytes, BytesMut};
use std::{
    collections::BTreeMap,
    future::pending,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    sync::{Semaphore, mpsc},
};

/// What may be sent on a stream before the other end said that it has taken some. The ends of Kubernetes know no windows:
/// when one has sent more than its stream's reader took, nothing more is read from the connection.
pub(super) const WINDOW: usize = 64 << 10;
/// Most streams at a time.
const STREAMS: usize = 1000;
/// Most bytes read at once, and so in one piece of data.
const READ: usize = 32 << 10;
/// Frames that wait to be written.
const FRAMES: usize = 16;
/// Replies that wait to be written; an end that makes so many and reads none is left.
const REPLIES: usize = 4096;
/// Bytes that are written together.
const BATCH: usize = 64 << 10;

/// Why a stream is reset: there are too many.
const REFUSED: u32 = 3;
/// The setting that says how much may be sent at first.
const INITIAL_WINDOW: u32 = 7;

/// Which end of the connection this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// It opened the connection; its streams are odd.
    Client,
    /// It was connected to; its streams are even.
    Server,
}

/// One end of a connection.
#[derive(Clone, Debug)]
pub struct Session(Arc<Shared>);

#[derive(Debug)]
pub(super) struct Shared {
    role: Role,
    pub(super) commands: mpsc::Sender<Frame>,
    /// What is said about what was read. Reading never waits for writing, else two ends could wait for each other.
    pub(super) replies: mpsc::Sender<Frame>,
    /// The other end knows windows: it has told its first.
    pub(super) limited: AtomicBool,
    pub(super) credit: Credit,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    streams: BTreeMap<Id, Entry>,
    /// The last that this end opened.
    opened: Id,
    /// The last that the other end opened.
    taken: Id,
    /// The other end takes no more streams.
    away: bool,
    /// What the other end takes on a new stream.
    window: Option<usize>,
}

#[derive(Debug)]
struct Entry {
    /// Until the other end has finished.
    data: Option<(mpsc::UnboundedSender<Bytes>, Arc<Semaphore>)>,
    /// This end has finished.
    finished: bool,
    credit: Arc<Credit>,
}

impl Session {
    /// Speaks over `io`. The future moves the bytes and must be polled for anything to happen; it ends with the connection.
    /// The streams that the other end opens come out of the receiver.
    pub fn new<S>(
        io: S,
        role: Role,
    ) -> (
        Self,
        mpsc::Receiver<Stream>,
        impl Future<Output = Result<(), Error>>,
    )
    where
        S: AsyncRead + AsyncWrite,
    {
        let (commands, waiting) = mpsc::channel(FRAMES);
        let (replies, answers) = mpsc::channel(REPLIES);
        let (accepted, streams) = mpsc::channel(FRAMES);
        let shared = Arc::new(Shared {
            role,
            commands,
            replies,
            limited: AtomicBool::new(false),
            credit: Credit::new(WINDOW),
            state: Mutex::default(),
        });
        let driver = drive(io, shared.clone(), (waiting, answers), accepted);
        (Self(shared), streams, driver)
    }

    /// Opens a stream.
    pub async fn open(&self, headers: Headers) -> Result<Stream, Error> {
        let gone = || Error::Protocol("the connection is gone".to_owned());
        let room = self.0.commands.reserve().await.map_err(|_| gone())?;
        let mut state = self.0.state();
        if state.away {
            return Err(gone());
        }
        let id = match (state.opened, self.0.role) {
            (0, Role::Client) => 1,
            (0, Role::Server) => 2,
            (last, _) => last + 2,
        };
        state.opened = id;
        let stream = state.add(id, headers.clone(), &self.0);
        // Under the lock, since numbers must rise on the wire.
        room.send(Frame::SynStream {
            id,
            headers,
            fin: false,
        });
        Ok(stream)
    }

    /// Sends what waits, takes no more streams, and closes for writing; the connection ends when the other end closes too.
    pub async fn close(&self) {
        let last = self.0.state().taken;
        // A connection that is gone needs no farewell.
        let _ = self.0.commands.send(Frame::GoAway { last, status: 0 }).await;
    }
}

impl State {
    fn add(&mut self, id: Id, headers: Headers, shared: &Arc<Shared>) -> Stream {
        let (data, pieces) = mpsc::unbounded_channel();
        let room = Arc::new(Semaphore::new(WINDOW));
        let credit = Arc::new(Credit::new(self.window.unwrap_or(WINDOW)));
        let entry = Entry {
            data: Some((data, room.clone())),
            finished: false,
            credit: credit.clone(),
        };
        self.streams.insert(id, entry);
        Stream::new(id, headers, (pieces, room), credit, shared.clone())
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// This end finished a stream. False when it had already.
    pub(super) fn finish(&self, id: Id) -> bool {
        let mut state = self.state();
        let Some(entry) = state.streams.get_mut(&id) else {
            return false;
        };
        let first = !std::mem::replace(&mut entry.finished, true);
        if entry.data.is_none() {
            state.streams.remove(&id);
        }
        first
    }

    /// The other end finished a stream.
    fn finished(&self, id: Id) {
        let mut state = self.state();
        if let Some(entry) = state.streams.get_mut(&id) {
            entry.data = None;
            if entry.finished {
                state.streams.remove(&id);
            }
        }
    }

    /// A stream is no more. False when it was not there.
    pub(super) fn remove(&self, id: Id) -> bool {
        let entry = self.state().streams.remove(&id);
        if let Some(entry) = &entry {
            entry.credit.close();
        }
        entry.is_some()
    }

    fn end(&self) {
        let streams = std::mem::take(&mut self.state().streams);
        streams.into_values().for_each(|entry| entry.credit.close());
        self.credit.close();
    }

    fn reply(&self, frame: Frame) -> Result<(), Error> {
        match self.replies.try_send(frame) {
            Err(mpsc::error::TrySendError::Full(_)) => Err(Error::Protocol(
                "SPDY: the other end asks and does not read".to_owned(),
            )),
            // After the end of writing nothing is replied.
            _ => Ok(()),
        }
    }

    async fn take(self: &Arc<Self>, frame: Frame, accepted: &mpsc::Sender<Stream>) -> Result<(), Error> {
        match frame {
            Frame::SynStream { id, headers, fin } => {
                self.opened(id, headers, accepted).await?;
                if fin {
                    self.finished(id);
                }
            }
            Frame::Data { id, data, fin } => {
                let to = self.state().streams.get(&id).and_then(|e| e.data.clone());
                if let Some((sender, room)) = to.filter(|_| !data.is_empty()) {
                    let length = u32::try_from(data.len()).unwrap_or(u32::MAX);
                    // Who has stopped reading does not miss it.
                    if let Ok(taken) = room.acquire_many(length).await {
                        taken.forget();
                        let _ = sender.send(data);
                    }
                }
                if fin {
                    self.finished(id);
                }
            }
            Frame::SynReply { id, fin: true, .. } | Frame::Headers { id, fin: true, .. } => {
                self.finished(id);
            }
            Frame::Rst { id, .. } => {
                self.remove(id);
            }
            Frame::Ping(id) if (id % 2 == 1) != (self.role == Role::Client) => {
                self.reply(Frame::Ping(id))?;
            }
            Frame::GoAway { .. } => self.state().away = true,
            Frame::WindowUpdate { id: 0, delta } => self.credit.add(delta),
            Frame::WindowUpdate { id, delta } => {
                if let Some(entry) = self.state().streams.get(&id) {
                    entry.credit.add(delta);
                }
            }
            Frame::Settings(values) => {
                if let Some((_, first)) = values.iter().find(|(number, _)| *number == INITIAL_WINDOW) {
                    self.limited.store(true, Ordering::Relaxed);
                    self.state().window = usize::try_from(*first).ok().map(|w| w.min(1 << 30));
                }
            }
            Frame::SynReply { .. } | Frame::Headers { .. } | Frame::Ping(_) | Frame::Unknown(_) => {}
        }
        Ok(())
    }

    /// The other end opened a stream.
    async fn opened(
        self: &Arc<Self>,
        id: Id,
        headers: Headers,
        accepted: &mpsc::Sender<Stream>,
    ) -> Result<(), Error> {
        let stream = {
            let mut state = self.state();
            if (id % 2 == 1) == (self.role == Role::Client) || id <= state.taken {
                let why = format!("SPDY: stream {id} cannot be opened");
                return Err(Error::Protocol(why));
            }
            state.taken = id;
            (state.streams.len() < STREAMS).then(|| state.add(id, headers, self))
        };
        let Some(stream) = stream else {
            self.reply(Frame::Rst { id, status: REFUSED })?;
            return Ok(());
        };
        let headers = Headers::new();
        self.reply(Frame::SynReply {
            id,
            headers,
            fin: false,
        })?;
        if accepted.send(stream).await.is_err() && self.remove(id) {
            self.reply(Frame::Rst { id, status: REFUSED })?;
        }
        Ok(())
    }
}

async fn drive<S: AsyncRead + AsyncWrite>(
    io: S,
    shared: Arc<Shared>,
    (waiting, answers): (mpsc::Receiver<Frame>, mpsc::Receiver<Frame>),
    accepted: mpsc::Sender<Stream>,
) -> Result<(), Error> {
    let (reader, writer) = tokio::io::split(io);
    let written = async {
        match write(writer, waiting, answers).await {
            // Closed for writing; what still comes is read, so that the other end gets all that was sent.
            Ok(()) => pending().await,
            Err(error) => Err(error),
        }
    };
    let ended = tokio::select! {
        biased;
        ended = read(reader, &shared, accepted) => ended,
        ended = written => ended,
    };
    shared.end();
    ended
}

async fn read(
    mut reader: impl AsyncRead + Unpin,
    shared: &Arc<Shared>,
    accepted: mpsc::Sender<Stream>,
) -> Result<(), Error> {
    let (mut decoder, mut buffer) = (Decoder::default(), BytesMut::new());
    let mut unsaid = 0;
    loop {
        while let Some(frame) = decoder.decode(&mut buffer)? {
            if let Frame::Data { data, .. } = &frame {
                unsaid += data.len();
            }
            shared.take(frame, &accepted).await?;
        }
        if unsaid >= WINDOW / 2 {
            let delta = u32::try_from(std::mem::take(&mut unsaid)).unwrap_or_default();
            shared.reply(Frame::WindowUpdate { id: 0, delta })?;
        }
        buffer.reserve(READ);
        if reader.read_buf(&mut buffer).await? == 0 {
            return Ok(());
        }
    }
}

async fn write(
    mut writer: impl AsyncWrite + Unpin,
    mut waiting: mpsc::Receiver<Frame>,
    mut answers: mpsc::Receiver<Frame>,
) -> Result<(), Error> {
    let (mut encoder, mut buffer) = (Encoder::default(), BytesMut::new());
    loop {
        // A stream's reply comes before its data.
        let frame = tokio::select! {
            biased;
            Some(frame) = answers.recv() => frame,
            Some(frame) = waiting.recv() => frame,
            else => return Ok(()),
        };
        let mut last = matches!(frame, Frame::GoAway { .. });
        encoder.encode(&frame, &mut buffer)?;
        while !last
            && buffer.len() < BATCH
            && let Ok(frame) = answers.try_recv().or_else(|_| waiting.try_recv())
        {
            last = matches!(frame, Frame::GoAway { .. });
            encoder.encode(&frame, &mut buffer)?;
        }
        writer.write_all(&buffer).await?;
        writer.flush().await?;
        buffer.clear();
        if last {
            waiting.close();
            answers.close();
            writer.shutdown().await?;
            return Ok(());
        }
    }
}
