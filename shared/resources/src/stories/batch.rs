use super::*;

const JOB: &str = r#"{"apiVersion":"batch/v1","kind":"Job","metadata":{"name":"pi"},"spec":{"template":{"spec":{"containers":[{"name":"pi","image":"perl:5.34.0"}],"restartPolicy":"Never"}},"backoffLimit":4}}"#;

#[test]
fn a_job_knows_its_pods_by_its_uid() {
    let stored = create(JOB);
    let labels = format!(
        r#""labels":{{"batch.kubernetes.io/controller-uid":"{UID}","batch.kubernetes.io/job-name":"pi","controller-uid":"{UID}","job-name":"pi"}}"#
    );
    assert_eq!(
        stored.matches(&labels).count(),
        2,
        "the job's and its pods': {stored}"
    );
    let spec = format!(
        r#""spec":{{"backoffLimit":4,"completionMode":"NonIndexed","completions":1,"manualSelector":false,"parallelism":1,"podReplacementPolicy":"TerminatingOrFailed","selector":{{"matchLabels":{{"batch.kubernetes.io/controller-uid":"{UID}"}}}},"suspend":false,"template""#
    );
    assert!(stored.contains(&spec), "{stored}");
    let line_of = |status: &str| line(&stored.replace(r#""status":{}"#, status));
    let wide = format!("pi|perl:5.34.0|batch.kubernetes.io/controller-uid={UID}");
    assert_eq!(line_of(r#""status":{}"#), format!("pi|Running|0/1||60s|{wide}"));
    let done = r#""status":{"completionTime":"2026-01-02T03:04:15Z","conditions":[{"status":"True","type":"Complete"}],"startTime":"2026-01-02T03:04:05Z","succeeded":1}"#;
    assert_eq!(line_of(done), format!("pi|Complete|1/1|10s|60s|{wide}"));
}

#[test]
fn a_job_keeps_what_its_pods_are_made_of() {
    let stored = create(JOB);
    let image = update(&stored.replace("perl:5.34.0", "perl:5.36.0"), &stored).unwrap_err();
    assert!(
        image.starts_with(r#"Job.batch "pi" is invalid: spec.template: Invalid value: "#),
        "{image}"
    );
    assert!(image.ends_with(": field is immutable"), "{image}");
    let more = update(
        &stored.replace(r#""completions":1"#, r#""completions":2"#),
        &stored,
    );
    assert_eq!(
        more.unwrap_err(),
        r#"Job.batch "pi" is invalid: spec.completions: Invalid value: 2: field is immutable"#
    );
    let wider = stored.replace(r#""parallelism":1"#, r#""parallelism":2"#);
    assert!(update(&wider, &stored).unwrap().contains(r#""generation":2"#));
    let suspended = stored.replace(r#""suspend":false"#, r#""suspend":true"#);
    let moved = suspended.replace(
        r#""restartPolicy""#,
        r#""nodeSelector":{"zone":"a"},"restartPolicy""#,
    );
    assert!(update(&moved, &suspended).is_ok(), "it never ran");
    assert!(update(&moved, &stored).is_err());
    let more = suspended.replace(
        r#""name":"pi","resources":{}"#,
        r#""name":"pi","resources":{"requests":{"cpu":"2"}}"#,
    );
    assert_ne!(more, suspended);
    assert!(update(&more, &suspended).is_ok(), "it never ran");
    let image = suspended.replace("perl:5.34.0", "perl:5.36.0");
    assert!(update(&image, &suspended).is_err());
    // One that ran must say that it stopped, and have no pod left.
    let stopped = r#""startTime":"2026-01-02T03:04:05Z","conditions":[{"type":"Suspended","status":"True"}]"#;
    for (status, may) in [
        (r#""startTime":"2026-01-02T03:04:05Z""#.to_owned(), false),
        (stopped.to_owned(), true),
        (stopped.replace("True", "False"), false),
        (format!(r#""active":1,{stopped}"#), false),
    ] {
        let with = |body: &str| body.replace(r#""status":{}"#, &format!(r#""status":{{{status}}}"#));
        assert_ne!(with(&suspended), suspended);
        for change in [&moved, &more] {
            assert_eq!(update(&with(change), &with(&suspended)).is_ok(), may, "{status}");
        }
    }
}

#[test]
fn a_job_that_cannot_work_is_refused() {
    let with = |fields: &str| {
        JOB.replace(
            r#""spec":{"template""#,
            &format!(r#""spec":{{{fields},"template""#),
        )
    };
    let cases = [
        (
            JOB.replace("Never", "Always"),
            r#"spec.template.spec.restartPolicy: Required value: valid values: "OnFailure", "Never""#,
        ),
        (
            with(r#""completionMode":"Indexed""#).replace(r#""backoffLimit":4"#, r#""parallelism":2"#),
            "spec.completions: Required value: when completion mode is Indexed",
        ),
        (
            with(r#""backoffLimitPerIndex":1"#),
            "spec.backoffLimitPerIndex: Invalid value: 1: requires indexed completion mode",
        ),
        (
            with(
                r#""podFailurePolicy":{"rules":[{"action":"FailJob","onExitCodes":{"operator":"In","values":[0,42]}}]}"#,
            ),
            "spec.podFailurePolicy.rules[0].onExitCodes.values[0]: Invalid value: 0: must not be 0 for the In operator",
        ),
        (
            with(r#""podFailurePolicy":{"rules":[{"action":"Ignore"}]}"#),
            "spec.podFailurePolicy.rules[0]: Invalid value: specifying one of OnExitCodes and OnPodConditions is required",
        ),
        (
            with(
                r#""completionMode":"Indexed","completions":5,"successPolicy":{"rules":[{"succeededIndexes":"1,3-9"}]}"#,
            ),
            r#"spec.successPolicy.rules[0].succeededIndexes: Invalid value: "1,3-9": error parsing succeededIndexes: too large index: "9""#,
        ),
    ];
    for (body, words) in cases {
        assert_eq!(refused(&body), format!(r#"Job.batch "pi" is invalid: {words}"#));
    }
}

#[test]
fn a_finished_job_stays_finished() {
    let stored = create(JOB).replace(
        r#""status":{}"#,
        r#""status":{"conditions":[{"status":"True","type":"Failed"}],"failed":5,"startTime":"2026-01-02T03:04:05Z"}"#,
    );
    let again = stored.replace(
        r#""conditions":[{"status":"True","type":"Failed"}],"failed":5"#,
        r#""failed":4"#,
    );
    let status = run(&again, Some(&stored), Op::Status, &Small::usual()).unwrap_err();
    assert_eq!(
        status.message,
        r#"Job.batch "pi" is invalid: [status.conditions: Invalid value: cannot disable the terminal Failed=True condition, status.failed: Invalid value: 4: cannot decrease the failed counter]"#
    );
}

const CRON: &str = r#"{"apiVersion":"batch/v1","kind":"CronJob","metadata":{"name":"hello"},"spec":{"schedule":"* * * * *","jobTemplate":{"spec":{"template":{"spec":{"containers":[{"name":"hello","image":"busybox:1.28"}],"restartPolicy":"OnFailure"}}}}}}"#;

#[test]
fn a_cron_job_is_filled_and_its_schedule_read() {
    let stored = create(CRON);
    assert!(stored.contains(r#""spec":{"concurrencyPolicy":"Allow","failedJobsHistoryLimit":1,"jobTemplate":{"metadata":{},"spec":{"template""#), "{stored}");
    assert_eq!(
        line(&stored),
        "hello|* * * * *|<none>|False|0|<none>|60s|hello|busybox:1.28|<none>"
    );
    let cases = [
        (
            r#""* * * *""#,
            r#"spec.schedule: Invalid value: "* * * *": expected exactly 5 fields, found 4: [* * * *]"#,
        ),
        (
            r#""TZ=UTC * * * * *""#,
            r#"spec.schedule: Invalid value: "TZ=UTC * * * * *": cannot use TZ or CRON_TZ in schedule, use timeZone field instead"#,
        ),
        (
            r#""@daily","timeZone":"Middle/Earth""#,
            r#"spec.timeZone: Invalid value: "Middle/Earth": unknown time zone Middle/Earth"#,
        ),
        (
            r#""@daily","concurrencyPolicy":"Never""#,
            r#"spec.concurrencyPolicy: Unsupported value: "Never": supported values: "Allow", "Forbid", "Replace""#,
        ),
    ];
    for (schedule, words) in cases {
        let body = CRON.replace(r#""* * * * *""#, schedule);
        assert_eq!(
            refused(&body),
            format!(r#"CronJob.batch "hello" is invalid: {words}"#)
        );
    }
    let name = "a".repeat(53);
    let long = refused(&CRON.replace(
        r#""name":"hello"},"spec""#,
        &format!(r#""name":"{name}"}},"spec""#),
    ));
    assert!(long.ends_with("must be no more than 52 characters"), "{long}");
}
