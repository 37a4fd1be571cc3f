//! The general transaction: comparisons, then one of two lists of operations, all at one revision.

use crate::{
    Error, KeyValue, Op, RangeRequest, RangeResponse, Revision,
    state::{Command, contains},
};
use bytes::Bytes;
use std::{cmp::Ordering, collections::BTreeMap};

/// A transaction.
#[derive(Clone, Debug, Default)]
pub struct Txn {
    /// All must hold for `success` to be done.
    pub compare: Vec<Compare>,
    /// What to do then.
    pub success: Vec<TxnOp>,
    /// What to do else.
    pub failure: Vec<TxnOp>,
}

/// A comparison of a field of each key in a range; with no key in it, of a key that is not there.
#[derive(Clone, Debug)]
pub struct Compare {
    /// First key.
    pub start: Bytes,
    /// As of [`RangeRequest::end`].
    pub end: Bytes,
    /// How the field must stand to the value that is given.
    pub relation: Relation,
    /// The field, and the value.
    pub field: Field,
}

/// How one thing stands to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relation {
    /// The same.
    Equal,
    /// Greater.
    Greater,
    /// Less.
    Less,
    /// Another.
    NotEqual,
}

impl Relation {
    /// Whether `order` is this.
    pub fn holds(self, order: Ordering) -> bool {
        match self {
            Self::Equal => order.is_eq(),
            Self::Greater => order.is_gt(),
            Self::Less => order.is_lt(),
            Self::NotEqual => order.is_ne(),
        }
    }
}

/// A field of a key, with what it is compared to.
#[derive(Clone, Debug)]
pub enum Field {
    /// How often it was written since it was created.
    Version(i64),
    /// The revision that created it.
    Create(i64),
    /// The revision that last wrote it.
    Mod(i64),
    /// Its lease.
    Lease(i64),
    /// Its value. A key that is not there has none, and the comparison fails.
    Value(Bytes),
}

/// An operation of a transaction.
#[derive(Clone, Debug)]
pub enum TxnOp {
    /// Read.
    Range(RangeRequest),
    /// Write one key.
    Put {
        /// The key.
        key: Bytes,
        /// Its value; `None`: the one it has.
        value: Option<Bytes>,
        /// Its lease, 0 for none; `None`: the one it has.
        lease: Option<i64>,
        /// Tell what it was.
        prev: bool,
    },
    /// Remove keys.
    Delete {
        /// First key.
        start: Bytes,
        /// As of [`RangeRequest::end`].
        end: Bytes,
        /// Tell what they were.
        prev: bool,
    },
    /// A transaction inside.
    Txn(Txn),
}

/// What became of a [`TxnOp`].
#[derive(Clone, Debug, PartialEq)]
pub enum TxnResult {
    /// What was read.
    Range(RangeResponse),
    /// What the key was, if that was asked.
    Put(Option<KeyValue>),
    /// How many keys were removed, and what they were, if that was asked.
    Deleted(u64, Vec<KeyValue>),
    /// What a transaction inside did.
    Txn(bool, Vec<TxnResult>),
}

/// What became of a [`Txn`].
#[derive(Clone, Debug, PartialEq)]
pub struct TxnReply {
    /// The store's revision after it.
    pub revision: Revision,
    /// Whether the comparisons held.
    pub succeeded: bool,
    /// What became of each operation.
    pub results: Vec<TxnResult>,
}

/// Values that a transaction needs and the state has not in memory, as of a revision of their key.
pub(crate) type Known = BTreeMap<Bytes, (Revision, Bytes)>;

impl Txn {
    /// Of one operation.
    pub fn of(op: TxnOp) -> Self {
        Self {
            success: vec![op],
            ..Self::default()
        }
    }

    /// An error if it would change a key twice.
    pub fn check(&self) -> Result<(), Error> {
        let lists = [&self.success, &self.failure];
        lists.into_iter().try_for_each(|ops| match &ops[..] {
            [] | [TxnOp::Put { .. } | TxnOp::Range(_) | TxnOp::Delete { .. }] => Ok(()),
            ops => changes(ops).map(drop),
        })
    }

    /// The command that does it: a put alone is a write, which has the same effect and costs less.
    pub(crate) fn into_command(self) -> Command {
        let Self {
            compare,
            mut success,
            failure,
        } = self;
        let is_alone = compare.is_empty() && failure.is_empty() && success.len() == 1;
        match success.pop() {
            Some(TxnOp::Put {
                key,
                value: Some(value),
                lease: Some(0),
                prev: false,
            }) if is_alone => Command::Write {
                key,
                expect: None,
                op: Op::Put { value, lease: 0 },
            },
            last => {
                success.extend(last);
                let txn = Self {
                    compare,
                    success,
                    failure,
                };
                Command::Txn(txn, Known::new())
            }
        }
    }

    /// The largest key or value that it writes, in bytes.
    pub(crate) fn largest(&self) -> usize {
        let ops = self.success.iter().chain(&self.failure);
        let sizes = ops.map(|op| match op {
            TxnOp::Put { key, value, .. } => key.len().max(value.as_ref().map_or(0, Bytes::len)),
            TxnOp::Txn(txn) => txn.largest(),
            TxnOp::Range(_) | TxnOp::Delete { .. } => 0,
        });
        sizes.max().unwrap_or(0)
    }

    /// Whether it may need values of the store to be decided.
    pub(crate) fn may_want(&self) -> bool {
        let compares = self.compare.iter();
        let mut ops = self.success.iter().chain(&self.failure);
        compares
            .map(|compare| &compare.field)
            .any(|field| matches!(field, Field::Value(_)))
            || ops.any(|op| match op {
                TxnOp::Put { value, .. } => value.is_none(),
                TxnOp::Txn(txn) => txn.may_want(),
                TxnOp::Range(_) | TxnOp::Delete { .. } => false,
            })
    }

    /// Bytes that it adds to the log, about.
    pub(crate) fn size(&self) -> usize {
        let ops = self.success.iter().chain(&self.failure);
        let sizes = ops.map(|op| match op {
            TxnOp::Put { key, value, .. } => key.len() + value.as_ref().map_or(0, Bytes::len),
            TxnOp::Txn(txn) => txn.size(),
            TxnOp::Range(_) | TxnOp::Delete { .. } => 0,
        });
        sizes.sum()
    }
}

/// The keys that operations write, and the ranges that they remove.
type Changes<'a> = (Vec<&'a Bytes>, Vec<(&'a Bytes, &'a Bytes)>);

fn changes(ops: &[TxnOp]) -> Result<Changes<'_>, Error> {
    let (mut puts, mut deletes): Changes<'_> = Default::default();
    for op in ops {
        match op {
            TxnOp::Put { key, .. } => puts.push(key),
            TxnOp::Delete { start, end, .. } => deletes.push((start, end)),
            TxnOp::Range(_) => {}
            TxnOp::Txn(txn) => {
                // Only one of the two lists is done, so that they may write the same.
                let (success, failure) = (changes(&txn.success)?, changes(&txn.failure)?);
                let mut inner: Vec<&Bytes> = success.0;
                inner.extend(failure.0);
                inner.sort_unstable();
                inner.dedup();
                puts.extend(inner);
                deletes.extend(success.1.into_iter().chain(failure.1));
            }
        }
    }
    puts.sort_unstable();
    let twice = puts.windows(2).any(|pair| pair[0] == pair[1]);
    let removed = |key: &&Bytes| deletes.iter().any(|(start, end)| contains(start, end, key));
    if twice || puts.iter().any(removed) {
        return Err(Error::DuplicateKey);
    }
    Ok((puts, deletes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(key: &'static str) -> TxnOp {
        TxnOp::Put {
            key: Bytes::from_static(key.as_bytes()),
            value: Some(Bytes::new()),
            lease: None,
            prev: false,
        }
    }

    fn delete(start: &'static str, end: &'static str) -> TxnOp {
        TxnOp::Delete {
            start: Bytes::from_static(start.as_bytes()),
            end: Bytes::from_static(end.as_bytes()),
            prev: false,
        }
    }

    fn either(success: Vec<TxnOp>, failure: Vec<TxnOp>) -> TxnOp {
        TxnOp::Txn(Txn {
            compare: Vec::new(),
            success,
            failure,
        })
    }

    #[test]
    fn a_key_is_changed_once() {
        let fine = |ops| {
            Txn {
                success: ops,
                ..Txn::default()
            }
            .check()
            .is_ok()
        };
        assert!(fine(vec![put("a"), put("b"), delete("c", "d"), delete("c", "")]));
        assert!(!fine(vec![put("a"), put("a")]));
        assert!(!fine(vec![put("a"), delete("a", "")]));
        assert!(!fine(vec![delete("a", "c"), put("b")]));
        assert!(fine(vec![either(vec![put("a")], vec![put("a")])]));
        assert!(!fine(vec![put("a"), either(vec![], vec![put("a")])]));
        assert!(!fine(vec![either(vec![put("a"), put("a")], vec![])]));
    }
}
