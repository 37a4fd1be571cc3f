//! Who costs how much: requests, seats and bytes by user, so that the noisy one is seen.

use super::dump::table;
use component::Clock;
use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};
use tokio::time::Instant;

/// Users that are kept account of; the cheapest are forgotten first.
const MOST: usize = 1000;
/// How long until what was counted of late counts half.
const HALF: Duration = Duration::from_secs(60);

/// What a user did.
#[derive(Clone, Copy, Debug, Default)]
struct Cost {
    requests: u64,
    refused: u64,
    watches: i64,
    seat_seconds: f64,
    bytes: u64,
    /// Seat-seconds of late.
    recent: f64,
    changed: Option<Instant>,
}

impl Cost {
    fn add_recent(&mut self, now: Instant, seat_seconds: f64) {
        self.recent = self.recent_at(now) + seat_seconds;
        self.changed = Some(now);
    }

    fn recent_at(&self, now: Instant) -> f64 {
        let passed = self.changed.map_or(0.0, |changed| (now - changed).as_secs_f64());
        self.recent * 0.5_f64.powf(passed / HALF.as_secs_f64())
    }
}

/// The users.
pub struct Clients {
    clock: Clock,
    costs: Mutex<BTreeMap<String, Cost>>,
}

impl Clients {
    /// Nobody yet.
    pub fn new(clock: Clock) -> Self {
        Self {
            clock,
            costs: Mutex::default(),
        }
    }

    fn change(&self, user: &str, change: impl FnOnce(&mut Cost)) {
        let mut costs = self.costs.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(cost) = costs.get_mut(user) {
            return change(cost);
        }
        if costs.len() >= MOST {
            let now = self.clock.now();
            let idle = costs.iter().filter(|(_, cost)| cost.watches == 0);
            let cheapest = idle.min_by(|one, other| one.1.recent_at(now).total_cmp(&other.1.recent_at(now)));
            if let Some(name) = cheapest.map(|(name, _)| name.clone()) {
                costs.remove(&name);
            }
        }
        change(costs.entry(user.to_owned()).or_default());
    }

    /// A request is answered, or refused.
    pub fn answered(&self, user: &str, refused: bool) {
        self.change(user, |cost| {
            cost.requests += 1;
            cost.refused += u64::from(refused);
        });
    }

    /// So many bytes are sent.
    pub fn sent(&self, user: &str, bytes: u64) {
        self.change(user, |cost| cost.bytes += bytes);
    }

    /// A watch begins, or ends.
    pub fn watches(&self, user: &str, more: i64) {
        self.change(user, |cost| cost.watches += more);
    }

    /// Seats were used.
    pub fn sat(&self, user: &str, seat_seconds: f64) {
        let now = self.clock.now();
        self.change(user, |cost| {
            cost.seat_seconds += seat_seconds;
            cost.add_recent(now, seat_seconds);
        });
    }

    /// Who costs most first: a line each.
    pub fn top(&self) -> String {
        let now = self.clock.now();
        let costs = self.costs.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut all: Vec<(String, Cost)> = costs.into_iter().collect();
        let rank = |cost: &Cost| (cost.recent_at(now), cost.seat_seconds);
        all.sort_by(|(_, one), (_, other)| {
            let (one, other) = (rank(one), rank(other));
            other.0.total_cmp(&one.0).then(other.1.total_cmp(&one.1))
        });
        let head = [
            "UserName",
            "Requests",
            "Refused",
            "Watches",
            "SeatSeconds",
            "RecentSeatSeconds",
            "Bytes",
        ];
        let mut rows = vec![head.map(str::to_owned).to_vec()];
        rows.extend(all.into_iter().map(|(name, cost)| {
            vec![
                name,
                cost.requests.to_string(),
                cost.refused.to_string(),
                cost.watches.to_string(),
                format!("{:.3}", cost.seat_seconds),
                format!("{:.3}", cost.recent_at(now)),
                cost.bytes.to_string(),
            ]
        }));
        table(&rows)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use component::Env;

    #[tokio::test(start_paused = true)]
    async fn who_costs_most_of_late_is_first() {
        let env = Env::simulated(1);
        let clients = Clients::new(env.clock.clone());
        clients.answered("ann", false);
        clients.sat("ann", 8.0);
        env.clock.sleep(HALF * 3).await;
        clients.answered("bob", true);
        clients.sat("bob", 2.0);
        clients.sent("bob", 100);
        clients.watches("bob", 1);
        let expected = "UserName, Requests, Refused, Watches, SeatSeconds, RecentSeatSeconds, Bytes\n\
                        bob,      1,        1,       1,       2.000,       2.000,             100\n\
                        ann,      1,        0,       0,       8.000,       1.000,             0\n";
        assert_eq!(clients.top(), expected);
        for user in 0..2 * MOST {
            clients.answered(&format!("user-{user}"), false);
        }
        let top = clients.top();
        assert_eq!(top.lines().count(), MOST + 1);
        assert!(top.contains("\nbob,"), "who watches is not forgotten");
    }
}
