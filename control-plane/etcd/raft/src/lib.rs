//! The Raft algorithm as a step function: ticks, messages and proposals go in, and [`Ready`] says what has to be written down,
//! sent and applied. It never reads a clock, a disk or a network, never waits and starts no thread: the same calls give the
//! same answers.
//!
//! How it is driven:
//! 1. Call [`Raft::tick`] at a steady pace, [`Raft::step`] for each message, [`Raft::propose`] and the others as clients ask.
//! 2. While [`Raft::has_ready`], take [`Raft::ready`] and do what [`Ready`] says. Proposals and reads that came since the last
//!    one share messages.
//! 3. Tell what is done: [`Raft::persisted`] once a Ready is durable, [`Raft::apply_change`] for each change of the members that
//!    is applied, [`Raft::applied`] once entries are applied, [`Raft::compact`] once they are in a snapshot.
//!
//! A new cluster begins as if each of its first members had installed the same empty snapshot: index 1, term 1, the members
//! ([`Log::after`], `HardState { term: 1, vote: 0, commit: 1 }`, applied 1). Who joins later begins with nothing (index 0, no
//! members), waits, and gets a snapshot from the leader.

mod config;
mod dice;
mod election;
mod entry;
mod follower;
mod leader;
mod log;
mod members;
mod message;
mod outbox;
mod progress;
mod raft;
mod reads;
mod ready;
mod status;

pub use config::Config;
pub use entry::{Change, ChangeKind, Entry, Payload};
pub use log::Log;
pub use members::{Members, SnapshotMeta};
pub use message::{Body, Hint, Message};
pub use raft::{Raft, Refused};
pub use ready::{HardState, Ready, Role, Soft};
pub use status::{ProgressState, ProgressStatus, Status};
