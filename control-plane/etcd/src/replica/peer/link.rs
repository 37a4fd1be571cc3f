//! The stream of messages to one member, which is opened again when it breaks.

use super::{CallError, Caller, Peers, STREAM, connect::RequestBody, frame};
use crate::replica::{node::Input, wire};
use bytes::Bytes;
use component::Env;
use futures::StreamExt;
use http::StatusCode;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Frame, Incoming};
use raft::{Body, Message};
use std::{
    convert::Infallible,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::{sync::mpsc, task::AbortHandle, time::Instant};
use tokio_stream::wrappers::ReceiverStream;

/// Messages that wait for a member, at most.
const QUEUE: usize = 4096;
/// Messages that go together, at most, and their bytes, about.
const BATCH: usize = 64;
/// Batches on their way.
const FLYING: usize = 8;
/// How long to wait before the next try, at first and at most.
const RETRY: Duration = Duration::from_millis(50);
const SLOW_RETRY: Duration = Duration::from_secs(1);

#[derive(Default)]
struct State {
    urls: Vec<String>,
    since: Option<Instant>,
}

/// A link to another member; dropping it ends it.
pub struct Link {
    queue: mpsc::Sender<Message>,
    state: Arc<Mutex<State>>,
    task: AbortHandle,
}

fn hold(state: &Mutex<State>) -> std::sync::MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Link {
    pub fn start(peers: &Peers, to: u64, urls: Vec<String>) -> Self {
        let (queue, messages) = mpsc::channel(QUEUE);
        let state = Arc::new(Mutex::new(State { urls, since: None }));
        let running = Running {
            to,
            caller: peers.caller.clone(),
            env: peers.env.clone(),
            input: peers.input.clone(),
            removed: peers.removed.clone(),
            state: state.clone(),
            messages,
        };
        let task = peers.tasks.spawn("peer-link", running.run());
        Self { queue, state, task }
    }

    pub fn set_urls(&self, urls: Vec<String>) {
        hold(&self.state).urls = urls;
    }

    pub fn urls(&self) -> Vec<String> {
        hold(&self.state).urls.clone()
    }

    pub fn since(&self) -> Option<Instant> {
        hold(&self.state).since
    }

    /// Puts a message on its way. Entries do not wait for a connection: they are sent anew when there is one.
    pub fn send(&self, message: Message) -> bool {
        let waits = !matches!(message.body, Body::Append { .. });
        (waits || self.since().is_some()) && self.queue.try_send(message).is_ok()
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Running {
    to: u64,
    caller: Caller,
    env: Env,
    input: mpsc::Sender<Input>,
    removed: tokio::sync::watch::Sender<bool>,
    state: Arc<Mutex<State>>,
    messages: mpsc::Receiver<Message>,
}

impl Running {
    async fn run(mut self) {
        let (mut told, mut wait) = (String::new(), RETRY);
        loop {
            let urls = hold(&self.state).urls.clone();
            for url in urls {
                let ended = self.session(&url).await;
                let was_up = hold(&self.state).since.take().is_some();
                if was_up {
                    (told, wait) = (String::new(), RETRY);
                    // The driver may have ended.
                    let _ = self.input.send(Input::Unreachable(self.to)).await;
                }
                let Err(error) = ended else { continue };
                let why = error.to_string();
                if why != told {
                    tracing::warn!(peer = format!("{:x}", self.to), why, "a member is not reached");
                    told = why;
                }
                if matches!(
                    error,
                    CallError::Refused {
                        status: StatusCode::GONE,
                        ..
                    }
                ) {
                    self.removed.send_replace(true);
                }
            }
            self.env.clock.sleep(wait).await;
            wait = (wait * 2).min(SLOW_RETRY);
        }
    }

    /// One connection, as long as it lasts.
    async fn session(&mut self, url: &str) -> Result<(), CallError> {
        let mut sender = self.caller.connect(url).await?;
        let (out, frames) = mpsc::channel::<Result<Frame<Bytes>, Infallible>>(FLYING);
        let body: RequestBody = StreamBody::new(ReceiverStream::new(frames)).boxed_unsync();
        let response = self
            .caller
            .request(&mut sender, (url, STREAM, self.to), body)
            .await?;
        tracing::info!(peer = format!("{:x}", self.to), url, "a member is reached");
        hold(&self.state).since = Some(self.env.clock.now());
        let sent_bytes = self.caller.metrics.sent.of(&[&format!("{:x}", self.to)]).clone();
        let mut answer = response.into_body();
        let mut batch = Vec::with_capacity(BATCH);
        loop {
            tokio::select! {
                biased;
                () = ended(&mut answer) => return Ok(()),
                taken = self.messages.recv_many(&mut batch, BATCH) => {
                    if taken == 0 {
                        return Ok(());
                    }
                }
            }
            let mut bytes = Vec::new();
            for message in batch.drain(..) {
                frame(&mut bytes, |out| wire::write_message(out, &message));
            }
            sent_bytes.add(bytes.len() as u64);
            tokio::select! {
                biased;
                () = ended(&mut answer) => return Ok(()),
                sent = out.send(Ok(Frame::data(bytes.into()))) => {
                    if sent.is_err() {
                        return Ok(());
                    }
                }
            }
        }
    }
}

/// Resolves when the other side ends the stream.
async fn ended(answer: &mut Incoming) {
    let mut rest = answer.into_data_stream();
    while let Some(Ok(_)) = rest.next().await {}
}
