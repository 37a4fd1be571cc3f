//! How the seats of the server are shared and lent between the levels.

use super::{
    allocate::{Wish, share},
    demand::Demand,
    level::Seats,
};

/// A level, as far as lending goes.
#[derive(Clone, Copy, Debug)]
pub struct Borrower {
    /// Whether nothing limits it.
    pub exempt: bool,
    /// What it has by its configuration.
    pub seats: Seats,
    /// What it could use.
    pub demand: Demand,
}

/// What a level is given for the next while.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Given {
    /// Seats.
    pub current: u64,
    /// What it was taken to want.
    pub target: f64,
}

impl Borrower {
    /// What it is not asked to give away: what it lately used of its own.
    fn least(&self) -> u64 {
        let used = whole(self.demand.last.highest);
        let own = if self.exempt {
            used
        } else {
            used.min(self.seats.nominal)
        };
        own.max(self.seats.least)
    }

    fn target(&self) -> f64 {
        real(self.least()).max(self.demand.smoothed)
    }
}

/// Lends seats that levels do not need to those that want more. Gives each its seats, in order, and the fraction of
/// their wishes that all get.
pub fn lend(levels: &[Borrower]) -> (Vec<Given>, f64) {
    let total: u64 = levels.iter().map(|level| level.seats.nominal).sum();
    let sum = |of: &dyn Fn(&Borrower) -> u64, exempt| {
        let those = levels.iter().filter(|level| level.exempt == exempt);
        those.map(of).sum::<u64>()
    };
    let left = total.saturating_sub(sum(&Borrower::least, true));
    let (least, used) = (
        sum(&|level| level.seats.least, false),
        sum(&Borrower::least, false),
    );
    let limited: Vec<&Borrower> = levels.iter().filter(|level| !level.exempt).collect();
    let wishes: Vec<Wish> = limited
        .iter()
        .map(|level| Wish {
            target: level.target(),
            least: real(level.least()),
            most: real(level.seats.most),
        })
        .collect();
    let (shares, fraction) = if left <= least {
        (limited.iter().map(|level| real(level.seats.least)).collect(), 0.0)
    } else if left <= used {
        let part = real(left - least) / real(used - least);
        let own = |level: &&Borrower| {
            let least = real(level.seats.least);
            least + (real(level.least()) - least) * part
        };
        (limited.iter().map(own).collect(), 0.0)
    } else {
        share(real(left), &wishes).unwrap_or_else(|| {
            // Bounds that do not fit: all keep what is theirs.
            (
                limited.iter().map(|level| real(level.seats.nominal)).collect(),
                0.0,
            )
        })
    };
    let mut shares = shares.into_iter();
    let given = levels.iter().map(|level| Given {
        current: match level.exempt {
            true => level.least(),
            false => whole(shares.next().unwrap_or_default()),
        },
        target: level.target(),
    });
    (given.collect(), fraction)
}

fn real(seats: u64) -> f64 {
    super::queues::seat_count(seats)
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a number of seats: neither negative nor large"
)]
fn whole(seats: f64) -> u64 {
    seats.round().max(0.0) as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fairness::demand::Period;

    fn level(nominal: u64, lendable: u64, highest: f64, smoothed: f64) -> Borrower {
        Borrower {
            exempt: false,
            seats: Seats {
                nominal,
                least: nominal - lendable,
                most: nominal + 100,
                most_of_one: 0,
            },
            demand: Demand {
                last: Period {
                    highest,
                    ..Period::default()
                },
                smoothed,
            },
        }
    }

    fn lent(levels: &[Borrower]) -> Vec<u64> {
        lend(levels).0.iter().map(|given| given.current).collect()
    }

    #[test]
    fn seats_are_lent_to_who_wants_more() {
        // The first wants far more than its own, the second nothing, the third lends nothing.
        let levels = [
            level(40, 20, 90.0, 90.0),
            level(40, 36, 0.0, 0.0),
            level(20, 0, 0.0, 0.0),
        ];
        assert_eq!(lent(&levels), [76, 4, 20]);
        // What a level uses of its own, it keeps.
        let levels = [
            level(40, 20, 90.0, 90.0),
            level(40, 36, 30.0, 30.0),
            level(20, 0, 0.0, 0.0),
        ];
        assert_eq!(lent(&levels), [50, 30, 20]);
        // When all want more, each has its own.
        let levels = [
            level(40, 20, 90.0, 80.0),
            level(40, 36, 90.0, 80.0),
            level(20, 0, 90.0, 80.0),
        ];
        assert_eq!(lent(&levels), [40, 40, 20]);
    }

    #[test]
    fn what_is_exempt_is_taken_from_what_is_lent() {
        let exempt = Borrower {
            exempt: true,
            ..level(0, 0, 50.0, 50.0)
        };
        let levels = [exempt, level(40, 20, 40.0, 40.0), level(40, 36, 40.0, 40.0)];
        assert_eq!(
            lent(&levels),
            [50, 22, 8],
            "each keeps its least, and the rest is shared"
        );
        let exempt = Borrower {
            exempt: true,
            ..level(0, 0, 500.0, 50.0)
        };
        assert_eq!(lent(&[exempt, levels[1], levels[2]]), [500, 20, 4]);
    }
}
