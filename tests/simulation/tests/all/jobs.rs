//! Jobs and CronJobs.

use crate::manifests::SOON;
use api::{Key, Object};
use std::{collections::BTreeSet, sync::Arc, time::Duration};
use testing::{Cluster, Faults, Look};

const LONG: Duration = Duration::from_secs(3600);

fn named(name: &str) -> Key {
    Key::new("default", name)
}

fn job(name: &str, spec: &str) -> String {
    format!(
        "
apiVersion: batch/v1
kind: Job
metadata: {{name: {name}}}
spec:
{spec}
  template:
    spec:
      restartPolicy: Never
      containers: [{{name: main, image: perl, resources: {{requests: {{cpu: 10m, memory: 16Mi}}}}}}]
"
    )
}

fn finished(look: &Look, name: &str, end: &str) -> Option<Arc<Object>> {
    let job = look.one("jobs", &named(name))?;
    (Look::condition(&job, end).0 == "True").then_some(job)
}

fn status(job: &Object, field: &str) -> String {
    Look::value(job, &format!("status.{field}"))
}

/// Ends the running pods with the code that `code` has for them.
fn end_pods(cluster: &Cluster, code: impl Fn(&Object) -> Option<i32>) {
    for pod in cluster.look().all("pods", "default") {
        if Look::value(&pod, "status.phase") == "Running"
            && let Some(code) = code(&pod)
        {
            for node in &cluster.nodes {
                node.runtime.exit(pod.name(), "main", code);
            }
        }
    }
}

/// Ends pods every second until `done`.
async fn run<T>(
    cluster: &Cluster,
    what: &str,
    code: impl Fn(&Object) -> Option<i32>,
    done: impl Fn(&Look) -> Option<T>,
) -> T {
    for _ in 0..LONG.as_secs() {
        if let Some(found) = done(&cluster.look()) {
            return found;
        }
        end_pods(cluster, &code);
        cluster.sleep(Duration::from_secs(1)).await;
    }
    panic!("waited an hour for: {what}");
}

#[tokio::test(start_paused = true)]
async fn a_job_runs_to_its_completions() {
    let cluster = Cluster::start(111, 2).await;
    cluster
        .create(&job("pi", "  parallelism: 2\n  completions: 5"))
        .await
        .unwrap();
    let most = |look: &Look| {
        let running = look.ready_pods("default").len();
        assert!(running <= 2, "{running} run");
        finished(look, "pi", "Complete")
    };
    let pi = run(&cluster, "the Job is complete", |_| Some(0), most).await;
    assert_eq!(
        (status(&pi, "succeeded").as_str(), status(&pi, "active").as_str()),
        ("5", "")
    );
    assert!(!status(&pi, "completionTime").is_empty());
    let pods = cluster.look().all("pods", "default");
    assert!(pods.len() == 5 && pods.iter().all(|pod| pod.finalizers().next().is_none()));
    let events = cluster.look().all("events", "default");
    let reasons: BTreeSet<String> = events
        .iter()
        .filter(|event| Look::value(event, "involvedObject.kind") == "Job")
        .map(|event| Look::value(event, "reason"))
        .collect();
    assert_eq!(
        reasons.into_iter().collect::<Vec<_>>(),
        ["Completed", "SuccessfulCreate"]
    );
    cluster.delete("jobs", &named("pi")).await.unwrap();
    let gone = |look: &Look| look.one("jobs", &named("pi")).is_none().then_some(());
    cluster.until("the Job is gone", SOON, gone).await;
}

#[tokio::test(start_paused = true)]
async fn an_indexed_job_tries_failed_indexes_again() {
    let cluster = Cluster::start(112, 2).await;
    let spec = "  parallelism: 3\n  completions: 4\n  completionMode: Indexed\n  backoffLimitPerIndex: 1";
    cluster.create(&job("work", spec)).await.unwrap();
    let index = "batch.kubernetes.io/job-completion-index";
    // Index 1 fails once, index 2 always.
    let code = |pod: &Object| {
        let failures = pod.annotation("batch.kubernetes.io/job-index-failure-count");
        match pod.label(index) {
            Some("2") => Some(1),
            Some("1") if failures.as_deref() == Some("0") => Some(1),
            _ => Some(0),
        }
    };
    let done = |look: &Look| finished(look, "work", "Failed");
    let work = run(&cluster, "the Job has failed indexes", code, done).await;
    assert_eq!(Look::condition(&work, "Failed").1, "FailedIndexes");
    assert_eq!(
        ["completedIndexes", "failedIndexes", "succeeded", "failed"].map(|field| status(&work, field)),
        ["0,1,3", "2", "3", "3"]
    );
    let hosts: BTreeSet<String> = cluster
        .look()
        .all("pods", "default")
        .iter()
        .map(|pod| Look::value(pod, "spec.hostname"))
        .collect();
    assert_eq!(
        hosts.into_iter().collect::<Vec<_>>(),
        ["work-0", "work-1", "work-2", "work-3"]
    );
}

#[tokio::test(start_paused = true)]
async fn a_job_that_fails_backs_off_and_gives_up() {
    let cluster = Cluster::start(113, 1).await;
    cluster.create(&job("bad", "  backoffLimit: 2")).await.unwrap();
    let started = cluster.env.clock.now();
    let done = |look: &Look| finished(look, "bad", "Failed");
    let bad = run(&cluster, "the Job has failed", |_| Some(1), done).await;
    assert_eq!(Look::condition(&bad, "Failed").1, "BackoffLimitExceeded");
    assert_eq!(status(&bad, "failed"), "3");
    let taken = (cluster.env.clock.now() - started).as_secs();
    assert!(
        (30..60).contains(&taken),
        "ten and twenty seconds of waiting took {taken}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_job_is_suspended_resumed_and_cleaned_away() {
    let cluster = Cluster::start(114, 1).await;
    let spec = "  parallelism: 2\n  completions: 2\n  ttlSecondsAfterFinished: 100";
    cluster.create(&job("nap", spec)).await.unwrap();
    let running = |look: &Look| (look.ready_pods("default").len() == 2).then_some(());
    cluster.until("two pods run", SOON, running).await;
    cluster
        .patch("jobs", &named("nap"), "spec: {suspend: true}")
        .await
        .unwrap();
    let asleep = |look: &Look| {
        let job = look.one("jobs", &named("nap"))?;
        let none = look.all("pods", "default").is_empty();
        (none && Look::condition(&job, "Suspended").0 == "True").then_some(())
    };
    cluster.until("the Job sleeps", SOON, asleep).await;
    cluster
        .patch("jobs", &named("nap"), "spec: {suspend: false}")
        .await
        .unwrap();
    let done = |look: &Look| finished(look, "nap", "Complete");
    let nap = run(&cluster, "the Job is complete", |_| Some(0), done).await;
    assert_eq!(status(&nap, "failed"), "", "suspended pods have not failed");
    let gone = |look: &Look| {
        let none = look.all("pods", "default").is_empty();
        (look.one("jobs", &named("nap")).is_none() && none).then_some(())
    };
    cluster
        .until("the Job is gone after its time", Duration::from_secs(200), gone)
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_job_counts_each_pod_once_in_any_weather() {
    for seed in 115..118 {
        let cluster = Cluster::start(seed, 2).await;
        cluster.controllers.fail(Faults {
            refused: 100,
            lost: 100,
            late: 500,
            ..Faults::default()
        });
        cluster
            .create(&job(
                "pi",
                "  parallelism: 3\n  completions: 8\n  backoffLimit: 100",
            ))
            .await
            .unwrap();
        // One pod in four fails.
        let code = |pod: &Object| Some(i32::from(pod.uid().ends_with(['0', '1', '2', '3'])));
        let done = |look: &Look| finished(look, "pi", "Complete");
        let pi = run(&cluster, "the Job is complete", code, done).await;
        let pods = cluster.look().all("pods", "default");
        let ended = |phase: &str| {
            let pods = pods
                .iter()
                .filter(|pod| Look::value(pod, "status.phase") == phase);
            pods.count().to_string()
        };
        let failed = status(&pi, "failed");
        let failed = if failed.is_empty() { "0" } else { &failed };
        assert_eq!(
            (status(&pi, "succeeded"), failed),
            (ended("Succeeded"), ended("Failed").as_str())
        );
        assert!(status(&pi, "succeeded").parse::<i32>().unwrap() >= 8);
    }
}

#[tokio::test(start_paused = true)]
async fn a_cron_job_starts_jobs_by_the_hour() {
    let cluster = Cluster::start(119, 1).await;
    let manifest = "
apiVersion: batch/v1
kind: CronJob
metadata: {name: tick}
spec:
  schedule: '*/20 * * * *'
  timeZone: Europe/Berlin
  successfulJobsHistoryLimit: 2
  jobTemplate:
    spec:
      template:
        spec:
          restartPolicy: OnFailure
          containers: [{name: main, image: perl}]
";
    cluster.create(manifest).await.unwrap();
    let mut names = BTreeSet::new();
    // Three hours and a little.
    for _ in 0..3 * 60 * 6 + 3 {
        end_pods(&cluster, |_| Some(0));
        cluster.sleep(Duration::from_secs(10)).await;
        let jobs = cluster.look().all("jobs", "default");
        names.extend(jobs.iter().map(|job| job.name().to_owned()));
    }
    assert_eq!(names.len(), 9, "{names:?}");
    let minutes = names
        .iter()
        .map(|name| name["tick-".len()..].parse::<i64>().unwrap());
    assert!(minutes.clone().all(|minute| minute % 20 == 0), "{names:?}");
    let look = cluster.look();
    let tick = look.one("cronjobs", &named("tick")).unwrap();
    assert_eq!(look.all("jobs", "default").len(), 2, "older ones went");
    let last = minutes.max().unwrap() * 60;
    let scheduled: jiff::Timestamp = status(&tick, "lastScheduleTime").parse().unwrap();
    assert_eq!(scheduled.as_second(), last);
    assert!(!status(&tick, "lastSuccessfulTime").is_empty());
    let job = look.one("jobs", &named(&format!("tick-{}", last / 60))).unwrap();
    let at = job
        .annotation("batch.kubernetes.io/cronjob-scheduled-timestamp")
        .unwrap();
    assert!(at.ends_with("+01:00") || at.ends_with("+02:00"), "{at}");
}

#[tokio::test(start_paused = true)]
async fn a_job_survives_a_crash_after_any_write() {
    for writes in 1..40 {
        let mut cluster = Cluster::start(120, 1).await;
        cluster.controllers.fail(Faults {
            crash_after: Some(writes),
            ..Faults::default()
        });
        cluster
            .create(&job("pi", "  parallelism: 2\n  completions: 3"))
            .await
            .unwrap();
        let line = cluster.controllers.clone();
        let mut crashed = false;
        for _ in 0..100 {
            end_pods(&cluster, |_| Some(0));
            let second = Duration::from_secs(1);
            crashed = cluster.env.clock.timeout(second, line.crashed()).await.is_some();
            if crashed || finished(&cluster.look(), "pi", "Complete").is_some() {
                break;
            }
        }
        cluster.restart_controllers();
        let done = |look: &Look| finished(look, "pi", "Complete");
        let pi = run(&cluster, "the Job is complete", |_| Some(0), done).await;
        assert_eq!(status(&pi, "succeeded"), "3", "after {writes} writes");
        if !crashed {
            return;
        }
    }
}
