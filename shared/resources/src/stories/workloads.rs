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

fn of_kind(kind: &str) -> String {
    DEPLOYMENT.replace("Deployment", kind)
}

#[test]
fn a_daemon_set_counts_its_templates() {
    let stored = create(&of_kind("DaemonSet"));
    assert!(
        stored.contains(r#""annotations":{"deprecated.daemonset.template.generation":"1"}"#),
        "{stored}"
    );
    assert!(stored.contains(
        r#""updateStrategy":{"rollingUpdate":{"maxSurge":0,"maxUnavailable":1},"type":"RollingUpdate"}"#
    ));
    assert!(stored.ends_with(r#""status":{"currentNumberScheduled":0,"desiredNumberScheduled":0,"numberMisscheduled":0,"numberReady":0}}"#), "{stored}");
    assert_eq!(
        line(&stored),
        "web|0|0|0|0|0|<none>|60s|nginx|nginx:1.14.2|app=web"
    );
    let newer = update(&stored.replace("nginx:1.14.2", "nginx:1.16.1"), &stored).unwrap();
    assert!(newer.contains(r#"template.generation":"2""#) && newer.contains(r#""generation":2"#));
    let surge = stored.replace(r#""maxSurge":0"#, r#""maxSurge":1"#);
    assert_eq!(
        update(&surge, &stored).unwrap_err(),
        r#"DaemonSet.apps "web" is invalid: spec.updateStrategy.rollingUpdate.maxSurge: Invalid value: 1: may not be set when maxUnavailable is non-zero"#
    );
    let moved = update(&stored.replace(r#""app":"web""#, r#""app":"new""#), &stored).unwrap_err();
    assert!(
        moved.ends_with(r#"spec.selector: Invalid value: {"matchLabels":{"app":"new"}}: field is immutable"#)
    );
}

const CLAIMS: &str = r#""volumeClaimTemplates":[{"metadata":{"name":"www"},"spec":{"accessModes":["ReadWriteOnce"],"resources":{"requests":{"storage":"1Gi"}}}}],"#;

#[test]
fn a_stateful_set_keeps_all_but_a_few_fields() {
    let body = of_kind("StatefulSet").replace(
        r#""spec":{"selector""#,
        &format!(r#""spec":{{{CLAIMS}"serviceName":"nginx","selector""#),
    );
    let body = body.replace(
        r#""ports":[{"containerPort":80}]"#,
        r#""volumeMounts":[{"name":"www","mountPath":"/srv"}]"#,
    );
    let stored = create(&body);
    assert!(stored.contains(r#""spec":{"persistentVolumeClaimRetentionPolicy":{"whenDeleted":"Retain","whenScaled":"Retain"},"podManagementPolicy":"OrderedReady","replicas":1,"revisionHistoryLimit":10,"#), "{stored}");
    assert!(stored.contains(r#""volumeClaimTemplates":[{"apiVersion":"v1","kind":"PersistentVolumeClaim","metadata":{"name":"www"},"spec":{"accessModes":["ReadWriteOnce"],"resources":{"requests":{"storage":"1Gi"}},"volumeMode":"Filesystem"},"status":{"phase":"Pending"}}]"#), "{stored}");
    assert!(
        stored.ends_with(r#""status":{"availableReplicas":0,"replicas":0}}"#),
        "{stored}"
    );
    assert_eq!(line(&stored), "web|0/1|60s|nginx|nginx:1.14.2");
    assert!(update(&stored.replace(r#""replicas":1"#, r#""replicas":3"#), &stored).is_ok());
    let message = "StatefulSet.apps \"web\" is invalid: spec: Forbidden: updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden";
    assert_eq!(
        update(
            &stored.replace(r#""storage":"1Gi""#, r#""storage":"2Gi""#),
            &stored
        )
        .unwrap_err(),
        message
    );
    assert_eq!(
        update(
            &stored.replace(r#""serviceName":"nginx""#, r#""serviceName":"x""#),
            &stored
        )
        .unwrap_err(),
        message
    );
}

#[test]
fn a_replication_controller_takes_the_labels_of_its_template() {
    let body = DEPLOYMENT
        .replace("apps/v1", "v1")
        .replace("Deployment", "ReplicationController")
        .replace(r#""selector":{"matchLabels":{"app":"web"}},"#, "");
    let stored = create(&body);
    assert!(
        stored.contains(r#""labels":{"app":"web"},"name":"web""#),
        "{stored}"
    );
    assert!(stored.contains(r#""spec":{"replicas":1,"selector":{"app":"web"},"template""#));
    assert_eq!(line(&stored), "web|1|0|0|60s|nginx|nginx:1.14.2|app=web");
    let other = refused(&body.replace(
        r#""spec":{"template""#,
        r#""spec":{"selector":{"app":"x"},"template""#,
    ));
    assert_eq!(
        other,
        r#"ReplicationController "web" is invalid: spec.template.metadata.labels: Invalid value: {"app":"web"}: `selector` does not match template `labels`"#
    );
}

#[test]
fn a_revision_keeps_its_data() {
    let body = r#"{"apiVersion":"apps/v1","kind":"ControllerRevision","metadata":{"name":"web-1","ownerReferences":[{"apiVersion":"apps/v1","controller":true,"kind":"StatefulSet","name":"web","uid":"1"}]},"data":{"spec":{"x":1}},"revision":3}"#;
    let stored = create(body);
    assert_eq!(line(&stored), "web-1|statefulset.apps/web|3|60s");
    let changed = update(&stored.replace(r#""x":1"#, r#""x":2"#), &stored).unwrap_err();
    let message = r#"ControllerRevision.apps "web-1" is invalid: data: Invalid value: {"spec":{"x":2}}: field is immutable"#;
    assert_eq!(changed, message);
}

#[test]
fn a_budget_says_one_thing() {
    let body = r#"{"apiVersion":"policy/v1","kind":"PodDisruptionBudget","metadata":{"name":"zk"},"spec":{"minAvailable":"50%","selector":{"matchLabels":{"app":"zk"}}}}"#;
    let stored = create(body);
    assert!(
        stored.ends_with(
            r#""status":{"currentHealthy":0,"desiredHealthy":0,"disruptionsAllowed":0,"expectedPods":0}}"#
        ),
        "{stored}"
    );
    assert_eq!(line(&stored), "zk|50%|N/A|0|60s");
    let both = refused(&body.replace(
        r#""minAvailable":"50%""#,
        r#""minAvailable":1,"maxUnavailable":1"#,
    ));
    assert!(
        both.ends_with("minAvailable and maxUnavailable cannot be both set"),
        "{both}"
    );
    let much = refused(&body.replace("50%", "101%"));
    assert!(
        much.ends_with(r#"spec.minAvailable: Invalid value: "101%": must not be greater than 100%"#),
        "{much}"
    );
}
