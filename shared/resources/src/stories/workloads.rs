use super::*;

pub(super) const DEPLOYMENT: &str = r#"{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"web"},"spec":{"selector":{"matchLabels":{"app":"web"}},"template":{"metadata":{"labels":{"app":"web"}},"spec":{"containers":[{"name":"nginx","image":"nginx:1.14.2","ports":[{"containerPort":80}]}]}}}}"#;

#[test]
fn a_deployment_is_filled() {
    let expected = concat!(
        r#"{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"creationTimestamp":"2026-01-02T03:04:05Z","generation":1,"name":"web","namespace":"ns","uid":"11111111-2222-4333-8444-555555555555"},"#,
        r#""spec":{"progressDeadlineSeconds":600,"replicas":1,"revisionHistoryLimit":10,"selector":{"matchLabels":{"app":"web"}},"strategy":{"rollingUpdate":{"maxSurge":"25%","maxUnavailable":"25%"},"type":"RollingUpdate"},"#,
        r#""template":{"metadata":{"labels":{"app":"web"}},"spec":{"containers":[{"image":"nginx:1.14.2","imagePullPolicy":"IfNotPresent","name":"nginx","ports":[{"containerPort":80,"protocol":"TCP"}],"resources":{},"terminationMessagePath":"/dev/termination-log","terminationMessagePolicy":"File"}],"#,
        r#""dnsPolicy":"ClusterFirst","restartPolicy":"Always","schedulerName":"default-scheduler","securityContext":{},"terminationGracePeriodSeconds":30}}},"status":{}}"#
    );
    assert_eq!(create(DEPLOYMENT), expected);
}

#[test]
fn generation_counts_changes_of_the_spec() {
    let stored = create(DEPLOYMENT);
    let scaled = update(&stored.replace(r#""replicas":1"#, r#""replicas":3"#), &stored).unwrap();
    assert!(scaled.contains(r#""generation":2"#));
    let labelled = update(
        &stored.replace(
            r#""name":"web","namespace""#,
            r#""labels":{"a":"b"},"name":"web","namespace""#,
        ),
        &stored,
    );
    assert!(labelled.unwrap().contains(r#""generation":1"#));
    let revision = stored.replace(
        r#""name":"web","namespace""#,
        r#""name":"web","annotations":{"deployment.kubernetes.io/revision":"1"},"namespace""#,
    );
    let revision = run(&revision, Some(&stored), Op::Status, &Small::usual()).unwrap();
    assert!(revision.contains(r#""generation":1"#) && revision.contains("revision"));
    let status = stored.replace(r#""status":{}"#, r#""status":{"readyReplicas":0,"replicas":1}"#);
    let status = run(&status, Some(&stored), Op::Status, &Small::usual()).unwrap();
    assert!(status.ends_with(r#""status":{"replicas":1}}"#) && status.contains(r#""generation":1"#));
}

#[test]
fn a_deployment_that_cannot_work_is_refused() {
    let cases = [
        (
            DEPLOYMENT.replace(r#"{"labels":{"app":"web"}}"#, r#"{"labels":{"app":"other"}}"#),
            r#"Deployment.apps "web" is invalid: spec.template.metadata.labels: Invalid value: {"app":"other"}: `selector` does not match template `labels`"#,
        ),
        (
            DEPLOYMENT.replace(r#""spec":{"selector""#, r#""spec":{"replicas":-1,"selector""#),
            r#"Deployment.apps "web" is invalid: spec.replicas: Invalid value: -1: must be greater than or equal to 0"#,
        ),
        (
            DEPLOYMENT.replace(r#"{"containers""#, r#"{"restartPolicy":"Never","containers""#),
            r#"Deployment.apps "web" is invalid: spec.template.spec.restartPolicy: Unsupported value: "Never": supported values: "Always""#,
        ),
        (
            DEPLOYMENT.replace(
                r#""spec":{"selector""#,
                r#""spec":{"strategy":{"rollingUpdate":{"maxSurge":0,"maxUnavailable":0}},"selector""#,
            ),
            r#"Deployment.apps "web" is invalid: spec.strategy.rollingUpdate.maxUnavailable: Invalid value: 0: may not be 0 when `maxSurge` is 0"#,
        ),
    ];
    for (body, message) in cases {
        assert_eq!(refused(&body), message);
    }
    let stored = create(DEPLOYMENT);
    let moved = update(&stored.replace(r#""app":"web""#, r#""app":"new""#), &stored).unwrap_err();
    assert_eq!(
        moved,
        r#"Deployment.apps "web" is invalid: spec.selector: Invalid value: {"matchLabels":{"app":"new"}}: field is immutable"#
    );
}

#[test]
fn a_replica_set_is_filled_and_keeps_its_selector() {
    let body = DEPLOYMENT.replace("Deployment", "ReplicaSet");
    let stored = create(&body);
    assert!(
        stored.contains(r#""spec":{"replicas":1,"selector""#)
            && stored.ends_with(r#""status":{"replicas":0}}"#)
    );
    let moved = update(&stored.replace(r#""app":"web""#, r#""app":"new""#), &stored).unwrap_err();
    assert_eq!(
        moved,
        r#"ReplicaSet.apps "web" is invalid: spec.selector: Invalid value: {"matchLabels":{"app":"new"}}: field is immutable"#
    );
}
