//! Commands as entries of the log hold them.

use super::{
    auth::{Change, Who},
    pack::{Garbled, Pack, Unpack},
};
use crate::{
    Op, RangeRequest,
    state::Command,
    txn::{Compare, Field, Known, Relation, Txn, TxnOp},
};
use bytes::Bytes;

/// What an entry asks of the state of every member.
#[derive(Clone, Debug)]
pub enum Task {
    /// A command of the store, by this cluster itself.
    Do(Command),
    /// A command of the store that somebody asks for, who may have lost the right by the time it is applied.
    DoAs(Who, Command),
    /// A change of users and roles that somebody asks for.
    Auth(Who, Change),
    /// A member tells its name and where clients reach it.
    Publish {
        /// The member.
        id: u64,
        /// Its name.
        name: String,
        /// Where clients reach it.
        client_urls: Vec<String>,
    },
    /// A member is reached at other addresses by the others.
    Move {
        /// The member.
        id: u64,
        /// The addresses.
        peer_urls: Vec<String>,
    },
}

/// A task with the number by which its proposer knows it again.
#[derive(Clone, Debug)]
pub struct Proposal {
    /// The number.
    pub id: u64,
    /// What to do.
    pub task: Task,
}

/// Bytes that an entry has beside its keys and values, usually no more.
const AROUND: usize = 64;

const WRITE: u8 = 1;
const TXN: u8 = 2;
const GRANT: u8 = 3;
const REVOKE: u8 = 4;
const COMPACT: u8 = 5;
const META: u8 = 6;
const PUBLISH: u8 = 7;
const MOVE: u8 = 8;
const NOTHING: u8 = 9;
const AS: u8 = 10;
const AUTH: u8 = 11;

impl Proposal {
    /// Its bytes; the number is the first of them. `None`: it is no command that is replicated.
    pub fn encode(&self) -> Option<Vec<u8>> {
        let size = match &self.task {
            Task::DoAs(_, Command::Txn(txn, _)) => txn.size(),
            Task::DoAs(_, Command::Write { key, op, .. }) | Task::Do(Command::Write { key, op, .. }) => {
                match op {
                    Op::Put { value, .. } => key.len() + value.len(),
                    Op::Delete => key.len(),
                }
            }
            _ => 0,
        };
        let mut out = Pack(Vec::with_capacity(size + AROUND));
        out.fixed(self.id);
        match &self.task {
            Task::Do(command) => write_command(&mut out, command)?,
            Task::DoAs(who, command) => {
                out.tag(AS);
                write_who(&mut out, who);
                write_command(&mut out, command)?;
            }
            Task::Auth(who, change) => {
                out.tag(AUTH);
                write_who(&mut out, who);
                change.write(&mut out);
            }
            Task::Publish {
                id,
                name,
                client_urls,
            } => {
                out.tag(PUBLISH);
                out.fixed(*id);
                out.bytes(name.as_bytes());
                texts(&mut out, client_urls);
            }
            Task::Move { id, peer_urls } => {
                out.tag(MOVE);
                out.fixed(*id);
                texts(&mut out, peer_urls);
            }
        }
        Some(out.0)
    }

    /// Puts the number into its bytes.
    pub fn number(mut encoded: Vec<u8>, id: u64) -> Bytes {
        encoded[..8].copy_from_slice(&id.to_le_bytes());
        encoded.into()
    }

    /// Of its bytes.
    pub fn decode(bytes: Bytes) -> Result<Self, Garbled> {
        let mut from = Unpack(bytes);
        let id = from.fixed()?;
        let task = match from.tag()? {
            PUBLISH => Task::Publish {
                id: from.fixed()?,
                name: from.text()?,
                client_urls: from.list(Unpack::text)?,
            },
            MOVE => Task::Move {
                id: from.fixed()?,
                peer_urls: from.list(Unpack::text)?,
            },
            AS => {
                let who = read_who(&mut from)?;
                let tag = from.tag()?;
                Task::DoAs(who, read_command(&mut from, tag)?)
            }
            AUTH => Task::Auth(read_who(&mut from)?, Change::read(&mut from)?),
            tag => Task::Do(read_command(&mut from, tag)?),
        };
        from.end()?;
        Ok(Self { id, task })
    }
}

fn write_who(out: &mut Pack, who: &Who) {
    out.bytes(who.user.as_bytes());
    out.number(who.revision);
}

fn read_who(from: &mut Unpack) -> Result<Who, Garbled> {
    Ok(Who {
        user: from.text()?,
        revision: from.number()?,
    })
}

/// Writes texts.
pub fn texts(out: &mut Pack, texts: &[String]) {
    out.list(texts, |out, text| out.bytes(text.as_bytes()));
}

fn write_command(out: &mut Pack, command: &Command) -> Option<()> {
    match command {
        Command::Write { key, expect, op } => {
            out.tag(WRITE);
            out.bytes(key);
            out.maybe(*expect, Pack::number);
            match op {
                Op::Put { value, lease } => {
                    out.flag(true);
                    out.bytes(value);
                    out.number(*lease as u64);
                }
                Op::Delete => out.flag(false),
            }
        }
        Command::Txn(txn, _) => {
            out.tag(TXN);
            write_txn(out, txn);
        }
        Command::Grant { id, ttl } => {
            out.tag(GRANT);
            out.fixed(*id as u64);
            out.number(*ttl);
        }
        Command::Revoke(id) => {
            out.tag(REVOKE);
            out.fixed(*id as u64);
        }
        Command::Compact(revision) => {
            out.tag(COMPACT);
            out.number(*revision);
        }
        Command::Meta { key, value } => {
            out.tag(META);
            out.bytes(key);
            out.maybe(value.as_ref(), |out, value| out.bytes(value));
        }
        Command::Nothing => out.tag(NOTHING),
        Command::Reserve(_) => return None,
    }
    Some(())
}

fn read_command(from: &mut Unpack, tag: u8) -> Result<Command, Garbled> {
    Ok(match tag {
        WRITE => Command::Write {
            key: from.bytes()?,
            expect: from.maybe(Unpack::number)?,
            op: match from.flag()? {
                true => Op::Put {
                    value: from.bytes()?,
                    lease: from.number()? as i64,
                },
                false => Op::Delete,
            },
        },
        TXN => Command::Txn(read_txn(from)?, Known::new()),
        GRANT => Command::Grant {
            id: from.fixed()? as i64,
            ttl: from.number()?,
        },
        REVOKE => Command::Revoke(from.fixed()? as i64),
        COMPACT => Command::Compact(from.number()?),
        META => Command::Meta {
            key: from.bytes()?,
            value: from.maybe(Unpack::bytes)?,
        },
        NOTHING => Command::Nothing,
        _ => return Err(Garbled),
    })
}

fn write_txn(out: &mut Pack, txn: &Txn) {
    out.list(&txn.compare, write_compare);
    out.list(&txn.success, write_op);
    out.list(&txn.failure, write_op);
}

fn read_txn(from: &mut Unpack) -> Result<Txn, Garbled> {
    Ok(Txn {
        compare: from.list(read_compare)?,
        success: from.list(read_op)?,
        failure: from.list(read_op)?,
    })
}

fn write_compare(out: &mut Pack, compare: &Compare) {
    out.bytes(&compare.start);
    out.bytes(&compare.end);
    out.tag(match compare.relation {
        Relation::Equal => 0,
        Relation::Greater => 1,
        Relation::Less => 2,
        Relation::NotEqual => 3,
    });
    let (tag, number) = match &compare.field {
        Field::Version(number) => (0, *number),
        Field::Create(number) => (1, *number),
        Field::Mod(number) => (2, *number),
        Field::Lease(number) => (3, *number),
        Field::Value(value) => {
            out.tag(4);
            return out.bytes(value);
        }
    };
    out.tag(tag);
    out.number(number as u64);
}

fn read_compare(from: &mut Unpack) -> Result<Compare, Garbled> {
    let (start, end) = (from.bytes()?, from.bytes()?);
    let relation = match from.tag()? {
        0 => Relation::Equal,
        1 => Relation::Greater,
        2 => Relation::Less,
        3 => Relation::NotEqual,
        _ => return Err(Garbled),
    };
    let field = match from.tag()? {
        0 => Field::Version(from.number()? as i64),
        1 => Field::Create(from.number()? as i64),
        2 => Field::Mod(from.number()? as i64),
        3 => Field::Lease(from.number()? as i64),
        4 => Field::Value(from.bytes()?),
        _ => return Err(Garbled),
    };
    Ok(Compare {
        start,
        end,
        relation,
        field,
    })
}

fn write_op(out: &mut Pack, op: &TxnOp) {
    match op {
        TxnOp::Range(range) => {
            out.tag(0);
            out.bytes(&range.start);
            out.bytes(&range.end);
            out.number(range.limit as u64);
            out.number(range.revision);
            out.flag(range.keys_only);
            out.flag(range.count_only);
        }
        TxnOp::Put {
            key,
            value,
            lease,
            prev,
        } => {
            out.tag(1);
            out.bytes(key);
            out.maybe(value.as_ref(), |out, value| out.bytes(value));
            out.maybe(*lease, |out, lease| out.number(lease as u64));
            out.flag(*prev);
        }
        TxnOp::Delete { start, end, prev } => {
            out.tag(2);
            out.bytes(start);
            out.bytes(end);
            out.flag(*prev);
        }
        TxnOp::Txn(txn) => {
            out.tag(3);
            write_txn(out, txn);
        }
    }
}

fn read_op(from: &mut Unpack) -> Result<TxnOp, Garbled> {
    Ok(match from.tag()? {
        0 => TxnOp::Range(RangeRequest {
            start: from.bytes()?,
            end: from.bytes()?,
            limit: usize::try_from(from.number()?).map_err(|_| Garbled)?,
            revision: from.number()?,
            keys_only: from.flag()?,
            count_only: from.flag()?,
        }),
        1 => TxnOp::Put {
            key: from.bytes()?,
            value: from.maybe(Unpack::bytes)?,
            lease: from.maybe(Unpack::number)?.map(|lease| lease as i64),
            prev: from.flag()?,
        },
        2 => TxnOp::Delete {
            start: from.bytes()?,
            end: from.bytes()?,
            prev: from.flag()?,
        },
        3 => TxnOp::Txn(read_txn(from)?),
        _ => return Err(Garbled),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(text: &'static str) -> Bytes {
        Bytes::from_static(text.as_bytes())
    }

    fn tasks() -> Vec<Task> {
        let inner = Txn {
            compare: vec![Compare {
                start: bytes("a"),
                end: bytes("b"),
                relation: Relation::NotEqual,
                field: Field::Value(bytes("x")),
            }],
            success: vec![TxnOp::Delete {
                start: bytes("q"),
                end: bytes(""),
                prev: true,
            }],
            failure: Vec::new(),
        };
        let txn = Txn {
            compare: vec![Compare {
                start: bytes("a"),
                end: bytes(""),
                relation: Relation::Less,
                field: Field::Lease(-4),
            }],
            success: vec![
                TxnOp::Put {
                    key: bytes("k"),
                    value: None,
                    lease: Some(i64::MIN),
                    prev: false,
                },
                TxnOp::Txn(inner),
            ],
            failure: vec![TxnOp::Range(RangeRequest {
                start: bytes("a"),
                limit: 300,
                keys_only: true,
                ..RangeRequest::default()
            })],
        };
        let write = |op| Command::Write {
            key: bytes("k"),
            expect: Some(9),
            op,
        };
        let put = Op::Put {
            value: vec![b'x'; 300].into(),
            lease: 5,
        };
        let meta = |value| Command::Meta {
            key: bytes("members/1"),
            value,
        };
        let commands = [
            write(put),
            write(Op::Delete),
            Command::Txn(txn, Known::new()),
            Command::Grant { id: -1, ttl: 1000 },
            Command::Revoke(i64::MAX),
            Command::Compact(u64::MAX),
            meta(Some(bytes("v"))),
            meta(None),
            Command::Nothing,
        ];
        let publish = Task::Publish {
            id: u64::MAX,
            name: "one".to_owned(),
            client_urls: vec!["http://a:1".to_owned(), "http://b:1".to_owned()],
        };
        let moved = Task::Move {
            id: 7,
            peer_urls: vec!["http://a:2".to_owned()],
        };
        let who = Who {
            user: "ann".to_owned(),
            revision: 300,
        };
        let new = etcd_proto::etcdserverpb::AuthRoleAddRequest { name: "r".to_owned() };
        let asked = Task::DoAs(who.clone(), Command::Revoke(5));
        let changed = Task::Auth(who, Change::RoleAdd(new));
        let commands = commands.into_iter().map(Task::Do);
        commands.chain([publish, moved, asked, changed]).collect()
    }

    #[test]
    fn a_proposal_reads_as_it_was_written_and_no_part_of_it_is_one() {
        for task in tasks() {
            let proposal = Proposal { id: 77, task };
            let written = Bytes::from(proposal.encode().unwrap());
            let read = Proposal::decode(written.clone()).unwrap();
            assert_eq!(format!("{read:?}"), format!("{proposal:?}"));
            for length in 0..written.len() {
                let cut = written.slice(..length);
                assert_eq!(Proposal::decode(cut).err(), Some(Garbled), "{proposal:?}");
            }
        }
    }

    #[test]
    fn what_only_one_server_does_is_not_replicated() {
        let task = Task::Do(Command::Reserve(4));
        assert!(Proposal { id: 1, task }.encode().is_none());
    }
}
