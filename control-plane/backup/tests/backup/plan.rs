//! Snapshots by a schedule.

use crate::lab::{chunks, filled, names, put, source};
use api::schedule::Schedule;
use backup::{Error, Place, Plan, Snapshot, Source, Taken};
use component::Env;
use jiff::tz::TimeZone;
use std::{path::Path, sync::Arc, time::Duration};

fn plan(dir: &Path, retention: usize) -> Plan {
    Plan {
        schedule: Schedule::parse("0 */6 * * *", TimeZone::UTC).unwrap(),
        retention,
        // Of the second there can be no folder.
        places: vec![
            Place::Folder(dir.join("kept")),
            Place::Folder("/proc/none".into()),
        ],
    }
}

fn told(env: &Env) -> String {
    let mut text = String::new();
    env.metrics.write(&mut text);
    text
}

fn count(dir: &Path) -> usize {
    std::fs::read_dir(dir.join("kept")).map_or(0, Iterator::count)
}

#[tokio::test(start_paused = true)]
async fn snapshots_are_taken_when_it_is_time_and_the_newest_are_kept() {
    let (dir, env) = (tempfile::tempdir().unwrap(), Env::simulated(1));
    let store = filled().await;
    let running = env.tasks.child();
    running.spawn("plan", plan(dir.path(), 2).run(source(&store), env.clone()));
    // Virtual time: a day has four.
    env.clock.sleep(Duration::from_secs(5 * 3600)).await;
    assert_eq!(count(dir.path()), 0);
    for _ in 0..4 {
        put(store.as_ref(), "/registry/grows", "1", 0).await;
        env.clock.sleep(Duration::from_secs(6 * 3600)).await;
    }
    let text = told(&env);
    let kept = dir.path().join("kept");
    let ok = format!(
        "ferrokube_snapshots_total{{place=\"{}\",result=\"ok\"}} 4",
        kept.display()
    );
    assert!(text.contains(&ok), "{text}");
    let failed = "ferrokube_snapshots_total{place=\"/proc/none\",result=\"error\"} 4";
    assert!(text.contains(failed), "{text}");
    assert!(
        text.contains("ferrokube_snapshot_last_success_timestamp_seconds{place="),
        "{text}"
    );
    let revision = store.visible();
    let expected = [
        format!("snapshot-20300101T180000Z-{}.db", revision - 1),
        format!("snapshot-20300102T000000Z-{revision}.db"),
    ];
    assert_eq!(names(&kept), expected);
    let newest = Snapshot::open(&kept.join(&expected[1]), false).unwrap();
    assert_eq!(newest.facts().revision, revision);
    running.drain(Duration::from_secs(10)).await;
}

#[tokio::test]
async fn a_snapshot_that_fails_is_told_and_costs_none_that_is_there() {
    let (dir, env) = (tempfile::tempdir().unwrap(), Env::system());
    let store = filled().await;
    let plan = plan(dir.path(), 1);
    plan.once(&source(&store), &env).await;
    let before = names(&dir.path().join("kept"));
    let broken: Source = Arc::new(|| Box::pin(async { Err(Error::Server("it is on fire".to_owned())) }));
    plan.once(&broken, &env).await;
    // What is no snapshot is not kept either.
    let nonsense: Source = Arc::new(|| {
        let taken = Taken {
            bytes: 8,
            chunks: chunks(&"nonsense".into()),
        };
        Box::pin(async { Ok(taken) })
    });
    plan.once(&nonsense, &env).await;
    assert_eq!(names(&dir.path().join("kept")), before);
    let kept = dir.path().join("kept");
    let failed = format!(
        "ferrokube_snapshots_total{{place=\"{}\",result=\"error\"}} 2",
        kept.display()
    );
    assert!(told(&env).contains(&failed), "{}", told(&env));
}
