//! The draws of election time-outs.

/// A generator of the SplitMix64 kind: a counter, and a mix of its bits.
#[derive(Clone, Debug)]
pub(crate) struct Dice(u64);

impl Dice {
    /// Two members with the same seed still draw differently.
    pub fn new(seed: u64, id: u64) -> Self {
        Self(seed ^ id.wrapping_mul(0xd6e8_feb8_6659_fd93))
    }

    /// A number below `bound`, which is not 0.
    pub fn below(&mut self, bound: u32) -> u32 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        u32::try_from(mixed % u64::from(bound)).unwrap_or(0)
    }
}
