//! Requests come and go; who is served when.

use crate::fairness::{
    queues::{Arrival, Id, Queues, Response},
    shard::{Dealer, flow_hash},
    work::{SERVICE, Work},
};
use std::{collections::BTreeMap, time::Duration};

const MS: Duration = Duration::from_millis(1);

fn queued(queues: usize, hand: usize, length: usize) -> Response {
    Response::Queue(Dealer::new(queues, hand).unwrap(), length)
}

/// A server that takes `SERVICE` for each request; users who send as many as they may have open.
struct Scene {
    queues: Queues<&'static str>,
    now: Duration,
    ends: Vec<(Duration, Id)>,
    served: BTreeMap<&'static str, usize>,
    refused: BTreeMap<&'static str, usize>,
}

impl Scene {
    fn new(response: Response, limit: u64) -> Self {
        Self {
            queues: Queues::new(response, limit, Duration::ZERO),
            now: Duration::ZERO,
            ends: Vec::new(),
            served: BTreeMap::new(),
            refused: BTreeMap::new(),
        }
    }

    fn send(&mut self, user: &'static str, work: Work) -> Arrival {
        let (arrival, others) = self.queues.arrive(self.now, user, work, flow_hash("s", user));
        match arrival {
            Arrival::Execute(id) => self.dispatched(&[id]),
            Arrival::Wait(_) => {}
            Arrival::NoSeats | Arrival::QueueFull => *self.refused.entry(user).or_default() += 1,
        }
        self.dispatched(&others);
        arrival
    }

    fn dispatched(&mut self, ids: &[Id]) {
        for id in ids {
            self.ends.push((self.now + SERVICE, *id));
        }
    }

    /// One millisecond passes.
    fn pass(&mut self) {
        self.now += MS;
        let ended: Vec<Id> = self
            .ends
            .extract_if(.., |(end, _)| *end <= self.now)
            .map(|(_, id)| id)
            .collect();
        for id in ended {
            let user = self.queues.request(id).unwrap().about;
            *self.served.entry(user).or_default() += 1;
            let next = self.queues.finish(self.now, id);
            self.dispatched(&next);
        }
        let next = self.queues.tick(self.now);
        self.dispatched(&next);
    }

    fn count(&self, user: &str) -> usize {
        self.served.get(user).copied().unwrap_or_default()
    }
}

#[test]
fn a_noisy_flow_takes_nothing_from_a_quiet_one() {
    let mut scene = Scene::new(queued(64, 4, 50), 4);
    for _ in 0..3000 {
        for _ in 0..5 {
            scene.send("noisy", Work::ONE);
        }
        if scene.now.as_millis().is_multiple_of(6) {
            scene.send("quiet", Work::ONE);
        }
        scene.pass();
    }
    // Four seats of 3 ms serve 4000 in 3 s; the quiet one sends 500 and the rest is the noisy one's.
    assert!(scene.count("quiet") >= 497, "{:?}", scene.served);
    assert!(
        scene.count("noisy") > 3400,
        "no seat stays empty: {:?}",
        scene.served
    );
    assert!(
        scene.refused["noisy"] > 10_000 && !scene.refused.contains_key("quiet"),
        "{:?}",
        scene.refused
    );
}

#[test]
fn flows_that_all_want_more_get_the_same() {
    // A queue for each: what is shared is time, not luck.
    let mut scene = Scene::new(queued(512, 1, 50), 6);
    let users = ["ann", "bob", "cid"];
    for _ in 0..3000 {
        for (many, user) in (2..).zip(users) {
            for _ in 0..many {
                scene.send(user, Work::ONE);
            }
        }
        scene.pass();
    }
    let counts = users.map(|user| scene.count(user));
    assert_eq!(counts, [2000; 3]);
}

#[test]
fn wide_requests_are_paid_for_and_not_starved() {
    let mut scene = Scene::new(queued(512, 1, 50), 10);
    for _ in 0..3000 {
        scene.send("wide", Work::of(5));
        for _ in 0..6 {
            scene.send("narrow", Work::ONE);
        }
        scene.pass();
    }
    let (wide, narrow) = (scene.count("wide") * 5, scene.count("narrow"));
    let ratio = f64::from(u32::try_from(wide).unwrap()) / f64::from(u32::try_from(narrow).unwrap());
    assert!(
        (0.8..1.25).contains(&ratio),
        "seats of wide {wide}, of narrow {narrow}"
    );
    // What is wider than the level is served alone.
    let mut scene = Scene::new(queued(1, 1, 50), 2);
    scene.send("narrow", Work::ONE);
    assert!(matches!(scene.send("wide", Work::of(5)), Arrival::Wait(_)));
    for _ in 0..8 {
        scene.pass();
    }
    assert_eq!((scene.count("narrow"), scene.count("wide")), (1, 1));
}

#[test]
fn a_full_queue_refuses_and_one_who_leaves_makes_room() {
    let mut scene = Scene::new(queued(1, 1, 2), 1);
    assert!(matches!(scene.send("a", Work::ONE), Arrival::Execute(_)));
    let Arrival::Wait(second) = scene.send("a", Work::ONE) else {
        panic!("it waits")
    };
    assert!(matches!(scene.send("a", Work::ONE), Arrival::Wait(_)));
    assert_eq!(scene.send("a", Work::ONE), Arrival::QueueFull);
    assert!(scene.queues.cancel(scene.now, second) && !scene.queues.cancel(scene.now, second));
    assert!(matches!(scene.send("a", Work::ONE), Arrival::Wait(_)));
    assert_eq!(scene.queues.counts(), (2, 1));
    for _ in 0..10 {
        scene.pass();
    }
    assert!(scene.queues.is_idle() && scene.queues.queues().is_empty());
    assert_eq!((scene.count("a"), scene.queues.totals.cancelled), (3, 1));
}

#[test]
fn levels_without_queues_refuse_and_exempt_ones_never_do() {
    let mut scene = Scene::new(Response::Reject, 2);
    assert!(matches!(scene.send("a", Work::of(2)), Arrival::Execute(_)));
    assert_eq!(scene.send("a", Work::ONE), Arrival::NoSeats);
    let mut scene = Scene::new(Response::Exempt, 0);
    for _ in 0..1000 {
        assert!(matches!(scene.send("root", Work::of(10)), Arrival::Execute(_)));
    }
    assert_eq!(scene.queues.seats(), (10_000, 0));
}

#[test]
fn seats_are_kept_for_those_who_watch_what_was_written() {
    let mut scene = Scene::new(queued(1, 1, 9), 1);
    let work = Work {
        seats: 1,
        final_seats: 1,
        extra: MS * 7,
    };
    scene.send("a", work);
    scene.send("a", Work::ONE);
    for _ in 0..3 {
        scene.pass();
    }
    assert_eq!(
        (scene.count("a"), scene.queues.counts()),
        (1, (1, 0)),
        "answered, and the seat is kept"
    );
    assert_eq!(scene.queues.wakes(), Some(MS * 10));
    for _ in 0..7 {
        scene.pass();
    }
    assert_eq!(scene.queues.counts(), (0, 1));
}

#[test]
fn more_seats_serve_who_waits_and_virtual_time_begins_anew() {
    let mut scene = Scene::new(queued(4, 2, 9), 1);
    for _ in 0..4 {
        scene.send("a", Work::ONE);
    }
    assert_eq!(scene.queues.counts(), (3, 1));
    let next = scene.queues.configure(scene.now, queued(2, 1, 9), 3);
    scene.dispatched(&next);
    assert_eq!(scene.queues.counts(), (1, 3));
    scene.now = Duration::from_secs(1 << 27);
    scene.pass();
    assert_eq!(scene.queues.totals.epochs, 1);
    for _ in 0..9 {
        scene.pass();
    }
    assert!(scene.queues.is_idle());
}
