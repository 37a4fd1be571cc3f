use super::*;

#[test]
fn names_and_metadata_are_checked() {
    let map =
        |metadata: &str| format!(r#"{{"apiVersion":"v1","kind":"ConfigMap","metadata":{{{metadata}}}}}"#);
    let cases = [
        (
            r#""name":"""#,
            r#"ConfigMap "" is invalid: metadata.name: Required value: name or generateName is required"#,
        ),
        (
            r#""name":"a","labels":{"x/y/z":"1"}"#,
            r#"ConfigMap "a" is invalid: metadata.labels: Invalid value: "x/y/z": a qualified name must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]') with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"#,
        ),
        (
            r#""name":"a","finalizers":["mine"]"#,
            r#"ConfigMap "a" is invalid: metadata.finalizers[0]: Invalid value: "mine": name is neither a standard finalizer name nor is it fully qualified"#,
        ),
        (
            r#""name":"a","ownerReferences":[{"apiVersion":"v1","kind":"Pod","name":"","uid":"1"}]"#,
            r#"ConfigMap "a" is invalid: metadata.ownerReferences.name: Invalid value: "": name must not be empty"#,
        ),
        (
            r#""name":"a","namespace":"other""#,
            r#"the namespace of the provided object does not match the namespace sent on the request: "other" != "ns""#,
        ),
    ];
    for (metadata, message) in cases {
        assert_eq!(refused(&map(metadata)), message);
    }
    let stored = create(&map(r#""name":"a""#));
    let uid = update(&stored.replace(UID, "other"), &stored).unwrap_err();
    assert_eq!(
        uid,
        format!(
            r#"Operation cannot be fulfilled on configmaps "a": Precondition failed: UID in precondition: other, UID in object meta: {UID}"#
        )
    );
    let wrong = refused(r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a"},"data":{"a":1}}"#);
    assert!(
        wrong.starts_with(r#"ConfigMap in version "v1" cannot be handled as a ConfigMap: "#),
        "{wrong}"
    );
}

#[test]
fn an_immutable_map_stays() {
    let body =
        r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"c"},"immutable":true,"data":{"a":"1"}}"#;
    let stored = create(body);
    let changed = update(&stored.replace(r#""a":"1""#, r#""a":"2""#), &stored).unwrap_err();
    assert_eq!(
        changed,
        r#"ConfigMap "c" is invalid: data: Forbidden: field is immutable when `immutable` is set"#
    );
}

#[test]
fn secrets_take_text_and_check_their_type() {
    let body = r#"{"apiVersion":"v1","kind":"Secret","metadata":{"name":"s"},"stringData":{"a":"1"}}"#;
    assert!(create(body).starts_with(r#"{"apiVersion":"v1","kind":"Secret","data":{"a":"MQ=="},"metadata""#));
    let tls =
        refused(r#"{"apiVersion":"v1","kind":"Secret","metadata":{"name":"s"},"type":"kubernetes.io/tls"}"#);
    assert_eq!(
        tls,
        r#"Secret "s" is invalid: [data[tls.crt]: Required value, data[tls.key]: Required value]"#
    );
    let stored = create(body);
    let typed = update(&stored.replace("Opaque", "mine"), &stored).unwrap_err();
    assert_eq!(
        typed,
        r#"Secret "s" is invalid: type: Invalid value: "mine": field is immutable"#
    );
}

#[test]
fn a_namespace_goes_when_it_is_finalized() {
    let stored = create(r#"{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"n"}}"#);
    assert!(stored.contains(r#""labels":{"kubernetes.io/metadata.name":"n"}"#));
    assert!(stored.ends_with(r#""spec":{"finalizers":["kubernetes"]},"status":{"phase":"Active"}}"#));
    let parse = |text: &str| Object::parse(text.to_owned().into(), 1, &[]).unwrap();
    assert!((row(&stored).lingers)(&parse(&stored)));
    let marked = stored.replace(
        r#""labels""#,
        r#""deletionGracePeriodSeconds":0,"deletionTimestamp":"2026-01-02T03:05:00Z","labels""#,
    );
    let going = run(&marked, Some(&stored), Op::Subresource("delete"), &Small::usual()).unwrap();
    assert!(going.contains("deletionTimestamp") && going.ends_with(r#""status":{"phase":"Terminating"}}"#));
    let done = going.replace(r#"{"finalizers":["kubernetes"]}"#, "{}");
    assert_eq!(update(&done, &going).unwrap(), going, "only /finalize takes them");
    let gone = run(&done, Some(&going), Op::Subresource("finalize"), &Small::usual()).unwrap();
    assert!(gone.contains(r#""spec":{}"#) && !(row(&gone).lingers)(&parse(&gone)));
}

const SERVICE: &str = r#"{"apiVersion":"v1","kind":"Service","metadata":{"name":"web"},"spec":{"selector":{"app":"web"},"ports":[{"port":80}]}}"#;

#[test]
fn a_service_gets_an_address_and_keeps_it() {
    let stored = create(SERVICE);
    assert!(stored.ends_with(r#""spec":{"clusterIP":"10.96.0.1","clusterIPs":["10.96.0.1"],"internalTrafficPolicy":"Cluster","ipFamilies":["IPv4"],"ipFamilyPolicy":"SingleStack","ports":[{"port":80,"protocol":"TCP","targetPort":80}],"selector":{"app":"web"},"sessionAffinity":"None","type":"ClusterIP"},"status":{"loadBalancer":{}}}"#), "{stored}");
    assert_eq!(
        update(SERVICE, &stored).unwrap(),
        stored,
        "a client that leaves the address out keeps it"
    );
    let moved = update(&stored.replace("10.96.0.1", "10.96.0.2"), &stored).unwrap_err();
    assert_eq!(
        moved,
        r#"Service "web" is invalid: spec.clusterIPs[0]: Invalid value: ["10.96.0.2"]: may not change once set"#
    );
    let moved = update(
        &stored.replace(r#""clusterIP":"10.96.0.1""#, r#""clusterIP":"10.96.0.2""#),
        &stored,
    )
    .unwrap_err();
    assert_eq!(
        moved,
        r#"Service "web" is invalid: spec.clusterIPs[0]: Invalid value: ["10.96.0.2"]: may not change once set"#
    );
    let headless = create(&SERVICE.replace(r#""spec":{"#, r#""spec":{"clusterIP":"None","#));
    assert!(headless.contains(r#""clusterIP":"None","clusterIPs":["None"]"#));
    let numbered = create(&SERVICE.replace(r#""spec":{"#, r#""spec":{"type":"NodePort","#));
    assert!(
        numbered.contains(r#""externalTrafficPolicy":"Cluster""#) && numbered.contains(r#""nodePort":30002"#)
    );
    let name = create(
        r#"{"apiVersion":"v1","kind":"Service","metadata":{"name":"x"},"spec":{"type":"ExternalName","externalName":"example.com"}}"#,
    );
    assert!(!name.contains("clusterIP"), "{name}");
}

#[test]
fn a_service_that_changes_its_type_gives_back_its_ports() {
    let stored = create(&SERVICE.replace(r#""spec":{"#, r#""spec":{"type":"LoadBalancer","#));
    assert!(stored.contains(r#""allocateLoadBalancerNodePorts":true"#));
    let inside = update(
        &stored.replace(r#""type":"LoadBalancer""#, r#""type":"ClusterIP""#),
        &stored,
    )
    .unwrap();
    for word in ["nodePort", "externalTrafficPolicy", "allocateLoadBalancer"] {
        assert!(!inside.contains(word), "{word} is in {inside}");
    }
    assert!(inside.contains(r#""clusterIP":"10.96.0.1""#));
}

#[test]
fn a_service_that_cannot_work_is_refused() {
    let cases = [
        (
            SERVICE.replace(r#"{"port":80}"#, ""),
            r#"Service "web" is invalid: spec.ports: Required value"#,
        ),
        (
            SERVICE.replace(r#"{"port":80}"#, r#"{"port":80},{"port":81}"#),
            r#"Service "web" is invalid: [spec.ports[0].name: Required value, spec.ports[1].name: Required value]"#,
        ),
        (
            SERVICE.replace(r#""port":80"#, r#""port":80,"nodePort":30000"#),
            r#"Service "web" is invalid: spec.ports[0].nodePort: Forbidden: may not be used when `type` is 'ClusterIP'"#,
        ),
        (
            SERVICE.replace(r#""spec":{"#, r#""spec":{"clusterIP":"10.96.0.99","#),
            r#"Service "web" is invalid: spec.clusterIPs: Invalid value: ["10.96.0.99"]: failed to allocate IP 10.96.0.99: provided IP is already allocated"#,
        ),
        (
            SERVICE.replace(r#""spec":{"#, r#""spec":{"type":"Other","#),
            r#"Service "web" is invalid: spec.type: Unsupported value: "Other": supported values: "ClusterIP", "ExternalName", "LoadBalancer", "NodePort""#,
        ),
    ];
    for (body, message) in cases {
        assert_eq!(refused(&body), message);
    }
}

#[test]
fn a_binding_keeps_its_role() {
    let body = r#"{"apiVersion":"rbac.authorization.k8s.io/v1","kind":"ClusterRoleBinding","metadata":{"name":"b:c"},"roleRef":{"kind":"ClusterRole","name":"view"},"subjects":[{"kind":"Group","name":"g"}]}"#;
    let stored = create(body);
    assert!(
        stored.contains(r#""subjects":[{"apiGroup":"rbac.authorization.k8s.io","kind":"Group","name":"g"}]"#)
    );
    let moved = update(&stored.replace("view", "edit"), &stored).unwrap_err();
    assert_eq!(
        moved,
        r#"ClusterRoleBinding.rbac.authorization.k8s.io "b:c" is invalid: roleRef: Invalid value: {"apiGroup":"rbac.authorization.k8s.io","kind":"ClusterRole","name":"edit"}: cannot change roleRef"#
    );
    let rule = refused(
        r#"{"apiVersion":"rbac.authorization.k8s.io/v1","kind":"Role","metadata":{"name":"r"},"rules":[{"verbs":[],"apiGroups":[""],"resources":["pods"]}]}"#,
    );
    assert_eq!(
        rule,
        r#"Role.rbac.authorization.k8s.io "r" is invalid: rules[0].verbs: Required value: verbs must contain at least one value"#
    );
}

#[test]
fn a_node_registers_not_ready_and_keeps_its_range() {
    let stored = create(
        r#"{"apiVersion":"v1","kind":"Node","metadata":{"name":"n1"},"spec":{"podCIDR":"10.244.0.0/24","podCIDRs":["10.244.0.0/24"]},"status":{"capacity":{"cpu":"2"}}}"#,
    );
    assert!(stored.contains(r#""taints":[{"effect":"NoSchedule","key":"node.kubernetes.io/not-ready"}]"#));
    assert!(stored.contains(r#""allocatable":{"cpu":"2"}"#));
    let moved = update(&stored.replace("10.244.0.0", "10.244.1.0"), &stored).unwrap_err();
    assert_eq!(
        moved,
        r#"Node "n1" is invalid: spec.podCIDRs: Forbidden: node updates may not change podCIDR except from "" to valid"#
    );
}

#[test]
fn one_class_is_the_default() {
    let body = r#"{"apiVersion":"scheduling.k8s.io/v1","kind":"PriorityClass","metadata":{"name":"a"},"globalDefault":true,"value":7}"#;
    let cluster = Small::usual().with("priorityclasses", &body.replace(r#""a""#, r#""b""#));
    let second = run(body, None, Op::Create, &cluster).unwrap_err();
    assert_eq!(
        second.message,
        r#"priorityclasses.scheduling.k8s.io "a" is forbidden: PriorityClass b is already marked as default. Only one default can exist"#
    );
    let high = refused(&body.replace('7', "2000000000"));
    assert_eq!(
        high,
        r#"PriorityClass.scheduling.k8s.io "a" is invalid: value: Forbidden: maximum allowed value of a user defined priority is 1000000000"#
    );
}

#[test]
fn a_limit_range_fills_its_defaults() {
    let body = r#"{"apiVersion":"v1","kind":"LimitRange","metadata":{"name":"mem"},"spec":{"limits":[{"type":"Container","max":{"memory":"1Gi"},"min":{"memory":"500Mi"}}]}}"#;
    let stored = create(body);
    assert!(
        stored.contains(r#""default":{"memory":"1Gi"},"defaultRequest":{"memory":"1Gi"}"#),
        "{stored}"
    );
    let upside = refused(&body.replace("500Mi", "2Gi"));
    assert!(
        upside.contains(
            r#"spec.limits[0].min[memory]: Invalid value: "2Gi": min value 2Gi is greater than max value 1Gi"#
        ),
        "{upside}"
    );
}

#[test]
fn a_quota_is_shown_and_checked() {
    let body = r#"{"apiVersion":"v1","kind":"ResourceQuota","metadata":{"name":"q"},"spec":{"hard":{"pods":"4","limits.cpu":"2"}}}"#;
    let stored = create(body);
    let counted = stored.replace(
        r#""status":{}"#,
        r#""status":{"hard":{"limits.cpu":"2","pods":"4"},"used":{"limits.cpu":"500m","pods":"1"}}"#,
    );
    assert_eq!(line(&counted), "q|pods: 1/4|limits.cpu: 500m/2|60s");
    let unknown = refused(&body.replace("pods", "podz"));
    assert_eq!(
        unknown,
        r#"ResourceQuota "q" is invalid: spec.hard[podz]: Invalid value: "podz": must be a standard resource for quota"#
    );
    let half = refused(&body.replace(r#""4""#, r#""500m""#));
    assert!(
        half.ends_with(r#"spec.hard[pods]: Invalid value: "500m": must be an integer"#),
        "{half}"
    );
}

#[test]
fn a_pod_template_and_a_runtime_class_are_kept() {
    let template = create(
        r#"{"apiVersion":"v1","kind":"PodTemplate","metadata":{"name":"t"},"template":{"metadata":{"labels":{"a":"b"}},"spec":{"containers":[{"name":"c","image":"i"}]}}}"#,
    );
    assert!(template.contains(r#""restartPolicy":"Always""#) && template.contains(r#""generation":1"#));
    assert_eq!(line(&template), "t|c|i|a=b");
    let class = create(
        r#"{"apiVersion":"node.k8s.io/v1","kind":"RuntimeClass","metadata":{"name":"gvisor"},"handler":"runsc"}"#,
    );
    assert_eq!(line(&class), "gvisor|runsc|60s");
    assert_eq!(
        update(&class.replace("runsc", "kata"), &class).unwrap_err(),
        r#"RuntimeClass.node.k8s.io "gvisor" is invalid: handler: Invalid value: "kata": field is immutable"#
    );
}
