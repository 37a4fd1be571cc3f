//! What a run suffers, drawn from its seed.

use crate::random::Random;

/// Chances are of ten thousand, per message, or per unit of time for what happens by itself.
pub struct Profile {
    pub voters: u64,
    pub loss: u64,
    pub repeat: u64,
    pub delay: u64,
    pub sync: u64,
    pub crash: u64,
    pub restart: u64,
    /// Units of time a tick.
    pub tick: u64,
    pub cut: u64,
    pub change: u64,
    pub transfer: u64,
    pub compact: u64,
    /// The state machine keeps its state over a crash, as far as it was applied; else it goes back to the last snapshot.
    pub durable_state: bool,
    pub small_messages: bool,
}

impl Profile {
    pub fn draw(random: &mut Random) -> Self {
        let mut one_of = |values: &[u64]| random.pick(values).unwrap();
        Self {
            voters: one_of(&[3, 3, 5]),
            loss: one_of(&[0, 100, 500, 2000]),
            repeat: one_of(&[0, 100, 1000]),
            delay: one_of(&[1, 5, 20, 60]),
            sync: one_of(&[1, 5, 40, 150]),
            crash: one_of(&[0, 10, 40, 150]),
            restart: one_of(&[50, 200, 1000]),
            tick: one_of(&[3, 6, 10]),
            cut: one_of(&[0, 10, 40]),
            change: one_of(&[0, 0, 20, 200]),
            transfer: one_of(&[0, 10, 50, 200]),
            compact: one_of(&[0, 20, 100]),
            durable_state: one_of(&[0, 1]) == 1,
            small_messages: one_of(&[0, 1]) == 1,
        }
    }
}
