//! What a Job counts, starts again, and gives up.

use super::{NOW, deleted, plan, told};
use crate::{JobController, TtlAfterFinishedController};
use api::Key;
use reconcile::{LastOutcome, Plan};

fn job(spec: &str, status: &str) -> String {
    format!(
        "
apiVersion: batch/v1
kind: Job
metadata: {{name: pi, namespace: d, uid: job, generation: 1, creationTimestamp: '2030-01-01T00:00:00Z'}}
spec:
  selector: {{matchLabels: {{job: pi}}}}
  template: {{metadata: {{labels: {{job: pi}}}}, spec: {{restartPolicy: Never, containers: [{{name: pi, image: perl}}]}}}}
{spec}
status: {{startTime: '2030-01-01T00:00:00Z', {status}}}
"
    )
}

/// A pod of the Job that is not counted yet; `end` is the exit code and the time, if it has ended.
fn pod(name: &str, phase: &str, index: &str, end: Option<(i32, &str)>, more: &str) -> String {
    let ended = end.map_or(String::new(), |(code, at)| {
        format!(
            ", containerStatuses: [{{name: pi, state: {{terminated: {{exitCode: {code}, finishedAt: '{at}'}}}}}}]"
        )
    });
    let index = match index {
        "" => String::new(),
        index => format!("  annotations: {{batch.kubernetes.io/job-completion-index: '{index}'}}\n"),
    };
    format!(
        "---
apiVersion: v1
kind: Pod
metadata:
  name: {name}
  namespace: d
  uid: {name}
  labels: {{job: pi}}
  creationTimestamp: '2030-01-01T00:00:00Z'
  finalizers: [batch.kubernetes.io/job-tracking]
  ownerReferences: [{{apiVersion: batch/v1, kind: Job, name: pi, uid: job, controller: true}}]
{index}{more}
spec: {{nodeName: a, containers: []}}
status: {{phase: {phase}{ended}}}
"
    )
}

async fn look(text: &str) -> Plan {
    let key = Key::new("d", "pi");
    plan(JobController::default(), &key, text, &LastOutcome::default(), NOW).await
}

#[tokio::test(start_paused = true)]
async fn a_pod_is_counted_once_by_way_of_its_finalizer() {
    let spec = "  parallelism: 1\n  completions: 3\n  backoffLimit: 6";
    let done = pod("a", "Succeeded", "", Some((0, "2030-01-01T00:30:00Z")), "");
    // First its UID goes into the status, then the finalizer goes.
    let first = told(&look(&[job(spec, "active: 1"), done.clone()].concat()).await);
    let lines: Vec<&str> = first.lines().collect();
    assert!(
        lines[0].starts_with("patch jobs/status pi")
            && lines[0].contains(r#"{"succeeded":["a"],"failed":[]}"#),
        "{first}"
    );
    assert_eq!(
        lines[1],
        r#"patch pods a {"metadata":{"uid":"a","$deleteFromPrimitiveList/finalizers":["batch.kubernetes.io/job-tracking"]}}"#
    );
    assert!(lines[2].starts_with("create pods") && lines.len() == 3, "{first}");
    // Then it counts.
    let status = "active: 1, uncountedTerminatedPods: {succeeded: [a]}";
    let free = done.replace("  finalizers: [batch.kubernetes.io/job-tracking]\n", "");
    let second = told(&look(&[job(spec, status), free.clone()].concat()).await);
    assert!(
        second.contains(r#""succeeded":1"#) && second.contains(r#"{"succeeded":[],"failed":[]}"#),
        "{second}"
    );
    // And never again.
    let third = told(&look(&[job(spec, "active: 1, succeeded: 1"), free].concat()).await);
    assert!(third.contains(r#""succeeded":1"#), "{third}");
}

#[tokio::test(start_paused = true)]
async fn after_failures_it_waits_longer_and_longer() {
    let spec = "  parallelism: 1\n  completions: 1\n  backoffLimit: 6";
    for (failures, wait) in [(1, 10), (2, 20), (3, 40), (6, 320)] {
        let failed = |n: i32| pod(&format!("f{n}"), "Failed", "", Some((1, NOW)), "");
        let pods: String = (0..failures).map(failed).collect();
        let plan = look(&[job(spec, ""), pods].concat()).await;
        assert!(!told(&plan).contains("create pods"), "{}", told(&plan));
        assert_eq!(plan.requeue_after.map(|delay| delay.as_secs()), Some(wait));
    }
    // A success sets it back.
    let pods = pod("f", "Failed", "", Some((1, "2030-01-01T00:59:58Z")), "")
        + &pod("s", "Succeeded", "", Some((0, "2030-01-01T00:59:59Z")), "");
    let spec = spec.replace("completions: 1", "completions: 3");
    assert!(told(&look(&[job(&spec, ""), pods].concat()).await).contains("create pods"));
}

#[tokio::test(start_paused = true)]
async fn too_many_failures_end_it() {
    let spec = "  parallelism: 2\n  completions: 4\n  backoffLimit: 1";
    let failed = pod("f", "Failed", "", Some((1, NOW)), "");
    let running = pod("r", "Running", "", None, "");
    let text = [job(spec, "failed: 1, active: 2"), failed, running].concat();
    let first = look(&text).await;
    let lines = told(&first);
    assert!(
        lines.contains(r#""type":"FailureTarget","status":"True""#)
            && lines.contains(
                r#""reason":"BackoffLimitExceeded","message":"Job has reached the specified backoff limit""#
            ),
        "{lines}"
    );
    assert!(
        !lines.contains(r#""type":"Failed""#) && !lines.contains("create pods"),
        "{lines}"
    );
    assert_eq!(deleted(&first), ["r"]);
    // Once nothing is left, the Job has failed.
    let target = "failed: 3, conditions: [{type: FailureTarget, status: 'True', reason: BackoffLimitExceeded, message: Job has reached the specified backoff limit}]";
    let last = look(&job(spec, target)).await;
    assert!(
        told(&last).contains(r#""type":"Failed","status":"True""#),
        "{}",
        told(&last)
    );
    assert_eq!(last.events[0].reason, "BackoffLimitExceeded");
}

#[tokio::test(start_paused = true)]
async fn it_is_complete_when_all_is_counted() {
    let spec = "  parallelism: 1\n  completions: 2";
    let first = told(&look(&job(spec, "succeeded: 2")).await);
    assert!(
        first.contains(r#""type":"SuccessCriteriaMet""#) && !first.contains("Complete\""),
        "{first}"
    );
    let met = "succeeded: 2, conditions: [{type: SuccessCriteriaMet, status: 'True'}]";
    let last = look(&job(spec, met)).await;
    let lines = told(&last);
    assert!(
        lines.contains(r#""type":"Complete","status":"True""#)
            && lines.contains(r#""completionTime":"2030-01-01T01:00:00Z""#),
        "{lines}"
    );
    assert_eq!(
        (last.events[0].reason, last.events[0].message.as_str()),
        ("Completed", "Job completed")
    );
    // A pod that is still going delays that.
    let going = pod(
        "g",
        "Running",
        "",
        None,
        "  deletionTimestamp: '2030-01-01T00:59:50Z'",
    );
    let going = going.replace("  finalizers: [batch.kubernetes.io/job-tracking]\n", "");
    let waiting = told(&look(&[job(spec, met), going].concat()).await);
    assert!(!waiting.contains(r#""type":"Complete""#), "{waiting}");
}

#[tokio::test(start_paused = true)]
async fn indexes_are_started_once_and_told_in_runs() {
    let spec = "  parallelism: 3\n  completions: 6\n  completionMode: Indexed\n  backoffLimit: 6";
    let pods = pod("a", "Succeeded", "2", Some((0, NOW)), "") + &pod("b", "Running", "3", None, "");
    let text = [job(spec, "completedIndexes: '0,1', succeeded: 2"), pods].concat();
    let lines = told(&look(&text).await);
    assert!(
        lines.contains(r#""completedIndexes":"0-2""#) && lines.contains(r#""succeeded":3"#),
        "{lines}"
    );
    let created: Vec<&str> = lines
        .lines()
        .filter(|line| line.starts_with("create pods"))
        .collect();
    assert_eq!(created.len(), 2, "{lines}");
    for (line, index) in created.iter().zip([4, 5]) {
        for part in [
            format!(r#""generateName":"pi-{index}-""#),
            format!(r#""hostname":"pi-{index}""#),
            format!(r#""labels":{{"batch.kubernetes.io/job-completion-index":"{index}","job":"pi"}}"#),
            format!(r#""annotations":{{"batch.kubernetes.io/job-completion-index":"{index}"}}"#),
            r#"{"name":"JOB_COMPLETION_INDEX","valueFrom":{"fieldRef":{"fieldPath":"metadata.annotations['batch.kubernetes.io/job-completion-index']"}}}"#.to_owned(),
        ] {
            assert!(line.contains(&part), "{part} is not in {line}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_index_fails_by_its_own_count() {
    let spec = "  parallelism: 2\n  completions: 2\n  completionMode: Indexed\n  backoffLimitPerIndex: 1\n  backoffLimit: 2147483647";
    let old = "2030-01-01T00:30:00Z";
    // The first failure of index 0 is held until the next pod has its count.
    let first = pod("a", "Failed", "0", Some((1, old)), "") + &pod("b", "Succeeded", "1", Some((0, old)), "");
    let lines = told(&look(&[job(spec, ""), first].concat()).await);
    assert!(
        lines.contains(r#""batch.kubernetes.io/job-index-failure-count":"1""#)
            && !lines.contains("patch pods a"),
        "{lines}"
    );
    // The second one is the last.
    let second = pod("a", "Failed", "0", Some((1, old)), "").replace(
        "index: '0'}",
        "index: '0', batch.kubernetes.io/job-index-failure-count: '1'}",
    );
    let text = [job(spec, "completedIndexes: '1', succeeded: 1"), second].concat();
    let lines = told(&look(&text).await);
    assert!(
        lines.contains(r#""failedIndexes":"0""#)
            && lines.contains(r#""reason":"FailedIndexes","message":"Job has failed indexes""#),
        "{lines}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_failure_policy_decides_by_exit_code_and_condition() {
    let spec = |action: &str| {
        format!(
            "  parallelism: 1\n  completions: 1\n  backoffLimit: 0\n  podFailurePolicy: {{rules: [\
             {{action: {action}, onExitCodes: {{containerName: pi, operator: In, values: [42]}}}}, \
             {{action: Ignore, onPodConditions: [{{type: DisruptionTarget, status: 'True'}}]}}]}}"
        )
    };
    let failed = pod("f", "Failed", "", Some((42, "2030-01-01T00:30:00Z")), "");
    let lines = told(&look(&[job(&spec("FailJob"), ""), failed.clone()].concat()).await);
    let why = r#""reason":"PodFailurePolicy","message":"Container pi for pod d/f failed with exit code 42 matching FailJob rule at index 0""#;
    assert!(lines.contains(why), "{lines}");
    // A failure that is ignored does not count, and the pod is replaced.
    let lines = told(&look(&[job(&spec("Ignore"), ""), failed.clone()].concat()).await);
    assert!(
        lines.contains("create pods") && lines.contains(r#"{"succeeded":[],"failed":[]}"#),
        "{lines}"
    );
    let disrupted = failed.replace("exitCode: 42", "exitCode: 137").replace(
        "phase: Failed",
        "conditions: [{type: DisruptionTarget, status: 'True'}], phase: Failed",
    );
    let lines = told(&look(&[job(&spec("FailJob"), ""), disrupted].concat()).await);
    assert!(lines.contains("create pods"), "{lines}");
    // With a policy a pod is replaced only once it has ended.
    let going = pod(
        "g",
        "Running",
        "",
        None,
        "  deletionTimestamp: '2030-01-01T00:59:50Z'",
    );
    let lines = told(&look(&[job(&spec("FailJob"), ""), going].concat()).await);
    assert!(!lines.contains("create pods"), "{lines}");
}

#[tokio::test(start_paused = true)]
async fn enough_indexes_are_a_success() {
    let spec = "  parallelism: 2\n  completions: 4\n  completionMode: Indexed\n  successPolicy: {rules: [{succeededIndexes: 0-1, succeededCount: 1}]}";
    let running = pod("r", "Running", "3", None, "");
    let plan = look(&[job(spec, "completedIndexes: '1', succeeded: 1"), running].concat()).await;
    let lines = told(&plan);
    assert!(
        lines.contains(r#""type":"SuccessCriteriaMet""#)
            && lines.contains(r#""reason":"SuccessPolicy","message":"Matched rules at index 0""#),
        "{lines}"
    );
    assert_eq!(deleted(&plan), ["r"]);
    assert!(
        lines.contains(r#"{"succeeded":[],"failed":[]}"#),
        "what was stopped has not failed: {lines}"
    );
}

#[tokio::test(start_paused = true)]
async fn it_is_suspended_and_resumed() {
    let running = pod("r", "Running", "", None, "");
    let text = [
        job("  parallelism: 1\n  completions: 1\n  suspend: true", "active: 1"),
        running,
    ]
    .concat();
    let suspended = look(&text).await;
    let lines = told(&suspended);
    assert!(
        lines.contains(r#""type":"Suspended","status":"True""#) && lines.contains("JobSuspended"),
        "{lines}"
    );
    assert_eq!(deleted(&suspended), ["r"]);
    assert!(
        lines.contains(r#"{"succeeded":[],"failed":[]}"#),
        "a suspended pod has not failed: {lines}"
    );
    assert_eq!(suspended.events[0].message, "Job suspended");
    let status =
        "conditions: [{type: Suspended, status: 'True', reason: JobSuspended, message: Job suspended}]";
    let resumed = look(&job("  parallelism: 1\n  completions: 1", status)).await;
    let lines = told(&resumed);
    assert!(
        lines.contains(r#""type":"Suspended","status":"False""#)
            && lines.contains(r#""startTime":"2030-01-01T01:00:00Z""#)
            && lines.contains("create pods"),
        "{lines}"
    );
    assert_eq!(resumed.events[0].reason, "Resumed");
}

#[tokio::test(start_paused = true)]
async fn a_deadline_ends_it() {
    let early = look(&job(
        "  parallelism: 1\n  completions: 1\n  activeDeadlineSeconds: 3610",
        "",
    ))
    .await;
    assert_eq!(early.requeue_after.map(|delay| delay.as_secs()), Some(10));
    let late = told(
        &look(&job(
            "  parallelism: 1\n  completions: 1\n  activeDeadlineSeconds: 3600",
            "",
        ))
        .await,
    );
    let why = r#""reason":"DeadlineExceeded","message":"Job was active longer than specified deadline""#;
    assert!(late.contains(why), "{late}");
}

#[tokio::test(start_paused = true)]
async fn pods_of_a_job_that_is_gone_are_let_go() {
    let held = pod(
        "a",
        "Running",
        "",
        None,
        "  deletionTimestamp: '2030-01-01T00:59:50Z'",
    );
    let lines = told(&look(&held).await);
    assert!(
        lines.starts_with("patch pods a") && lines.lines().count() == 1,
        "{lines}"
    );
}

#[tokio::test(start_paused = true)]
async fn an_orphan_is_adopted_with_a_finalizer() {
    let orphan = pod("a", "Running", "", None, "")
        .replace("  finalizers: [batch.kubernetes.io/job-tracking]\n", "")
        .replace(
            "  ownerReferences: [{apiVersion: batch/v1, kind: Job, name: pi, uid: job, controller: true}]\n",
            "",
        );
    let lines = told(&look(&[job("  parallelism: 1\n  completions: 1", ""), orphan].concat()).await);
    assert!(
        lines.contains(r#""finalizers":["batch.kubernetes.io/job-tracking"]"#),
        "{lines}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_finished_job_goes_after_its_time() {
    let status = "conditions: [{type: Complete, status: 'True', lastTransitionTime: '2030-01-01T00:59:00Z'}]";
    let look = async |ttl: u32| {
        let text = job(&format!("  ttlSecondsAfterFinished: {ttl}"), status);
        let key = Key::new("d", "pi");
        plan(
            TtlAfterFinishedController,
            &key,
            &text,
            &LastOutcome::default(),
            NOW,
        )
        .await
    };
    assert_eq!(deleted(&look(60).await), ["pi"]);
    let early = look(100).await;
    assert!(early.writes.is_empty());
    assert_eq!(early.requeue_after.map(|delay| delay.as_secs()), Some(40));
}
