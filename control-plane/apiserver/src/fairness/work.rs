//! How much work a request is.

use super::queues::seat_count;
use std::time::Duration;

/// How long a request is taken to last before it is known.
pub const SERVICE: Duration = Duration::from_millis(3);

/// A request takes no more seats than this.
const MOST: u64 = 10;
/// Objects that a list goes through in one seat.
const OBJECTS: u64 = 100;
/// Watchers that are told of a change in one seat.
const WATCHERS: u64 = 10;
/// How long that takes.
const TELLING: Duration = Duration::from_millis(5);

/// The work of a request: seats while it is served, and seats for a while after that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Work {
    /// Seats while it is served.
    pub seats: u64,
    /// Seats after that.
    pub final_seats: u64,
    /// For how long.
    pub extra: Duration,
}

impl Work {
    /// One seat while it is served.
    pub const ONE: Self = Self::of(1);

    /// So many seats while it is served.
    pub const fn of(seats: u64) -> Self {
        Self {
            seats,
            final_seats: 0,
            extra: Duration::ZERO,
        }
    }

    /// The seats it needs at once.
    pub fn most_seats(&self) -> u64 {
        self.seats.max(self.final_seats)
    }

    /// Seat-seconds.
    pub fn total(&self) -> f64 {
        seat_count(self.seats) * SERVICE.as_secs_f64() + self.after()
    }

    fn after(&self) -> f64 {
        seat_count(self.final_seats) * self.extra.as_secs_f64()
    }

    /// The same work on at most so many seats after the answer, for longer.
    pub fn narrow(&mut self, most: u64) {
        if self.final_seats > most && most > 0 {
            self.extra = Duration::from_secs_f64(self.after() / seat_count(most));
            self.final_seats = most;
        }
    }

    /// A list, or the first part of a watch, of a resource with so many objects.
    pub fn list(list: &Listing, objects: u64, most: u64) -> Self {
        let limit = if list.limit > 0 {
            list.limit.min(objects)
        } else {
            objects
        };
        let touched = match list {
            _ if list.single => 1,
            // Who is selected is known when all were looked at.
            _ if list.selects => objects,
            _ => limit,
        };
        Self::of(touched.div_ceil(OBJECTS).min(most_of(most)).max(1))
    }

    /// A write of what so many watch.
    pub fn write(watchers: u64, most: u64) -> Self {
        if watchers < WATCHERS {
            return Self::ONE;
        }
        let mut work = Self {
            seats: 1,
            final_seats: watchers.div_ceil(WATCHERS),
            extra: TELLING,
        };
        work.narrow(most_of(most));
        work
    }
}

/// `most` as the level has it; 0 if it does not say.
fn most_of(most: u64) -> u64 {
    if most == 0 { MOST } else { most.min(MOST) }
}

/// What matters of a list for its work.
#[derive(Clone, Copy, Debug, Default)]
pub struct Listing {
    /// Its limit; 0 for none.
    pub limit: u64,
    /// It names one object.
    pub single: bool,
    /// It has a selector.
    pub selects: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_take_seats_by_their_objects() {
        let all = Listing::default();
        let paged = Listing { limit: 500, ..all };
        let selecting = Listing {
            selects: true,
            ..paged
        };
        let single = Listing { single: true, ..all };
        let of = |list: &Listing, objects, most| Work::list(list, objects, most).seats;
        assert_eq!(
            [0, 1, 100, 101, 950, 5000].map(|objects| of(&all, objects, 0)),
            [1, 1, 1, 2, 10, 10]
        );
        assert_eq!([of(&paged, 5000, 0), of(&paged, 200, 0)], [5, 2]);
        assert_eq!(
            [of(&selecting, 700, 0), of(&single, 5000, 0), of(&all, 950, 3)],
            [7, 1, 3]
        );
    }

    #[test]
    fn writes_keep_seats_for_watchers() {
        assert_eq!(Work::write(9, 0), Work::ONE);
        let work = Work::write(20, 0);
        assert_eq!((work.final_seats, work.extra), (2, TELLING));
        let wide = Work::write(1000, 0);
        assert_eq!((wide.final_seats, wide.extra), (10, TELLING * 10));
        let narrow = Work::write(1000, 4);
        assert_eq!((narrow.final_seats, narrow.extra), (4, TELLING * 25));
        assert!((wide.total() - narrow.total()).abs() < 1e-9);
    }
}
