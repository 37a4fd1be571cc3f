use super::*;

const MINIMAL: &str = r#"{"apiVersion":"v1","kind":"Pod","metadata":{"name":"web"},"spec":{"containers":[{"name":"c","image":"nginx"}]}}"#;

/// A pod with `more` in its spec beside one container.
fn with(more: &str) -> String {
    MINIMAL.replace(r#""spec":{"#, &format!(r#""spec":{{{more},"#))
}

/// A pod whose container has `more`.
fn with_container(more: &str) -> String {
    MINIMAL.replace(r#""image":"nginx""#, &format!(r#""image":"nginx",{more}"#))
}

#[test]
fn a_minimal_pod_is_filled_as_upstream_fills_it() {
    let stored = create(MINIMAL);
    let expected = concat!(
        r#"{"apiVersion":"v1","kind":"Pod","metadata":{"creationTimestamp":"2026-01-02T03:04:05Z","generation":1,"name":"web","namespace":"ns","uid":"11111111-2222-4333-8444-555555555555"},"#,
        r#""spec":{"containers":[{"image":"nginx","imagePullPolicy":"Always","name":"c","resources":{},"terminationMessagePath":"/dev/termination-log","terminationMessagePolicy":"File","#,
        r#""volumeMounts":[{"mountPath":"/var/run/secrets/kubernetes.io/serviceaccount","name":"kube-api-access-NNNNN","readOnly":true}]}],"#,
        r#""dnsPolicy":"ClusterFirst","enableServiceLinks":true,"preemptionPolicy":"PreemptLowerPriority","priority":0,"restartPolicy":"Always","schedulerName":"default-scheduler","securityContext":{},"serviceAccount":"default","serviceAccountName":"default","terminationGracePeriodSeconds":30,"#,
        r#""tolerations":[{"effect":"NoExecute","key":"node.kubernetes.io/not-ready","operator":"Exists","tolerationSeconds":300},{"effect":"NoExecute","key":"node.kubernetes.io/unreachable","operator":"Exists","tolerationSeconds":300}],"#,
        r#""volumes":[{"name":"kube-api-access-NNNNN","projected":{"defaultMode":420,"sources":[{"serviceAccountToken":{"expirationSeconds":3607,"path":"token"}},{"configMap":{"items":[{"key":"ca.crt","path":"ca.crt"}],"name":"kube-root-ca.crt"}},{"downwardAPI":{"items":[{"fieldRef":{"apiVersion":"v1","fieldPath":"metadata.namespace"},"path":"namespace"}]}}]}}]},"#,
        r#""status":{"phase":"Pending","qosClass":"BestEffort"}}"#
    );
    let at = stored.find("kube-api-access-").unwrap() + "kube-api-access-".len();
    assert_eq!(stored.replace(&stored[at..at + 5], "NNNNN"), expected);
}

#[test]
fn defaults_follow_what_is_given() {
    let stored = create(&with_container(
        r#""ports":[{"containerPort":80}],"resources":{"limits":{"cpu":"1000m","memory":"0.5Gi"}},"env":[{"name":"A","value":""},{"name":"IP","valueFrom":{"fieldRef":{"fieldPath":"status.podIP"}}}],"readinessProbe":{"httpGet":{"port":80}},"tty":false"#,
    ));
    for part in [
        r#""ports":[{"containerPort":80,"protocol":"TCP"}]"#,
        r#""resources":{"limits":{"cpu":"1","memory":"512Mi"},"requests":{"cpu":"1","memory":"512Mi"}}"#,
        r#""env":[{"name":"A"},{"name":"IP","valueFrom":{"fieldRef":{"apiVersion":"v1","fieldPath":"status.podIP"}}}]"#,
        r#""readinessProbe":{"failureThreshold":3,"httpGet":{"path":"/","port":80,"scheme":"HTTP"},"periodSeconds":10,"successThreshold":1,"timeoutSeconds":1}"#,
        r#""qosClass":"Guaranteed""#,
    ] {
        assert!(stored.contains(part), "{part} is not in {stored}");
    }
    let images = [
        ("a:1", "IfNotPresent"),
        ("a:latest", "Always"),
        ("r:5000/a", "Always"),
        ("a@sha256:0", "IfNotPresent"),
    ];
    for (image, policy) in images {
        let stored = create(&MINIMAL.replace("nginx", image));
        assert!(
            stored.contains(&format!(r#""imagePullPolicy":"{policy}""#)),
            "{image}"
        );
    }
    let stored = create(&with(
        r#""hostNetwork":true,"volumes":[{"name":"v"},{"name":"s","secret":{"secretName":"x"}}]"#,
    ));
    assert!(stored.contains(
        r#"{"emptyDir":{},"name":"v"},{"name":"s","secret":{"defaultMode":420,"secretName":"x"}}"#
    ));
}

#[test]
fn what_is_wrong_is_said_in_upstreams_words() {
    let subdomain = r"a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
    let cases = [
        (MINIMAL.replace("web", "Web"), format!(r#"Pod "Web" is invalid: metadata.name: Invalid value: "Web": {subdomain}"#)),
        (
            MINIMAL.replace(r#"{"name":"c","image":"nginx"}"#, ""),
            r#"Pod "web" is invalid: spec.containers: Required value"#.to_owned(),
        ),
        (MINIMAL.replace("nginx", ""), r#"Pod "web" is invalid: spec.containers[0].image: Required value"#.to_owned()),
        (
            with_container(r#""volumeMounts":[{"name":"v","mountPath":"/v"}]"#),
            r#"Pod "web" is invalid: spec.containers[0].volumeMounts[0].name: Not found: "v""#.to_owned(),
        ),
        (
            with_container(r#""resources":{"requests":{"cpu":"2"},"limits":{"cpu":"1"}}"#),
            r#"Pod "web" is invalid: spec.containers[0].resources.requests: Invalid value: "2": must be less than or equal to cpu limit of 1"#.to_owned(),
        ),
        (
            with_container(r#""resources":{"requests":{"cpu":"1x"}}"#),
            r#"Pod in version "v1" cannot be handled as a Pod: quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"#.to_owned(),
        ),
        (
            with_container(r#""ports":[{"containerPort":70000}]"#),
            r#"Pod "web" is invalid: spec.containers[0].ports[0].containerPort: Invalid value: 70000: must be between 1 and 65535, inclusive"#.to_owned(),
        ),
        (
            with_container(r#""livenessProbe":{}"#),
            r#"Pod "web" is invalid: spec.containers[0].livenessProbe: Required value: must specify a handler type"#.to_owned(),
        ),
        (
            MINIMAL.replace(r#"{"name":"c","image":"nginx"}"#, r#"{"name":"c","image":"a:1"},{"name":"c","image":"a:1"}"#),
            r#"Pod "web" is invalid: spec.containers[1].name: Duplicate value: "c""#.to_owned(),
        ),
        (
            with_container(r#""env":[{"name":"A","valueFrom":{"fieldRef":{"fieldPath":"spec.colour"}}}]"#),
            r#"Pod "web" is invalid: spec.containers[0].env[0].valueFrom.fieldRef.fieldPath: Invalid value: "spec.colour": error converting fieldPath: field label not supported: spec.colour"#.to_owned(),
        ),
        (
            with_container(r#""envFrom":[{"configMapRef":{"name":""}}]"#),
            r#"Pod "web" is invalid: spec.containers[0].envFrom[0].configMapRef.name: Required value"#.to_owned(),
        ),
        (
            with(r#""dnsPolicy":"None""#),
            r#"Pod "web" is invalid: spec.dnsConfig: Required value: must provide `dnsConfig` when `dnsPolicy` is None"#.to_owned(),
        ),
        (
            with(r#""volumes":[{"name":"v","emptyDir":{},"secret":{"secretName":"s"}}]"#),
            r#"Pod "web" is invalid: spec.volumes[0].secret: Forbidden: may not specify more than 1 volume type"#.to_owned(),
        ),
        (
            with(r#""tolerations":[{"operator":"Exists","value":"x"}]"#),
            r#"Pod "web" is invalid: spec.tolerations[0].operator: Invalid value: "x": value must be empty when `operator` is 'Exists'"#.to_owned(),
        ),
        (
            with(r#""restartPolicy":"Sometimes""#),
            r#"Pod "web" is invalid: spec.restartPolicy: Unsupported value: "Sometimes": supported values: "Always", "OnFailure", "Never""#.to_owned(),
        ),
        (
            with(r#""serviceAccountName":"robot""#),
            r#"pods "web" is forbidden: error looking up service account ns/robot: serviceaccount "robot" not found"#.to_owned(),
        ),
        (
            with(r#""priorityClassName":"vip""#),
            r#"pods "web" is forbidden: no PriorityClass with name vip was found"#.to_owned(),
        ),
        (
            with(r#""priority":7"#),
            r#"pods "web" is forbidden: the integer value of priority (7) must not be provided in pod spec; priority admission controller computed 0 from the given PriorityClass name"#.to_owned(),
        ),
    ];
    for (body, message) in cases {
        assert_eq!(refused(&body), message);
    }
}

#[test]
fn only_little_may_change() {
    let stored = create(MINIMAL);
    let image = update(&stored.replace(r#""nginx""#, r#""nginx:1""#), &stored).unwrap();
    assert!(image.contains(r#""image":"nginx:1""#) && image.contains(r#""generation":2"#));
    let message = update(
        &stored.replace(r#""dnsPolicy":"ClusterFirst""#, r#""dnsPolicy":"Default""#),
        &stored,
    );
    let message = message.unwrap_err();
    assert!(
        message.ends_with(
            "- dnsPolicy: \"ClusterFirst\"
+ dnsPolicy: \"Default\""
        ),
        "{message}"
    );
    assert!(message.starts_with(r#"Pod "web" is invalid: spec: Forbidden: pod updates may not change fields other than `spec.containers[*].image`,"#), "{message}");
    // The status is not written through the object, nor the spec through the status.
    let ready = stored.replace(r#""phase":"Pending""#, r#""phase":"Running""#);
    assert_eq!(update(&ready, &stored).unwrap(), stored);
    let both = ready.replace(r#""nginx""#, r#""nginx:1""#);
    assert_eq!(
        run(&both, Some(&stored), Op::Status, &Small::usual()).unwrap(),
        ready
    );
}

#[test]
fn what_has_ended_does_not_run_again() {
    let stored = create(&with(r#""restartPolicy":"Never""#));
    let status = |state: &str| {
        let statuses = format!(
            r#""containerStatuses":[{{"image":"nginx","imageID":"","name":"c","ready":false,"restartCount":0,"state":{{{state}}}}}],"phase":"Pending""#
        );
        stored.replace(r#""phase":"Pending""#, &statuses)
    };
    let ended = status(r#""terminated":{"exitCode":1}"#);
    assert_eq!(
        run(&ended, Some(&stored), Op::Status, &Small::usual()).unwrap(),
        ended
    );
    let again = run(
        &status(r#""running":{}"#),
        Some(&ended),
        Op::Status,
        &Small::usual(),
    )
    .unwrap_err();
    assert_eq!(
        again.message,
        r#"Pod "web" is invalid: status.containerStatuses[0].state: Forbidden: may not be transitioned to non-terminated state"#
    );
}

#[test]
fn the_addresses_of_a_pod_are_addresses() {
    let stored = create(&with(r#""restartPolicy":"Never""#));
    let told = |status: &str| {
        let body = stored.replace(r#""phase":"Pending""#, status);
        run(&body, Some(&stored), Op::Status, &Small::usual()).map_err(|status| status.message)
    };
    let one = told(r#""phase":"Running","podIP":"10.0.0.1""#).unwrap();
    assert!(
        one.contains(r#""podIP":"10.0.0.1","podIPs":[{"ip":"10.0.0.1"}]"#),
        "{one}"
    );
    let newer =
        told(r#""phase":"Running","podIP":"10.0.0.2","podIPs":[{"ip":"10.0.0.1"},{"ip":"10.0.0.2"}]"#);
    assert!(newer.unwrap().contains(r#""podIPs":[{"ip":"10.0.0.2"}]"#));
    for (status, why) in [
        (
            r#""podIP":"evil.example/a@b""#,
            "status.podIPs[0]: Invalid value: \"evil.example/a@b\": must be a valid IP address",
        ),
        (
            r#""podIPs":[{"ip":"10.0.0.1"},{"ip":"10.0.0.2"}]"#,
            "may specify no more than one IP for each IP family",
        ),
        (
            r#""podIPs":[{"ip":"10.0.0.1"},{"ip":"10.0.0.1"}]"#,
            "status.podIPs[1]: Duplicate value",
        ),
    ] {
        let said = told(status).unwrap_err();
        assert!(said.contains(why), "{said}");
    }
}

#[test]
fn priority_comes_from_the_class() {
    let class = |name: &str, default: bool, value: i32| {
        format!(
            r#"{{"apiVersion":"scheduling.k8s.io/v1","kind":"PriorityClass","metadata":{{"name":"{name}"}},"globalDefault":{default},"value":{value},"preemptionPolicy":"Never"}}"#
        )
    };
    let cluster = || {
        let cluster = Small::usual().with("priorityclasses", &class("vip", false, 1000));
        cluster.with("priorityclasses", &class("usual", true, 10))
    };
    let vip = run(
        &with(r#""priorityClassName":"vip""#),
        None,
        Op::Create,
        &cluster(),
    )
    .unwrap();
    assert!(vip.contains(r#""preemptionPolicy":"Never","priority":1000,"priorityClassName":"vip""#));
    let usual = run(MINIMAL, None, Op::Create, &cluster()).unwrap();
    assert!(usual.contains(r#""priority":10,"priorityClassName":"usual""#));
}

#[test]
fn a_pod_is_bound_once() {
    let stored = create(MINIMAL);
    let pod = |text: &str| Object::parse(text.to_owned().into(), 1, row(MINIMAL).fields).unwrap();
    let binding = br#"{"apiVersion":"v1","kind":"Binding","metadata":{"name":"web"},"target":{"kind":"Node","name":"n1"}}"#;
    let bound = crate::bind(&pod(&stored), binding, now()).unwrap();
    let bound = String::from_utf8(bound.to_vec()).unwrap();
    assert!(bound.contains(r#""nodeName":"n1""#));
    assert!(bound.contains(r#""conditions":[{"lastTransitionTime":"2026-01-02T03:04:05Z","observedGeneration":1,"status":"True","type":"PodScheduled"}]"#));
    let again = crate::bind(&pod(&bound), binding, now()).unwrap_err();
    assert_eq!(
        (again.code, again.message.as_str()),
        (
            409,
            r#"Operation cannot be fulfilled on pods/binding "web": pod web is already assigned to node "n1""#
        )
    );
    let nowhere = br#"{"apiVersion":"v1","kind":"Binding","metadata":{"name":"web"},"target":{}}"#;
    let refused = crate::bind(&pod(&stored), nowhere, now()).unwrap_err();
    assert_eq!(
        refused.message,
        r#"Binding "web" is invalid: target.name: Required value"#
    );
}

#[test]
fn rules_for_running_again_are_checked() {
    let with = |fields: &str| with_container(fields);
    let rule = |action: &str, operator: &str, values: usize| {
        let values = vec!["42"; values].join(",");
        format!(r#"{{"action":"{action}","exitCodes":{{"operator":"{operator}","values":[{values}]}}}}"#)
    };
    let rules = |rules: &str| {
        with(&format!(
            r#""restartPolicy":"Never","restartPolicyRules":[{rules}]"#
        ))
    };
    let good = rule("Restart", "In", 255);
    create(&rules(&format!(
        "{good},{}",
        rule("RestartAllContainers", "NotIn", 1)
    )));
    let at = "spec.containers[0].restartPolicyRules";
    for (body, why) in [
        (
            with(&format!(r#""restartPolicyRules":[{good}]"#)),
            "spec.containers[0].restartPolicy: Required value: must specify restartPolicy when restart rules are used".to_owned(),
        ),
        (
            rules(&good).replace("Never\",\"restartPolicyRules", "Sometimes\",\"restartPolicyRules"),
            r#"spec.containers[0].restartPolicy: Unsupported value: "Sometimes": supported values: "Always", "OnFailure", "Never""#.to_owned(),
        ),
        (
            rules(&vec![good.as_str(); 21].join(",")),
            format!("{at}: Too many: 21: must have at most 20 items"),
        ),
        (
            rules(&rule("Stop", "In", 1)),
            format!(r#"{at}[0].action: Unsupported value: "Stop": supported values: "Restart", "RestartAllContainers""#),
        ),
        (
            rules(r#"{"action":"Restart"}"#),
            format!("{at}[0].exitCodes: Required value: must be specified"),
        ),
        (
            rules(&rule("Restart", "Above", 1)),
            format!(r#"{at}[0].exitCodes.operator: Unsupported value: "Above": supported values: "In", "NotIn""#),
        ),
        (
            rules(&rule("Restart", "In", 256)),
            format!("{at}[0].exitCodes.values: Too many: 256: must have at most 255 items"),
        ),
    ] {
        let said = refused(&body);
        assert!(said.ends_with(&why), "{said}\n{why}");
    }
    let init = |policy: &str| {
        let init = format!(
            r#""initContainers":[{{"name":"i","image":"i","restartPolicy":"{policy}"}}],"containers""#
        );
        with(r#""stdin":true"#).replace(r#""containers""#, &init)
    };
    for policy in ["Always", "OnFailure", "Never"] {
        create(&init(policy));
    }
    assert!(refused(&init("Sometimes")).contains("spec.initContainers[0].restartPolicy: Unsupported value"));
}

#[test]
fn what_is_hardly_meant_is_warned_of() {
    let body = with_container(r#""env":[{"name":"A"},{"name":"A"}]"#);
    let warnings = write(&body, None, Op::Create, &Small::usual()).unwrap().warnings;
    let expected = r#"spec.containers[0].env[1]: hides previous definition of "A", which may be dropped when using apply"#;
    assert_eq!(warnings, [expected]);
}

#[test]
fn only_pods_that_run_linger() {
    let row = row(MINIMAL);
    let pod = |text: &str| Object::parse(text.to_owned().into(), 1, row.fields).unwrap();
    let stored = create(MINIMAL);
    let bound = stored.replace(r#""preemptionPolicy""#, r#""nodeName":"n1","preemptionPolicy""#);
    assert_eq!((row.grace)(&pod(&stored), None), None);
    assert_eq!((row.grace)(&pod(&bound), None), Some(30));
    assert_eq!((row.grace)(&pod(&bound), Some(5)), Some(5));
    assert_eq!((row.grace)(&pod(&bound), Some(0)), None);
    assert_eq!((row.grace)(&pod(&bound.replace("Pending", "Failed")), None), None);
}

const RUNNING: &str = r#"{"apiVersion":"v1","kind":"Pod","metadata":{"name":"web"},"spec":{"containers":[{"name":"c","image":"i:1","resources":{"requests":{"cpu":"100m"}}}]}}"#;

#[test]
fn ephemeral_containers_are_only_added() {
    let stored = create(RUNNING);
    let sub = |body: &str, old: &str| {
        run(
            body,
            Some(old),
            Op::Subresource("ephemeralcontainers"),
            &Small::usual(),
        )
    };
    let with = |list: &str| {
        stored
            .replace(
                r#""spec":{"#,
                &format!(r#""spec":{{"ephemeralContainers":[{list}],"#),
            )
            .replace("i:1", "i:2")
    };
    let debugger =
        r#"{"name":"debugger","image":"busybox","targetContainerName":"c","stdin":true,"tty":true}"#;
    let added = sub(&with(debugger), &stored).unwrap();
    assert!(
        added.contains(
            r#""ephemeralContainers":[{"image":"busybox","imagePullPolicy":"Always","name":"debugger""#
        ),
        "{added}"
    );
    assert!(
        added.contains("i:1") && added.contains(r#""generation":2"#),
        "nothing else is taken: {added}"
    );
    let cases = [
        (
            debugger.replace(r#""c""#, r#""x""#),
            r#"spec.ephemeralContainers[0].targetContainerName: Not found: "x""#,
        ),
        (
            debugger.replace("debugger", "c"),
            r#"spec.ephemeralContainers[0].name: Duplicate value: "c""#,
        ),
        (
            debugger.replace(r#""tty":true"#, r#""ports":[{"containerPort":80}]"#),
            "spec.ephemeralContainers[0].ports: Forbidden: cannot be set for an Ephemeral Container",
        ),
    ];
    for (container, words) in cases {
        let message = sub(&with(&container), &stored).unwrap_err().message;
        assert_eq!(message, format!(r#"Pod "web" is invalid: {words}"#));
    }
    let gone = sub(&stored, &added).unwrap_err().message;
    assert!(
        gone.contains(r#"existing ephemeral containers "debugger" may not be removed"#),
        "{gone}"
    );
    assert!(update(&added, &stored).is_err(), "not by a plain update");
}

/// `RUNNING` as a pod that asks for `resources` as a whole.
fn whole(resources: &str) -> String {
    RUNNING.replacen(r#""spec":{"#, &format!(r#""spec":{{"resources":{resources},"#), 1)
}

#[test]
fn what_a_pod_asks_for_as_a_whole_makes_its_class() {
    for (resources, class, requests) in [
        ("{}", "Burstable", ""),
        (
            r#"{"limits":{"cpu":"1","memory":"1Gi"},"requests":{"cpu":"1","memory":"1Gi"}}"#,
            "Guaranteed",
            "",
        ),
        // Requests are those of the containers, or else the limits.
        (
            r#"{"limits":{"cpu":"1","memory":"1Gi"}}"#,
            "Burstable",
            r#""requests":{"cpu":"100m","memory":"1Gi"}"#,
        ),
        (r#"{"requests":{"cpu":"1"}}"#, "Burstable", ""),
        (
            r#"{"requests":{"cpu":"0.1"},"limits":{"cpu":"1"}}"#,
            "Burstable",
            "",
        ),
    ] {
        let made = create(&whole(resources));
        assert!(made.contains(&format!(r#""qosClass":"{class}""#)), "{made}");
        assert!(made.contains(requests), "{made}");
    }
}

#[test]
fn what_a_pod_asks_for_as_a_whole_holds_its_containers() {
    let cases = [
        (
            r#"{"requests":{"cpu":"50m"}}"#,
            r#"spec.resources.requests[cpu]: Invalid value: "50m": must be greater than or equal to aggregate container requests of 100m"#,
        ),
        (
            r#"{"limits":{"cpu":"1"},"requests":{"cpu":"2"}}"#,
            r#"spec.resources.requests: Invalid value: "2": must be less than or equal to cpu limit of 1"#,
        ),
        (
            r#"{"limits":{"ephemeral-storage":"1Gi"}}"#,
            r#"spec.resources.limits[ephemeral-storage]: Unsupported value: "ephemeral-storage": supported values: "cpu", "hugepages-", "memory""#,
        ),
        (
            r#"{"claims":[{"name":"a"}]}"#,
            "spec.resources.claims[0]: Forbidden: may not be set for Resources at pod-level",
        ),
    ];
    for (resources, words) in cases {
        let body = whole(resources);
        let refused = run(&body, None, Op::Create, &Small::usual()).unwrap_err();
        assert!(refused.message.contains(words), "{}", refused.message);
    }
}

#[test]
fn a_pod_that_asks_for_something_as_a_whole_is_not_resized() {
    let (plain, asking) = (create(RUNNING), create(&whole(r#"{"limits":{"cpu":"1"}}"#)));
    for (new, old) in [
        (whole(r#"{"limits":{"cpu":"2"}}"#), &asking),
        (asking.replace("i:1", "i:2").replace("100m", "200m"), &asking),
        (whole(r#"{"limits":{"cpu":"2"}}"#), &plain),
    ] {
        let refused = run(&new, Some(old), Op::Subresource("resize"), &Small::usual()).unwrap_err();
        assert!(
            refused
                .message
                .contains("pods with pod-level resources cannot be resized"),
            "{}",
            refused.message
        );
    }
}

#[test]
fn a_resize_changes_cpu_and_memory_only() {
    let stored = create(RUNNING);
    let resize = |body: &str| run(body, Some(&stored), Op::Subresource("resize"), &Small::usual());
    let more = stored.replace("100m", "200m").replace("i:1", "i:2");
    let resized = resize(&more).unwrap();
    assert!(
        resized.contains("200m") && resized.contains("i:1") && resized.contains(r#""generation":2"#),
        "{resized}"
    );
    let class = resize(&stored.replace(
        r#""requests":{"cpu":"100m"}"#,
        r#""limits":{"cpu":"1","memory":"1Gi"},"requests":{"cpu":"1","memory":"1Gi"}"#,
    ));
    assert!(
        class
            .unwrap_err()
            .message
            .contains("Pod QOS Class may not change as a result of resizing")
    );
    let other = resize(&stored.replace(r#"{"cpu":"100m"}"#, r#"{"cpu":"100m","ephemeral-storage":"1Gi"}"#));
    assert!(
        other
            .unwrap_err()
            .message
            .contains("only cpu and memory resources are mutable")
    );
    assert!(
        update(&stored.replace("100m", "200m"), &stored).is_err(),
        "not by a plain update"
    );
}

#[test]
fn kernel_parameters_have_names() {
    let with = |name: &str| {
        let sysctls =
            format!(r#""spec":{{"securityContext":{{"sysctls":[{{"name":"{name}","value":"1"}}]}},"#);
        RUNNING.replace(r#""spec":{"#, &sysctls)
    };
    create(&with("net.core.somaxconn"));
    let wrong = refused(&with("Net..x"));
    assert!(wrong.starts_with(r#"Pod "web" is invalid: spec.securityContext.sysctls[0].name: Invalid value: "Net..x": must have at most 253 characters"#), "{wrong}");
}

#[test]
fn devices_and_mounts_are_checked() {
    let with = |fields: &str| {
        let fields = format!(r#""volumes":[{{"name":"v"}}],"containers":[{{{fields},"#);
        refused(&RUNNING.replace(r#""containers":[{"#, &fields))
    };
    let cases = [
        (
            r#""volumeMounts":[{"name":"v","mountPath":"/v","mountPropagation":"Bidirectional"}]"#,
            "spec.containers[0].volumeMounts[0].mountPropagation: Forbidden: Bidirectional mount propagation is available only to privileged containers",
        ),
        (
            r#""volumeMounts":[{"name":"v","mountPath":"/v","recursiveReadOnly":"Enabled"}]"#,
            "spec.containers[0].volumeMounts[0].recursiveReadOnly: Forbidden: may only be specified when readOnly is true",
        ),
        (
            r#""volumeDevices":[{"name":"x","devicePath":"/dev/x"}]"#,
            r#"spec.containers[0].volumeDevices[0].name: Not found: "x""#,
        ),
    ];
    for (fields, words) in cases {
        assert_eq!(with(fields), format!(r#"Pod "web" is invalid: {words}"#));
    }
    let gpu = |resources: &str| refused(&RUNNING.replace(r#"{"requests":{"cpu":"100m"}}"#, resources));
    assert_eq!(
        gpu(r#"{"requests":{"example.com/gpu":"1"}}"#),
        r#"Pod "web" is invalid: spec.containers[0].resources.limits: Required value: Limit must be set for non overcommitable resources"#
    );
    assert_eq!(
        gpu(r#"{"limits":{"example.com/gpu":"500m"}}"#),
        r#"Pod "web" is invalid: [spec.containers[0].resources.limits[example.com/gpu]: Invalid value: "500m": must be an integer, spec.containers[0].resources.requests[example.com/gpu]: Invalid value: "500m": must be an integer]"#
    );
}
