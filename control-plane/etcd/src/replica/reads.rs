//! Reads that wait to be linearizable: those that come together are confirmed together.

use super::Failure;
use std::collections::BTreeMap;
use tokio::sync::oneshot;

pub type Asking = oneshot::Sender<Result<(), Failure>>;

/// Ticks after which a question is asked again whose answer did not come.
const PATIENCE: u32 = 5;

#[derive(Default)]
pub struct Reads {
    /// They came after the last question.
    waiting: Vec<Asking>,
    /// What the last question was for: its number, and the ticks since.
    asked: Option<(u64, u32, Vec<Asking>)>,
    questions: u64,
    /// They may read once this index is applied.
    confirmed: BTreeMap<u64, Vec<Asking>>,
}

impl Reads {
    /// Questions are numbered after `number`. It has to be another one after every start: an answer to a question from before
    /// may be on its way still.
    pub fn after(number: u64) -> Self {
        Self {
            questions: number,
            ..Self::default()
        }
    }

    pub fn add(&mut self, asking: Asking) {
        self.waiting.push(asking);
    }

    /// The number of a question to ask now, if one is needed and none is on its way.
    pub fn question(&mut self) -> Option<u64> {
        if self.asked.is_some() {
            return None;
        }
        self.waiting.retain(|asking| !asking.is_closed());
        if self.waiting.is_empty() {
            return None;
        }
        self.questions += 1;
        let those = std::mem::take(&mut self.waiting);
        self.asked = Some((self.questions, 0, those));
        Some(self.questions)
    }

    /// The question could not be asked, or was lost.
    pub fn forget(&mut self) {
        if let Some((_, _, mut those)) = self.asked.take() {
            those.append(&mut self.waiting);
            self.waiting = those;
        }
    }

    /// Time goes on.
    pub fn tick(&mut self) {
        if let Some((_, ticks, _)) = &mut self.asked {
            *ticks += 1;
            if *ticks >= PATIENCE {
                self.forget();
            }
        }
    }

    /// A question was answered: what it was for may be read once `index` is applied.
    pub fn answered(&mut self, question: u64, index: u64) {
        if let Some((_, _, those)) = self.asked.take_if(|asked| asked.0 == question) {
            self.confirmed.entry(index).or_default().extend(those);
        }
    }

    /// Everything up to `index` is applied.
    pub fn applied(&mut self, index: u64) {
        while let Some(first) = self.confirmed.first_entry().filter(|first| *first.key() <= index) {
            for asking in first.remove() {
                // Who asked may have gone.
                let _ = asking.send(Ok(()));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_who_ask_meanwhile_wait_for_the_next_question() {
        let mut reads = Reads::default();
        let ask = |reads: &mut Reads| {
            let (asking, mut answer) = oneshot::channel();
            reads.add(asking);
            move || answer.try_recv().is_ok()
        };
        let mut first = ask(&mut reads);
        assert_eq!(reads.question(), Some(1));
        let mut second = ask(&mut reads);
        assert_eq!(reads.question(), None);
        reads.answered(1, 10);
        reads.applied(9);
        assert!(!first());
        reads.applied(10);
        assert!(first() && !second());
        assert_eq!(reads.question(), Some(2));
        // The answer is lost.
        (0..PATIENCE).for_each(|_| reads.tick());
        assert_eq!(reads.question(), Some(3));
        reads.answered(2, 10);
        reads.answered(3, 10);
        reads.applied(10);
        assert!(second());
    }

    /// The leader's answer waited for this member to come back, and others wrote meanwhile.
    #[test]
    fn an_answer_from_before_a_start_says_nothing_after_it() {
        let mut before = Reads::after(1000);
        before.add(oneshot::channel().0);
        // Who asked is gone, so the first one is not asked.
        assert_eq!(before.question(), None);
        let (asking, _answer) = oneshot::channel();
        before.add(asking);
        let asked = before.question().unwrap();
        let mut reads = Reads::after(77_000);
        let (asking, mut answer) = oneshot::channel();
        reads.add(asking);
        reads.question().unwrap();
        reads.answered(asked, 1);
        reads.applied(1);
        assert!(answer.try_recv().is_err());
    }
}
