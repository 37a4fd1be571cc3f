//! Snapshots for members that are far behind: the message, then the whole state of the store, which has its own checksums.

use super::{SNAPSHOT, frame, unframe};
use crate::{
    Engine, Error,
    replica::{Membership, Replica, boot, node::Input, wire},
    server::accept::{Body, reply},
};
use bytes::{Bytes, BytesMut};
use futures::{StreamExt, stream};
use http::{Response, StatusCode};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use raft::{Body as Said, Message, SnapshotMeta};
use std::{io, time::Duration};
use tokio::sync::{mpsc, oneshot};

/// Bytes of the message, at most.
const MESSAGE: usize = 1 << 20;
/// How long the next part of a snapshot may take to come.
const STALL: Duration = Duration::from_secs(30);

/// Sends the snapshots that Raft asks for.
pub async fn send(replica: Replica, mut messages: mpsc::UnboundedReceiver<Message>) {
    while let Some(message) = messages.recv().await {
        let replica = replica.clone();
        let tasks = replica.0.tasks.clone();
        tasks.spawn("peer-snapshot", async move {
            let to = message.to;
            let sent = one(&replica, message).await;
            if let Err(why) = &sent {
                tracing::warn!(peer = format!("{to:x}"), why, "a snapshot did not get there");
            }
            let ok = sent.is_ok();
            // The driver may have ended.
            let _ = replica.0.input.send(Input::SnapshotSent { to, ok }).await;
        });
    }
}

async fn one(replica: &Replica, message: Message) -> Result<(), String> {
    let inner = &replica.0;
    let dump = replica.engine().dump().await.map_err(|error| error.to_string())?;
    tracing::info!(
        peer = format!("{:x}", message.to),
        index = dump.index,
        "sending a snapshot"
    );
    let mut head = Vec::new();
    frame(&mut head, |out| wire::write_message(out, &message));
    let (out, frames) = mpsc::channel::<Result<Frame<Bytes>, std::convert::Infallible>>(4);
    let mut chunks = dump.chunks;
    inner.tasks.spawn("peer-snapshot-chunks", async move {
        let mut next = Some(Ok(Bytes::from(head)));
        // An error cuts it off, which its end would have told.
        while let Some(Ok(chunk)) = next.take() {
            if out.send(Ok(Frame::data(chunk))).await.is_err() {
                return;
            }
            next = chunks.next().await;
        }
    });
    let caller = inner.peers.caller();
    let urls = inner.peers.urls(message.to);
    let url = urls.first().ok_or("its URL is not known")?;
    let mut sender = caller.connect(url).await.map_err(|error| error.to_string())?;
    let body = StreamBody::new(tokio_stream::wrappers::ReceiverStream::new(frames)).boxed_unsync();
    let sent = caller
        .request(&mut sender, (url, SNAPSHOT, message.to), body)
        .await;
    sent.map(drop).map_err(|error| error.to_string())
}

/// Takes a snapshot.
pub async fn take(replica: &Replica, body: Body) -> Response<Body> {
    match taken(replica, body).await {
        Ok(()) => reply(StatusCode::OK, String::new()),
        Err(why) => {
            tracing::warn!(why, "a snapshot was not taken");
            reply(StatusCode::INTERNAL_SERVER_ERROR, why)
        }
    }
}

async fn taken(replica: &Replica, body: Body) -> Result<(), String> {
    let inner = &replica.0;
    let Ok(_one) = inner.taking.try_lock() else {
        return Err("another snapshot is on its way".to_owned());
    };
    let mut data = body.into_data_stream();
    let mut read = BytesMut::new();
    let head = loop {
        if let Some(head) = unframe(&mut read) {
            break head;
        }
        match inner.env.clock.timeout(STALL, data.next()).await.flatten() {
            Some(Ok(more)) if read.len() < MESSAGE => read.extend_from_slice(&more),
            _ => return Err("there is no message".to_owned()),
        }
    };
    let message = wire::read_message(head).map_err(|error| error.to_string())?;
    let dir = boot::fresh_dir(inner).await.map_err(|error| error.to_string())?;
    let first = stream::iter([Ok(read.freeze())]);
    let clock = inner.env.clock.clone();
    // A sender that is gone without a word must not stand in the way of the next.
    let rest = stream::unfold(data, move |mut data| {
        let clock = clock.clone();
        async move {
            let more = match clock.timeout(STALL, data.next()).await {
                Some(more) => more?.map_err(|error| Error::Unavailable(error.to_string())),
                None => Err(Error::Unavailable("nothing more of it came".to_owned())),
            };
            Some((more, data))
        }
    });
    let place = Engine::load(&dir, first.chain(rest), &inner.env).await;
    let (term, index) = place.map_err(|error| error.to_string())?;
    let members = boot::peek(&dir, inner).await.map_err(|error| error.to_string())?;
    let message = Message {
        body: Said::InstallSnapshot(meta(index, term, &members)),
        ..message
    };
    let (taken, answer) = oneshot::channel();
    let input = Input::Snapshot { message, dir, taken };
    inner
        .input
        .send(input)
        .await
        .map_err(|_| "the server ends".to_owned())?;
    match answer.await {
        Ok(true) => Ok(()),
        Ok(false) | Err(_) => Err(io::Error::from(io::ErrorKind::Interrupted).to_string()),
    }
}

fn meta(index: u64, term: u64, members: &Membership) -> SnapshotMeta {
    SnapshotMeta {
        index,
        term,
        members: members.raft(),
    }
}
