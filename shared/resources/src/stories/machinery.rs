use super::*;

const HOOK: &str = r#"{"apiVersion":"admissionregistration.k8s.io/v1","kind":"ValidatingWebhookConfiguration","metadata":{"name":"hooks"},"webhooks":[{"name":"pods.example.com","admissionReviewVersions":["v1"],"sideEffects":"None","clientConfig":{"service":{"name":"hook","namespace":"ns"}},"rules":[{"apiGroups":[""],"apiVersions":["v1"],"operations":["CREATE"],"resources":["pods"]}]}]}"#;

#[test]
fn webhooks_are_filled_and_checked() {
    let stored = create(HOOK);
    assert!(stored.contains(r#""clientConfig":{"service":{"name":"hook","namespace":"ns","port":443}},"failurePolicy":"Fail","matchPolicy":"Equivalent","name":"pods.example.com","namespaceSelector":{},"objectSelector":{},"rules":[{"apiGroups":[""],"apiVersions":["v1"],"operations":["CREATE"],"resources":["pods"],"scope":"*"}],"sideEffects":"None","timeoutSeconds":10}"#), "{stored}");
    assert_eq!(line(&stored), "hooks|1|60s");
    // No path is a path too.
    create(&HOOK.replace(r#""namespace":"ns"}"#, r#""namespace":"ns","path":""}"#));
    let mutating = create(&HOOK.replace("Validating", "Mutating"));
    assert!(mutating.contains(r#""reinvocationPolicy":"Never""#));
    let cases = [
        (
            HOOK.replace("pods.example.com", "pods"),
            r#"webhooks[0].name: Invalid value: "pods": should be a domain with at least three segments separated by dots"#,
        ),
        (
            HOOK.replace(r#""sideEffects":"None""#, r#""sideEffects":"Some""#),
            r#"webhooks[0].sideEffects: Unsupported value: "Some": supported values: "None", "NoneOnDryRun""#,
        ),
        (
            HOOK.replace(
                r#""service":{"name":"hook","namespace":"ns"}"#,
                r#""url":"http://hook""#,
            ),
            r#"webhooks[0].clientConfig.url: Invalid value: "http": 'https' is the only allowed URL scheme; desired format: https://host[/path]"#,
        ),
        (
            HOOK.replace(
                r#""service":{"name":"hook","namespace":"ns"}"#,
                r#""url":"https://me:it@/x?y=z#w""#,
            ),
            r#"[webhooks[0].clientConfig.url: Invalid value: "": host must be provided; desired format: https://host[/path], webhooks[0].clientConfig.url: Invalid value: "me:it": user information is not permitted in the URL, webhooks[0].clientConfig.url: Invalid value: "w": fragments are not permitted in the URL, webhooks[0].clientConfig.url: Invalid value: "y=z": query parameters are not permitted in the URL]"#,
        ),
        (
            HOOK.replace(r#""namespace":"ns"}"#, r#""namespace":"ns","path":"/a//B/"}"#),
            r#"[webhooks[0].clientConfig.service.path: Invalid value: "/a//B/": segment[1] may not be empty, webhooks[0].clientConfig.service.path: Invalid value: "/a//B/": segment[2]: a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')]"#,
        ),
        (
            HOOK.replace(r#"["pods"]"#, r#"["*","pods"]"#),
            r#"webhooks[0].rules[0].resources: Invalid value: ["*","pods"]: if '*' is present, must not specify other resources without subresources"#,
        ),
    ];
    for (body, words) in cases {
        let expected = format!(
            r#"ValidatingWebhookConfiguration.admissionregistration.k8s.io "hooks" is invalid: {words}"#
        );
        assert_eq!(refused(&body), expected);
    }
}

#[test]
fn admission_policies_are_filled_and_checked() {
    let policy = r#"{"apiVersion":"admissionregistration.k8s.io/v1","kind":"ValidatingAdmissionPolicy","metadata":{"name":"p"},"spec":{"paramKind":{"apiVersion":"v1","kind":"ConfigMap"},"matchConstraints":{"resourceRules":[{"apiGroups":["apps"],"apiVersions":["v1"],"operations":["CREATE"],"resources":["deployments"]}]},"validations":[{"expression":"object.spec.replicas <= 5"}]}}"#;
    let stored = create(policy);
    assert!(stored.contains(r#""failurePolicy":"Fail","matchConstraints":{"matchPolicy":"Equivalent","namespaceSelector":{},"objectSelector":{},"#), "{stored}");
    assert_eq!(line(&stored), "p|1|v1/ConfigMap|60s");
    let empty = policy.replace(
        r#"{"expression":"object.spec.replicas <= 5"}"#,
        r#"{"expression":" "}"#,
    );
    assert!(
        refused(&empty)
            .ends_with("spec.validations[0].expression: Required value: expression is not specified")
    );
    let binding = r#"{"apiVersion":"admissionregistration.k8s.io/v1","kind":"ValidatingAdmissionPolicyBinding","metadata":{"name":"b"},"spec":{"policyName":"p","validationActions":["Deny"],"paramRef":{"name":"c"}}}"#;
    let stored = create(binding);
    assert!(stored.contains(r#""parameterNotFoundAction":"Deny""#));
    assert_eq!(line(&stored), "b|p|*/c|60s");
    let loud = refused(&binding.replace(r#"["Deny"]"#, r#"["Deny","Warn"]"#));
    assert!(loud.contains("must not contain both Deny and Warn"), "{loud}");
    let mutating = create(
        r#"{"apiVersion":"admissionregistration.k8s.io/v1","kind":"MutatingAdmissionPolicy","metadata":{"name":"m"},"spec":{"matchConstraints":{"resourceRules":[{"apiGroups":[""],"apiVersions":["v1"],"operations":["CREATE"],"resources":["pods"]}]},"mutations":[{"patchType":"JSONPatch","jsonPatch":{"expression":"[JSONPatch{op: \"remove\", path: \"/spec/nodeName\"}]"}}]}}"#,
    );
    assert_eq!(line(&mutating), "m|1|<unset>|60s");
    let binding = create(
        r#"{"apiVersion":"admissionregistration.k8s.io/v1","kind":"MutatingAdmissionPolicyBinding","metadata":{"name":"b"},"spec":{"policyName":"m"}}"#,
    );
    assert_eq!(line(&binding), "b|m|<unset>|60s");
}

#[test]
fn flow_control_is_filled_and_checked() {
    let level = r#"{"apiVersion":"flowcontrol.apiserver.k8s.io/v1","kind":"PriorityLevelConfiguration","metadata":{"name":"l"},"spec":{"type":"Limited","limited":{"limitResponse":{"type":"Queue","queuing":{}}}}}"#;
    let stored = create(level);
    assert!(stored.contains(r#""limited":{"lendablePercent":0,"limitResponse":{"queuing":{"handSize":8,"queueLengthLimit":50,"queues":64},"type":"Queue"},"nominalConcurrencyShares":30}"#), "{stored}");
    assert_eq!(line(&stored), "l|Limited|30|64|8|50|60s");
    let hand = refused(&level.replace(r#""queuing":{}"#, r#""queuing":{"handSize":9,"queues":2}"#));
    assert!(hand.ends_with("spec.limited.limitResponse.queuing.handSize: Invalid value: 9: should not be greater than queues (2)"), "{hand}");
    let schema = r#"{"apiVersion":"flowcontrol.apiserver.k8s.io/v1","kind":"FlowSchema","metadata":{"name":"s"},"spec":{"priorityLevelConfiguration":{"name":"l"},"distinguisherMethod":{"type":"ByUser"},"rules":[{"subjects":[{"kind":"Group","group":{"name":"g"}}],"resourceRules":[{"verbs":["*"],"apiGroups":["*"],"resources":["*"],"namespaces":["*"]}]}]}}"#;
    let stored = create(schema);
    assert_eq!(line(&stored), "s|l|1000|ByUser|60s|?");
    let wrong = refused(&schema.replace(r#""group":{"name":"g"}"#, r#""user":{"name":"g"}"#));
    assert!(
        wrong.contains("subjects[0].group: Required value: group is required when subject kind is 'Group'"),
        "{wrong}"
    );
    let rule = r#""verbs":["*"],"apiGroups":["*"],"resources":["*"],"namespaces":["*"]"#;
    for (from, to, why) in [
        (
            rule,
            r#""verbs":["fetch"],"apiGroups":["*"],"resources":["*"],"namespaces":["*"]"#,
            r#"resourceRules[0].verbs: Unsupported value: ["fetch"]: supported values: "create", "delete""#,
        ),
        (
            rule,
            r#""verbs":["*"],"apiGroups":["*"],"resources":["*"],"namespaces":["A"]"#,
            "namespaces[0]: Invalid value: \"A\": each member of this list must be '*' or a DNS-1123 label; ",
        ),
        (
            r#""name":"s""#,
            r#""name":"catch-all""#,
            "must equal the fixed value",
        ),
    ] {
        let told = refused(&schema.replace(from, to));
        assert!(told.contains(why), "{told}");
    }
    let exempt = r#"{"apiVersion":"flowcontrol.apiserver.k8s.io/v1","kind":"PriorityLevelConfiguration","metadata":{"name":"exempt"},"spec":{"type":"Exempt","exempt":{"nominalConcurrencyShares":7,"lendablePercent":101}}}"#;
    let told = refused(exempt);
    assert!(
        told.ends_with(
            "spec.exempt.lendablePercent: Invalid value: 101: must be between 0 and 100, inclusive"
        ),
        "{told}"
    );
    create(&exempt.replace("101", "10"));
    let told = refused(&level.replace(r#""name":"l""#, r#""name":"catch-all""#));
    assert!(
        told.contains("spec of 'catch-all' must equal the fixed value"),
        "{told}"
    );
}

#[test]
fn an_api_service_has_the_name_of_its_version() {
    let body = r#"{"apiVersion":"apiregistration.k8s.io/v1","kind":"APIService","metadata":{"name":"v1beta1.metrics.k8s.io"},"spec":{"group":"metrics.k8s.io","version":"v1beta1","groupPriorityMinimum":100,"versionPriority":100,"insecureSkipTLSVerify":true,"service":{"name":"metrics-server","namespace":"kube-system"}}}"#;
    let stored = create(body);
    assert!(
        stored.contains(r#""port":443"#) && stored.ends_with(r#""status":{}}"#),
        "{stored}"
    );
    assert_eq!(
        line(&stored),
        "v1beta1.metrics.k8s.io|kube-system/metrics-server|Unknown|60s"
    );
    let local = create(&body.replace(
        r#","insecureSkipTLSVerify":true,"service":{"name":"metrics-server","namespace":"kube-system"}"#,
        "",
    ));
    assert_eq!(line(&local), "v1beta1.metrics.k8s.io|Local|True|60s");
    let named = refused(&body.replace(r#""name":"v1beta1.metrics.k8s.io""#, r#""name":"mine""#));
    assert!(named.contains(r#"metadata.name: Invalid value: "mine": must be `spec.version+"."+spec.group`: "v1beta1.metrics.k8s.io""#), "{named}");
}

#[test]
fn devices_are_claimed() {
    let claim = create(
        r#"{"apiVersion":"resource.k8s.io/v1","kind":"ResourceClaim","metadata":{"name":"gpu"},"spec":{"devices":{"requests":[{"name":"one","exactly":{"deviceClassName":"gpu.example.com"}}]}}}"#,
    );
    assert!(
        claim.contains(
            r#""exactly":{"allocationMode":"ExactCount","count":1,"deviceClassName":"gpu.example.com"}"#
        ),
        "{claim}"
    );
    assert_eq!(line(&claim), "gpu|pending|60s");
    let used = claim.replace(
        r#""status":{}"#,
        r#""status":{"allocation":{},"reservedFor":[{"name":"p","resource":"pods","uid":"1"}]}"#,
    );
    assert_eq!(line(&used), "gpu|allocated,reserved|60s");
    let slice = create(
        r#"{"apiVersion":"resource.k8s.io/v1","kind":"ResourceSlice","metadata":{"name":"s"},"spec":{"driver":"gpu.example.com","nodeName":"n1","pool":{"name":"n1","generation":1,"resourceSliceCount":1}}}"#,
    );
    assert_eq!(line(&slice), "s|n1|gpu.example.com|n1|60s");
    let nameless = refused(
        r#"{"apiVersion":"resource.k8s.io/v1","kind":"ResourceClaimTemplate","metadata":{"name":"t"},"spec":{"spec":{"devices":{"requests":[{"name":"one","exactly":{"deviceClassName":""}}]}}}}"#,
    );
    assert!(
        nameless.ends_with("spec.spec.devices.requests[0].exactly.deviceClassName: Required value"),
        "{nameless}"
    );
    let class = create(r#"{"apiVersion":"resource.k8s.io/v1","kind":"DeviceClass","metadata":{"name":"c"}}"#);
    assert_eq!(line(&class), "c|60s");
    let taint = create(
        r#"{"apiVersion":"resource.k8s.io/v1","kind":"DeviceTaintRule","metadata":{"name":"r"},"spec":{"taint":{"key":"broken","effect":"NoExecute"}}}"#,
    );
    assert!(taint.contains(r#""timeAdded":"2026-01-02T03:04:05Z""#), "{taint}");
}

#[test]
fn fields_that_are_not_there_have_values() {
    let selected = |body: &str, path: &str| {
        let row = row(body);
        let object = Object::parse(body.to_owned().into(), 1, row.fields).unwrap();
        row.selected(&object, path).to_owned()
    };
    let node = r#"{"apiVersion":"v1","kind":"Node","metadata":{"name":"n1"},"spec":{}}"#;
    assert_eq!(selected(node, "spec.unschedulable"), "false");
    assert_eq!(
        selected(
            &node.replace("{}", r#"{"unschedulable":true}"#),
            "spec.unschedulable"
        ),
        "true"
    );
    let job = r#"{"apiVersion":"batch/v1","kind":"Job","metadata":{"name":"j"},"status":{"succeeded":3}}"#;
    assert_eq!(selected(job, "status.successful"), "3");
    let event = r#"{"apiVersion":"v1","kind":"Event","metadata":{"name":"e"},"source":{"component":"kubelet"},"reportingComponent":"other"}"#;
    assert_eq!(selected(event, "source"), "kubelet");
    assert_eq!(
        selected(&event.replace(r#""component":"kubelet""#, ""), "source"),
        "other"
    );
    assert_eq!(selected(event, "metadata.name"), "e");
}

#[test]
fn events_of_both_groups_are_selected_by_the_names_of_either() {
    let row = crate::by_kind("", "Event").unwrap();
    for (named, stored) in [
        ("reportingController", "reportingComponent"),
        ("regarding.kind", "involvedObject.kind"),
        ("involvedObject.kind", "involvedObject.kind"),
    ] {
        assert_eq!(row.field_name(named), stored);
        assert!(row.fields.contains(&stored));
    }
}

#[test]
fn migrations_and_trust_bundles_are_checked() {
    let body = r#"{"apiVersion":"storagemigration.k8s.io/v1","kind":"StorageVersionMigration","metadata":{"name":"m"},"spec":{"resource":{"group":"apps","resource":"deployments"}}}"#;
    let stored = create(body);
    assert_eq!(line(&stored), "m|deployments.apps");
    assert!(update(&stored.replace("deployments", "replicasets"), &stored).is_err());
    let bundle = r#"{"apiVersion":"certificates.k8s.io/v1","kind":"ClusterTrustBundle","metadata":{"name":"b"},"spec":{"signerName":"example.com/s","trustBundle":"none"}}"#;
    let wrong = refused(bundle);
    for words in [
        "ClusterTrustBundle for signerName example.com/s must be named with prefix example.com:s:",
        r#"spec.trustBundle: Invalid value: "<value omitted>": at least one trust anchor must be provided"#,
    ] {
        assert!(wrong.contains(words), "{wrong}");
    }
}
