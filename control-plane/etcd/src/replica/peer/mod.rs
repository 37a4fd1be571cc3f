//! What members say to one another, over HTTP/2 with or without TLS: a stream of messages to each of them, snapshots on
//! streams of their own, and a few questions.
//!
//! Every request says which cluster it is of and for whom it is meant: a member of another cluster, or one that was
//! removed, is refused.

mod call;
mod connect;
mod link;
mod listen;
mod snapshot;

use super::{Membership, node::Input};
use component::{Env, Tasks};
use link::Link;
use raft::{Body, Message};
use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};
use tokio::{sync::mpsc, time::Instant};

pub(super) use call::ask;
pub use call::{Call, Reply};
pub use connect::CallError;
pub(super) use connect::{Caller, members_of};
pub(super) use snapshot::send as send_snapshots;

/// The path of the stream of messages.
const STREAM: &str = "/raft/stream";
/// The path of a snapshot.
const SNAPSHOT: &str = "/raft/snapshot";
/// The path of a question.
const CALL: &str = "/raft/call";
/// The path of the list of members.
const MEMBERS: &str = "/raft/members";
/// The cluster, in hexadecimal.
const CLUSTER: &str = "x-etcd-cluster-id";
/// Who asks.
const FROM: &str = "x-server-from";
/// Who is meant.
const TO: &str = "x-raft-to";
/// What is said to a member of another cluster.
const OTHER_CLUSTER: &str = "cluster ID mismatch";
/// What is said to a member that was removed.
const REMOVED: &str = "the member has been permanently removed from the cluster";

/// What became of a message on its way out.
pub(super) enum Outgoing {
    /// It is on its way.
    Sent,
    /// It is not.
    Lost,
    /// Nor is the snapshot.
    SnapshotLost,
}

/// The other members.
pub(super) struct Peers {
    caller: Caller,
    env: Env,
    tasks: Tasks,
    input: mpsc::Sender<Input>,
    removed: tokio::sync::watch::Sender<bool>,
    snapshots: mpsc::UnboundedSender<Message>,
    links: Mutex<BTreeMap<u64, Link>>,
}

impl Peers {
    pub fn new(
        caller: Caller,
        env: Env,
        tasks: Tasks,
        input: mpsc::Sender<Input>,
        removed: tokio::sync::watch::Sender<bool>,
        snapshots: mpsc::UnboundedSender<Message>,
    ) -> Self {
        Self {
            caller,
            env,
            tasks,
            input,
            removed,
            snapshots,
            links: Mutex::default(),
        }
    }

    fn links(&self) -> std::sync::MutexGuard<'_, BTreeMap<u64, Link>> {
        self.links.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has a link to every member that there is, and to no other. A list without members says nothing.
    pub fn follow(&self, members: &Membership) {
        let mut links = self.links();
        let others = members.iter().filter(|member| member.id != self.caller.me);
        let others: BTreeMap<u64, &Vec<String>> =
            others.map(|member| (member.id, &member.peer_urls)).collect();
        if members.iter().next().is_some() {
            links.retain(|id, _| others.contains_key(id));
        }
        for (id, urls) in others {
            match links.get(&id) {
                Some(link) => link.set_urls(urls.clone()),
                None => {
                    links.insert(id, Link::start(self, id, urls.clone()));
                }
            }
        }
    }

    /// Sends a message, if it can be.
    pub fn send(&self, message: Message) -> Outgoing {
        if matches!(message.body, Body::InstallSnapshot(_)) {
            return match self.snapshots.send(message) {
                Ok(()) => Outgoing::Sent,
                Err(_) => Outgoing::SnapshotLost,
            };
        }
        match self.links().get(&message.to) {
            Some(link) if link.send(message) => Outgoing::Sent,
            _ => Outgoing::Lost,
        }
    }

    /// Since when a member is reached; `None`: it is not.
    pub fn since(&self, id: u64) -> Option<Instant> {
        self.links().get(&id)?.since()
    }

    /// How many of these are reached since so long; this member is.
    pub fn reached<'a>(&self, ids: impl Iterator<Item = &'a u64>, long: Duration) -> usize {
        let now = self.env.clock.now();
        let reached =
            |id: &&u64| **id == self.caller.me || self.since(**id).is_some_and(|since| since + long <= now);
        ids.filter(reached).count()
    }

    /// Where a member is.
    pub fn urls(&self, id: u64) -> Vec<String> {
        self.links().get(&id).map(Link::urls).unwrap_or_default()
    }

    /// What calls them.
    pub fn caller(&self) -> &Caller {
        &self.caller
    }
}

/// A frame of a stream: its length, then its content.
fn frame(out: &mut Vec<u8>, write: impl FnOnce(&mut super::pack::Pack)) {
    let start = out.len();
    out.extend([0; 4]);
    let mut pack = super::pack::Pack(std::mem::take(out));
    write(&mut pack);
    *out = pack.0;
    let length = (out.len() - start - 4) as u32;
    out[start..start + 4].copy_from_slice(&length.to_be_bytes());
}

/// Takes the first frame off what was read, if it is whole.
fn unframe(read: &mut bytes::BytesMut) -> Option<bytes::Bytes> {
    let length = u32::from_be_bytes(read.get(..4)?.try_into().ok()?) as usize;
    if read.len() < 4 + length {
        read.reserve(4 + length - read.len());
        return None;
    }
    let mut whole = read.split_to(4 + length);
    Some(whole.split_off(4).freeze())
}

pub use listen::{Opening, PeerListener};
