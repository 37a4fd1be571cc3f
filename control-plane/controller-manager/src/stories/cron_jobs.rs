//! When Jobs start, and when not.

use super::{NOW, deleted, plan, told};
use crate::CronJobController;
use api::Key;
use reconcile::{LastOutcome, Plan};

fn cron(spec: &str, status: &str) -> String {
    format!(
        "
apiVersion: batch/v1
kind: CronJob
metadata: {{name: tick, namespace: d, uid: cron, creationTimestamp: '2030-01-01T00:00:30Z'}}
spec:
  schedule: '0 * * * *'
  jobTemplate: {{metadata: {{labels: {{a: b}}}}, spec: {{template: {{}}}}}}
{spec}
status: {{{status}}}
"
    )
}

fn job(name: &str, end: &str, start: &str) -> String {
    let condition = match end {
        "" => String::new(),
        end => {
            format!("conditions: [{{type: {end}, status: 'True'}}], completionTime: '2030-01-01T00:40:00Z', ")
        }
    };
    format!(
        "---
apiVersion: batch/v1
kind: Job
metadata:
  name: {name}
  namespace: d
  uid: {name}
  ownerReferences: [{{apiVersion: batch/v1, kind: CronJob, name: tick, uid: cron, controller: true}}]
spec: {{template: {{spec: {{}}}}}}
status: {{{condition}startTime: '{start}'}}
"
    )
}

async fn look(text: &str) -> Plan {
    let key = Key::new("d", "tick");
    plan(
        CronJobController::default(),
        &key,
        text,
        &LastOutcome::default(),
        NOW,
    )
    .await
}

/// The reasons of the events of a plan.
fn reasons(plan: &Plan) -> Vec<&str> {
    plan.events.iter().map(|event| event.reason).collect()
}

#[tokio::test(start_paused = true)]
async fn a_job_starts_when_its_time_has_come() {
    let plan = look(&cron("", "")).await;
    let lines = told(&plan);
    // 2030-01-01T01:00 is minute 31557660 since 1970.
    let created = r#""metadata":{"name":"tick-31557660","namespace":"d","labels":{"a":"b"},"annotations":{"batch.kubernetes.io/cronjob-scheduled-timestamp":"2030-01-01T01:00:00Z"}"#;
    assert!(lines.contains(created), "{lines}");
    assert!(
        lines.contains(r#""lastScheduleTime":"2030-01-01T01:00:00Z""#),
        "{lines}"
    );
    assert_eq!(plan.requeue_after.map(|delay| delay.as_secs()), Some(3600));
    // Not twice.
    let again = look(&cron("", "lastScheduleTime: '2030-01-01T01:00:00Z'")).await;
    assert!(again.writes.is_empty(), "{}", told(&again));
}

#[tokio::test(start_paused = true)]
async fn before_its_time_or_suspended_nothing_starts() {
    let later = look(&cron("  timeZone: Asia/Kolkata", "")).await;
    assert!(
        told(&later).contains("00:30:00Z"),
        "half past by the clock of Greenwich: {}",
        told(&later)
    );
    for spec in ["  suspend: true", "  timeZone: Moon/Sea", "  schedule: '0 0 * *'"] {
        let text = cron(spec, "");
        let text = if spec.contains("schedule") {
            text.replacen("  schedule: '0 * * * *'\n", "", 1)
        } else {
            text
        };
        let plan = look(&text).await;
        assert!(plan.writes.is_empty(), "{spec}: {}", told(&plan));
    }
    let unknown = look(&cron("  timeZone: Moon/Sea", "")).await;
    assert_eq!(reasons(&unknown), ["UnknownTimeZone"]);
}

#[tokio::test(start_paused = true)]
async fn a_running_job_forbids_or_is_replaced() {
    let status = "active: [{name: old, uid: old, namespace: d}], lastScheduleTime: '2030-01-01T00:00:00Z'";
    let text = |policy: &str| {
        let cron = cron(&format!("  concurrencyPolicy: {policy}"), status);
        [cron, job("old", "", "2030-01-01T00:00:00Z")].concat()
    };
    let forbidden = look(&text("Forbid")).await;
    assert!(forbidden.writes.is_empty());
    assert_eq!(reasons(&forbidden), ["JobAlreadyActive"]);
    let allowed = look(&text("Allow")).await;
    assert!(told(&allowed).contains("create jobs") && deleted(&allowed).is_empty());
    let replaced = look(&text("Replace")).await;
    assert!(told(&replaced).contains("create jobs") && deleted(&replaced) == ["old"]);
}

#[tokio::test(start_paused = true)]
async fn missed_times_start_the_last_one_only_and_many_are_told() {
    let few = look(&cron("", "lastScheduleTime: '2029-12-31T12:00:00Z'")).await;
    assert_eq!(told(&few).matches("create jobs").count(), 1);
    assert!(told(&few).contains("tick-31557660") && few.events.is_empty());
    let many = look(&cron("", "lastScheduleTime: '2029-12-01T12:00:00Z'")).await;
    assert_eq!(reasons(&many), ["TooManyMissedTimes"]);
    assert!(told(&many).contains("tick-31557660"));
    // With a deadline only the times within it count.
    let spec = "  startingDeadlineSeconds: 200";
    let within = look(&cron(spec, "lastScheduleTime: '2029-12-01T12:00:00Z'")).await;
    assert!(within.events.is_empty() && told(&within).contains("tick-31557660"));
}

#[tokio::test(start_paused = true)]
async fn old_jobs_go_and_the_list_follows() {
    let spec = "  successfulJobsHistoryLimit: 1\n  failedJobsHistoryLimit: 0";
    let status =
        "active: [{name: c, uid: c}, {name: gone, uid: gone}], lastScheduleTime: '2030-01-01T01:00:00Z'";
    let text = [
        cron(spec, status),
        job("a", "Complete", "2030-01-01T00:10:00Z"),
        job("b", "Failed", "2030-01-01T00:20:00Z"),
        job("c", "Complete", "2030-01-01T00:30:00Z"),
        job("foreign", "", "2030-01-01T00:50:00Z"),
    ]
    .concat();
    let plan = look(&text).await;
    assert_eq!(deleted(&plan), ["a", "b"]);
    assert_eq!(reasons(&plan), ["SawCompletedJob", "UnexpectedJob", "MissingJob"]);
    assert_eq!(
        plan.events[0].message,
        "Saw completed job: c, condition: Complete"
    );
    let lines = told(&plan);
    assert!(
        lines.contains(r#""active":[]"#) && lines.contains(r#""lastSuccessfulTime":"2030-01-01T00:40:00Z""#),
        "{lines}"
    );
}
