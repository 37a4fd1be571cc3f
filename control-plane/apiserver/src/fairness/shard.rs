//! Shuffle sharding: each flow has a hand of queues, and two flows seldom have the same one.

/// Hands are not larger than what 60 bits of a hash can deal.
pub const MOST_BITS: f64 = 60.0;
/// No hand that 60 bits deal is larger.
const LARGEST: usize = 24;

/// Deals hands of `hand` cards from `deck`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dealer {
    deck: usize,
    hand: usize,
}

/// The cards of one flow, in the order in which they were dealt.
#[derive(Debug, PartialEq, Eq)]
pub struct Hand {
    cards: [usize; LARGEST],
    count: usize,
}

impl Hand {
    /// The cards, starting with number `first` and round.
    pub fn starting(&self, first: usize) -> impl Iterator<Item = usize> + '_ {
        (0..self.count).map(move |i| self.cards[(first + i) % self.count])
    }
}

impl Dealer {
    /// None if the hand is larger than the deck, or than a hash can deal.
    pub fn new(deck: usize, hand: usize) -> Option<Self> {
        let fits = (1..=deck.min(LARGEST)).contains(&hand);
        let deck_of = |dealt: usize| f64::from(u32::try_from(deck - dealt).unwrap_or(u32::MAX));
        let bits = || (0..hand).map(|dealt| deck_of(dealt).log2()).sum::<f64>();
        (fits && bits() <= MOST_BITS).then_some(Self { deck, hand })
    }

    /// The cards there are.
    pub fn deck(self) -> usize {
        self.deck
    }

    /// The hand of a flow: the hash is read as digits of mixed radix, each choosing one of the cards that are left.
    pub fn deal(self, hash: u64) -> Hand {
        let mut rest = hash;
        let mut cards = [0; LARGEST];
        let mut sorted = [0; LARGEST];
        for (dealt, dealt_card) in cards.iter_mut().enumerate().take(self.hand) {
            let left = u64::try_from(self.deck - dealt).unwrap_or(u64::MAX);
            // Less than the deck, which is a usize.
            let mut card = usize::try_from(rest % left).unwrap_or_default();
            rest /= left;
            let mut place = 0;
            while place < dealt && sorted[place] <= card {
                card += 1;
                place += 1;
            }
            sorted.copy_within(place..dealt, place + 1);
            sorted[place] = card;
            *dealt_card = card;
        }
        Hand {
            cards,
            count: self.hand,
        }
    }
}

/// The hash of a flow: its schema and what tells it from others of that schema.
pub fn flow_hash(schema: &str, distinguisher: &str) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for byte in schema.bytes().chain([0]).chain(distinguisher.bytes()) {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    // All bits of the result depend on all of the hash.
    hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ (hash >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn hands_have_different_cards_and_flows_different_hands() {
        let dealer = Dealer::new(128, 6).unwrap();
        let hands: BTreeSet<Vec<usize>> = (0..1000)
            .map(|user| {
                let hand = dealer.deal(flow_hash("global-default", &format!("user-{user}")));
                let mut cards: Vec<usize> = hand.starting(0).collect();
                cards.sort_unstable();
                cards.dedup();
                assert!(cards.len() == 6 && cards[5] < 128, "{cards:?}");
                cards
            })
            .collect();
        assert!(hands.len() > 990, "{} hands of 1000 flows", hands.len());
        let all: Vec<usize> = Dealer::new(4, 4).unwrap().deal(23).starting(0).collect();
        assert_eq!(all, [3, 2, 1, 0]);
        assert_eq!(Dealer::new(4, 5), None);
        assert_eq!(Dealer::new(10_000_000, 8), None, "too many bits");
    }
}
