//! Whether a history of a register is linearizable: whether its operations can be put in one order in which each sees what those
//! before it did, and none comes before one that had ended when it began.
//!
//! It is the search of Wing and Gong, with Lowe's memory: a set of operations that were put in order, with the value they left,
//! is looked into once. Registers are independent, so each is checked alone.

use std::collections::HashSet;

/// One operation of a client. Times are of one clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Operation {
    pub began: u64,
    /// Nothing if the outcome is not known: then it took effect at any time since, or never.
    pub ended: Option<u64>,
    pub action: Action,
}

/// What it did. Each write has a value of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    Write(u64),
    Read(Option<u64>),
}

/// Which operations are in order already.
type Done = Vec<u64>;

struct Search {
    operations: Vec<Operation>,
    known: HashSet<(Done, Option<u64>)>,
}

/// Whether the history is linearizable; the register is empty at first.
pub fn is_linearizable(history: &[Operation]) -> bool {
    let read = |value| {
        history
            .iter()
            .any(|other| other.action == Action::Read(Some(value)))
    };
    // What is not known to have happened and was never seen can be left out; so can a read without an answer.
    let counts = |operation: &&Operation| match operation.action {
        Action::Write(value) => operation.ended.is_some() || read(value),
        Action::Read(_) => operation.ended.is_some(),
    };
    let mut operations: Vec<Operation> = history.iter().filter(counts).copied().collect();
    operations.sort_by_key(|operation| (operation.began, operation.ended));
    let words = operations.len().div_ceil(64);
    let mut search = Search {
        operations,
        known: HashSet::new(),
    };
    search.from(vec![0; words], None)
}

impl Search {
    fn from(&mut self, done: Done, value: Option<u64>) -> bool {
        let mut open = vec![(done, value)];
        while let Some((done, value)) = open.pop() {
            let is_done = |place: usize| done[place / 64] >> (place % 64) & 1 == 1;
            let rest = |place: &usize| !is_done(*place);
            let left: Vec<usize> = (0..self.operations.len()).filter(rest).collect();
            let Some(first_end) = left
                .iter()
                .filter_map(|place| self.operations[*place].ended)
                .min()
            else {
                return true;
            };
            for place in left {
                let operation = self.operations[place];
                if operation.began > first_end {
                    break;
                }
                let after = match operation.action {
                    Action::Write(new) => Some(new),
                    Action::Read(seen) if seen == value => value,
                    Action::Read(_) => continue,
                };
                let mut more = done.clone();
                more[place / 64] |= 1 << (place % 64);
                if self.known.insert((more.clone(), after)) {
                    open.push((more, after));
                }
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(value: u64, began: u64, ended: u64) -> Operation {
        let ended = Some(ended).filter(|ended| *ended > 0);
        Operation {
            began,
            ended,
            action: Action::Write(value),
        }
    }

    fn read(value: u64, began: u64, ended: u64) -> Operation {
        let value = Some(value).filter(|value| *value > 0);
        Operation {
            began,
            ended: Some(ended),
            action: Action::Read(value),
        }
    }

    /// 0 stands for an unknown end, and for an empty register.
    #[test]
    fn histories_are_judged() {
        let fine: &[&[Operation]] = &[
            &[],
            &[read(0, 1, 2), write(1, 3, 4), read(1, 5, 6)],
            // At the same time either may be first.
            &[write(1, 1, 5), read(0, 2, 3)],
            &[write(1, 1, 5), read(1, 2, 3)],
            &[write(1, 1, 9), write(2, 2, 8), read(2, 3, 4), read(1, 5, 6)],
            // It took effect late, or never.
            &[write(1, 1, 0), read(0, 2, 3), read(1, 4, 5)],
            &[write(1, 1, 0), write(2, 2, 3), read(2, 4, 5), read(2, 6, 7)],
            &[write(1, 1, 0), write(2, 2, 3), read(2, 4, 5), read(1, 6, 7)],
        ];
        for history in fine {
            assert!(is_linearizable(history), "{history:?}");
        }
        let wrong: &[&[Operation]] = &[
            // Lost, stale, seen too early, seen and gone again, from nowhere.
            &[write(1, 1, 2), read(0, 3, 4)],
            &[write(1, 1, 2), write(2, 3, 4), read(1, 5, 6)],
            &[read(1, 1, 2), write(1, 3, 4)],
            &[write(1, 1, 9), read(1, 2, 3), read(0, 4, 5)],
            &[write(1, 1, 0), read(1, 2, 3), read(0, 4, 5)],
            &[
                write(1, 1, 9),
                write(2, 1, 9),
                read(1, 2, 3),
                read(2, 4, 5),
                read(1, 6, 7),
            ],
            &[write(1, 1, 2), read(7, 3, 4)],
        ];
        for history in wrong {
            assert!(!is_linearizable(history), "{history:?}");
        }
    }

    #[test]
    fn a_long_history_is_judged_at_once() {
        let mut history = Vec::new();
        for round in 1..500 {
            let at = round * 10;
            history.extend([write(round * 3, at, at + 9), write(round * 3 + 1, at + 1, at + 8)]);
            history.extend([read(round * 3, at + 2, at + 7), write(round * 3 + 2, at + 3, 0)]);
        }
        assert!(is_linearizable(&history));
        history.push(read(3, 9_000, 9_001));
        assert!(!is_linearizable(&history));
    }
}
