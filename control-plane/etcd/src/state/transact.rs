//! A transaction, applied.

use super::{Did, Location, Output, Refusal, State, Version, Wrote, removal};
use crate::{
    RangeRequest, Revision,
    record::Record,
    txn::{Compare, Field, Known, Txn, TxnOp},
};
use bytes::Bytes;
use std::cmp::Ordering;

/// Why it is not done.
enum Stop {
    Refused(Refusal),
    /// These values must be known first.
    Wanting(Vec<(Bytes, Version)>),
}

/// A transaction that is being applied.
struct Applying<'a> {
    state: &'a mut State,
    known: &'a Known,
    /// Which list each transaction takes, the outermost first.
    path: Vec<bool>,
    /// Where the log holds the next record.
    at: Location,
    revision: Revision,
    wrote: Vec<Wrote>,
}

impl State {
    pub(super) fn transact(&mut self, txn: &Txn, known: &Known, at: Location) -> Output {
        let (mut path, mut wanting) = (Vec::new(), Vec::new());
        self.choose(txn, known, &mut path, &mut wanting);
        let checked = if wanting.is_empty() {
            self.check(txn, known, &mut path.iter().copied())
        } else {
            Err(Stop::Wanting(wanting))
        };
        match checked {
            Err(Stop::Refused(refusal)) => return Output::Refused(refusal),
            Err(Stop::Wanting(keys)) => return Output::Wanting(keys),
            Ok(()) => {}
        }
        let succeeded = path.first().copied().unwrap_or(true);
        path.reverse();
        let mut applying = Applying {
            revision: self.revision + 1,
            state: self,
            known,
            path,
            at,
            wrote: Vec::new(),
        };
        let results = applying.txn(txn).1;
        let (revision, wrote) = (applying.revision, applying.wrote);
        if !wrote.is_empty() {
            self.revision = revision;
        }
        Output::Txn {
            wrote,
            succeeded,
            results,
            revision: self.revision,
        }
    }

    /// Decides all comparisons before anything is done.
    fn choose(&self, txn: &Txn, known: &Known, path: &mut Vec<bool>, wanting: &mut Vec<(Bytes, Version)>) {
        let mut holds = true;
        for compare in &txn.compare {
            // All are looked at, so that all the values that are wanted are known at once.
            holds &= self.holds(compare, known, wanting);
        }
        path.push(holds);
        for op in if holds { &txn.success } else { &txn.failure } {
            if let TxnOp::Txn(inner) = op {
                self.choose(inner, known, path, wanting);
            }
        }
    }

    fn holds(&self, compare: &Compare, known: &Known, wanting: &mut Vec<(Bytes, Version)>) -> bool {
        let mut any = false;
        let mut holds = true;
        for (key, version) in self.range(&compare.start, &compare.end, self.revision) {
            any = true;
            let order = match &compare.field {
                Field::Value(value) => match value_of(key, version, known) {
                    Some(found) => found.cmp(value),
                    None => {
                        wanting.push((key.clone(), version.clone()));
                        continue;
                    }
                },
                field => order(field, Some(version)),
            };
            holds &= compare.relation.holds(order);
        }
        if any {
            return holds;
        }
        match compare.field {
            Field::Value(_) => false,
            ref field => compare.relation.holds(order(field, None)),
        }
    }

    /// Whether the operations that were chosen can be done.
    fn check(&self, txn: &Txn, known: &Known, path: &mut impl Iterator<Item = bool>) -> Result<(), Stop> {
        let holds = path.next().unwrap_or(true);
        for op in if holds { &txn.success } else { &txn.failure } {
            match op {
                TxnOp::Range(range) => self.readable_in_txn(range).map_err(Stop::Refused)?,
                TxnOp::Put {
                    key, value, lease, ..
                } => {
                    if lease.is_some_and(|lease| lease != 0 && !self.leases.contains_key(&lease)) {
                        return Err(Stop::Refused(Refusal::LeaseNotFound));
                    }
                    if value.is_some() && lease.is_some() {
                        continue;
                    }
                    let Some(version) = self.newest(key) else {
                        return Err(Stop::Refused(Refusal::KeyNotFound));
                    };
                    if value.is_none() && value_of(key, version, known).is_none() {
                        return Err(Stop::Wanting(vec![(key.clone(), version.clone())]));
                    }
                }
                TxnOp::Delete { .. } => {}
                TxnOp::Txn(inner) => self.check(inner, known, path)?,
            }
        }
        Ok(())
    }

    fn readable_in_txn(&self, range: &RangeRequest) -> Result<(), Refusal> {
        if range.revision > self.revision {
            return Err(Refusal::Future(range.revision));
        }
        if range.revision != 0 && self.readable(range.revision).is_err() {
            return Err(Refusal::Compacted(self.compacted));
        }
        Ok(())
    }
}

impl Applying<'_> {
    fn txn(&mut self, txn: &Txn) -> (bool, Vec<Did>) {
        let holds = self.path.pop().unwrap_or(true);
        let ops = if holds { &txn.success } else { &txn.failure };
        (holds, ops.iter().map(|op| self.one(op)).collect())
    }

    fn one(&mut self, op: &TxnOp) -> Did {
        match op {
            TxnOp::Range(range) => {
                let revision = match range.revision {
                    // What was written by then in the same transaction is seen.
                    0 => self.revision,
                    revision => revision,
                };
                let (count, found) = self.state.look(range, revision);
                Did::Range(count, found)
            }
            TxnOp::Put {
                key,
                value,
                lease,
                prev,
            } => Did::Put(
                self.put(key, value.as_ref(), *lease)
                    .filter(|_| *prev)
                    .map(|v| (key.clone(), v)),
            ),
            TxnOp::Delete { start, end, prev } => {
                let found = self.state.range(start, end, self.revision);
                let keys: Vec<Bytes> = found.map(|(key, _)| key.clone()).collect();
                let removed: Vec<_> = keys.into_iter().filter_map(|key| self.remove(key)).collect();
                Did::Deleted(removed.len() as u64, if *prev { removed } else { Vec::new() })
            }
            TxnOp::Txn(inner) => {
                let (holds, results) = self.txn(inner);
                Did::Txn(holds, results)
            }
        }
    }

    fn put(&mut self, key: &Bytes, value: Option<&Bytes>, lease: Option<i64>) -> Option<Version> {
        let live = self.state.newest(key);
        let value = match value {
            Some(value) => value.clone(),
            // It was checked that the key is there and its value known.
            None => live
                .and_then(|live| value_of(key, live, self.known))
                .cloned()
                .unwrap_or_default(),
        };
        let version = Version {
            revision: self.revision,
            create: live.map_or(self.revision, |live| live.create),
            count: live.map_or(1, |live| live.count + 1),
            lease: lease.or(live.map(|live| live.lease)).unwrap_or(0),
            at: self.place(Record::length(key, &value)),
            value: self.state.keep_values.then(|| value.clone()),
        };
        let prev = self.state.push(key, version.clone(), Some(value.clone()));
        self.wrote.push(Wrote {
            key: key.clone(),
            put: Some((value, version)),
            prev: prev.clone(),
        });
        prev
    }

    fn remove(&mut self, key: Bytes) -> Option<(Bytes, Version)> {
        let prev = self.state.push(&key, removal(self.revision), None)?;
        self.place(Record::length(&key, &[]));
        self.wrote.push(Wrote {
            key: key.clone(),
            put: None,
            prev: Some(prev.clone()),
        });
        Some((key, prev))
    }

    /// Takes so many bytes of the log.
    fn place(&mut self, length: usize) -> Location {
        let length = length as u32;
        let at = Location { length, ..self.at };
        self.at.offset += length;
        at
    }
}

fn value_of<'a>(key: &Bytes, version: &'a Version, known: &'a Known) -> Option<&'a Bytes> {
    let read = || {
        known
            .get(key)
            .filter(|(revision, _)| *revision == version.revision)
    };
    version.value.as_ref().or_else(|| read().map(|(_, value)| value))
}

/// How a field of a key stands to the value it is compared to; of one that is not there all are 0.
fn order(field: &Field, version: Option<&Version>) -> Ordering {
    let number = |of: fn(&Version) -> u64| version.map_or(0, of) as i64;
    match field {
        Field::Version(to) => number(|v| v.count).cmp(to),
        Field::Create(to) => number(|v| v.create).cmp(to),
        Field::Mod(to) => number(|v| v.revision).cmp(to),
        Field::Lease(to) => version.map_or(0, |v| v.lease).cmp(to),
        Field::Value(_) => Ordering::Equal,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::txn::Relation;

    #[test]
    fn a_key_that_is_not_there_has_only_zeros() {
        assert!(Relation::Equal.holds(order(&Field::Mod(0), None)));
        assert!(Relation::Less.holds(order(&Field::Version(1), None)));
    }
}
