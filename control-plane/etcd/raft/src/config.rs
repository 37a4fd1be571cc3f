//! What a member is told once, at its start.

/// The settings of one member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// This member; never 0, which stands for none.
    pub id: u64,
    /// Ticks without a word from a leader after which a member stands for election: at least so many, and less than twice as
    /// many, drawn anew each time.
    pub election_ticks: u32,
    /// Ticks between two heartbeats of a leader.
    pub heartbeat_ticks: u32,
    /// Bytes of entries in one [`crate::Body::Append`]; one entry goes in any case.
    pub max_message_bytes: usize,
    /// Appends that are on their way to one member before the leader waits for an answer.
    pub max_inflight: usize,
    /// What the draws of election time-outs come from. Members of one cluster should have different ones.
    pub seed: u64,
    /// The index up to which the state machine has applied the log.
    pub applied: u64,
    /// Bytes of entries that are not yet committed above which a leader refuses more.
    pub max_uncommitted_bytes: usize,
}

impl Config {
    /// The usual settings of a member: an election after 10 to 19 ticks, a heartbeat each tick, messages of 1 MiB, 256 of them
    /// on their way, 64 MiB uncommitted.
    #[must_use]
    pub fn new(id: u64, seed: u64, applied: u64) -> Self {
        Self {
            id,
            election_ticks: 10,
            heartbeat_ticks: 1,
            max_message_bytes: 1 << 20,
            max_inflight: 256,
            seed,
            applied,
            max_uncommitted_bytes: 64 << 20,
        }
    }
}
