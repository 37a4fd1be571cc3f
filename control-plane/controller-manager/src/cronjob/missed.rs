//! Which time of a schedule is due.

use api::schedule::Schedule;
use jiff::{SignedDuration, Timestamp};

/// The last time of a schedule that has come, and whether very many have come.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Due {
    pub time: Option<Timestamp>,
    /// More than a hundred.
    pub too_many: bool,
}

/// The schedule has not two times.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("time difference between two schedules is less than 1 second")]
pub(super) struct Impossible;

/// What is due at `now` of the times after `earliest`. Many missed times are counted by the distance of the first two.
pub(super) fn due(schedule: &Schedule, earliest: Timestamp, now: Timestamp) -> Result<Due, Impossible> {
    let first = schedule.next(earliest).ok_or(Impossible)?;
    if now < first {
        return Ok(Due::default());
    }
    let second = schedule.next(first).ok_or(Impossible)?;
    if now < second {
        return Ok(Due {
            time: Some(first),
            too_many: false,
        });
    }
    let distance = (second.as_second() - first.as_second()).max(1);
    let missed = (now.as_second() - first.as_second()) / distance + 1;
    let mut time = first + SignedDuration::from_secs((missed - 2).max(0) * distance);
    let mut last = None;
    while let Some(next) = schedule.next(time).filter(|next| *next <= now) {
        (last, time) = (Some(next), next);
    }
    Ok(Due {
        time: last.or(Some(second)),
        too_many: missed > 100,
    })
}
