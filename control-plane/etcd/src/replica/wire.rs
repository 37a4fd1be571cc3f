//! Entries, hard states and messages of Raft as bytes, on disk and between members.

use super::pack::{Garbled, Pack, Unpack};
use bytes::Bytes;
use raft::{Body, Change, ChangeKind, Entry, HardState, Hint, Members, Message, Payload, SnapshotMeta};

/// Writes an entry.
pub fn write_entry(out: &mut Pack, entry: &Entry) {
    out.number(entry.term);
    out.number(entry.index);
    write_payload(out, &entry.payload);
}

/// Reads an entry.
pub fn read_entry(from: &mut Unpack) -> Result<Entry, Garbled> {
    Ok(Entry {
        term: from.number()?,
        index: from.number()?,
        payload: read_payload(from)?,
    })
}

fn write_payload(out: &mut Pack, payload: &Payload) {
    match payload {
        Payload::Empty => out.tag(0),
        Payload::Data(data) => {
            out.tag(1);
            out.bytes(data);
        }
        Payload::Change(change) => {
            out.tag(2);
            out.tag(match change.kind {
                ChangeKind::Add => 0,
                ChangeKind::AddLearner => 1,
                ChangeKind::Promote => 2,
                ChangeKind::Remove => 3,
            });
            out.fixed(change.id);
            out.bytes(&change.context);
        }
    }
}

fn read_payload(from: &mut Unpack) -> Result<Payload, Garbled> {
    Ok(match from.tag()? {
        0 => Payload::Empty,
        1 => Payload::Data(from.bytes()?),
        2 => Payload::Change(Change {
            kind: match from.tag()? {
                0 => ChangeKind::Add,
                1 => ChangeKind::AddLearner,
                2 => ChangeKind::Promote,
                3 => ChangeKind::Remove,
                _ => return Err(Garbled),
            },
            id: from.fixed()?,
            context: from.bytes()?,
        }),
        _ => return Err(Garbled),
    })
}

/// Writes a hard state.
pub fn write_hard(out: &mut Pack, hard: &HardState) {
    out.number(hard.term);
    out.fixed(hard.vote);
    out.number(hard.commit);
}

/// Reads a hard state.
pub fn read_hard(from: &mut Unpack) -> Result<HardState, Garbled> {
    Ok(HardState {
        term: from.number()?,
        vote: from.fixed()?,
        commit: from.number()?,
    })
}

fn write_meta(out: &mut Pack, meta: &SnapshotMeta) {
    out.number(meta.index);
    out.number(meta.term);
    out.list(&meta.members.voters, |out, id| out.fixed(*id));
    out.list(&meta.members.learners, |out, id| out.fixed(*id));
}

fn read_meta(from: &mut Unpack) -> Result<SnapshotMeta, Garbled> {
    Ok(SnapshotMeta {
        index: from.number()?,
        term: from.number()?,
        members: Members {
            voters: from.list(Unpack::fixed)?.into_iter().collect(),
            learners: from.list(Unpack::fixed)?.into_iter().collect(),
        },
    })
}

const PRE_VOTE: u8 = 1;
const PRE_VOTE_REPLY: u8 = 2;
const VOTE: u8 = 3;
const VOTE_REPLY: u8 = 4;
const APPEND: u8 = 5;
const APPEND_REPLY: u8 = 6;
const HEARTBEAT: u8 = 7;
const HEARTBEAT_REPLY: u8 = 8;
const SNAPSHOT: u8 = 9;
const TIMEOUT_NOW: u8 = 10;
const READ_INDEX: u8 = 11;
const READ_INDEX_REPLY: u8 = 12;
const PROPOSE: u8 = 13;

/// Writes a message.
pub fn write_message(out: &mut Pack, message: &Message) {
    out.fixed(message.from);
    out.fixed(message.to);
    out.number(message.term);
    write_body(out, &message.body);
}

fn write_body(out: &mut Pack, body: &Body) {
    match body {
        Body::PreVote {
            last_index,
            last_term,
        } => numbers(out, PRE_VOTE, &[*last_index, *last_term]),
        Body::PreVoteReply {
            granted,
            commit,
            commit_term,
        } => {
            numbers(out, PRE_VOTE_REPLY, &[*commit, *commit_term]);
            out.flag(*granted);
        }
        Body::Vote {
            last_index,
            last_term,
            transfer,
        } => {
            numbers(out, VOTE, &[*last_index, *last_term]);
            out.flag(*transfer);
        }
        Body::VoteReply { granted } => {
            out.tag(VOTE_REPLY);
            out.flag(*granted);
        }
        Body::Append {
            prev_index,
            prev_term,
            entries,
            commit,
        } => {
            numbers(out, APPEND, &[*prev_index, *prev_term, *commit]);
            out.list(entries, write_entry);
        }
        Body::AppendReply { index, refused } => {
            numbers(out, APPEND_REPLY, &[*index]);
            out.maybe(refused.as_ref(), |out, hint| {
                out.number(hint.index);
                out.number(hint.term);
            });
        }
        Body::Heartbeat { commit, read } => numbers(out, HEARTBEAT, &[*commit, *read]),
        Body::HeartbeatReply { read } => numbers(out, HEARTBEAT_REPLY, &[*read]),
        Body::InstallSnapshot(meta) => {
            out.tag(SNAPSHOT);
            write_meta(out, meta);
        }
        Body::TimeoutNow => out.tag(TIMEOUT_NOW),
        Body::ReadIndex { context } => numbers(out, READ_INDEX, &[*context]),
        Body::ReadIndexReply { context, index } => numbers(out, READ_INDEX_REPLY, &[*context, *index]),
        Body::Propose { payloads } => {
            out.tag(PROPOSE);
            out.list(payloads, write_payload);
        }
    }
}

fn numbers(out: &mut Pack, tag: u8, numbers: &[u64]) {
    out.tag(tag);
    for number in numbers {
        out.number(*number);
    }
}

/// Reads a message, which is all of the bytes.
pub fn read_message(bytes: Bytes) -> Result<Message, Garbled> {
    let mut from = Unpack(bytes);
    let message = Message {
        from: from.fixed()?,
        to: from.fixed()?,
        term: from.number()?,
        body: read_body(&mut from)?,
    };
    from.end()?;
    Ok(message)
}

fn read_body(from: &mut Unpack) -> Result<Body, Garbled> {
    Ok(match from.tag()? {
        PRE_VOTE => Body::PreVote {
            last_index: from.number()?,
            last_term: from.number()?,
        },
        PRE_VOTE_REPLY => Body::PreVoteReply {
            commit: from.number()?,
            commit_term: from.number()?,
            granted: from.flag()?,
        },
        VOTE => Body::Vote {
            last_index: from.number()?,
            last_term: from.number()?,
            transfer: from.flag()?,
        },
        VOTE_REPLY => Body::VoteReply {
            granted: from.flag()?,
        },
        APPEND => Body::Append {
            prev_index: from.number()?,
            prev_term: from.number()?,
            commit: from.number()?,
            entries: from.list(read_entry)?,
        },
        APPEND_REPLY => Body::AppendReply {
            index: from.number()?,
            refused: from.maybe(|from| {
                Ok(Hint {
                    index: from.number()?,
                    term: from.number()?,
                })
            })?,
        },
        HEARTBEAT => Body::Heartbeat {
            commit: from.number()?,
            read: from.number()?,
        },
        HEARTBEAT_REPLY => Body::HeartbeatReply { read: from.number()? },
        SNAPSHOT => Body::InstallSnapshot(read_meta(from)?),
        TIMEOUT_NOW => Body::TimeoutNow,
        READ_INDEX => Body::ReadIndex {
            context: from.number()?,
        },
        READ_INDEX_REPLY => Body::ReadIndexReply {
            context: from.number()?,
            index: from.number()?,
        },
        PROPOSE => Body::Propose {
            payloads: from.list(read_payload)?,
        },
        _ => return Err(Garbled),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_reads_as_it_was_written_and_no_part_of_it_is_one() {
        let change = Change {
            kind: ChangeKind::AddLearner,
            id: u64::MAX,
            context: Bytes::from_static(b"where"),
        };
        let entry = |index, payload| Entry {
            term: 3,
            index,
            payload,
        };
        let entries = vec![
            entry(300, Payload::Empty),
            entry(301, Payload::Data(Bytes::from_static(b"data"))),
            entry(302, Payload::Change(change.clone())),
        ];
        let meta = SnapshotMeta {
            index: 9,
            term: 2,
            members: Members {
                voters: [1, 2, 3].into(),
                learners: [4].into(),
            },
        };
        let (last_index, last_term) = (7, 2);
        let hint = Hint { index: 5, term: 1 };
        let bodies = [
            Body::PreVote {
                last_index,
                last_term,
            },
            Body::PreVoteReply {
                granted: true,
                commit: 300,
                commit_term: 2,
            },
            Body::Vote {
                last_index,
                last_term,
                transfer: true,
            },
            Body::VoteReply { granted: false },
            Body::Append {
                prev_index: 299,
                prev_term: 2,
                entries,
                commit: 200,
            },
            Body::AppendReply {
                index: 5,
                refused: None,
            },
            Body::AppendReply {
                index: 5,
                refused: Some(hint),
            },
            Body::Heartbeat { commit: 1, read: 2 },
            Body::HeartbeatReply { read: 2 },
            Body::InstallSnapshot(meta),
            Body::TimeoutNow,
            Body::ReadIndex { context: u64::MAX },
            Body::ReadIndexReply { context: 1, index: 2 },
            Body::Propose {
                payloads: vec![Payload::Change(change)],
            },
        ];
        for body in bodies {
            let message = Message {
                from: 1,
                to: u64::MAX,
                term: 3,
                body,
            };
            let mut out = Pack::default();
            write_message(&mut out, &message);
            let written = Bytes::from(out.0);
            assert_eq!(read_message(written.clone()), Ok(message));
            for length in 0..written.len() {
                assert_eq!(read_message(written.slice(..length)), Err(Garbled));
            }
        }
    }
}
