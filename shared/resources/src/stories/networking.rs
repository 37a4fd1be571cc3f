use super::*;

const INGRESS: &str = r#"{"apiVersion":"networking.k8s.io/v1","kind":"Ingress","metadata":{"name":"web"},"spec":{"ingressClassName":"nginx","rules":[{"host":"a.example.com","http":{"paths":[{"path":"/","pathType":"Prefix","backend":{"service":{"name":"web","port":{"number":80}}}}]}}]}}"#;

#[test]
fn an_ingress_is_shown_and_checked() {
    let stored = create(INGRESS);
    assert!(stored.ends_with(r#""status":{"loadBalancer":{}}}"#), "{stored}");
    assert_eq!(line(&stored), "web|nginx|a.example.com||80|60s");
    let served = stored
        .replace(
            r#"{"loadBalancer":{}}"#,
            r#"{"loadBalancer":{"ingress":[{"ip":"10.0.0.2"},{"hostname":"lb"}]}}"#,
        )
        .replace(r#""rules""#, r#""tls":[{"hosts":["a.example.com"]}],"rules""#);
    assert_eq!(line(&served), "web|nginx|a.example.com|10.0.0.2,lb|80, 443|60s");
    let cases = [
        (
            INGRESS.replace(r#""path":"/""#, r#""path":"x//y""#),
            r#"[spec.rules[0].http.paths[0].path: Invalid value: "x//y": must be an absolute path, spec.rules[0].http.paths[0].path: Invalid value: "x//y": must not contain '//']"#,
        ),
        (
            INGRESS.replace("a.example.com", "10.0.0.1"),
            r#"spec.rules[0].host: Invalid value: "10.0.0.1": must be a DNS name, not an IP address"#,
        ),
        (
            INGRESS.replace(r#"{"number":80}"#, "{}"),
            "spec.rules[0].http.paths[0].backend: Required value: port name or number is required",
        ),
        (
            INGRESS.replace(r#""pathType":"Prefix","#, r#""pathType":"","#),
            "spec.rules[0].http.paths[0].pathType: Required value: pathType must be specified",
        ),
    ];
    for (body, words) in cases {
        assert_eq!(
            refused(&body),
            format!(r#"Ingress.networking.k8s.io "web" is invalid: {words}"#)
        );
    }
}

#[test]
fn an_ingress_without_a_class_gets_the_default_one() {
    let class = r#"{"apiVersion":"networking.k8s.io/v1","kind":"IngressClass","metadata":{"annotations":{"ingressclass.kubernetes.io/is-default-class":"true"},"name":"nginx"},"spec":{"controller":"k8s.io/ingress-nginx","parameters":{"apiGroup":"example.com","kind":"Settings","name":"s"}}}"#;
    let cluster = Small::usual().with("ingressclasses", class);
    let body = INGRESS.replace(r#""ingressClassName":"nginx","#, "");
    let stored = run(&body, None, Op::Create, &cluster).unwrap();
    assert!(stored.contains(r#""ingressClassName":"nginx""#), "{stored}");
    let stored = create(class);
    assert!(stored.contains(r#""scope":"Cluster""#));
    assert_eq!(
        line(&stored),
        "nginx|k8s.io/ingress-nginx|Settings.example.com/s|60s"
    );
    assert_eq!(
        update(&stored.replace("ingress-nginx", "other"), &stored).unwrap_err(),
        r#"IngressClass.networking.k8s.io "nginx" is invalid: spec.controller: Invalid value: "k8s.io/other": field is immutable"#
    );
}

const POLICY: &str = r#"{"apiVersion":"networking.k8s.io/v1","kind":"NetworkPolicy","metadata":{"name":"db"},"spec":{"podSelector":{"matchLabels":{"role":"db"}},"ingress":[{"from":[{"ipBlock":{"cidr":"172.17.0.0/16","except":["172.17.1.0/24"]}},{"podSelector":{}}],"ports":[{"port":6379}]}],"egress":[{}]}}"#;

#[test]
fn a_network_policy_is_filled_and_checked() {
    let stored = create(POLICY);
    assert!(
        stored.contains(r#""ports":[{"port":6379,"protocol":"TCP"}]"#),
        "{stored}"
    );
    assert!(stored.contains(r#""policyTypes":["Ingress","Egress"]"#));
    assert_eq!(line(&stored), "db|role=db|60s");
    let cases = [
        (
            POLICY.replace("172.17.1.0/24", "172.18.1.0/24"),
            r#"spec.ingress[0].from[0].ipBlock.except[0]: Invalid value: "172.18.1.0/24": must be a strict subset of `cidr`"#,
        ),
        (
            POLICY.replace(r#"{"podSelector":{}}"#, "{}"),
            "spec.ingress[0].from[1]: Required value: must specify a peer",
        ),
        (
            POLICY.replace(r#"{"port":6379}"#, r#"{"port":6379,"endPort":80}"#),
            "spec.ingress[0].ports[0].endPort: Invalid value: 80: must be greater than or equal to `port`",
        ),
    ];
    for (body, words) in cases {
        assert_eq!(
            refused(&body),
            format!(r#"NetworkPolicy.networking.k8s.io "db" is invalid: {words}"#)
        );
    }
}

#[test]
fn addresses_and_ranges_of_services_are_objects() {
    let address = create(
        r#"{"apiVersion":"networking.k8s.io/v1","kind":"IPAddress","metadata":{"name":"10.96.0.1"},"spec":{"parentRef":{"resource":"services","namespace":"default","name":"kubernetes"}}}"#,
    );
    assert_eq!(line(&address), "10.96.0.1|services/default/kubernetes");
    let odd = refused(
        r#"{"apiVersion":"networking.k8s.io/v1","kind":"IPAddress","metadata":{"name":"2001:db8::0"},"spec":{"parentRef":{"resource":"services","name":"a"}}}"#,
    );
    assert!(
        odd.contains(r#"must be in canonical form ("2001:db8::")"#),
        "{odd}"
    );
    let body = r#"{"apiVersion":"networking.k8s.io/v1","kind":"ServiceCIDR","metadata":{"name":"more"},"spec":{"cidrs":["10.100.0.0/16"]}}"#;
    let range = create(body);
    assert_eq!(line(&range), "more|10.100.0.0/16|60s");
    let both = range.replace(r#"["10.100.0.0/16"]"#, r#"["10.100.0.0/16","fd00::/108"]"#);
    assert!(update(&both, &range).is_ok());
    assert!(
        update(&range.replace("10.100", "10.101"), &range)
            .unwrap_err()
            .contains("field is immutable")
    );
}

/// Else who may write endpoints has the proxies reach what listens on nodes for themselves, and machines' own services.
#[test]
fn traffic_is_not_sent_to_the_node_itself_or_its_link() {
    for (ip, why) in [
        ("127.0.0.1", "loopback range (127.0.0.0/8, ::1/128)"),
        ("::ffff:127.0.0.1", "loopback range"),
        ("::1", "loopback range"),
        ("0.0.0.0", "unspecified (0.0.0.0)"),
        ("169.254.169.254", "link-local range (169.254.0.0/16, fe80::/10)"),
        ("fe80::1", "link-local range"),
        (
            "224.0.0.5",
            "link-local multicast range (224.0.0.0/24, ff02::/10)",
        ),
    ] {
        let version = if ip.contains(':') { 6 } else { 4 };
        let bodies = [
            format!(
                r#"{{"apiVersion":"v1","kind":"Endpoints","metadata":{{"name":"a"}},"subsets":[{{"addresses":[{{"ip":"{ip}"}}],"ports":[{{"port":80}}]}}]}}"#
            ),
            format!(
                r#"{{"apiVersion":"discovery.k8s.io/v1","kind":"EndpointSlice","metadata":{{"name":"a"}},"addressType":"IPv{version}","endpoints":[{{"addresses":["{ip}"]}}]}}"#
            ),
            format!(
                r#"{{"apiVersion":"v1","kind":"Service","metadata":{{"name":"a"}},"spec":{{"externalIPs":["{ip}"],"ports":[{{"port":80}}]}}}}"#
            ),
        ];
        for body in bodies {
            let said = refused(&body);
            assert!(said.contains(why), "{body}: {said}");
        }
    }
}

fn service(spec: &str, cluster: &Small) -> Result<String, String> {
    let body = format!(
        r#"{{"apiVersion":"v1","kind":"Service","metadata":{{"name":"web"}},"spec":{{"ports":[{{"port":80}}],{spec}}}}}"#
    );
    run(&body, None, Op::Create, cluster).map_err(|status| status.message)
}

#[test]
fn a_service_has_the_families_that_the_cluster_has() {
    let single = Small::default();
    let dual = Small {
        dual: true,
        ..Small::default()
    };
    for (spec, has) in [
        (
            r#""type":"ClusterIP""#,
            r#""clusterIPs":["10.96.0.1"],"internalTrafficPolicy":"Cluster","ipFamilies":["IPv4"],"ipFamilyPolicy":"SingleStack""#,
        ),
        (
            r#""ipFamilyPolicy":"PreferDualStack""#,
            r#""ipFamilies":["IPv4"],"ipFamilyPolicy":"PreferDualStack""#,
        ),
        (
            r#""clusterIP":"None""#,
            r#""ipFamilies":["IPv4","IPv6"],"ipFamilyPolicy":"RequireDualStack""#,
        ),
        (
            r#""clusterIP":"None","selector":{"a":"b"}"#,
            r#""ipFamilies":["IPv4"],"ipFamilyPolicy":"SingleStack""#,
        ),
    ] {
        let stored = service(spec, &single).unwrap();
        assert!(stored.contains(has), "{stored}");
    }
    let both = service(r#""ipFamilyPolicy":"PreferDualStack""#, &dual).unwrap();
    assert!(
        both.contains(r#""clusterIP":"10.96.0.1","clusterIPs":["10.96.0.1","fd00::2"]"#),
        "{both}"
    );
    for (spec, why) in [
        (
            r#""ipFamilyPolicy":"RequireDualStack""#,
            r#"spec.ipFamilyPolicy: Invalid value: "RequireDualStack": this cluster is not configured for dual-stack services"#,
        ),
        (
            r#""ipFamilies":["IPv6"]"#,
            r#"spec.ipFamilies[0]: Invalid value: "IPv6": not configured on this cluster"#,
        ),
        (
            r#""ipFamilies":["IPv4","IPv4"]"#,
            r#"spec.ipFamilies[1]: Duplicate value: "IPv4""#,
        ),
        (
            r#""ipFamilies":["IPv4","IPv6"]"#,
            r#"spec.ipFamilyPolicy: Invalid value: "SingleStack": must be 'RequireDualStack' or 'PreferDualStack' when multiple IP families are specified"#,
        ),
        (
            r#""clusterIP":"fd00::9""#,
            r#"spec.clusterIPs[0]: Invalid value: ["fd00::9"]: IPv6 is not configured on this cluster"#,
        ),
        (
            r#""clusterIP":"10.96.0.9","clusterIPs":["10.96.0.8"]"#,
            r#"spec.clusterIPs: Invalid value: ["10.96.0.8"]: first value must match `clusterIP`"#,
        ),
        (
            r#""clusterIPs":["None","10.96.0.8"]"#,
            r#"spec.clusterIPs: Invalid value: ["None","10.96.0.8"]: 'None' must be the first and only value"#,
        ),
    ] {
        let refused = service(spec, &single).unwrap_err();
        assert!(refused.contains(why), "{refused}");
    }
}

#[test]
fn a_second_family_comes_and_goes_on_purpose() {
    let dual = Small {
        dual: true,
        ..Small::default()
    };
    let one = service(r#""type":"ClusterIP""#, &dual).unwrap();
    let change =
        |text: &str, old: &str| run(text, Some(old), Op::Update, &dual).map_err(|status| status.message);
    let both = change(&one.replace("SingleStack", "RequireDualStack"), &one).unwrap();
    assert!(both.contains(r#""clusterIPs":["10.96.0.1","fd00::2"]"#), "{both}");
    let released = change(&both.replace(r#","fd00::2""#, ""), &both).unwrap_err();
    assert!(
        released.contains("must be 'SingleStack' to release the secondary cluster IP"),
        "{released}"
    );
    let single = change(&both.replace("RequireDualStack", "SingleStack"), &both).unwrap();
    assert!(single.contains(r#""clusterIPs":["10.96.0.1"]"#), "{single}");
    let moved = change(&one.replace("10.96.0.1", "10.96.0.7"), &one).unwrap_err();
    assert!(
        moved.contains(r#"spec.clusterIPs[0]: Invalid value: ["10.96.0.7"]: may not change once set"#),
        "{moved}"
    );
}

#[test]
fn ports_of_nodes_are_shared_by_protocols() {
    let ports = |ports: &str| {
        let body = format!(
            r#"{{"apiVersion":"v1","kind":"Service","metadata":{{"name":"web"}},"spec":{{"type":"NodePort","ports":[{ports}]}}}}"#
        );
        let stored = run(&body, None, Op::Create, &Small::default()).unwrap();
        let numbers = stored
            .split("\"nodePort\":")
            .skip(1)
            .map(|rest| rest[..5].to_owned());
        numbers.collect::<Vec<String>>()
    };
    let both = r#"{"name":"t","port":53,"protocol":"TCP"},{"name":"u","port":53,"protocol":"UDP"}"#;
    assert_eq!(ports(both), ["30002", "30002"]);
    let given = r#"{"name":"t","port":53},{"name":"u","port":53,"protocol":"UDP","nodePort":30100}"#;
    assert_eq!(ports(given), ["30100", "30100"]);
    let apart = r#"{"name":"a","port":1},{"name":"b","port":2}"#;
    assert_eq!(ports(apart), ["30002", "30003"]);
    let local = service(
        r#""type":"LoadBalancer","externalTrafficPolicy":"Local""#,
        &Small::default(),
    )
    .unwrap();
    assert!(local.contains(r#""healthCheckNodePort":30003"#), "{local}");
}

#[test]
fn addresses_and_ranges_are_written_in_one_way() {
    const SERVICE: &str = r#"{"apiVersion":"v1","kind":"Service","metadata":{"name":"s"},"spec":{"type":"LoadBalancer","ports":[{"port":80}],"externalIPs":["IP"],"loadBalancerSourceRanges":["RANGE"]}}"#;
    const POLICY: &str = r#"{"apiVersion":"networking.k8s.io/v1","kind":"NetworkPolicy","metadata":{"name":"p"},"spec":{"podSelector":{},"egress":[{"to":[{"ipBlock":{"cidr":"RANGE"}}]}]}}"#;
    const POD: &str = r#"{"apiVersion":"v1","kind":"Pod","metadata":{"name":"p"},"spec":{"containers":[{"name":"c","image":"i"}],"hostAliases":[{"ip":"IP","hostnames":["a"]}]}}"#;
    const NODE: &str = r#"{"apiVersion":"v1","kind":"Node","metadata":{"name":"n"},"spec":{"podCIDR":"RANGE","podCIDRs":["RANGE"]}}"#;
    let fill =
        |body: &str, ip: &str, range: &str| body.replace("IP\"", &format!("{ip}\"")).replace("RANGE", range);
    for ip in ["10.1.2.3", "2001:db8::1"] {
        create(&fill(POD, ip, ""));
        create(&fill(SERVICE, ip, "10.0.0.0/8"));
    }
    for (ip, why) in [
        ("010.1.2.3", "must not have leading 0s"),
        ("::ffff:1.2.3.4", "must not be an IPv4-mapped IPv6 address"),
        (
            "300.1.2.3",
            "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)",
        ),
        (
            "1.2.3",
            "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)",
        ),
    ] {
        for body in [fill(POD, ip, ""), fill(SERVICE, ip, "10.0.0.0/8")] {
            let said = refused(&body);
            assert!(said.ends_with(&format!("Invalid value: {ip:?}: {why}")), "{said}");
        }
    }
    for (range, why) in [
        ("10.0.0.1/8", "must not have bits set beyond the prefix length"),
        (
            "2001:db8::1/64",
            "must not have bits set beyond the prefix length",
        ),
        ("10.0.0.0/08", "must not have leading 0s in IP or prefix length"),
        ("010.0.0.0/8", "must not have leading 0s in IP or prefix length"),
        ("::ffff:10.0.0.0/104", "must not have an IPv4-mapped IPv6 address"),
        (
            "10.0.0.0/33",
            "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)",
        ),
        (
            "10.0.0.0",
            "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)",
        ),
    ] {
        for body in [
            fill(SERVICE, "192.0.2.1", range),
            fill(POLICY, "", range),
            fill(NODE, "", range),
        ] {
            let said = refused(&body);
            assert!(
                said.ends_with(&format!("Invalid value: {range:?}: {why}")),
                "{said}"
            );
        }
    }
    // What an object has had since before that was a rule, it may keep.
    let old = create(&fill(POLICY, "", "10.0.0.0/8")).replace("10.0.0.0/8", "10.0.0.1/8");
    let more = old.replace(r#""to":["#, r#""to":[{"ipBlock":{"cidr":"192.0.2.0/24"}},"#);
    assert_ne!(more, old);
    update(&more, &old).unwrap();
    let another = more.replace("192.0.2.0/24", "192.0.2.1/24");
    let said = update(&another, &old).unwrap_err();
    assert!(
        said.ends_with(r#""192.0.2.1/24": must not have bits set beyond the prefix length"#),
        "{said}"
    );
    assert!(!said.contains("10.0.0.1/8"), "{said}");
}

#[test]
fn what_a_service_hardly_means_or_what_will_go_is_warned_of() {
    let with = |spec: &str| {
        format!(
            r#"{{"apiVersion":"v1","kind":"Service","metadata":{{"name":"s"}},"spec":{{{spec},"ports":[{{"port":80}}]}}}}"#
        )
    };
    let warnings = |body: &str| write(body, None, Op::Create, &Small::usual()).unwrap().warnings;
    let gone = "spec.externalIPs is deprecated";
    for (spec, wanted) in [
        (r#""type":"ClusterIP""#, &[][..]),
        (r#""externalIPs":["192.0.2.1"]"#, &[gone]),
        (
            r#""type":"ExternalName","externalName":"a.example","externalIPs":["192.0.2.1"]"#,
            &[
                gone,
                "spec.externalIPs is ignored when spec.type is \"ExternalName\"",
            ],
        ),
        (
            r#""externalName":"a.example""#,
            &["spec.externalName is ignored when spec.type is not \"ExternalName\""],
        ),
        (
            r#""trafficDistribution":"PreferClose""#,
            &["spec.trafficDistribution: \"PreferClose\" is deprecated; use \"PreferSameZone\""],
        ),
        (
            r#""clusterIP":"None","sessionAffinity":"ClientIP","externalIPs":["192.0.2.1"]"#,
            &[
                gone,
                "spec.externalIPs is ignored for headless services",
                "spec.SessionAffinity is ignored for headless services",
            ],
        ),
    ] {
        assert_eq!(warnings(&with(spec)), wanted, "{spec}");
    }
    let hints = with(r#""type":"ClusterIP""#).replace(
        r#""name":"s""#,
        r#""name":"s","annotations":{"service.kubernetes.io/topology-aware-hints":"auto"}"#,
    );
    let why = "annotation service.kubernetes.io/topology-aware-hints is deprecated, please use \
               service.kubernetes.io/topology-mode instead";
    assert_eq!(warnings(&hints), [why]);
    let stored = create(&hints);
    let status = write(&stored, Some(&stored), Op::Status, &Small::usual()).unwrap();
    assert!(status.warnings.is_empty(), "only the status is written");
}
