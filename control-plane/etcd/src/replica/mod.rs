//! The store of several members that agree on every write by Raft; of one as well, by the same code.

mod codec;
mod identity;
mod log;
mod pack;
mod wire;
