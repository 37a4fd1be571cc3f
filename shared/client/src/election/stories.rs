//! Stories of elections, on a paused clock.

use super::*;
use crate::{List, ListParams, Target, Transport, WatchParams, WatchStream, Write, WriteOptions};
use futures::{FutureExt, future::BoxFuture};
use std::sync::{
    Mutex,
    atomic::{AtomicBool, Ordering},
};
use tokio::sync::mpsc;

/// The Lease of a cluster, read and written as the API server does.
#[derive(Default)]
struct Board {
    lease: Mutex<Option<Arc<Object>>>,
}

/// A way to the board, that can be cut.
struct Way {
    board: Arc<Board>,
    cut: AtomicBool,
}

impl Way {
    fn check(&self) -> Result<(), Status> {
        if self.cut.load(Ordering::Relaxed) {
            Err(Status::unavailable("cut"))
        } else {
            Ok(())
        }
    }
}

impl Transport for Way {
    fn get(&self, target: Target) -> BoxFuture<'_, Result<Arc<Object>, Status>> {
        async move {
            self.check()?;
            self.board
                .lease
                .lock()
                .unwrap()
                .clone()
                .ok_or_else(|| Status::not_found(&target.gvr, &target.name))
        }
        .boxed()
    }

    fn list(&self, _: Target, _: ListParams) -> BoxFuture<'_, Result<List, Status>> {
        unreachable!("an election lists nothing")
    }

    fn watch(&self, _: Target, _: WatchParams) -> BoxFuture<'_, Result<WatchStream, Status>> {
        unreachable!("an election watches nothing")
    }

    fn write(
        &self,
        target: Target,
        write: Write,
        _: WriteOptions,
    ) -> BoxFuture<'_, Result<Arc<Object>, Status>> {
        async move {
            self.check()?;
            let mut held = self.board.lease.lock().unwrap();
            let version = held.as_ref().map_or(0, |lease| lease.resource_version());
            let body = match write {
                Write::Create(_) if held.is_some() => {
                    return Err(Status::already_exists(&target.gvr, &target.name));
                }
                Write::Create(body) | Write::Update(body) => body,
                other => panic!("an election does not {other:?}"),
            };
            let given = Object::parse_any(body, &[]).unwrap();
            if given.resource_version() != version {
                return Err(Status::modified(&target.gvr, &target.name));
            }
            let written = Arc::new(given.at(version + 1));
            *held = Some(written.clone());
            Ok(written)
        }
        .boxed()
    }
}

struct Runner {
    way: Arc<Way>,
    env: Env,
}

/// Starts a candidate that tells when it leads and when it stops leading.
fn candidate(
    board: &Arc<Board>,
    env: &Env,
    name: &'static str,
    tell: &mpsc::UnboundedSender<String>,
) -> Runner {
    let way = Arc::new(Way {
        board: board.clone(),
        cut: AtomicBool::new(false),
    });
    let (client, env, tell) = (Client::new(way.clone(), name), env.child(), tell.clone());
    let runner = Runner {
        way,
        env: env.clone(),
    };
    let tasks = env.tasks.clone();
    tasks.spawn_draining("candidate", async move {
        let say = tell.clone();
        let ended = run(&client, Config::new("box", name), &env, None, |_| {
            say.send(format!("{name} leads")).unwrap()
        });
        let ended = ended.await;
        tell.send(format!("{name} {ended:?}")).unwrap();
    });
    runner
}

#[tokio::test(start_paused = true)]
async fn one_leads_at_a_time() {
    let (board, env) = (Arc::new(Board::default()), Env::simulated(3));
    let (tell, mut told) = mpsc::unbounded_channel();
    let mut next = async || told.recv().await.unwrap();
    let a = candidate(&board, &env, "a", &tell);
    assert_eq!(next().await, "a leads");
    let mut counted = String::new();
    env.metrics.write(&mut counted);
    assert!(
        counted.contains("leader_election_master_status{name=\"box\"} 1\n"),
        "{counted}"
    );
    let b = candidate(&board, &env, "b", &tell);
    let start = env.clock.now();
    env.clock.sleep(Duration::from_secs(60)).await;
    a.env.tasks.stop();
    assert_eq!(next().await, "a Stopped");
    let stopped = env.clock.now();
    assert_eq!((stopped - start).as_secs(), 60, "b did not lead meanwhile");
    assert_eq!(next().await, "b leads");
    assert!(
        env.clock.now() - stopped < Duration::from_secs(5),
        "the lease was given back"
    );

    let c = candidate(&board, &env, "c", &tell);
    env.clock.sleep(Duration::from_secs(30)).await;
    let cut = env.clock.now();
    b.way.cut.store(true, Ordering::Relaxed);
    assert_eq!(next().await, "b Lost");
    let lost = env.clock.now() - cut;
    assert!(lost <= Duration::from_secs(12), "{lost:?}");
    assert_eq!(next().await, "c leads");
    let taken = env.clock.now() - cut;
    assert!(
        taken > Duration::from_secs(12) && taken < Duration::from_secs(21),
        "{taken:?}"
    );
    let lease = board.lease.lock().unwrap().clone().unwrap();
    let record = lease.view::<LeaseView>().unwrap().spec;
    assert_eq!(
        (record.holder_identity.as_str(), record.lease_transitions),
        ("c", 2)
    );
    c.env.tasks.stop();
    assert_eq!(next().await, "c Stopped");
    counted.clear();
    env.metrics.write(&mut counted);
    assert!(
        counted.contains("leader_election_master_status{name=\"box\"} 0\n"),
        "{counted}"
    );
}

#[tokio::test(start_paused = true)]
async fn the_clock_that_counts_is_one_s_own() {
    let env = Env::simulated(3);
    let mut candidate = Candidate::new(Config::new("box", "a"));
    let record = |holder: &str, renewed: i64| Record {
        holder_identity: holder.to_owned(),
        lease_duration_seconds: 15,
        acquire_time: None,
        renew_time: Some(Timestamp::from_second(renewed).unwrap()),
        lease_transitions: 4,
    };
    let start = env.clock.now();
    let mut step = |lease: Option<Record>, after: u64| {
        candidate.step(lease, start + Duration::from_secs(after), env.clock.wall())
    };
    assert!(matches!(step(None, 0), Step::Create(_)));
    // Its times are long past; but it is seen for the first time now.
    assert_eq!(step(Some(record("b", 0)), 1), Step::Wait);
    assert_eq!(step(Some(record("b", 0)), 15), Step::Wait);
    assert_eq!(step(Some(record("b", 9)), 15), Step::Wait, "renewed");
    assert_eq!(step(Some(record("b", 9)), 29), Step::Wait);
    let Step::Update(taken) = step(Some(record("b", 9)), 30) else {
        panic!("not taken")
    };
    assert_eq!(
        (taken.holder_identity.as_str(), taken.lease_transitions),
        ("a", 5)
    );
    assert!(
        matches!(step(Some(record("", 10)), 31), Step::Update(_)),
        "nobody's"
    );
    let Step::Update(own) = step(Some(record("a", 11)), 32) else {
        panic!("not renewed")
    };
    assert_eq!(
        (own.lease_transitions, own.acquire_time),
        (4, None),
        "a renewal is no transition"
    );
    let text = serde_json::to_string(&record("a", 1_893_456_000)).unwrap();
    assert!(
        text.contains(r#""renewTime":"2030-01-01T00:00:00.000000Z""#),
        "{text}"
    );
}
